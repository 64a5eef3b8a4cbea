"""What functions answer is not trusted: on no door can it end its line, claim the framing, or become two responses."""

import socket
import time
import urllib.parse

import h11
import httpx
import pytest

from .test_front_door import make_http_api, make_rest_api

HANDLER = """\
import json
ANSWERS = {
    "split value": {"statusCode": 200, "headers": {"X-A": "b\\r\\nS-C: s\\r\\n\\r\\nHTTP/1.1 200\\r\\n\\r\\n"}, "body": "ok"},
    "split name": {"statusCode": 200, "headers": {"X-A\\r\\nSet-Cookie: stolen": "1", "X-B: c\\r\\nX-D": "e"}, "body": "ok"},
    "split cookie": {"statusCode": 200, "cookies": ["a=b\\r\\nX-Stolen: 1"], "body": "ok"},
    "nul": {"statusCode": 200, "headers": {"X-A": "b\\0c", "X-\\0": "d"}, "body": "ok"},
    "long length": {"statusCode": 200, "headers": {"Content-Length": "1000"}, "body": "ok"},
    "short length": {"statusCode": 200, "headers": {"content-length": "1"}, "body": "ok"},
    "two lengths": {"statusCode": 200, "headers": {"Content-Length": "1", "content-length": "7"}, "body": "ok"},
    "chunked": {"statusCode": 200, "headers": {"Transfer-Encoding": "chunked"}, "body": "ok"},
    "hop by hop": {"statusCode": 200, "headers": {"Connection": "close, X-A", "Keep-Alive": "timeout=1", "Upgrade": "h2c",
                                                  "Trailer": "X", "TE": "trailers", "Proxy-Connection": "x"}, "body": "ok"},
    "no content": {"statusCode": 204, "body": "body that may not be"},
    "not modified": {"statusCode": 304, "headers": {"ETag": "x"}, "body": "body that may not be"},
    "surrogate": {"statusCode": 200, "headers": {"X-A": "\\ud800"}, "body": "ok\\ud800"},
    "informational": {"statusCode": 103, "headers": {"Link": "x"}, "body": "ok"},
    "switching": {"statusCode": 101, "headers": {"Upgrade": "websocket", "Connection": "Upgrade"}, "body": "ok"},
    "status beyond": {"statusCode": 600, "body": "ok"},
    "status text": {"statusCode": "200 OK\\r\\nX-Stolen: 1", "body": "ok"},
    "status negative": {"statusCode": -200, "body": "ok"},
    "nested header": {"statusCode": 200, "headers": {"X-A": {"b": "c"}}, "body": "ok"},
    "header list": {"statusCode": 200, "headers": ["a"], "body": "ok"},
    "multi": {"statusCode": 200, "multiValueHeaders": {"X-A": ["b", "c\\r\\nX-Stolen: 1"]}, "body": "ok"},
}
def handler(event, context):
    return ANSWERS[(event.get("queryStringParameters") or {}).get("kind", "no content")]
"""
GOOD = [
    "split value", "split name", "split cookie", "nul", "long length", "short length", "two lengths", "chunked", "hop by hop",
    "no content", "not modified", "multi",
]  # fmt: skip
BROKEN = ["informational", "switching", "status beyond", "status text", "status negative", "nested header", "header list"]
HOP_BY_HOP = {b"keep-alive", b"upgrade", b"trailer", b"te", b"proxy-connection"}


@pytest.fixture(scope="module")
def doors(node):
    """{door: address} of one function."""
    import io
    import sys
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), HANDLER)
    functions, name = node.client("lambda"), "hostile-handlers"
    functions.create_function(
        FunctionName=name,
        Runtime=f"python3.{sys.version_info.minor}",
        Handler="index.handler",
        Role="arn:aws:iam::000000000000:role/any",
        Code={"ZipFile": buffer.getvalue()},
    )
    url = node.reachable(functions.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"])
    return {"function URL": url, "REST API": make_rest_api(node, name), "HTTP API": make_http_api(node, name)}


def talk(url: str, kind: str) -> tuple[h11.Response, bytes]:
    """The one response to two pipelined requests, the first for `kind`, the second for health: read by a strict client, which must
    find the second where the first ends."""
    parts = urllib.parse.urlsplit(url)
    asked = f"GET {parts.path}?kind={urllib.parse.quote(kind)} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept-Encoding: gzip\r\n\r\n"
    asked += f"GET /healthz HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as client:
        client.sendall(asked.encode())
        data = b""
        while part := client.recv(65_536):
            data += part
    answers = []
    while len(answers) < 2:
        reading = h11.Connection(h11.CLIENT)
        reading.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        reading.send(h11.EndOfMessage())
        reading.receive_data(data)
        response, body = reading.next_event(), b""
        assert isinstance(response, h11.Response), response
        while isinstance(event := reading.next_event(), h11.Data):
            body += bytes(event.data)
        assert isinstance(event, h11.EndOfMessage), event
        answers.append((response, body))
        data = bytes(reading.trailing_data[0])
    assert data == b""
    assert answers[1][1] == b"ok\n"
    return answers[0]


@pytest.mark.parametrize("door", ["function URL", "REST API", "HTTP API"])
@pytest.mark.parametrize("kind", [*GOOD, "surrogate"])
def test_one_answer_whatever_its_headers_try(doors, door, kind):
    response, body = talk(doors[door], kind)
    names = [name for name, _ in response.headers]
    assert response.status_code in (200, 204, 304, 502, 500)
    assert b"x-stolen" not in names
    assert b"set-cookie" not in names or kind == "split cookie"
    assert not HOP_BY_HOP & set(names)
    assert names.count(b"content-length") <= 1
    assert b"transfer-encoding" not in names
    if response.status_code == 200:
        assert body == b"ok"
    elif response.status_code in (204, 304):
        assert body == b""


@pytest.mark.parametrize("door", ["function URL", "REST API", "HTTP API"])
@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_answer_is_the_gateways_error(doors, door, kind):
    response, body = talk(doors[door], kind)
    assert response.status_code in (500, 502)
    assert b"nternal" in body
    assert b"x-stolen" not in [name for name, _ in response.headers]


@pytest.mark.parametrize("door", ["function URL", "REST API", "HTTP API"])
def test_head_and_options_reach_functions_and_have_no_body_of_their_own(doors, door):
    answer = httpx.head(doors[door] + "?kind=long%20length")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "2")
    answer = httpx.options(doors[door] + "?kind=long%20length")
    assert (answer.status_code, answer.text) == (200, "ok")


@pytest.mark.parametrize("door", ["function URL", "REST API", "HTTP API"])
def test_a_body_waits_for_100_continue(doors, door):
    parts = urllib.parse.urlsplit(doors[door])
    head = f"POST {parts.path}?kind=multi HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as client:
        client.sendall(head.encode())
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_body_that_will_be_refused_is_not_asked_for(node):
    host, port = node.netloc.split(":")
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {10**9}\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_slow_clients_do_not_slow_the_others(node):
    """300 slow heads, bodies and readers at once: whoever behaves is answered as before."""
    host, port = node.netloc.split(":")
    slow = []
    try:
        for n in range(300):
            client = socket.create_connection((host, int(port)), timeout=10)
            slow.append(client)
            client.sendall(
                [
                    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-",
                    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc",
                    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 16,
                ][n % 3]
            )
        took = []
        with httpx.Client() as client:
            for _ in range(200):
                started = time.perf_counter()
                assert client.get(f"{node.url}/healthz").text == "ok\n"
                took.append(time.perf_counter() - started)
        assert sorted(took)[len(took) // 2] < 0.1
    finally:
        for client in slow:
            client.close()
