"""Integrations that are not proxies: mapping templates, parameters, selection patterns, services and other servers."""

import http.server
import json
import threading
import time

import pytest

URI = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{}/invocations"

RAW = """\
import json
def handler(event, context):
    if isinstance(event, dict) and event.get("fail"):
        raise ValueError(event["fail"])
    return {"got": event}
"""


def _function_method(api, arn, path="/", method="POST", templates=None, **integration):
    body = {"type": "AWS", "integrationHttpMethod": "POST", "uri": URI.format(arn)} | integration
    if templates is not None:
        body["requestTemplates"] = templates
    return api.method(method, path, body)


def test_a_mock_answers_with_its_template(api):
    place = api.mock(
        "GET",
        "/pets/{id}",
        '#set($context.responseOverride.header.x-made = "yes")#if($input.params("q") == "none")'
        "#set($context.responseOverride.status = 404)#end"
        '{"id": "$input.params(\'id\')", "stage": "$context.stage", "q": "$input.params(\'q\')", "v": "$stageVariables.v"}',
    )
    api.gateway.update_method_response(
        **place, statusCode="200",
        patchOperations=[{"op": "add", "path": "/responseParameters/method.response.header.x-fixed", "value": "false"}],
    )  # fmt: skip
    api.gateway.update_integration_response(
        **place, statusCode="200",
        patchOperations=[{"op": "add", "path": "/responseParameters/method.response.header.x-fixed", "value": "'a value'"}],
    )  # fmt: skip
    api.deploy(variables={"v": "w"})
    answer = api.call("GET", "/pets/7?q=a")
    assert answer.json() == {"id": "7", "stage": "prod", "q": "a", "v": "w"}
    assert (answer.headers["x-made"], answer.headers["x-fixed"]) == ("yes", "a value")
    assert answer.headers["content-type"] == "application/json"
    assert api.call("GET", "/pets/7?q=none").status_code == 404


def test_a_mock_chooses_its_response_by_status(api):
    place = api.mock("GET", "/", "fine", request='{"statusCode": #if($input.params("bad") == "1")500#{else}200#end}')
    api.answer(place, "500", "broken", selectionPattern="5\\d\\d")
    api.deploy()
    assert (api.call().status_code, api.call().text) == (200, "fine")
    answer = api.call("GET", "/?bad=1")
    assert (answer.status_code, answer.text) == (500, "broken")


def test_a_function_gets_what_the_template_makes(api, function):
    template = '{"id": "$input.params(\'id\')", "name": $input.json(\'$.person.name\'), "h": "$input.params().header.get(\'X-H\')"}'
    place = _function_method(api, function(RAW), "/p/{id}", templates={"application/json": template})
    api.answer(place, "200", "#set($r = $input.path('$.got'))<$r.id $r.name $r.h>")
    api.deploy()
    answer = api.call("POST", "/p/5", json={"person": {"name": "Ann"}}, headers={"X-H": "hh"})
    assert (answer.status_code, answer.text) == (200, "<5 Ann hh>")


def test_a_failed_function_is_matched_by_its_message(api, function):
    place = _function_method(api, function(RAW))
    api.answer(place, "200")
    api.answer(place, "404", '{"m": "$input.path(\'$.errorMessage\')"}', selectionPattern="\\[404\\].*")
    api.answer(place, "500", '{"m": "other"}', selectionPattern="(\\n|.)+rror.*")
    api.deploy()
    assert api.call("POST", json={"a": 1}).json() == {"got": {"a": 1}}
    missing = api.call("POST", json={"fail": "[404] no such thing"})
    assert (missing.status_code, missing.json()) == (404, {"m": "[404] no such thing"})
    assert api.call("POST", json={"fail": "an Error"}).status_code == 500
    assert api.call("POST", json={"fail": "unmatched"}).status_code == 200


@pytest.mark.parametrize("more", [{}, {"requestParameters": {"integration.request.header.X-Amz-Invocation-Type": "'Event'"}}])
def test_a_body_that_is_no_event_is_refused_with_the_reason(api, function, more):
    place = _function_method(api, function(RAW), **more)
    api.answer(place, "200")
    api.answer(place, "202")
    api.deploy()
    answer = api.call("POST", content=b"<x/>", headers={"Content-Type": "application/xml"})
    assert answer.status_code == 400 and answer.json()["message"].startswith("Could not parse request body into json: ")


def test_a_selection_pattern_cannot_hold_up_the_node(api, function):
    place = _function_method(api, function(RAW))
    api.answer(place, "200")
    api.answer(place, "500", selectionPattern="(e+)+$")
    api.deploy()
    assert api.call("POST", json={"fail": "e" * 60 + "!"}).status_code == 200


