"""Answers that need not be waited for: sent in the callback that read the request, in the order of the requests all the same."""

import asyncio
import gc
import itertools
import weakref

import pytest

from cumulet.core.http import Response
from cumulet.gateway.http import HttpLimits
from cumulet.gateway.http1 import Connection

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


def _some_wait(served):
    """Every third request is answered later."""

    async def later(request):
        await asyncio.sleep(0.001)
        return Response(200, [], request.path.encode())

    def handle(request):
        served.requests.append(request)
        return later(request) if int(request.path[1:]) % 3 == 0 else Response(200, [], request.path.encode())

    served.server.handle = handle


async def test_pipelined_requests_are_answered_in_order_though_only_some_wait(serving):
    served = await serving()
    _some_wait(served)
    reader, writer = await served.connect()
    for start in (0, 100, 1, 200):  # beginning with one that waits, and with one that does not
        writer.write(b"".join(GET % str(n).encode() for n in range(start, start + 100)))
        bodies = [(await _answer(reader))[2] for _ in range(100)]
        assert bodies == [f"/{n}".encode() for n in range(start, start + 100)]


async def test_others_have_their_turn_while_many_requests_of_one_packet_are_answered(serving):
    served = await serving()
    served.answer_at_once()
    turns = []

    async def others():
        while True:
            turns.append(len(served.requests))
            await asyncio.sleep(0)

    reader, writer = await served.connect()
    counting = asyncio.ensure_future(others())
    writer.write(GET % b"a" * 500)
    for _ in range(500):
        assert (await _answer(reader))[0] == 200
    counting.cancel()
    assert max(after - before for before, after in itertools.pairwise(turns)) <= 32


async def test_the_last_request_of_a_connection_is_answered_and_the_connection_ends(serving):
    served = await serving()
    served.answer_at_once()
    answer = await served.talk(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + GET % b"never")
    assert answer.count(b"HTTP/1.1 ") == 1 and b"Connection: close" in answer and answer.endswith(b"GET ")
    assert [request.path for request in served.requests] == ["/a"]
    answer = await served.talk(b"GET /a HTTP/1.0\r\n\r\n")
    assert b"Connection: close" in answer and answer.endswith(b"GET ")


async def test_a_refusal_comes_after_what_was_answered_at_once(serving):
    served = await serving()
    served.answer_at_once()
    answer = await served.talk(GET % b"good" + b"broken\r\n\r\n")
    assert answer.index(b"200 OK") < answer.index(b"400 Bad Request")


async def test_a_handler_that_raises_is_told_as_a_failure_of_the_node(serving):
    served = await serving()

    def broken(request):
        raise RuntimeError("a bug")

    served.server.handle = broken
    reader, writer = await served.connect()
    for _ in range(2):
        writer.write(GET % b"a")
        assert (await _answer(reader))[0] == 500


async def test_answers_without_a_body_have_none(serving):
    served = await serving()
    served.answer_at_once()
    answer = await served.talk(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n" + GET % b"b")
    assert b"Content-Length: 5" in answer and answer.count(b"GET ") == 1
    served.server.handle = lambda request: Response(204)
    assert b"Content-Length" not in await served.talk(GET % b"a")


async def test_a_share_is_given_back_by_who_was_answered_at_once(serving):
    served = await serving(HttpLimits(each=1, is_loopback_free=False))
    served.answer_at_once()
    reader, writer = await served.connect()
    for _ in range(3):
        writer.write(GET % b"a")
        assert (await _answer(reader))[0] == 200


@pytest.mark.parametrize(
    "second, status",
    [
        (b"GET /a HTTP/1.1\r\nHost: x\r\nA: c\r\n\r\n", 200),
        (b"GET /a HTTP/1.1\r\nA: b\r\n\r\n", 400),
        (b"GET /a HTTP/1.0\r\nHost: x\r\nA: b\r\n\r\n", 200),
        (b"PUT /a HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n", 200),
        (b"PUT * HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n", 400),
        (b"GET http://y/b HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n", 200),
    ],
)
async def test_a_request_much_like_the_last_is_read_for_what_it_is(serving, second, status):
    served = await serving()
    served.answer_at_once()
    alone = await served.talk(second)
    expected = [(r.method, r.path, r.headers) for r in served.requests]
    served.requests.clear()
    reader, writer = await served.connect()
    for data, wanted in ((b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n", 200), (second, status)):
        writer.write(data)
        assert (await _answer(reader))[0] == wanted
    assert f" {status} ".encode() in alone
    assert [(r.method, r.path, r.headers) for r in served.requests[1:]] == expected


async def test_trailers_are_not_taken_for_headers_of_the_next_request(serving):
    served = await serving()
    served.answer_at_once()
    reader, writer = await served.connect()
    chunked = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Evil: y\r\n\r\n"
    for _ in range(3):
        writer.write(chunked)
        assert (await _answer(reader))[2] == b"POST a"
    assert all(request.header("x-evil") == "" for request in served.requests)


async def test_a_closed_connection_is_gone_without_the_collector(serving):
    served = await serving()
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            assert b"200 OK" in await served.talk(GET % b"a")
        kept = [weakref.ref(each) for each in gc.get_objects() if isinstance(each, Connection)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert not [each for each in kept if each() is not None]
    finally:
        gc.enable()
