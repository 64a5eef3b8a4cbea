"""The main flow: a function behind `{proxy+}`, made with boto3 and called by every address of the API."""

import base64
import http.client
import json
import re

import httpx
import pytest


@pytest.fixture
def echo(api, function):
    arn = function()
    api.proxy("ANY", "/{proxy+}", arn)
    api.proxy("GET", "/", arn)
    api.deploy()
    return api


def test_every_address_of_the_api_leads_to_it(echo, node):
    paths = (f"{node.url}/restapis/{echo.id}/prod/_user_request_/a/b", echo.url("/a/b"))
    for url in paths:
        assert httpx.get(url).json()["path"] == "/a/b"
    by_host = httpx.get(f"{node.url}/prod/a/b", headers={"Host": f"{echo.id}.execute-api.us-east-1.localhost"})
    event = by_host.json()
    assert event["path"] == "/a/b"
    assert event["requestContext"]["path"] == "/prod/a/b"
    assert event["requestContext"]["domainName"] == f"{echo.id}.execute-api.us-east-1.localhost"
    assert event["requestContext"]["domainPrefix"] == echo.id


def test_what_is_too_large_for_a_function_is_refused_before_it(echo):
    answer = echo.call("POST", "/a", content=b"x" * (6 * 1024 * 1024))
    assert (answer.status_code, answer.json()) == (413, {"message": "Request Too Long"})
    assert answer.headers["x-amzn-errortype"] == "BadRequestException"


def test_the_event_has_the_documented_fields(echo):
    answer = echo.call(
        "POST",
        "/a%2Fb/c%20d?q=1&q=2&empty=&sp=a+b%26",
        content=b'{"x": "\xc3\xa9"}',
        headers=[
            ("X-Twice", "one"),
            ("X-Twice", "two"),
            ("x-low", "kept"),
            ("Content-Type", "application/json"),
            ("User-Agent", "ua"),
        ],
    )
    event = answer.json()
    assert set(event) == {
        "resource", "path", "httpMethod", "headers", "multiValueHeaders", "queryStringParameters",
        "multiValueQueryStringParameters", "pathParameters", "stageVariables", "requestContext", "body", "isBase64Encoded",
    }  # fmt: skip
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/{proxy+}", "/a%2Fb/c%20d", "POST")
    assert event["pathParameters"] == {"proxy": "a%2Fb/c%20d"}
    assert event["queryStringParameters"] == {"q": "2", "empty": "", "sp": "a b&"}
    assert event["multiValueQueryStringParameters"] == {"q": ["1", "2"], "empty": [""], "sp": ["a b&"]}
    assert event["headers"]["X-Twice"] == "two"
    assert event["multiValueHeaders"]["X-Twice"] == ["one", "two"]
    assert event["headers"]["x-low"] == "kept"
    assert event["multiValueHeaders"]["X-Forwarded-For"] == ["127.0.0.1"]
    assert {"Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Amzn-Trace-Id"} <= event["headers"].keys()
    assert (event["body"], event["isBase64Encoded"]) == ('{"x": "é"}', False)
    assert event["stageVariables"] is None
    context = event["requestContext"]
    assert set(context) == {
        "resourceId", "resourcePath", "httpMethod", "extendedRequestId", "requestTime", "path", "accountId", "protocol", "stage",
        "domainPrefix", "requestTimeEpoch", "requestId", "identity", "domainName", "deploymentId", "apiId",
    }  # fmt: skip
    assert (context["resourcePath"], context["stage"], context["apiId"]) == ("/{proxy+}", "prod", echo.id)
    assert context["accountId"] == "000000000000"
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context["requestTime"])
    assert context["requestId"] == answer.headers["x-amzn-requestid"]
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert context["identity"]["userAgent"] == "ua"
    assert context["identity"]["userArn"] is None
    assert len(context["identity"]) == 12


def test_what_is_empty_is_null(echo):
    event = echo.call("GET", "/").json()
    names = ("body", "pathParameters", "queryStringParameters", "multiValueQueryStringParameters", "stageVariables")
    assert [event[name] for name in names] == [None] * 5


def test_bodies_are_base64_only_where_the_api_says_so(make_api, function):
    api = make_api(binaryMediaTypes=["image/*"])
    api.proxy("POST", "/", function())
    api.deploy()
    sent = b"\x89PNG\xff"
    event = api.call("POST", "/", content=sent, headers={"Content-Type": "image/png"}).json()
    assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (sent, True)
    event = api.call("POST", "/", content=b"plain", headers={"Content-Type": "text/plain"}).json()
    assert (event["body"], event["isBase64Encoded"]) == ("plain", False)


ANSWER = """\
import json
def handler(event, context):
    return json.loads(event["body"])
"""


