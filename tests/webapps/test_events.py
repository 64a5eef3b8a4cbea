"""Events to requests and responses to answers: rules without I/O."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from cumulet.guest.web import events
from cumulet.guest.web.calls import is_among


def v2(path="/", stage="$default", **more):
    context = {"http": {"method": "GET", "path": path, "sourceIp": "1.2.3.4"}, "stage": stage}
    return {"version": "2.0", "rawPath": path, "requestContext": context, "headers": {"host": "h.example:81"}} | more


def v1(path="/", full=None, **more):
    context = {"path": full or path, "stage": "prod", "identity": {"sourceIp": "1.2.3.4"}}
    return {"httpMethod": "GET", "path": path, "requestContext": context, "headers": {}} | more


def test_what_is_no_request():
    for event in (
        None,
        [],
        "x",
        {},
        {"Records": []},
        {"requestContext": {}},
        {"requestContext": "x", "httpMethod": "GET", "path": "/"},
    ):
        assert events.read(event) is None


def test_stages_are_the_gateways_part_of_the_path():
    for event, root, below in (
        (v2("/a/b"), "", "/a/b"),
        (v2("/prod/a", "prod"), "/prod", "/a"),
        (v2("/prod", "prod"), "/prod", "/"),
        (v2("/production", "prod"), "", "/production"),
        (v1("/a", "/prod/a"), "/prod", "/a"),
        (v1("/", "/prod/"), "/prod", "/"),
        (v1("/", "/prod"), "/prod", "/"),
        (v1("/a", "/a"), "", "/a"),
        (v1("/prod/a", "/prod/a", version="1.0"), "/prod", "/a"),  # an HTTP API's
        (v1("/v1/a", "/v1/a"), "", "/v1/a"),  # a custom domain's
    ):
        request = events.read(event)
        assert (request.root, request.path_below_root) == (root, below)


def test_paths_may_come_decoded_or_not():
    assert events.read(v2("/a b/é")).path == "/a%20b/%C3%A9"
    assert events.read(v2("/a%20b/%C3%A9")).path == "/a%20b/%C3%A9"
    assert events.decoded_path("/a%20b/%C3%A9%2F") == "/a b/é/".encode()


def test_headers_cookies_and_the_address():
    request = events.read(v2(cookies=["a=1", "b=2"], headers={"Host": "h.example:81", "Connection": "close", "X": "1,2"}, body="é"))
    assert request.headers == [("host", "h.example:81"), ("x", "1,2"), ("cookie", "a=1; b=2"), ("content-length", "2")]
    assert (request.server, request.client, request.scheme) == (("h.example", 81), "1.2.3.4", "https")
    many = {"X": ["1", "2"], "Cookie": ["a=1", "b=2"]}
    request = events.read(v1(multiValueHeaders=many, multiValueQueryStringParameters={"q": ["1", "ü&"], "e": [""]}))
    assert request.headers == [("x", "1"), ("x", "2"), ("cookie", "a=1; b=2")] and request.query == "q=1&q=%C3%BC%26&e="
    assert events.read(v1(queryStringParameters={"q": "1"}, headers=None)).target == "/?q=1"


def test_bodies():
    assert events.read(v2(body="é")).body == "é".encode()
    assert events.read(v2(body=base64.b64encode(b"\0\xff").decode(), isBase64Encoded=True)).body == b"\0\xff"
    assert events.read(v2(body=None)).body == b""


def test_answers_in_each_format():
    headers = [
        ("Set-Cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("Vary", "a"),
        ("vary", "b"),
        ("Content-Length", "2"),
        ("Connection", "close"),
    ]
    assert events.answer_of("2.0", 200, headers, b"ok") == {
        "statusCode": 200, "headers": {"Vary": "a, b"}, "cookies": ["a=1", "b=2"], "body": "ok", "isBase64Encoded": False,
    }  # fmt: skip
    assert events.answer_of("1.0", 200, headers, b"ok") == {
        "statusCode": 200,
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"], "Vary": ["a", "b"]},
        "body": "ok", "isBase64Encoded": False,
    }  # fmt: skip


def test_what_is_text():
    for kind, encoding, body, is_text in (
        ("text/html; charset=utf-8", "", "é".encode(), True),
        ("text/html; charset=latin-1", "", b"\xe9", False),
        ("application/problem+json", "", b"{}", True),
        ("application/json", "gzip", b"{}", False),
        ("image/png", "", b"text", False),
        ("", "", b"text", True),
    ):
        headers = [("content-type", kind)] * bool(kind) + [("content-encoding", encoding)] * bool(encoding)
        assert events.answer_of("2.0", 200, headers, body)["isBase64Encoded"] is not is_text


@given(st.binary(max_size=64), st.sampled_from(["text/plain", "image/png", "application/json"]))
def test_no_byte_is_lost(body, kind):
    answer = events.answer_of("2.0", 200, [("content-type", kind)], body)
    assert events.read(v2(body=answer["body"], isBase64Encoded=answer["isBase64Encoded"])).body == body


@given(st.text(max_size=40))
def test_every_path_becomes_one_that_a_request_line_takes(path):
    try:
        path.encode()
    except UnicodeEncodeError:
        return
    request = events.read(v2(path))
    assert request.path.startswith("/") and all("!" <= letter <= "~" for letter in request.target)


def test_lists_of_statuses():
    assert is_among(502, "500, 502-504") and is_among(500, "500") and not is_among(501, "500,502-504")
    assert not is_among(500, "") and not is_among(500, "x-y, -")
