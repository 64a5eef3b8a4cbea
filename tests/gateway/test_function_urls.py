"""HTTP to event and result to HTTP, as function URLs do it: pure rules."""

import base64
import json

import pytest

from cumulet.core.context import Principal
from cumulet.core.http import Request, Response
from cumulet.gateway.function_urls import Cors, InvalidFunctionResponse, event_of, preflight, response_of, with_cors

NOW_MS = 1_583_348_638_390


def _event(request: Request, caller: Principal | None = None) -> dict:
    domain = "abc.lambda-url.eu-west-1.localhost:4566"
    return json.loads(
        event_of(request, path="/my/path", url_id="abc", domain=domain, request_id="r-1", now_ms=NOW_MS, caller=caller)
    )


def test_the_event_of_an_anonymous_request():
    headers = [
        ("host", "abc.lambda-url.eu-west-1.localhost:4566"),
        ("header1", "a"),
        ("header1", "b"),
        ("cookie", "c1=x; c2=y"),
        ("cookie", "c3=z"),
        ("content-type", "text/plain; charset=utf-8"),
        ("user-agent", "agent"),
    ]
    event = _event(Request("POST", "/ignored", "p=1&p=2&q=a%20b&e=", headers, "hellö".encode(), "9.8.7.6"))
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/my/path",
        "rawQueryString": "p=1&p=2&q=a%20b&e=",
        "cookies": ["c1=x", "c2=y", "c3=z"],
        "headers": {
            "host": "abc.lambda-url.eu-west-1.localhost:4566",
            "header1": "a,b",
            "content-type": "text/plain; charset=utf-8",
            "user-agent": "agent",
            "x-forwarded-for": "9.8.7.6",
            "x-forwarded-proto": "http",
            "x-forwarded-port": "4566",
        },
        "queryStringParameters": {"p": "1,2", "q": "a b", "e": ""},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": "abc.lambda-url.eu-west-1.localhost:4566",
            "domainPrefix": "abc",
            "http": {"method": "POST", "path": "/my/path", "protocol": "HTTP/1.1", "sourceIp": "9.8.7.6", "userAgent": "agent"},
            "requestId": "r-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "04/Mar/2020:19:03:58 +0000",
            "timeEpoch": NOW_MS,
        },
        "body": "hellö",
        "isBase64Encoded": False,
    }


def test_what_a_request_lacks_is_not_in_the_event():
    event = _event(Request("GET", "/", "", []))
    assert not {"cookies", "queryStringParameters", "body"} & set(event)
    assert event["isBase64Encoded"] is False


def test_a_signed_caller_is_told():
    context = _event(Request("GET", "/", "", []), Principal("123456789012", "arn:aws:iam::123456789012:user/u", "AIDAU", "AKIAK"))
    assert context["requestContext"]["accountId"] == "123456789012"
    assert context["requestContext"]["authorizer"]["iam"] == {
        "accessKey": "AKIAK",
        "accountId": "123456789012",
        "callerId": "AIDAU",
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": "arn:aws:iam::123456789012:user/u",
        "userId": "AIDAU",
    }


@pytest.mark.parametrize(
    ("content_type", "body", "is_base64"),
    [
        ("application/json", b"{}", False),
        ("application/vnd.api+json", b"{}", False),
        ("text/csv", b"a", False),
        ("text/csv", b"\xff", True),
        ("application/x-www-form-urlencoded", b"a=b", True),
        ("image/png", b"a", True),
        ("", b"a", True),
    ],
)
def test_bodies_are_text_only_for_types_that_say_so(content_type, body, is_base64):
    event = _event(Request("POST", "/", "", [("content-type", content_type)], body))
    assert event["isBase64Encoded"] is is_base64
    assert (base64.b64decode(event["body"]) if is_base64 else event["body"].encode()) == body


JSON_TYPE = ("Content-Type", "application/json")


