"""Content codings: chosen by what the client says, kept off what must stay as it is, and bounded when unpacked."""

import gzip
import json
import subprocess
import zlib

import brotli
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.core.http import Request, Response
from cumulet.gateway.compression import TooLarge, UnknownCoding, choose, compress_for_web, decoded

WEB = ("br", "gzip")


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, deflate, br", "br"),
        ("gzip, br;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.0, br;q=0", None),
        ("br;q=0, gzip;q=0.1", "gzip"),
        ("gzip;q=0.5, identity", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("*", None),
        ("zstd, gzip", "gzip"),
        ("gzip;q=nonsense", None),
        ("gzip;q=2", None),
        (" gzip ; q=0.8 , br ; q=0.9 ", "br"),
        ("," * 1000 + "gzip", None),
    ],
)
def test_the_clients_wish_chooses(accept, coding):
    assert choose(accept, WEB) == coding


def test_a_better_liked_coding_that_is_not_ours_leaves_it_uncompressed_where_the_rule_is_strict():
    ours = ("gzip", "deflate")
    assert choose("br, gzip;q=0.5", ours, is_strict=True) is None
    assert choose("gzip, deflate, br", ours, is_strict=True) == "gzip"
    assert choose("deflate", ours, is_strict=True) == "deflate"


@given(st.text(max_size=60), st.permutations(["gzip", "br", "identity;q=0.3", "*;q=0"]))
def test_any_wish_can_be_read(text, codings):
    assert choose(text, WEB) in (None, "br", "gzip")
    assert choose(",".join(codings) + "," + text, WEB) == "br"


TEXT = b"to be or not to be, " * 500
JSON = ("Content-Type", "application/json; charset=utf-8")


async def _answer(accept="gzip", method="GET", status=200, headers=(JSON,), body=TEXT) -> Response:
    response = Response(status, list(headers), body)
    await compress_for_web(Request(method, "/", "", [("accept-encoding", accept)]), response)
    return response


@pytest.mark.parametrize(
    "kind", ["text/html", "application/json", "application/vnd.api+json", "image/svg+xml", "TEXT/CSS;charset=x"]
)
@pytest.mark.parametrize("size", [1, 20])
async def test_text_is_compressed(kind, size):
    answer = await _answer("br, gzip", headers=[("content-type", kind)], body=TEXT * size)
    assert dict(answer.headers)["Content-Encoding"] == "br"
    assert dict(answer.headers)["Vary"] == "Accept-Encoding"
    assert brotli.decompress(answer.body) == TEXT * size
    assert len(answer.body) < len(TEXT)
    answer = await _answer("gzip", headers=[("content-type", kind)], body=TEXT * size)
    assert gzip.decompress(answer.body) == TEXT * size


async def _pieces():
    yield TEXT


@pytest.mark.parametrize(
    "given",
    [
        {"headers": [("Content-Type", "image/png")]},
        {"headers": [("Content-Type", "text/event-stream")]},
        {"headers": []},
        {"headers": [JSON, ("content-encoding", "br")]},
        {"headers": [JSON, ("Content-Range", "bytes 0-1/2")]},
        {"headers": [JSON, ("Cache-Control", "public, no-transform")]},
        {"headers": [JSON, ("Content-MD5", "x")]},
        {"status": 206},
        {"status": 304},
        {"status": 204},
        {"body": b"short"},
        {"body": _pieces()},
    ],
)
async def test_what_must_stay_as_it_is_does(given):
    before = given.get("body", TEXT)
    answer = await _answer("br, gzip", **given)
    assert answer.body is before
    assert "Vary" not in dict(answer.headers)


async def test_caches_learn_of_the_choice_also_where_nothing_is_compressed():
    answer = await _answer("", headers=[JSON, ("vary", "Origin")])
    assert answer.body == TEXT
    assert ("vary", "Origin, Accept-Encoding") in answer.headers
    answer = await _answer("gzip", headers=[JSON, ("Vary", "accept-encoding")])
    assert [value for name, value in answer.headers if name == "Vary"] == ["accept-encoding"]


async def test_a_tag_that_promised_the_very_bytes_becomes_weak():
    assert ("ETag", 'W/"a"') in (await _answer(headers=[JSON, ("ETag", '"a"')])).headers
    assert ("ETag", 'W/"a"') in (await _answer(headers=[JSON, ("ETag", 'W/"a"')])).headers
    assert ("ETag", '"a"') in (await _answer("", headers=[JSON, ("ETag", '"a"')])).headers


