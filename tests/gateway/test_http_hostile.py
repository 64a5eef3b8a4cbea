"""Bytes that another server might read differently: refused, or framed exactly as h11 frames them."""

import asyncio
import contextlib
import socket

import h11
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParserPy
from hypothesis import given, settings
from hypothesis import strategies as st

from cumulet.core.http import Response
from cumulet.gateway.http import HttpServer
from cumulet.gateway.http1 import Connection

HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"

REFUSED = {
    "length and chunked": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length list": HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
    "signed length": HEAD + b"Content-Length: +3\r\n\r\nabc",
    "negative length": HEAD + b"Content-Length: -3\r\n\r\nabc",
    "hexadecimal length": HEAD + b"Content-Length: 0x3\r\n\r\nabc",
    "empty length": HEAD + b"Content-Length: \r\n\r\n",
    "length overflow": HEAD + b"Content-Length: 18446744073709551619\r\n\r\nabc",
    "unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, then identity": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n",
    "vertical tab coding": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"GET /a HTTP/1.1\nHost: x\n\n",
    "bare line feed in a header": b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n",
    "bare carriage return": b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n",
    "nul in a header": b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
    "folded header": b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "folded first header": b"GET /a HTTP/1.1\r\n Host: x\r\n\r\n",
    "space before the colon": b"GET /a HTTP/1.1\r\nHost : x\r\n\r\n",
    "no colon": b"GET /a HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n",
    "empty header name": b"GET /a HTTP/1.1\r\nHost: x\r\n: x\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "unknown version": b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n",
    "version 0.9": b"GET /a\r\n\r\n",
    "version 2.0": b"GET /a HTTP/2.0\r\nHost: x\r\n\r\n",
    "half an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n",
    "unknown method": b"FETCH /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "tunnel": b"CONNECT y:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "control character in the target": b"GET /a\x01b HTTP/1.1\r\nHost: x\r\n\r\n",
    "high byte in the target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "fragment in the target": b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
    "other scheme": b"GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "chunk size overflow": CHUNKED + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "chunk size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "chunk size with 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "chunk size after a space": CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
    "empty chunk size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "chunk longer than told": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "chunk ends with a line feed": CHUNKED + b"3\r\nabc\n0\r\n\r\n",
    "chunk size ends with a line feed": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "length in the trailers": CHUNKED + b"3\r\nabc\r\n0\r\nContent-Length: 7\r\n\r\n",
    "tab coding": HEAD + b"Transfer-Encoding: chunked\t, identity\r\n\r\n0\r\n\r\n",
    "quoted coding": HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "coding with a parameter": HEAD + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "coding with a comma": HEAD + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
    "coding with a leading comma": HEAD + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    "coding on a folded line": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "coding behind a space": HEAD + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding before a space": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "coding behind a bare return": HEAD + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "empty coding": HEAD + b"Transfer-Encoding:\r\n\r\n",
    "high byte in the coding": HEAD + b"Transfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n",
    "length with an underscore": HEAD + b"Content-Length: 1_0\r\n\r\n0123456789",
    "length with a space inside": HEAD + b"Content-Length: 1 0\r\n\r\n0123456789",
    "length in other digits": HEAD + "Content-Length: ٣\r\n\r\nabc".encode(),
    "two equal lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "space in the host": b"GET /a HTTP/1.1\r\nHost: x y\r\n\r\n",
    "path in the host": b"GET /a HTTP/1.1\r\nHost: x/b\r\n\r\n",
    "user in the host": b"GET /a HTTP/1.1\r\nHost: u@x\r\n\r\n",
    "two hosts in one": b"GET /a HTTP/1.1\r\nHost: x, y\r\n\r\n",
    "port that is no number": b"GET /a HTTP/1.1\r\nHost: x:y\r\n\r\n",
    "user in an absolute target": b"GET http://u@y/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "tab instead of a space": b"GET\t/a\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "lower-case version": b"GET /a http/1.1\r\nHost: x\r\n\r\n",
    "long version": b"GET /a HTTP/1.10\r\nHost: x\r\n\r\n",
    "lower-case method": b"get /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "chunk extension with a bare line feed": CHUNKED + b"3;a=b\nabc\r\n0\r\n\r\n",
    "chunk extension with a bare return": CHUNKED + b"3;a=\rb\r\nabc\r\n0\r\n\r\n",
    "chunk size with an underscore": CHUNKED + b"1_0\r\nabc\r\n0\r\n\r\n",
    "negative chunk size": CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n",
    "coding in the trailers": CHUNKED + b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "folded trailer": CHUNKED + b"3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n",
    "last chunk ends with a line feed": CHUNKED + b"3\r\nabc\r\n0\n\n",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("is_at_once", [False, True])
async def test_refused_and_closed_and_nothing_after_it_is_read(serving, kind, is_at_once):
    served = await serving()
    if is_at_once:
        served.answer_at_once()
    answer = await served.talk(REFUSED[kind] + NEXT)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer
    assert b"Connection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert served.requests == []


ACCEPTED = {
    "get": b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n",
    "length": HEAD + b"Content-Length: 3\r\n\r\nabc",
    "length with zeros": HEAD + b"Content-Length: 003\r\n\r\nabc",
    "get with a body": b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "chunks": CHUNKED + b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "chunk extension": CHUNKED + b"3;name=value\r\nabc\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"3\r\nabc\r\n0\r\nX-Extra: y\r\n\r\n",
    "upper case coding": HEAD + b"Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "options": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "1.0": b"GET /a HTTP/1.0\r\n\r\n",
    "header without a value": b"GET /a HTTP/1.1\r\nHost: x\r\nA:\r\n\r\n",
    "coding after a tab": HEAD + b"Transfer-Encoding:\tchunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "name in another case": HEAD + b"tRANSFER-eNCODING: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunk size with zeros": CHUNKED + b"0003\r\nabc\r\n000\r\n\r\n",
    "chunk with a request in it": CHUNKED + b"1c\r\nGET /x HTTP/1.1\r\nHost: y\r\n\r\n\r\n0\r\n\r\n",
    "body with a request in it": HEAD + b"Content-Length: 28\r\n\r\nGET /x HTTP/1.1\r\nHost: y\r\n\r\n",
    "host with a port": b"GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "empty host": b"GET /a HTTP/1.1\r\nHost:\r\n\r\n",
    "other headers about hosts": b"GET /a HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: y\r\n\r\n",
    "header with tabs": b"GET /a HTTP/1.1\r\nHost: x\r\nA:\t b \t\r\n\r\n",
}


def _read_by_h11(data: bytes):
    """[(method, target, body), …] as h11 understands `data`; the last is None when h11 refuses the rest."""
    found = []
    while data:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(data)
        request, body = None, b""
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                return [*found, None]
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return found
        found.append((request.method.decode(), request.target.decode("latin-1"), body))
        data = bytes(connection.trailing_data[0])
        if request.http_version == b"1.0":
            break
    return found


def _read_by_aiohttp(data: bytes):
    """The same as aiohttp's own parser, in Python and of another family, understands it."""
    found = []
    loop = asyncio.get_running_loop()
    parser = HttpRequestParserPy(BaseProtocol(loop), loop, 2**16, max_line_size=100_000, max_field_size=100_000)
    payload = None
    try:
        for byte in data:  # one at a time: what came before a refusal is told too
            messages, is_upgraded, _ = parser.feed_data(bytes([byte]))
            for message, payload in messages:
                found.append((message, payload))
            if is_upgraded:
                break
    except Exception:
        return [*_whole(found), None]
    return _whole(found)


def _whole(found):
    return [(message.method, message.path, payload.read_nowait()) for message, payload in found if payload.is_eof()]


def _as_read_here(served):
    return [(r.method, r.path + ("?" + r.query if r.query else ""), r.body) for r in served.requests]


@pytest.mark.parametrize("kind", ACCEPTED)
@pytest.mark.parametrize("is_at_once", [False, True])
async def test_framed_as_h11_frames_it(serving, kind, is_at_once):
    served = await serving()
    if is_at_once:
        served.answer_at_once()
    data = ACCEPTED[kind] if kind == "1.0" else ACCEPTED[kind] + NEXT
    await served.talk(data)
    expected = _read_by_h11(data)
    assert None not in expected
    assert _as_read_here(served) == expected
    if kind != "1.0":  # which aiohttp reads on after
        assert _read_by_aiohttp(data) == expected
    if kind == "trailers":
        assert "x-extra" not in dict(served.requests[0].headers)


@st.composite
def _mutations(draw):
    """A request of either list with a few bytes changed, cut out or put in, and a second request behind it."""
    data = bytearray(draw(st.sampled_from([*ACCEPTED.values(), *REFUSED.values()])))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data) - 1))
        change = draw(st.sampled_from(["set", "cut", "put"]))
        byte = draw(st.sampled_from(list(b"\r\n\t :;,0123afxX+-\x00\x0b\xff")))
        if change == "set":
            data[at] = byte
        elif change == "cut" and len(data) > 1:
            del data[at]
        else:
            data.insert(at, byte)
    return bytes(data) + NEXT


