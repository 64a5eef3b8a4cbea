"""WebSocket sessions, held against another implementation of the protocol (`websockets`) and against raw bytes."""

import asyncio
import base64
import os
import struct

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cumulet.core.clock import ManualClock
from cumulet.core.http import Response
from cumulet.gateway.websocket import handshake
from cumulet.gateway.websocket.session import ClientTooSlow, WebSocket, WebSocketLimits

HEAD = (
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(b'k' * 16).decode()}\r\n\r\n"
).encode()


class Hub:
    """Answers handshakes; `on_message(session, message)` is every session's protocol, an echo unless a test says otherwise."""

    def __init__(self, served, limits):
        self.served, self.limits, self.clock = served, limits, ManualClock()
        self.sessions, self.ended = [], asyncio.Queue()
        self.on_message = self._echo
        self.subprotocol = None
        served.answer = self._answer

    async def _echo(self, session, message):
        await session.send(message)

    async def _answer(self, request):
        refused = handshake.refuse(request)
        if refused is not None:
            status, headers, message = refused
            return Response(status, headers, message.encode())
        return handshake.accept(request, self._run, self.subprotocol)

    async def _run(self, stream):
        session = WebSocket(stream, self.limits, self.clock.monotonic_s)
        self.sessions.append(session)
        try:
            while (message := await session.receive()) is not None:
                await self.on_message(session, message)
        finally:
            self.ended.put_nowait((session.close_code, session.close_reason))

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.served.port}/"

    async def raw(self, data=b""):
        """A client that says exactly these bytes after its handshake: its reader and writer."""
        reader, writer = await self.served.connect()
        writer.write(HEAD + data)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        return reader, writer

    async def closing(self):
        return await asyncio.wait_for(self.ended.get(), 10)


@pytest.fixture
async def hub(serving):
    async def start(limits=None):
        return Hub(await serving(), limits or WebSocketLimits())

    return start


def frame(opcode, payload=b"", *, is_final=True, is_masked=True, length=None):
    size = len(payload) if length is None else length
    bit = 0x80 if is_masked else 0
    short = size if size < 126 else 126 if size < 65_536 else 127
    head = bytes([(0x80 if is_final else 0) | opcode, bit | short])
    head += struct.pack("!H", size) if short == 126 else struct.pack("!Q", size) if short == 127 else b""
    return head + (b"\0\0\0\0" if is_masked else b"") + payload


async def close_of(reader):
    """(code, reason) of the close frame that is all that the server says."""
    said = await asyncio.wait_for(reader.read(), 10)
    assert said[0] == 0x88 and said[1] == len(said) - 2
    return struct.unpack("!H", said[2:4])[0], said[4:].decode()


async def test_text_and_bytes_come_back_whole(hub):
    started = await hub()
    async with connect(started.url) as client:
        for message in ("", "héllo", b"", os.urandom(100), "x" * 32_768, b"y" * 32_768):
            await client.send(message)
            assert await client.recv() == message


async def test_fragments_become_one_message_with_control_frames_in_between(hub):
    started = await hub()
    async with connect(started.url) as client:
        await client.send(["a" * 30_000, "é" * 1000, "", "c" * 30_000])
        assert await client.recv() == "a" * 30_000 + "é" * 1000 + "c" * 30_000
    euro = "€".encode()
    data = frame(1, euro[:1], is_final=False) + frame(9, b"p") + frame(0, euro[1:])  # one character over two frames
    reader, _ = await started.raw(data)
    assert await reader.readexactly(3) == b"\x8a\x01p"
    assert await reader.readexactly(5) == b"\x81\x03" + euro


async def test_pings_are_answered(hub):
    started = await hub()
    async with connect(started.url) as client:
        await asyncio.wait_for(await client.ping(b"are you there"), 10)


@pytest.mark.parametrize(
    ("limit", "sent"),
    [
        ("frame", b"x" * 32_769),
        ("message", [b"x" * 32_768] * 4 + [b"y"]),
    ],
)
async def test_what_is_too_big_ends_the_session(hub, limit, sent):
    started = await hub()
    async with connect(started.url) as client:
        await client.send([b"x" * 32_768] * 4)
        assert len(await client.recv()) == 131_072
        await client.send(sent)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1009
    assert await started.closing() == (1009, "")


async def test_a_frame_that_claims_to_be_huge_is_not_waited_for(hub):
    started = await hub()
    reader, writer = await started.raw(frame(2, b"x" * 40_000, length=1 << 40) + b"x" * 1_000_000)
    assert (await close_of(reader))[0] == 1009
    writer.close()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(1, b"\xff\xfe"), 1007),
        (frame(1, "€".encode()[:2]), 1007),
        (frame(1, b"a", is_masked=False), 1002),
        (frame(0, b"a"), 1002),
        (frame(3, b"a"), 1002),
        (frame(9, b"a" * 126), 1002),
        (frame(9, b"a", is_final=False), 1002),
        (b"\xc1\x80\0\0\0\0", 1002),
        (frame(1, b"a", is_final=False) + frame(1, b"b"), 1002),
        (frame(8, b"\x03"), 1002),
        (frame(8, struct.pack("!H", 1005)), 1002),
        (frame(8, struct.pack("!H", 1000) + b"\xff"), 1007),
    ],
)
async def test_what_is_no_websocket_ends_with_the_protocols_own_code(hub, data, code):
    started = await hub()
    reader, _ = await started.raw(data)
    assert (await close_of(reader))[0] == code
    assert (await started.closing())[0] == code


