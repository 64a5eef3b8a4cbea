"""Connections that leave HTTP: what belongs to whom before and after, slowness both ways, and the end."""

import asyncio
import contextlib

import pytest

from cumulet.core.http import Response, Upgrade
from cumulet.gateway.http import HttpLimits

ASK = b"GET /%b HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\n"
GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"


class Taken:
    """A handler that upgrades what asks for it; `run` is the other protocol."""

    def __init__(self, run):
        self.run = run

    async def __call__(self, request):
        if request.header("upgrade"):
            return Upgrade(101, [("Upgrade", "echo"), ("X-Kept", "yes"), ("Connection", "close")], run=self.run)
        return Response(200, [], request.path.encode())


async def echo(stream):
    while data := await stream.read():
        await stream.write(data)


@pytest.fixture
async def upgrading(serving):
    async def start(run=echo, limits=None):
        served = await serving(limits)
        served.answer = Taken(run)
        return served

    return start


async def open_stream(served, path=b"a", **options):
    reader, writer = await served.connect(**options)
    writer.write(ASK % path)
    return await reader.readuntil(b"\r\n\r\n"), reader, writer


async def until(condition, wait_s=10):
    async with asyncio.timeout(wait_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_upgrade_gets_the_head_of_its_protocol_and_the_bytes_both_ways(upgrading):
    served = await upgrading()
    head, reader, writer = await open_stream(served)
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 101 Switching Protocols"
    assert {"X-Kept: yes", "Connection: Upgrade", "Upgrade: echo"} < set(lines)
    assert "content-length" not in head.decode().lower() and "Connection: close" not in lines
    for message in (b"one", b"GET / HTTP/1.1\r\n\r\n"):
        writer.write(message)
        assert await reader.readexactly(len(message)) == message


async def test_what_came_right_after_the_head_belongs_to_the_stream(upgrading):
    served = await upgrading()
    answer = await served.talk(GET % b"first" + ASK % b"second" + GET % b"third")
    first, _, rest = answer.partition(b"/first")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert rest.startswith(b"HTTP/1.1 101 ")
    assert rest.partition(b"\r\n\r\n")[2] == GET % b"third"
    assert [request.path for request in served.requests] == ["/first", "/second"]


@pytest.mark.parametrize(
    "asked",
    [
        (ASK % b"a").replace(b"HTTP/1.1", b"HTTP/1.0"),
        (ASK % b"a").replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"keep-alive, ", b""),
        (ASK % b"a").replace(b"Upgrade: echo", b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
        (ASK % b"a").replace(b"Upgrade: echo", b"Upgrade: echo, h2c"),
    ],
)
async def test_http_1_0_and_h2c_are_answered_as_plain_http(upgrading, asked):
    served = await upgrading()
    answer = await served.talk(asked + GET % b"smuggled")
    assert answer.startswith(b"HTTP/1.1 200 ") and b"\r\nConnection: close\r\n" in answer and answer.endswith(b"/a")
    assert len(served.requests) == 1 and served.requests[0].header("upgrade") == ""


@pytest.mark.parametrize("protocol", [b"h2c", b"echo"])
@pytest.mark.parametrize("framing", [b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"])
async def test_a_request_with_a_body_stays_http(upgrading, protocol, framing):
    served = await upgrading()
    head = b"POST http://other/a?b HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: " + protocol + b"\r\nX-Cafe: \xe9\r\n"
    reader, writer = await served.connect()
    writer.write(head + framing[:-3])
    await until(lambda: served.server.bodies_bytes or b"chunked" in framing)
    writer.write(framing[-3:] + GET % b"smuggled")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200 ")
    (request,) = served.requests
    assert (request.method, request.path, request.query, request.body) == ("POST", "/a", "b", b"body")
    assert (request.header("host"), request.header("x-cafe"), request.header("upgrade")) == ("other", "\xe9", "")
    assert len(request.names) == len(request.headers)
    assert served.server.bodies_bytes == 0


async def test_a_declined_upgrade_is_an_ordinary_answer_and_the_last(upgrading):
    served = await upgrading()

    async def decline(_request):
        return Response(403, [], b"no")

    served.answer = decline
    answer = await served.talk(ASK % b"a" + GET % b"smuggled")
    assert answer.startswith(b"HTTP/1.1 403 ") and b"\r\nConnection: close\r\n" in answer and answer.endswith(b"no")
    assert len(served.requests) == 1


async def test_an_upgrade_that_nobody_asked_for_is_refused(upgrading):
    served = await upgrading()

    async def eager(_request):
        return Upgrade(101, [("Upgrade", "echo")], run=echo)

    served.answer = eager
    assert (await served.talk(GET % b"a")).startswith(b"HTTP/1.1 500 ")


async def test_the_stream_ends_when_the_client_has_ended_and_can_still_be_written(upgrading):
    async def farewell(stream):
        assert await stream.read() == b""
        await stream.write(b"good bye")

    served = await upgrading(farewell)
    _, reader, writer = await open_stream(served)
    writer.write_eof()
    assert await reader.read() == b"good bye"
    await until(lambda: not served.server.connections)


async def test_a_reader_and_a_writer_learn_that_the_client_is_gone(upgrading):
    learned = asyncio.Event()

    async def run(stream):
        assert await stream.read() == b""
        with pytest.raises(ConnectionError):
            while True:
                await stream.write(b"x" * 65_536)
        learned.set()

    served = await upgrading(run)
    _, _, writer = await open_stream(served)
    writer.transport.abort()
    await asyncio.wait_for(learned.wait(), 10)


async def test_a_slow_reader_of_the_stream_slows_the_client_down(upgrading):
    go, seen = asyncio.Event(), []

    async def late(stream):
        await go.wait()
        while data := await stream.read():
            seen.append(len(data))

    served = await upgrading(late)
    _, _, writer = await open_stream(served)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 256 << 20:
            writer.write(b"x" * 1_000_000)
            sent += 1_000_000
            await asyncio.wait_for(writer.drain(), 0.5)
    assert sent < 64 << 20  # what the kernel's buffers take, and no more
    (connection,) = served.server.connections
    assert connection._waiting_bytes < 1 << 20
    go.set()
    writer.write_eof()
    await until(lambda: sum(seen) == sent)
    assert max(seen) < 1 << 20


async def test_a_client_that_does_not_read_stops_the_writers_and_costs_no_memory(upgrading):
    written, streams = [0, 0], []

    async def flood(stream):
        streams.append(stream)

        async def pour(which):
            while True:
                await stream.write(b"x" * 65_536)
                written[which] += 65_536

        await asyncio.gather(pour(0), pour(1))

    served = await upgrading(flood, HttpLimits(stall_s=0.2, idle_s=0.2, head_s=0.4))
    _, reader, writer = await open_stream(served, limit=1024)
    writer.transport.pause_reading()
    before = None
    while before != list(written):
        before = list(written)
        await asyncio.sleep(0.6)  # no deadline ends it either
    assert streams[0].transport.get_write_buffer_size() < 1 << 20
    assert len(served.server.connections) == 1
    writer.transport.resume_reading()
    await reader.readexactly(sum(written))
    assert min(written) > before[0] or max(written) > before[1]


async def test_a_quiet_stream_outlives_the_deadlines_of_http(upgrading):
    served = await upgrading(limits=HttpLimits(head_s=0.1, stall_s=0.1, idle_s=0.1))
    _, reader, writer = await open_stream(served)
    await asyncio.sleep(0.5)
    writer.write(b"still here")
    assert await reader.readexactly(10) == b"still here"


async def test_stopping_cancels_the_run_and_waits_for_what_it_still_says(upgrading):
    ended = []

    async def run(stream):
        try:
            await stream.read()
        except asyncio.CancelledError:
            await stream.write(b"going away")
            ended.append("cancelled")
            raise

    served = await upgrading(run)
    _, reader, _ = await open_stream(served)
    await served.server.stop(5)
    assert (ended, await reader.read(), served.server.connections) == (["cancelled"], b"going away", set())


async def test_an_upgrade_decided_while_stopping_is_begun_and_ended(upgrading):
    asked, go, ended = asyncio.Event(), asyncio.Event(), []

    async def run(stream):
        try:
            await stream.read()
        finally:
            ended.append(True)

    served = await upgrading()

    async def slow(_request):
        asked.set()
        await go.wait()
        return Upgrade(101, [("Upgrade", "echo")], run=run)

    served.answer = slow
    reader, writer = await served.connect()
    writer.write(ASK % b"a")
    await asked.wait()
    stopping = asyncio.create_task(served.server.stop(5))
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait_for(stopping, 10)
    assert ended == [True] and (await reader.read()).startswith(b"HTTP/1.1 101 ")


async def test_a_run_that_raises_ends_its_connection_alone(upgrading, caplog):
    async def run(stream):
        raise RuntimeError("a bug")

    served = await upgrading(run)
    _, reader, _ = await open_stream(served)
    assert await reader.read() == b""
    assert "a bug" in caplog.text
    assert b" 200 " in await served.talk(GET % b"a")


async def test_run_is_called_even_when_the_client_left_before_the_answer(upgrading):
    asked, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(stream):
        assert await stream.read() == b""
        ended.set()

    served = await upgrading()

    async def slow(_request):
        asked.set()
        await go.wait()
        return Upgrade(101, [("Upgrade", "echo")], run=run)

    served.answer = slow
    _, writer = await served.connect()
    writer.write(ASK % b"a")
    await asked.wait()
    writer.transport.abort()
    go.set()
    await asyncio.wait_for(ended.wait(), 10)
    await until(lambda: not served.server.connections)
