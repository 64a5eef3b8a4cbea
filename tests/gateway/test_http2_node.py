"""HTTP/2 over TLS, and on a real node with other people's clients."""

import asyncio
import os
import shutil
import ssl
import subprocess

import httpx
import pytest

from cumulet.gateway.local_authority import LocalAuthority
from cumulet.gateway.tls import Certificates


async def test_over_tls_the_protocol_is_agreed_on(serving, tmp_path):
    authority = LocalAuthority(tmp_path)
    served = await serving(tls=Certificates(None, authority=authority).context)
    url = f"https://localhost:{served.port}/a"
    context = ssl.create_default_context(cafile=authority.ca_path)
    async with httpx.AsyncClient(http2=True, verify=context) as client:
        answers = await asyncio.gather(*[client.post(url, content=bytes([n]) * 200_000) for n in range(20)])
        assert {answer.http_version for answer in answers} == {"HTTP/2"}
        assert [answer.content for answer in answers] == [b"POST " + bytes([n]) * 200_000 for n in range(20)]
    assert {request.scheme for request in served.requests} == {"https"}
    assert len(served.server.connections) <= 1
    async with httpx.AsyncClient(http2=False, verify=context) as client:
        assert (await client.get(url)).http_version == "HTTP/1.1"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl_and_a_function(start_node, name, make_url):
    node = start_node("--in-memory", "--tls-port", "0", "--tls-only", "--url-style", "host")
    ca = next(line for line in node.lines if line.startswith("# tls ")).partition("signed by ")[2]
    url = make_url(node, name)
    curl = ["curl", "-sS", "--cacert", ca, "-w", "%{http_version} %{http_code}", "-o", os.devnull]
    said = subprocess.run([*curl, "--http2", url, "-d", "x=1"], capture_output=True, timeout=20, check=True, text=True)
    assert said.stdout == "2 200"
    said = subprocess.run([*curl, "--http1.1", url], capture_output=True, timeout=20, check=True, text=True)
    assert said.stdout == "1.1 200"
    plain = node.url + "/healthz"
    said = subprocess.run([*curl, "--http2-prior-knowledge", plain], capture_output=True, timeout=20, check=True, text=True)
    assert said.stdout == "2 200"
    said = subprocess.run([*curl, "--http2", plain], capture_output=True, timeout=20, check=True, text=True)
    assert said.stdout == "1.1 200"  # an Upgrade to h2c is not taken up


STREAM = """\
import time
def handler(event, context):
    yield {"statusCode": 201, "headers": {"Content-Type": "text/plain", "Connection": "close", "X-A": "b\\r\\nX-Stolen: 1"}}
    for n in range(5):
        yield str(n) * 10
        time.sleep(0.05)
"""


@pytest.mark.parametrize("is_http2", [True, False])
def test_streamed_functions_over_both_protocols(start_node, name, make_url, is_http2):
    node = start_node("--in-memory", "--tls-port", "0", "--tls-only", "--url-style", "path")
    ca = next(line for line in node.lines if line.startswith("# tls ")).partition("signed by ")[2]
    url = make_url(node, name, STREAM, "RESPONSE_STREAM")
    pieces = []
    with (
        httpx.Client(http2=is_http2, verify=ssl.create_default_context(cafile=ca), timeout=30) as client,
        client.stream("GET", url) as answer,
    ):
        assert (answer.status_code, answer.http_version) == (201, "HTTP/2" if is_http2 else "HTTP/1.1")
        assert "x-stolen" not in answer.headers
        assert "content-encoding" not in answer.headers
        pieces += list(answer.iter_raw())
    assert b"".join(pieces) == b"".join(b"%d" % n * 10 for n in range(5))
    assert len(pieces) > 1, "the pieces come as they are made"
    with httpx.Client(http2=is_http2, verify=ssl.create_default_context(cafile=ca), timeout=30) as client:
        answer = client.head(url)
        assert (answer.status_code, answer.content) == (201, b"")
        assert client.options(url).status_code == 201