async def test_requests_are_unpacked_within_bounds():
    assert await decoded(gzip.compress(TEXT), "gzip", 10**6) == TEXT
    assert await decoded(zlib.compress(TEXT), "Deflate", 10**6) == TEXT
    assert await decoded(b"x", "identity", 1) == b"x"
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(TooLarge):
        await decoded(bomb, "gzip", 1_000_000)
    for body, coding in [(b"no", "gzip"), (gzip.compress(TEXT)[:-5], "gzip"), (b"x", "br"), (b"x", "gzip, gzip"), (TEXT, "gzip")]:
        with pytest.raises(UnknownCoding):
            await decoded(body, coding, 10**6)


PAGE = """\
def handler(event, context):
    kind = "text/html" if event["rawPath"] == "/page" else "image/png"
    return {"statusCode": 200, "headers": {"Content-Type": kind}, "body": "hello " * 5000}
"""


def test_function_urls_answer_compressed_who_asks(node, name, make_url):
    url = node.reachable(make_url(node, name, PAGE))
    for coding in ("gzip", "br"):
        answer = httpx.get(url + "page", headers={"Accept-Encoding": coding})
        assert answer.headers["content-encoding"] == coding
        assert answer.text == "hello " * 5000
        assert int(answer.headers["content-length"]) < 2000
    assert "content-encoding" not in httpx.get(url + "page", headers={"Accept-Encoding": "identity"}).headers
    assert "content-encoding" not in httpx.get(url + "picture", headers={"Accept-Encoding": "gzip"}).headers
    said = subprocess.run(["curl", "-sS", "--compressed", url + "page"], capture_output=True, timeout=20, check=True)
    assert said.stdout == b"hello " * 5000


def test_http_apis_do_so_too(node, name, make_url):
    make_url(node, name, PAGE)
    arn = node.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    api = node.client("apigatewayv2").create_api(Name=name, ProtocolType="HTTP", Target=arn)
    url = f"{node.url}/_aws/execute-api/{api['ApiId']}/"
    answer = httpx.get(url + "page", headers={"Accept-Encoding": "gzip, br"})
    assert answer.headers["content-encoding"] == "br"
    assert answer.text == "hello " * 5000
    assert "content-encoding" not in httpx.get(url + "picture", headers={"Accept-Encoding": "gzip"}).headers


def test_it_can_be_turned_off(start_node, name, make_url):
    node = start_node("--in-memory", "--no-compression")
    url = node.reachable(make_url(node, name, PAGE))
    answer = httpx.get(url + "page", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert "vary" not in answer.headers


def test_a_rest_api_unpacks_requests_and_answers_by_its_own_rule(node, name, make_url):
    make_url(node, name)
    gateway = node.client("apigateway")
    arn = node.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    api = gateway.create_rest_api(name=name, minimumCompressionSize=2000)
    place = {"restApiId": api["id"], "resourceId": api["rootResourceId"], "httpMethod": "POST"}
    gateway.put_method(**place, authorizationType="NONE")
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"
    gateway.put_integration(**place, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    gateway.create_deployment(restApiId=api["id"], stageName="s")
    url = f"{node.url}/_aws/execute-api/{api['id']}/s/"
    text = json.dumps({"a": "b" * 3000})
    for coding, packed in (("gzip", gzip.compress(text.encode())), ("deflate", zlib.compress(text.encode()))):
        headers = {"Content-Encoding": coding, "Content-Type": "application/json", "Accept-Encoding": coding}
        answer = httpx.post(url, content=packed, headers=headers)
        assert answer.headers["content-encoding"] == coding
        event = answer.json()
        assert (event["body"], event["isBase64Encoded"]) == (text, False)
        assert "content-encoding" not in {each.lower() for each in event["headers"]}
    assert "content-encoding" not in httpx.post(url, headers={"Accept-Encoding": "br"}, content=text).headers
    assert "content-encoding" not in httpx.post(url, headers={"Accept-Encoding": "br, gzip;q=0.5"}, content=text).headers
    assert "content-encoding" not in httpx.post(url, headers={"Accept-Encoding": "gzip"}).headers
    assert httpx.post(url, content=b"no gzip", headers={"Content-Encoding": "gzip"}).status_code == 415
    assert httpx.post(url, content=b"x", headers={"Content-Encoding": "zstd"}).status_code == 415
    assert httpx.post(url, content=gzip.compress(bytes(11 << 20)), headers={"Content-Encoding": "gzip"}).status_code == 413