def _raw(api, body, **headers):
    connection = http.client.HTTPConnection(api.node.netloc, timeout=30)
    try:
        connection.request("POST", f"/_aws/execute-api/{api.id}/prod/", json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def test_what_the_function_answers_is_the_response(make_api, function):
    api = make_api(binaryMediaTypes=["image/png"])
    api.proxy("ANY", "/", function(ANSWER))
    api.deploy()
    status, headers, body = _raw(
        api,
        {
            "statusCode": "201",
            "headers": {"x-one": "1", "x-flag": True, "Date": "never", "Content-Type": "text/plain"},
            "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
            "body": "made",
        },
    )
    assert (status, body) == (201, b"made")
    found = [(name.lower(), value) for name, value in headers]
    assert [value for name, value in found if name == "set-cookie"] == ["a=1", "b=2"]
    assert {("x-one", "1"), ("x-flag", "true"), ("x-amzn-remapped-date", "never"), ("content-type", "text/plain")} <= set(found)
    data = base64.b64encode(b"\x00\xff").decode()
    image = {"statusCode": 200, "body": data, "isBase64Encoded": True, "headers": {"Content-Type": "image/png"}}
    assert _raw(api, image, Accept="image/png")[2] == b"\x00\xff"
    assert _raw(api, image, Accept="text/html")[2] == data.encode()
    assert _raw(api, {})[0] == 200
    for malformed in ({"status": 200}, [1], "text", {"statusCode": "x"}, {"body": {"a": 1}}, {"headers": {"a": [1]}}):
        status, _, body = _raw(api, malformed)
        assert (status, json.loads(body)) == (502, {"message": "Internal server error"})


def test_failing_and_slow_functions(api, function):
    api.proxy("GET", "/fails", function("def handler(e, c):\n    raise ValueError('no')\n"))
    place = api.proxy("GET", "/slow", function("import time\ndef handler(e, c):\n    time.sleep(20)\n", Timeout=30))
    api.gateway.update_integration(**place, patchOperations=[{"op": "replace", "path": "/timeoutInMillis", "value": "50"}])
    api.proxy("GET", "/gone", "arn:aws:lambda:us-east-1:000000000000:function:no-such-function")
    api.proxy("GET", "/foreign", "arn:aws:lambda:us-east-1:111111111111:function:theirs")
    api.deploy()
    failed = api.call("GET", "/fails")
    assert (failed.status_code, failed.json()) == (502, {"message": "Internal server error"})
    slow = api.call("GET", "/slow")
    assert (slow.status_code, slow.json()) == (504, {"message": "Endpoint request timed out"})
    assert api.call("GET", "/gone").status_code == 500
    assert api.call("GET", "/foreign").status_code == 500


def test_unknown_paths_methods_and_stages(api, function):
    api.mock("GET", "/only/{id}", "$input.params('id')")
    api.deploy()
    assert api.call("GET", "/only/7").text == "7"
    assert api.call("GET", "/only/7/").text == "7"
    for method, path in (("GET", "/other"), ("POST", "/only/7"), ("GET", "/only"), ("GET", "/only/7/8")):
        answer = api.call(method, path)
        assert (answer.status_code, answer.json()) == (403, {"message": "Missing Authentication Token"})
        assert answer.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    unknown = api.call("GET", "/only/7", stage="dev")
    assert (unknown.status_code, unknown.json()) == (403, {"message": "Forbidden"})


def test_the_most_specific_resource_answers(api):
    for path in ("/{proxy+}", "/pets", "/pets/{id}", "/pets/{id}/toys", "/pets/best"):
        api.mock("GET", path, f"{path.replace('{', '(').replace('}', ')')}")
    api.deploy()
    expected = {
        "/pets": "/pets", "/pets/1": "/pets/(id)", "/pets/best": "/pets/best", "/pets/1/toys": "/pets/(id)/toys",
        "/pets/best/toys": "/pets/(id)/toys", "/pets/1/2/3": "/(proxy+)", "/x": "/(proxy+)",
    }  # fmt: skip
    assert {path: api.call("GET", path).text for path in expected} == expected


def test_a_change_is_live_only_after_a_deployment(api):
    place = api.mock("GET", "/", "one")
    first = api.deploy()
    api.gateway.update_integration_response(
        **place,
        statusCode="200",
        patchOperations=[{"op": "replace", "path": "/responseTemplates/application~1json", "value": "two"}],
    )
    assert api.call().text == "one"
    api.deploy()
    assert api.call().text == "two"
    api.gateway.update_stage(
        restApiId=api.id, stageName="prod", patchOperations=[{"op": "replace", "path": "/deploymentId", "value": first}]
    )
    assert api.call().text == "one"
    api.gateway.delete_stage(restApiId=api.id, stageName="prod")
    assert api.call().status_code in (403, 404)


def test_what_is_deployed_survives_a_restart(start_node, name, api):
    node = start_node()
    api = type(api)(node, name)
    api.mock("GET", "/", "kept")
    api.deploy()
    assert node.stop() == 0
    node.start()
    assert api.call().text == "kept"


STREAM = """\
def handler(event, context):
    yield b'{"statusCode": 203, "headers": {"x-s": "1", "Content-Type": "text/plain"}}' + bytes(8)
    yield b"one "
    yield b"two"
"""


def test_a_function_can_stream_its_answer(api, function):
    arn = function(STREAM)
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/{arn}/response-streaming-invocations"
    streaming = {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": uri, "responseTransferMode": "STREAM"}
    api.method("GET", "/", streaming)
    api.deploy()
    answer = api.call()
    assert (answer.status_code, answer.text, answer.headers["x-s"]) == (203, "one two", "1")
    assert answer.headers["transfer-encoding"] == "chunked"
