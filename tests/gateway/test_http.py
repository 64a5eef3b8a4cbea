"""The HTTP server through its socket: order, streaming, limits, deadlines, the end."""

import asyncio
import time

import pytest

from cumulet.core.http import Response
from cumulet.gateway.http import HttpLimits

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One answer that has a length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


async def test_keep_alive_serves_many_requests_on_one_connection(serving):
    served = await serving()
    reader, writer = await served.connect()
    for path in (b"a", b"b", b"c"):
        writer.write(GET % path)
        status, headers, body = await _answer(reader)
        assert (status, headers["x-path"], body) == (200, "/" + path.decode(), b"GET ")


async def test_pipelined_requests_are_answered_in_order_though_the_first_is_slowest(serving):
    served = await serving()

    async def slower_first(request):
        await asyncio.sleep(0.05 / (1 + len(served.requests)))
        return Response(200, [], request.path.encode())

    served.answer = slower_first
    reader, writer = await served.connect()
    writer.write(b"".join(GET % str(n).encode() for n in range(100)))
    bodies = [(await _answer(reader))[2] for _ in range(100)]
    assert bodies == [f"/{n}".encode() for n in range(100)]


async def test_requests_before_a_broken_one_are_answered_first(serving):
    served = await serving()
    answer = await served.talk(GET % b"good" + b"broken\r\n\r\n" + GET % b"never")
    assert answer.index(b"200 OK") < answer.index(b"400 Bad Request")
    assert [r.path for r in served.requests] == ["/good"]


async def test_bytes_one_at_a_time_are_the_same_request(serving):
    served = await serving()
    reader, writer = await served.connect()
    for byte in b"POST /a?b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n":
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await _answer(reader))[2] == b"POST abc"
    assert (served.requests[0].path, served.requests[0].query) == ("/a", "b")


async def test_head_has_the_length_and_no_body_and_204_neither(serving):
    served = await serving()
    answer = await served.talk(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"Content-Length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")

    async def empty(_request):
        return Response(204, [], b"not sent")

    served.answer = empty
    answer = await served.talk(GET % b"")
    assert b"Content-Length" not in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_100_continue_is_said_before_the_body_is_sent(serving):
    served = await serving()
    reader, writer = await served.connect()
    writer.write(b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"abc")
    assert (await _answer(reader))[2] == b"PUT abc"


async def test_an_absolute_target_replaces_the_host(serving):
    served = await serving()
    await served.talk(b"GET http://other:81/a?b=http://c HTTP/1.1\r\nHost: x\r\n\r\n")
    request = served.requests[0]
    assert (request.path, request.query, request.header("host")) == ("/a", "b=http://c", "other:81")


async def test_an_upgrade_is_answered_as_if_not_asked_for(serving):
    served = await serving()
    answer = await served.talk(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + GET % b"smuggled")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [r.path for r in served.requests] == ["/a"]


async def test_http_1_0_closes_unless_asked_to_keep_alive(serving):
    served = await serving()
    reader, writer = await served.connect()
    writer.write(b"GET /a HTTP/1.0\r\n\r\n")
    assert b"Connection: close" in await reader.read()
    reader, writer = await served.connect()
    for _ in range(2):
        writer.write(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await _answer(reader))[1]["connection"] == "keep-alive"


async def test_handlers_headers_cannot_split_the_response_or_claim_its_framing(serving):
    served = await serving()

    async def hostile(_request):
        return Response(
            200,
            [
                ("X-A", "b\r\nSet-Cookie: stolen=1"),
                ("X-B\r\nX-C", "d"),
                ("X E", "f"),
                ("Content-Length", "1000"),
                ("transfer-encoding", "chunked"),
                ("Connection", "upgrade"),
                ("X-G", "ünïcode"),
            ],
            b"body",
        )

    served.answer = hostile
    head, _, body = (await served.talk(GET % b"")).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")[2:]
    assert lines == [b"X-A: b  Set-Cookie: stolen=1", "X-G: ünïcode".encode(), b"Content-Length: 4"]
    assert body == b"body"


async def test_streamed_body_comes_in_chunks_with_back_pressure(serving):
    served = await serving()
    made = 0

    async def pieces():
        nonlocal made
        for _ in range(400):
            made += 1
            yield bytes(65_536)

    async def stream(_request):
        return Response(200, [], pieces())

    served.answer = stream
    reader, writer = await served.connect()
    writer.write(GET % b"")
    assert b"Transfer-Encoding: chunked\r\n" in await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.3)
    assert made < 300, "the source is asked only as fast as the client reads"
    total = 0
    while size := int(await reader.readuntil(b"\r\n"), 16):
        total += len(await reader.readexactly(size))
        await reader.readexactly(2)
    assert total == 400 * 65_536


async def test_a_stream_that_breaks_off_is_not_taken_for_whole(serving):
    served = await serving()

    async def pieces():
        yield b"abc"
        raise RuntimeError("source failed")

    async def stream(_request):
        return Response(200, [], pieces())

    served.answer = stream
    reader, writer = await served.connect()
    writer.write(GET % b"")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readuntil(b"0\r\n\r\n")


async def test_an_exception_of_the_handler_is_a_bare_500(serving):
    served = await serving()

    async def broken(_request):
        raise RuntimeError("secret detail")

    served.answer = broken
    answer = await served.talk(GET % b"")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answer


