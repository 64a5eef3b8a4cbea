"""Clients of HTTP/2 that want more than their share: of frames, streams, headers and time. And the end of a connection."""

import asyncio
import struct

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import ContinuationFrame, HeadersFrame, PingFrame, PriorityFrame, SettingsFrame

from cumulet.core.http import Response
from http2_client import GET, POST, Client


async def test_a_frame_beyond_the_size_told_is_not_waited_for(serving, connecting):
    served = await serving()
    client = await connecting(served)
    client.ask(POST, end=False)
    client.writer.write(b"\xff\xff\xff\0\0\0\0\0\1" + bytes(20_000))
    await client.closed()
    assert client.goodbye == ErrorCodes.FRAME_SIZE_ERROR


async def _flooded(client: Client, data: bytes) -> None:
    try:
        for _ in range(200):
            client.writer.write(data)
            await asyncio.wait_for(client.writer.drain(), 5)
    except ConnectionError:
        pass
    await client.closed()
    assert client.goodbye == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "frame",
    [PingFrame(0, b"12345678"), SettingsFrame(0), SettingsFrame(0, {3: 100}), PriorityFrame(1, depends_on=3)],
    ids=["ping", "empty settings", "settings", "priority"],
)
async def test_frames_that_bring_nothing_end_the_clients_credit(serving, connecting, frame):
    served = await serving()
    client = await connecting(served)
    assert (await client.answer(client.ask()))[0] == "200"
    await _flooded(client, frame.serialize() * 100)


async def test_empty_data_and_window_updates_end_it_too(serving, connecting):
    served = await serving()
    for frame in (b"\0\0\0\0\0\0\0\0\x01", b"\0\0\4\x08\0\0\0\0\x01\0\0\0\1"):
        client = await connecting(served)
        client.ask(POST, end=False)
        await _flooded(client, frame * 100)


async def test_rapid_resets_are_no_way_to_more_work(serving, connecting):
    """CVE-2023-44487: open, reset, again. Neither handlers without end nor a loop that only opens and closes."""
    served = await serving()
    most = running = 0

    async def slow(_request):
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.3)
        running -= 1
        return Response(200)

    served.answer = slow
    client = await connecting(served)
    for _ in range(2000):
        stream_id = client.ask()
        client.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
    client.flush()
    await client.closed()
    assert client.goodbye == ErrorCodes.ENHANCE_YOUR_CALM
    assert most <= 100
    assert len(served.requests) <= 200


async def test_streams_at_once_are_bounded(serving, connecting):
    served = await serving()
    may_end = asyncio.Event()

    async def held(_request):
        await may_end.wait()
        return Response(200)

    served.answer = held
    client = await connecting(served)
    await client.until(lambda: client.h2.remote_settings.max_concurrent_streams == 100)
    client.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
    client.h2.remote_settings.acknowledge()
    for _ in range(110):
        client.ask()
    await client.closed()
    assert client.goodbye == ErrorCodes.REFUSED_STREAM or client.goodbye == ErrorCodes.PROTOCOL_ERROR
    assert len(served.requests) <= 100
    may_end.set()


async def test_continuations_without_end_are_refused(serving, connecting):
    """CVE-2024-27316: a header block that never ends."""
    served = await serving()
    client = await connecting(served)
    block = client.h2.encoder.encode(GET)
    client.writer.write(HeadersFrame(1, block, flags=["END_STREAM"]).serialize())
    with_one = ContinuationFrame(1, client.h2.encoder.encode([("a", "b" * 1000)])).serialize()
    try:
        for _ in range(1000):
            client.writer.write(with_one)
            await client.writer.drain()
    except ConnectionError:
        pass
    await client.closed()
    assert client.goodbye is not None or client.is_closed
    assert served.requests == []


async def test_a_small_block_that_unpacks_to_much_is_refused(serving, connecting):
    served = await serving()
    client = await connecting(served)
    client.ask([*GET, ("bomb", "b" * 4000)])  # from now on one byte each
    await client.until(lambda: bool(client.ended))
    client.ask([*GET, *[("bomb", "b" * 4000)] * 5000])
    await client.closed()
    assert client.goodbye == ErrorCodes.ENHANCE_YOUR_CALM
    assert len(served.requests) == 1


async def test_stopping_finishes_open_streams_and_takes_no_more(serving, connecting):
    served = await serving()
    may_end = asyncio.Event()

    async def held(_request):
        await may_end.wait()
        return Response(200, [], b"finished")

    served.answer = held
    client = await connecting(served)
    stream_id = client.ask()
    await asyncio.sleep(0.05)
    stopping = asyncio.ensure_future(served.server.stop(5))
    data = b""
    async with asyncio.timeout(3):
        while struct.pack(">BB", 7, 0) not in data:  # a GOAWAY, read raw: the client library would end everything
            data += await client.reader.read(65_536)
    client.writer.write(HeadersFrame(3, client.h2.encoder.encode(GET), flags=["END_STREAM", "END_HEADERS"]).serialize())
    await asyncio.sleep(0.05)
    may_end.set()
    data += await asyncio.wait_for(client.reader.read(), 3)
    assert b"finished" in data
    assert len(served.requests) == 1
    await asyncio.wait_for(stopping, 1)
    assert stream_id == 1