def test_without_a_matching_response_the_configuration_is_at_fault(api, function):
    place = _function_method(api, function(RAW))
    api.answer(place, "404", selectionPattern="nothing like it")
    api.deploy()
    answer = api.call("POST", json={})
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal server error"})


@pytest.mark.parametrize(
    ("behavior", "has_template", "kind", "status"),
    [
        ("WHEN_NO_MATCH", True, "text/plain", 200), ("WHEN_NO_TEMPLATES", True, "text/plain", 415),
        ("WHEN_NO_TEMPLATES", False, "text/plain", 200), ("NEVER", False, "application/json", 415),
        ("NEVER", True, "application/json", 200),
    ],
)  # fmt: skip
def test_passthrough(api, function, behavior, has_template, kind, status):
    templates = {"application/json": "$input.json('$')"} if has_template else None
    place = _function_method(api, function(RAW), templates=templates, passthroughBehavior=behavior)
    api.answer(place, "200")
    api.deploy()
    answer = api.call("POST", content=b'{"a": 1}', headers={"Content-Type": kind})
    assert answer.status_code == status
    expected = {"got": {"a": 1}} if status == 200 else {"message": "Unsupported Media Type"}
    assert answer.json() == expected


def test_an_event_is_queued_when_the_mapping_says_so(api, function, node):
    arn = function("def handler(e, c):\n    print('SEEN', e['mark'])\n")
    parameters = {"integration.request.header.X-Amz-Invocation-Type": "'Event'"}
    place = _function_method(api, arn, requestParameters=parameters)
    api.answer(place, "200", '{"queued": true}')
    api.deploy()
    assert api.call("POST", json={"mark": "m1"}).json() == {"queued": True}
    logs, group, deadline = node.client("logs"), f"/aws/lambda/{arn.rpartition(':')[2]}", time.monotonic() + 15
    while True:
        try:
            if logs.filter_log_events(logGroupName=group, filterPattern='"SEEN m1"')["events"]:
                return
        except logs.exceptions.ResourceNotFoundException:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_nodes_own_services_are_reached_through_its_door(api, node, name):
    node.client("logs").create_log_group(logGroupName=name)
    role = "arn:aws:iam::000000000000:role/gateway"
    place = api.method(
        "GET", "/groups",
        {
            "type": "AWS", "integrationHttpMethod": "POST", "uri": "arn:aws:apigateway:us-east-1:logs:action/DescribeLogGroups",
            "credentials": role, "requestTemplates": {"application/json": '{"logGroupNamePrefix": "$input.params(\'p\')"}'},
        },
    )  # fmt: skip
    api.answer(place, "200", "$input.path('$.logGroups[0].logGroupName')")
    place = api.method(
        "GET", "/me",
        {
            "type": "AWS", "integrationHttpMethod": "GET", "uri": "arn:aws:apigateway:us-east-1:sts:action/GetCallerIdentity",
            "credentials": role,
        },
    )  # fmt: skip
    api.answer(place, "200")
    place = api.method(
        "GET", "/nobody",
        {"type": "AWS", "integrationHttpMethod": "GET", "uri": "arn:aws:apigateway:us-east-1:sts:action/GetCallerIdentity"},
    )  # fmt: skip
    api.answer(place, "200")
    api.deploy()
    assert api.call("GET", f"/groups?p={name}").text == name
    assert "assumed-role/gateway/BackplaneAssumeRoleSession" in api.call("GET", "/me").text
    assert api.call("GET", "/nobody").status_code == 500