async def _read_here(pieces, *, is_at_once=False):
    """([(method, target, body), …], everything that was answered), of bytes that come in these pieces."""
    seen = []

    def handle_at_once(request):
        seen.append((request.method, request.path + ("?" + request.query if request.query else ""), request.body))
        return Response(200)

    async def handle(request):
        return handle_at_once(request)

    server = HttpServer(handle_at_once if is_at_once else handle)
    await server.start()
    ours, theirs = socket.socketpair()
    await asyncio.get_running_loop().create_connection(lambda: Connection(server), sock=ours)
    theirs.setblocking(False)
    loop, answer = asyncio.get_running_loop(), b""
    with theirs, contextlib.suppress(ConnectionError):
        with contextlib.suppress(BrokenPipeError):  # closed after the first piece already
            for piece in pieces:
                await loop.sock_sendall(theirs, piece)
                for _ in range(4 if len(pieces) > 1 else 0):
                    await asyncio.sleep(0)
            theirs.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(10):
            while part := await loop.sock_recv(theirs, 65_536):
                answer += part
    await server.stop(0.1)
    return seen, answer


def _compare(here, answer: bytes, there) -> None:
    """Refusing more is fine. Where both understand a message they must agree on its method, target and body, and none may see
    one more than the other unless the other has refused or the connection was to be closed."""
    for ours, theirs in zip(here, there, strict=False):
        if theirs is None or theirs[1].startswith("http"):
            return  # an absolute target is told as its path here
        assert ours == theirs
    refused_there = bool(there) and there[-1] is None
    if len(here) > len(there):
        assert refused_there, (here, there)
    if len([each for each in there if each]) > len(here):
        assert b"Connection: close" in answer, (here, there)


@settings(max_examples=1500, deadline=None)
@given(data=_mutations(), at=st.integers(1, 200))
async def test_what_is_accepted_is_never_framed_otherwise_than_by_others(data, at):
    """h11, written in Python by other hands, and aiohttp's parser; and ourselves when the bytes come in two packets."""
    here, answer = await _read_here([data])
    _compare(here, answer, _read_by_h11(data))
    _compare(here, answer, _read_by_aiohttp(data))
    again, _ = await _read_here([data[:at], data[at:]], is_at_once=True)
    assert again == here