@pytest.mark.parametrize("status", [100, 101, 103, 199])
async def test_a_handler_cannot_answer_with_what_is_no_answer(serving, status):
    served = await serving()

    async def odd(_request):
        return Response(status, [("Upgrade", "websocket")], b"body")

    served.answer = odd
    upgrade = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    for data in (GET % b"", upgrade):
        answer = await served.talk(data)
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert answer.count(b"HTTP/1.1") == 1


LIMITS = HttpLimits(target_bytes=1000, head_bytes=4000, headers=20, body_bytes=10_000)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 1001 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /" + b"a" * 100_000, 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 4001 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 9000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a" * 9000, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + bytes(0x1000) + b"\r\n" * 1, 200),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + bytes(0x1000) + b"\r\n") * 3, 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"e" * 9000, 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " + b"b" * 9000, 400),
    ],
)
async def test_sizes_beyond_the_limits_are_refused(serving, data, status):
    served = await serving(LIMITS)
    reader, writer = await served.connect()
    for at in range(0, len(data), 3000):
        writer.write(data[at : at + 3000])
        await asyncio.sleep(0.01)
    if status == 200:  # within the limits: the rest may come
        writer.write(b"0\r\n\r\n")
    assert (await _answer(reader))[0] == status


async def test_a_refused_body_is_read_on_so_that_the_client_sees_the_answer(serving):
    served = await serving(HttpLimits(body_bytes=1000))
    reader, writer = await served.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n" + bytes(20_000_000))
    await writer.drain()
    assert (await _answer(reader))[0] == 413


async def test_bodies_of_all_clients_together_are_bounded(serving):
    served = await serving(HttpLimits(all_bodies_bytes=100_000))
    held = []
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60001\r\n\r\n"
    for _ in range(2):
        reader, writer = await served.connect()
        writer.write(head + bytes(60_000))
        held.append((reader, writer))
        await asyncio.sleep(0.05)
    assert (await _answer(held[1][0]))[0] == 503
    held[0][1].write(b"!")
    assert (await _answer(held[0][0]))[0] == 200
    assert served.server.bodies_bytes == 0


async def test_connections_beyond_the_cap_are_told_so(serving):
    served = await serving(HttpLimits(connections=2))
    first, second = await served.connect(), await served.connect()
    await asyncio.sleep(0.05)
    assert (await served.talk(b"")).startswith(b"HTTP/1.1 503 ")
    first[1].close()
    second[1].close()
    await asyncio.sleep(0.05)
    assert (await served.talk(GET % b"")).startswith(b"HTTP/1.1 200 ")


QUICK = HttpLimits(head_s=0.2, stall_s=0.2, idle_s=0.2)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", None),
        (b"GET / HT", 408),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n", 408),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", 408),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 408),
    ],
)
async def test_a_client_that_stops_is_let_go(serving, data, status):
    served = await serving(QUICK)
    reader, writer = await served.connect()
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 2)
    assert answer.startswith(f"HTTP/1.1 {status}".encode()) if status else answer == b""


async def test_a_slow_head_is_cut_however_steadily_it_drips(serving):
    served = await serving(QUICK)
    reader, writer = await served.connect()
    started = time.monotonic()
    for _ in range(100):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" if _ == 0 else b"A: b\r\n")
        await asyncio.sleep(0.02)
        if reader.at_eof() or served.server.connections == set() or time.monotonic() - started > 1:
            break
    assert (await asyncio.wait_for(reader.read(), 1)).startswith(b"HTTP/1.1 408")


async def test_an_idle_connection_is_closed_without_a_word(serving):
    served = await serving(QUICK)
    reader, writer = await served.connect()
    writer.write(GET % b"")
    assert (await _answer(reader))[0] == 200
    assert await asyncio.wait_for(reader.read(), 2) == b""


async def test_a_client_that_does_not_read_its_answer_is_cut(serving):
    served = await serving(HttpLimits(stall_s=0.2, least_bytes_per_s=1 << 30))

    async def large(_request):
        return Response(200, [], bytes(50_000_000))

    served.answer = large
    _reader, writer = await served.connect(limit=1024)
    writer.write(GET % b"")
    await asyncio.sleep(1)
    assert served.server.connections == set()


async def test_a_slow_handler_has_no_deadline_here(serving):
    served = await serving(QUICK)

    async def slow(_request):
        await asyncio.sleep(0.8)
        return Response(200, [], b"late")

    served.answer = slow
    reader, writer = await served.connect()
    writer.write(GET % b"")
    assert (await _answer(reader))[2] == b"late"


async def test_stopping_finishes_what_is_in_flight_and_closes_what_is_idle(serving):
    served = await serving()
    may_end = asyncio.Event()

    async def held(_request):
        await may_end.wait()
        return Response(200, [], b"finished")

    idle_reader, idle_writer = await served.connect()
    idle_writer.write(GET % b"")
    await _answer(idle_reader)
    served.answer = held
    reader, writer = await served.connect()
    writer.write(GET % b"")
    await asyncio.sleep(0.05)
    stopping = asyncio.ensure_future(served.server.stop(5))
    assert await asyncio.wait_for(idle_reader.read(), 1) == b""
    with pytest.raises(ConnectionError):
        await served.connect()
    may_end.set()
    status, headers, body = await _answer(reader)
    assert (status, headers["connection"], body) == (200, "close", b"finished")
    await asyncio.wait_for(stopping, 1)


async def test_stopping_waits_no_longer_than_told(serving):
    served = await serving()

    async def for_ever(_request):
        await asyncio.sleep(60)
        raise AssertionError

    served.answer = for_ever
    _reader, writer = await served.connect()
    writer.write(GET % b"")
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await served.server.stop(0.2)
    assert time.monotonic() - started < 1