@pytest.mark.parametrize(
    ("value", "status", "headers", "body"),
    [
        ({"statusCode": 201, "body": "made"}, 201, [JSON_TYPE], b"made"),
        ({"statusCode": "404"}, 404, [JSON_TYPE], b""),
        ({"statusCode": 200, "headers": {"content-type": "text/html"}, "body": "x"}, 200, [("content-type", "text/html")], b"x"),
        ({"statusCode": 200, "headers": {"X-N": 5, "X-B": True}}, 200, [("X-N", "5"), ("X-B", "true"), JSON_TYPE], b""),
        ({"statusCode": 200, "headers": {"Connection": "close", "TE": "x"}}, 200, [JSON_TYPE], b""),
        (
            {"statusCode": 200, "cookies": ["a=1", "b=2; Secure"]},
            200,
            [JSON_TYPE, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Secure")],
            b"",
        ),
        (
            {"statusCode": 200, "body": base64.b64encode(b"\xff\x00").decode(), "isBase64Encoded": True},
            200,
            [JSON_TYPE],
            b"\xff\x00",
        ),
        ({"message": "hi"}, 200, [JSON_TYPE], b'{"message": "hi"}'),
        ("Hello", 200, [JSON_TYPE], b'"Hello"'),
        (None, 200, [JSON_TYPE], b"null"),
        ([1], 200, [JSON_TYPE], b"[1]"),
    ],
)
def test_what_a_function_returns_becomes_http(value, status, headers, body):
    assert response_of(json.dumps(value).encode()) == Response(status, headers, body)


@pytest.mark.parametrize(
    "value",
    [
        {"statusCode": "many"},
        {"statusCode": 99},
        {"statusCode": True},
        {"statusCode": None},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": "not base64!", "isBase64Encoded": True},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"a": ["b"]}},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "cookies": [1]},
    ],
)
def test_what_is_no_response_is_refused(value):
    with pytest.raises(InvalidFunctionResponse):
        response_of(json.dumps(value).encode())


RULES = Cors.of(
    {
        "AllowOrigins": ["https://*.example.com", "http://localhost:3000"],
        "AllowMethods": ["GET", "PUT"],
        "AllowHeaders": ["x-one"],
        "ExposeHeaders": ["x-two"],
        "MaxAge": 60,
        "AllowCredentials": True,
    }
)
assert RULES is not None


def _question(origin: str) -> Request:
    return Request("OPTIONS", "/", "", [("origin", origin), ("access-control-request-method", "PUT")])


def test_a_preflight_is_answered_without_the_function():
    answer = preflight(_question("https://shop.example.com"), RULES)
    assert answer is not None
    assert dict(answer.headers) == {
        "Access-Control-Allow-Origin": "https://shop.example.com",
        "Vary": "Origin",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "GET,PUT",
        "Access-Control-Allow-Headers": "x-one",
        "Access-Control-Max-Age": "60",
    }


def test_a_strange_origin_gets_no_permission():
    assert preflight(_question("https://example.com.evil.net"), RULES) == Response(200, [])


def test_a_plain_options_request_is_no_preflight():
    assert preflight(Request("OPTIONS", "/", "", []), RULES) is None


def test_the_urls_rules_replace_the_functions_own():
    request = Request("GET", "/", "", [("origin", "http://localhost:3000")])
    answer = with_cors(request, Response(200, [("access-control-allow-origin", "*"), ("X", "y")]), RULES)
    assert answer.headers == [
        ("X", "y"),
        ("Access-Control-Allow-Origin", "http://localhost:3000"),
        ("Vary", "Origin"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "x-two"),
    ]


def test_any_origin_is_answered_with_a_star():
    rules = Cors.of({"AllowOrigins": ["*"]})
    assert rules is not None
    answer = with_cors(Request("GET", "/", "", [("origin", "http://a")]), Response(200), rules)
    assert answer.headers == [("Access-Control-Allow-Origin", "*")]
