"""What functions are told and what becomes of their answers, member by member against the documented samples."""

import base64
import json
import re

import httpx
import pytest

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
TIME = re.compile(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\Z")
QUERY = "parameter1=value1&parameter1=value2&parameter2=value%20x"
HEADERS = [
    ("Header1", "value1"),
    ("Header2", "value1"),
    ("Header2", "value2"),
    ("Cookie", "cookie1; cookie2=x"),
    ("User-Agent", "agent"),
]


@pytest.fixture
def two(api, echo_arn):
    """An API whose stage has variables; its function gets events of format 2.0."""
    api.route("$default", api.function(echo_arn))
    api.route("POST /my/{parameter1}/{rest+}", api.function(echo_arn))
    api.gateway.update_stage(ApiId=api.id, StageName="$default", StageVariables={"stageVariable1": "value1"})
    return api


def test_format_2_is_as_documented(two):
    event = two.call("POST", f"/my/a%20b/c/d%2Fe?{QUERY}", headers=HEADERS, content="Hello").json()
    assert set(event) == {
        "version", "routeKey", "rawPath", "rawQueryString", "cookies", "headers", "queryStringParameters", "requestContext", "body",
        "pathParameters", "isBase64Encoded", "stageVariables",
    }  # fmt: skip
    assert (event["version"], event["routeKey"]) == ("2.0", "POST /my/{parameter1}/{rest+}")
    assert (event["rawPath"], event["rawQueryString"]) == ("/my/a b/c/d/e", QUERY)
    assert event["cookies"] == ["cookie1", "cookie2=x"]
    assert event["queryStringParameters"] == {"parameter1": "value1,value2", "parameter2": "value x"}
    assert event["pathParameters"] == {"parameter1": "a b", "rest": "c/d/e"}
    assert event["stageVariables"] == {"stageVariable1": "value1"}
    assert (event["isBase64Encoded"], base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"]) in (
        (True, b"Hello"),
        (False, "Hello"),
    )
    headers = event["headers"]
    assert (headers["header1"], headers["header2"], headers["content-length"]) == ("value1", "value1,value2", "5")
    assert headers["x-forwarded-for"] == "127.0.0.1" and headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-port"] == two.node.netloc.partition(":")[2]
    assert headers["x-amzn-trace-id"].startswith("Root=1-") and "cookie" not in headers and "connection" not in headers
    context = event["requestContext"]
    assert set(context) == {
        "accountId", "apiId", "domainName", "domainPrefix", "http", "requestId", "routeKey", "stage", "time", "timeEpoch",
    }  # fmt: skip
    assert (context["accountId"], context["apiId"], context["stage"]) == ("000000000000", two.id, "$default")
    assert context["http"] == {
        "method": "POST", "path": "/my/a b/c/d/e", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "agent",
    }  # fmt: skip
    assert UUID.match(context["requestId"]) and TIME.match(context["time"]) and context["routeKey"] == event["routeKey"]
    assert isinstance(context["timeEpoch"], int)


def test_format_2_leaves_out_what_is_not_there(two):
    event = two.call("GET", "/").json()
    assert not {"body", "cookies", "pathParameters", "queryStringParameters"} & set(event)
    assert (event["rawPath"], event["rawQueryString"], event["routeKey"]) == ("/", "", "$default")


def test_requests_of_one_connection_with_one_head_are_each_told_as_their_own(two, echo_arn):
    two.route("GET /one", two.function(echo_arn, "1.0"))
    with httpx.Client(timeout=40) as client:
        pieces = ([b"one"], [b"longer"], [b"one"])
        events = [client.post(two.url("/a"), headers=HEADERS, content=iter(parts)).json() for parts in pieces]
        told = [client.get(two.url("/b"), headers={"x-amzn-trace-id": root}).json() for root in ("Root=1", "Root=1", "Root=2", "")]
        old = [client.get(two.url("/one"), headers={"a": "b"}).json() for _ in range(2)]
    assert [event["headers"]["content-length"] for event in events] == ["3", "6", "3"]
    assert len({event["headers"]["X-Amzn-Trace-Id"] for event in old}) == 2
    assert all([event["headers"]["X-Amzn-Trace-Id"]] == event["multiValueHeaders"]["X-Amzn-Trace-Id"] for event in old)
    assert [event["headers"]["a"] for event in old] == ["b", "b"]
    assert len({event["headers"]["x-amzn-trace-id"] for event in events}) == 3
    assert len({event["requestContext"]["requestId"] for event in events}) == 3
    assert all(event["cookies"] == ["cookie1", "cookie2=x"] for event in events)
    assert [event["headers"]["x-amzn-trace-id"] for event in told[:3]] == ["Root=1", "Root=1", "Root=2"]
    assert told[3]["headers"]["x-amzn-trace-id"].startswith("Root=1-")


def test_format_1_is_as_documented(api, echo_arn):
    api.route("ANY /my/{proxy+}", api.function(echo_arn, "1.0"))
    event = api.call("POST", f"/my/a%20b/c?{QUERY}", headers=HEADERS, content="Hello").json()
    assert set(event) == {
        "version", "resource", "path", "httpMethod", "headers", "multiValueHeaders", "queryStringParameters",
        "multiValueQueryStringParameters", "requestContext", "pathParameters", "stageVariables", "body", "isBase64Encoded",
    }  # fmt: skip
    assert (event["version"], event["resource"], event["path"]) == ("1.0", "/my/{proxy+}", "/my/a b/c")
    assert event["multiValueHeaders"]["Header2"] == ["value1", "value2"] and event["headers"]["Header2"] == "value2"
    assert event["multiValueHeaders"]["X-Forwarded-For"] == ["127.0.0.1"]
    assert event["multiValueQueryStringParameters"] == {"parameter1": ["value1", "value2"], "parameter2": ["value x"]}
    assert event["queryStringParameters"] == {"parameter1": "value2", "parameter2": "value x"}
    assert (event["pathParameters"], event["stageVariables"]) == ({"proxy": "a b/c"}, None)
    context = event["requestContext"]
    assert set(context) == {
        "accountId", "apiId", "authorizer", "domainName", "domainPrefix", "extendedRequestId", "httpMethod", "identity", "path",
        "protocol", "requestId", "requestTime", "requestTimeEpoch", "resourceId", "resourcePath", "stage",
    }  # fmt: skip
    assert context["authorizer"] == {"claims": None, "scopes": None}
    assert set(context["identity"]) == {
        "accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType", "cognitoIdentityId",
        "cognitoIdentityPoolId", "principalOrgId", "sourceIp", "user", "userAgent", "userArn",
    }  # fmt: skip
    assert (context["identity"]["sourceIp"], context["identity"]["userAgent"]) == ("127.0.0.1", "agent")
    empty = api.call("GET", "/my/x").json()
    assert (empty["queryStringParameters"], empty["multiValueQueryStringParameters"], empty["body"]) == (None, None, None)


@pytest.mark.parametrize(
    ("kind", "is_text"),
    [
        ("application/json", True),
        ("text/html; charset=utf-8", True),
        ("image/png", False),
        ("application/x-www-form-urlencoded", False),
    ],
)
def test_bodies_are_text_or_base64_by_their_type(two, kind, is_text):
    event = two.call("POST", "/x", headers={"Content-Type": kind}, content=b"{}").json()
    assert (event["body"], event["isBase64Encoded"]) == (("{}", False) if is_text else ("e30=", True))


def test_a_named_stage_is_a_part_of_the_path(api, echo_arn):
    api.route("GET /x", api.function(echo_arn))
    api.gateway.create_stage(ApiId=api.id, StageName="v1", AutoDeploy=True)
    event = api.call(path="/v1/x").json()
    assert (event["rawPath"], event["requestContext"]["stage"]) == ("/v1/x", "v1")
    assert api.call(path="/x").json()["requestContext"]["stage"] == "$default"


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_answers_become_http(api, function, version):
    text = """\
import base64
def handler(event, context):
    if event.get("path", event.get("rawPath")) == "/binary":
        body = base64.b64encode(bytes(range(9))).decode()
        return {"statusCode": 200, "headers": {"Content-Type": "image/png"}, "body": body, "isBase64Encoded": True}
    return {"statusCode": 201, "headers": {"X-One": "1", "Connection": "close", "x-number": 7},
            "multiValueHeaders": {"x-many": ["a", "b"]}, "cookies": ["a=1; HttpOnly", "b=2"], "body": "héllo"}
"""
    api.route("$default", api.function(function(text), version))
    answer = api.call(path="/")
    assert (answer.status_code, answer.content, answer.headers["x-one"]) == (201, "héllo".encode(), "1")
    assert (answer.headers["content-type"], answer.headers["x-number"]) == ("text/plain;charset=UTF-8", "7")
    assert UUID.match(answer.headers["apigw-requestid"])
    assert answer.headers.get_list("set-cookie") == ["a=1; HttpOnly", "b=2"]
    assert answer.headers.get_list("x-many") == (["a", "b"] if version == "1.0" else [])
    assert api.call(path="/binary").content == bytes(range(9))


def test_format_2_infers_a_response(api, function):
    api.route("$default", api.function(function('def handler(event, context):\n    return {"hello": 1}\n')))
    answer = api.call()
    assert (answer.status_code, answer.json(), answer.headers["content-type"]) == (200, {"hello": 1}, "application/json")


@pytest.mark.parametrize(
    "answer",
    [
        '{"statusCode": "abc"}',
        '{"statusCode": 200, "body": 1}',
        '{"statusCode": 99}',
        '{"statusCode": 200, "headers": [1]}',
        '{"statusCode": 200, "body": "%", "isBase64Encoded": True}',
        '{"statusCode": 200, "cookies": "a"}',
    ],
)
def test_what_is_no_response_is_a_server_error(api, function, answer):
    api.route("$default", api.function(function(f"def handler(event, context):\n    return {answer}\n")))
    refused = api.call()
    assert (refused.status_code, refused.json()) == (500, {"message": "Internal Server Error"})


def test_failures_of_functions(api, function, echo_arn):
    api.route("GET /raises", api.function(function("def handler(event, context):\n    raise ValueError\n")))
    api.route("GET /plain", api.function(function("def handler(event, context):\n    return 1\n"), "1.0"))
    api.route("GET /none", api.function("arn:aws:lambda:us-east-1:000000000000:function:none"))
    api.route("GET /foreign", api.function("arn:aws:lambda:us-east-1:111111111111:function:f"))
    api.route("GET /targetless", api.function(echo_arn))
    api.route("POST /big", api.function(echo_arn))
    for path in ("/raises", "/plain", "/none", "/foreign"):
        assert (api.call(path=path).status_code, api.call(path=path).json()) == (500, {"message": "Internal Server Error"}), path
    refused = api.call("POST", "/big", content=b"x" * (7 << 20))
    assert (refused.status_code, refused.json()) == (413, {"message": "Request Entity Too Large"})
    refused = api.call("POST", "/big", content=b"x" * (11 << 20))
    assert (refused.status_code, refused.json()) == (413, {"message": "Request Entity Too Large"})


def test_a_function_that_is_too_slow_is_unavailable_and_runs_on(api, function, node, name):
    text = 'import time\ndef handler(event, context):\n    time.sleep(0.7)\n    print("still here")\n    return {}\n'
    arn = function(text, Timeout=20)
    api.route("$default", api.function(arn, TimeoutInMillis=200))
    refused = api.call()
    assert (refused.status_code, refused.json()) == (503, {"message": "Service Unavailable"})
    logs, group = node.client("logs"), f"/aws/lambda/{arn.rpartition(':')[2]}"
    for _ in range(200):
        events = (
            logs.filter_log_events(logGroupName=group)["events"]
            if logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
            else []
        )
        if any("still here" in each["message"] for each in events):
            return
        __import__("time").sleep(0.05)
    raise AssertionError("the function was ended")


def test_aliases_versions_and_stage_variables_in_uris(api, function, node, name):
    client = node.client("lambda")
    arn = function(
        'def handler(event, context):\n    return {"arn": context.invoked_function_arn, "version": context.function_version}\n'
    )
    version = client.publish_version(FunctionName=arn)["Version"]
    client.create_alias(FunctionName=arn, Name="live", FunctionVersion=version)
    api.gateway.update_stage(
        ApiId=api.id, StageName="$default", StageVariables={"function": arn.rpartition(":")[2], "alias": "live"}
    )
    path = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions"
    prefix = arn.rpartition(":")[0]
    api.route("GET /alias", api.function(f"{arn}:live"))
    api.route("GET /version", api.function(f"{path}/{arn}:{version}/invocations"))
    api.route("GET /variables", api.function(f"{path}/{prefix}:${{stageVariables.function}}:${{stageVariables.alias}}/invocations"))
    assert api.call(path="/alias").json() == {"arn": f"{arn}:live", "version": version}
    assert api.call(path="/version").json() == {"arn": f"{arn}:{version}", "version": version}
    assert api.call(path="/variables").json() == {"arn": f"{arn}:live", "version": version}


def test_both_forms_of_address(api, echo_arn):
    api.route("$default", api.function(echo_arn))
    host = f"{api.id}.execute-api.us-east-1.localhost:{api.node.netloc.partition(':')[2]}"
    event = httpx.get(f"{api.node.url}/a/b", headers={"Host": host}).json()
    assert (event["rawPath"], event["requestContext"]["domainName"]) == ("/a/b", host.partition(":")[0])
    assert event["requestContext"]["domainPrefix"] == api.id
    api.gateway.update_api(ApiId=api.id, DisableExecuteApiEndpoint=True)
    assert api.call().status_code == 404


def test_events_are_json_that_was_sent_hostile(two):
    event = two.call("GET", "/%ff%00/x?%ff=%00&a=%", headers={"X-Latin": b"\xe9\xff".decode("latin-1").encode("latin-1")}).json()
    assert json.dumps(event)
    assert event["rawQueryString"] == "%ff=%00&a=%"