@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (1001, ""), (3000, "lib"), (4999, "ünd tschüss")])
async def test_a_close_is_agreed_to_and_remembered(hub, code, reason):
    started = await hub()
    client = await connect(started.url)
    await client.close(code, reason)
    assert (client.close_code, client.close_reason) == (code, reason)
    assert await started.closing() == (code, reason)


async def test_a_close_without_a_code_and_one_without_a_frame(hub):
    started = await hub()
    reader, _ = await started.raw(frame(8))
    assert await reader.read() == b"\x88\0"
    assert await started.closing() == (1005, "")
    _, writer = await started.raw(frame(1, b"half", is_final=False))
    writer.transport.abort()
    assert await started.closing() == (1006, "")


async def test_the_server_closes_and_the_client_agrees(hub):
    started = await hub()

    async def end(session, message):
        await session.close(4001, message)

    started.on_message = end
    async with connect(started.url) as client:
        await client.send("bye")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4001, "bye")
    assert await started.closing() == (4001, "bye")


async def test_a_client_that_does_not_agree_to_the_end_is_hung_up_on(hub):
    started = await hub()
    reader, writer = await started.raw(frame(1, b"a"))
    await reader.readexactly(3)
    (session,) = started.sessions
    await session.close(1001, "Going away")
    writer.write(frame(1, b"still talking"))
    started.clock.advance(seconds=4)
    session.check_closing(started.clock.monotonic_s())
    assert started.ended.empty()
    started.clock.advance(seconds=2)
    session.check_closing(started.clock.monotonic_s())
    assert await started.closing() == (1001, "Going away")
    assert await close_of(reader) == (1001, "Going away")


async def test_silence_and_age_are_due(hub):
    started = await hub(WebSocketLimits(idle_s=600, life_s=7200))
    async with connect(started.url) as client:
        now_s = started.clock.monotonic_s
        for _ in range(13):
            await client.send("a")
            await client.recv()
            (session,) = started.sessions
            assert not session.is_due(now_s())
            started.clock.advance(seconds=550)
            assert not session.is_due(now_s())
        started.clock.advance(seconds=60)
        assert session.is_due(now_s())
        await client.send("a")
        await client.recv()
        assert session.is_due(now_s())  # not silent any more, but too old


async def test_what_waits_for_a_client_that_does_not_read_is_bounded(hub):
    started = await hub(WebSocketLimits(unsent_bytes=200_000))
    reader, writer = await started.raw(frame(1, b"a"))
    await reader.readexactly(3)
    writer.transport.pause_reading()
    (session,) = started.sessions
    waiting, refused = [], 0
    while refused < 3 and len(waiting) < 10_000:
        task = asyncio.create_task(session.send(b"x" * 100_000))
        await asyncio.sleep(0.001)
        if task.done():
            refused += isinstance(task.exception(), ClientTooSlow)
        else:
            waiting.append(task)
    assert refused == 3
    assert sum(not task.done() for task in waiting) <= 2
    writer.transport.abort()
    await asyncio.wait(waiting)
    assert any(isinstance(task.exception(), ConnectionError) for task in waiting)


async def test_a_client_that_pings_and_does_not_read_is_not_listened_to_for_ever(hub):
    started = await hub()
    _, writer = await started.raw()
    writer.transport.pause_reading()
    sent = 0
    try:
        while sent < 256 << 20:
            writer.write(frame(9, b"p" * 125) * 1000)
            sent += 131_000
            await asyncio.wait_for(writer.drain(), 0.5)
    except TimeoutError:
        pass
    assert sent < 64 << 20


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ((b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8"), 426),
        ((b"Sec-WebSocket-Version: 13\r\n", b""), 426),
        ((b"Sec-WebSocket-Key: a2tr", b"Sec-WebSocket-Key: a2"), 400),
        ((b"Sec-WebSocket-Key: a2tr", b"Sec-WebSocket-Key: \xe9a2tr"), 400),
        ((b"Sec-WebSocket-Key:", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Key:"), 400),
        ((b"GET", b"POST"), 426),
        ((b"Upgrade: websocket", b"Upgrade: other"), 426),
        ((b"Connection: Upgrade", b"Connection: keep-alive"), 426),
        ((b"HTTP/1.1", b"HTTP/1.0"), 426),
    ],
)
async def test_handshakes_that_are_refused(hub, changed, status):
    started = await hub()
    answer = await started.served.talk(HEAD.replace(*changed))
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"\r\nSec-WebSocket-Version: 13\r\n" in answer) == (status == 426 and b"Version" in changed[0])


async def test_only_an_offered_subprotocol_is_chosen(hub):
    started = await hub()
    started.subprotocol = "chat.v2"
    async with connect(started.url, subprotocols=["chat.v1", "chat.v2"]) as client:
        assert client.subprotocol == "chat.v2"
    async with connect(started.url, subprotocols=["chat.v1"]) as client:
        assert client.subprotocol is None
    async with connect(started.url) as client:
        assert client.subprotocol is None


async def test_a_refusal_reaches_the_client_as_a_status(hub):
    started = await hub()

    async def refuse(_request):
        return Response(403, [], b"no")

    started.served.answer = refuse
    with pytest.raises(InvalidStatus) as refused:
        await connect(started.url)
    assert (refused.value.response.status_code, refused.value.response.body) == (403, b"no")