class _Seen(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        seen = {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body.decode()}
        data = json.dumps(seen).encode()
        self.send_response(418 if self.path.startswith("/teapot") else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Back", "there")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Seen)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()


def test_http_proxy_hands_everything_through(api, server):
    api.method(
        "ANY", "/{proxy+}",
        {
            "type": "HTTP_PROXY", "integrationHttpMethod": "ANY", "uri": server + "/base/{proxy}",
            "requestParameters": {
                "integration.request.path.proxy": "method.request.path.proxy",
                "integration.request.header.x-mapped": "method.request.querystring.q",
                "integration.request.querystring.stage": "context.stage",
            },
        },
        requestParameters={"method.request.path.proxy": True, "method.request.querystring.q": False},
    )  # fmt: skip
    api.deploy()
    for _ in range(2):  # the second goes over the kept connection
        answer = api.call("PUT", "/a/b%20c?q=1", content=b"body", headers={"X-Own": "o", "Content-Type": "text/plain"})
        seen = answer.json()
        assert (seen["method"], seen["path"], seen["body"]) == ("PUT", "/base/a/b%20c?q=1&stage=prod", "body")
        assert (seen["headers"]["X-Own"], seen["headers"]["x-mapped"]) == ("o", "1")
        assert answer.headers["x-back"] == "there"


def test_http_maps_both_ways(api, server):
    place = api.method(
        "POST", "/",
        {
            "type": "HTTP", "integrationHttpMethod": "POST", "uri": server + "/${stageVariables.where}",
            "requestTemplates": {"application/json": '{"wrapped": $input.body}'},
        },
    )  # fmt: skip
    headers = {"method.response.header.x-from": "integration.response.header.X-Back"}
    api.answer(place, "200", "$input.json('$.body')", responseParameters=headers)
    api.answer(place, "400", '{"code": "teapot"}', selectionPattern="4\\d{2}")
    api.deploy(variables={"where": "kettle"})
    answer = api.call("POST", json={"a": 1})
    assert json.loads(answer.json()) == {"wrapped": {"a": 1}}
    assert answer.headers["x-from"] == "there"
    assert "x-back" not in answer.headers
    api.deploy(variables={"where": "teapot"})
    answer = api.call("POST", json={"a": 1})
    assert (answer.status_code, answer.json()) == (400, {"code": "teapot"})


def test_a_server_that_is_not_there(api):
    api.method("GET", "/", {"type": "HTTP_PROXY", "integrationHttpMethod": "GET", "uri": "http://127.0.0.1:1/"})
    api.deploy()
    answer = api.call()
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal server error"})


def test_binary_bodies_are_converted_as_told(make_api, function):
    api = make_api(binaryMediaTypes=["image/png"])
    arn = function("import base64\ndef handler(e, c):\n    return base64.b64encode(base64.b64decode(e['b'])[::-1]).decode()\n")
    place = _function_method(
        api, arn, templates={"image/png": '{"b": "$input.body"}'}, contentHandling="CONVERT_TO_TEXT",
    )  # fmt: skip
    api.answer(place, "200", "$input.path('$')", contentHandling="CONVERT_TO_BINARY")
    api.deploy()
    answer = api.call("POST", content=b"\x01\x02\xff", headers={"Content-Type": "image/png", "Accept": "image/png"})
    assert answer.content == b"\xff\x02\x01"


def test_validators_look_at_parameters_and_bodies(api):
    validator = api.gateway.create_request_validator(
        restApiId=api.id, name="all", validateRequestBody=True, validateRequestParameters=True
    )["id"]
    schema = {
        "$schema": "http://json-schema.org/draft-04/schema#", "type": "object", "required": ["name"],
        "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "age": {"$ref": "#/definitions/age"}, "friend": {}},
        "definitions": {"age": {"type": "integer", "minimum": 0, "exclusiveMinimum": True}},
    }  # fmt: skip
    api.gateway.create_model(restApiId=api.id, name="Name", contentType="application/json", schema='{"type": "string"}')
    schema["properties"]["friend"] = {"$ref": f"https://apigateway.amazonaws.com/restapis/{api.id}/models/Name"}
    api.gateway.create_model(restApiId=api.id, name="Person", contentType="application/json", schema=json.dumps(schema))
    api.mock(
        "POST", "/", "ok", requestValidatorId=validator, requestModels={"application/json": "Person"},
        requestParameters={"method.request.querystring.q": True, "method.request.header.X-Need": True},
    )  # fmt: skip
    api.gateway.put_gateway_response(
        restApiId=api.id, responseType="BAD_REQUEST_BODY",
        responseTemplates={
            "application/json": '{"message": $context.error.messageString, "why": "$context.error.validationErrorString"}'
        },
    )  # fmt: skip
    api.deploy()
    missing = api.call("POST", json={"name": "Ann"})
    assert (missing.status_code, missing.json()) == (400, {"message": "Missing required request parameters: [q, X-Need]"})

    def post(body, **more):
        return api.call("POST", "/?q=1", headers={"x-need": "1"}, **({"json": body} if body is not None else {}), **more)

    assert post({"name": "Ann", "age": 3, "friend": "Bob"}).status_code == 200
    for wrong in ({"name": "ann"}, {}, {"name": "Ann", "age": 0}, {"name": "Ann", "friend": 1}, [1]):
        answer = post(wrong)
        assert (answer.status_code, answer.json()["message"]) == (400, "Invalid request body")
    assert "name" in post({}).json()["why"]
    assert post(None).status_code == 400


def test_gateway_responses_are_the_apis_own(api):
    api.mock("GET", "/there", "ok")
    api.gateway.put_gateway_response(
        restApiId=api.id, responseType="MISSING_AUTHENTICATION_TOKEN", statusCode="404",
        responseTemplates={"application/json": '{"error": "$context.error.message", "type": "$context.error.responseType"}'},
        responseParameters={
            "gatewayresponse.header.Access-Control-Allow-Origin": "'*'",
            "gatewayresponse.header.x-q": "method.request.querystring.q",
        },
    )  # fmt: skip
    api.deploy()
    answer = api.call("GET", "/nowhere?q=7")
    assert (answer.status_code, answer.json()) == (
        404, {"error": "Missing Authentication Token", "type": "MISSING_AUTHENTICATION_TOKEN"}
    )  # fmt: skip
    assert (answer.headers["access-control-allow-origin"], answer.headers["x-q"]) == ("*", "7")
    api.gateway.delete_gateway_response(restApiId=api.id, responseType="MISSING_AUTHENTICATION_TOKEN")
    api.gateway.put_gateway_response(restApiId=api.id, responseType="DEFAULT_4XX", statusCode="418", responseTemplates={})
    api.deploy()
    assert api.call("GET", "/nowhere").status_code == 418


def test_a_template_that_does_not_end_ends(api):
    loop = "#foreach($a in [1..99999])#foreach($b in [1..99999])$a#end#end"
    api.mock("GET", "/loop", loop)
    api.mock("GET", "/broken", "#if(")
    api.deploy()
    for path in ("/loop", "/broken"):
        answer = api.call("GET", path)
        assert (answer.status_code, answer.json()) == (500, {"message": "Internal server error"})


def test_compression(make_api):
    api = make_api(minimumCompressionSize=10)
    api.mock("GET", "/", "x" * 1000)
    api.mock("GET", "/short", "x")
    api.deploy()
    assert api.call(headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"
    assert api.call(headers={"Accept-Encoding": "gzip"}).text == "x" * 1000
    assert "content-encoding" not in api.call("GET", "/short").headers
    assert "content-encoding" not in api.call(headers={"Accept-Encoding": "identity"}).headers


def test_a_test_invocation_needs_no_deployment(api, function):
    place = api.proxy("POST", "/p/{id}", function())
    answer = api.gateway.test_invoke_method(
        **place, pathWithQueryString="/p/9?a=b", body='{"x": 1}', headers={"X-H": "1"}, stageVariables={"v": "1"}
    )
    event = json.loads(answer["body"])
    assert (answer["status"], event["path"], event["pathParameters"]) == (200, "/p/9", {"id": "9"})
    assert (event["queryStringParameters"], event["stageVariables"]) == ({"a": "b"}, {"v": "1"})
    assert "Method completed with status: 200" in answer["log"]


def test_stage_caches_keep_answers(api, function):
    arn = function("import itertools\nN = itertools.count()\ndef handler(e, c):\n    return {'body': str(next(N))}\n")
    place = api.proxy("GET", "/", arn, requestParameters={"method.request.querystring.q": False})
    api.gateway.update_integration(
        **place, patchOperations=[{"op": "add", "path": "/cacheKeyParameters/method.request.querystring.q"}]
    )
    api.deploy(cacheClusterEnabled=True, cacheClusterSize="0.5")
    api.gateway.update_stage(
        restApiId=api.id, stageName="prod", patchOperations=[{"op": "replace", "path": "/*/*/caching/enabled", "value": "true"}]
    )
    first = api.call("GET", "/?q=1").text
    assert api.call("GET", "/?q=1&other=2").text == first
    assert api.call("GET", "/?q=2").text != first
    refused = api.call("GET", "/?q=1", headers={"Cache-Control": "max-age=0"})
    assert refused.text == first
    assert refused.headers["warning"].startswith("199")
    api.gateway.flush_stage_cache(restApiId=api.id, stageName="prod")
    assert api.call("GET", "/?q=1").text != first


def test_a_canary_takes_its_share(api):
    place = api.mock("GET", "/", "old $stageVariables.v")
    api.deploy(variables={"v": "1"})
    api.gateway.update_integration_response(
        **place, statusCode="200",
        patchOperations=[{"op": "replace", "path": "/responseTemplates/application~1json", "value": "new $stageVariables.v"}],
    )  # fmt: skip
    canary = {"percentTraffic": 100.0, "stageVariableOverrides": {"v": "2"}}
    deployment = api.deploy(canarySettings=canary)
    assert api.call().text == "new 2"
    stage = {"restApiId": api.id, "stageName": "prod"}
    api.gateway.update_stage(**stage, patchOperations=[{"op": "replace", "path": "/canarySettings/percentTraffic", "value": "0.0"}])
    assert api.call().text == "old 1"
    promoted = api.gateway.update_stage(
        **stage,
        patchOperations=[
            {"op": "copy", "from": "/canarySettings/deploymentId", "path": "/deploymentId"},
            {"op": "remove", "path": "/canarySettings"},
        ],
    )
    assert promoted["deploymentId"] == deployment
    assert api.call().text == "new 1"
