"""What one client may take of the node, and where large bodies wait: no client holds the others' memory, connections or turns."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest

from cumulet.core.http import Response
from cumulet.gateway.http import HttpLimits, HttpServer, source_of
from cumulet.gateway.local_authority import LocalAuthority
from cumulet.gateway.spool import Spool
from cumulet.gateway.tls import Certificates
from http2_client import POST, Client

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
OTHERS = HttpLimits(each=2, is_loopback_free=False)


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_address_is_counted_as_its_owner(address, source):
    assert source_of(address) == source


async def test_one_client_gets_so_many_connections_and_gives_them_back(serving):
    served = await serving(OTHERS)
    held = [await served.connect() for _ in range(2)]
    await asyncio.sleep(0.05)
    assert (await served.talk(GET)).startswith(b"HTTP/1.1 503 ")
    held[0][1].close()
    await asyncio.sleep(0.05)
    assert (await served.talk(GET)).startswith(b"HTTP/1.1 200 ")
    held[1][1].close()
    await asyncio.sleep(0.05)
    assert served.server._connected == {}


async def test_this_machines_own_are_not_counted(serving):
    served = await serving(HttpLimits(each=2))
    held = [await served.connect() for _ in range(5)]
    assert (await served.talk(GET)).startswith(b"HTTP/1.1 200 ")
    assert served.server._connected == {}
    assert len(held) == 5


async def test_connections_that_leave_http_or_speak_http2_keep_their_share(serving):
    served = await serving(OTHERS)
    client = Client(*await served.connect())
    assert await client.answer(client.ask()) == ("200", b"GET ")
    other = await served.connect()
    await asyncio.sleep(0.05)
    assert (await served.talk(GET)).startswith(b"HTTP/1.1 503 ")
    client.writer.close()
    other[1].close()
    await asyncio.sleep(0.05)
    assert served.server._connected == {}


async def test_handshakes_count_too_and_a_share_of_one_is_enough(serving, tmp_path):
    authority = LocalAuthority(tmp_path)
    limits = HttpLimits(each=1, is_loopback_free=False, head_s=0.3)
    served = await serving(limits, tls=Certificates(None, authority=authority).context)
    silent = await served.connect()
    await asyncio.sleep(0.05)
    reader, _ = await served.connect()
    assert await asyncio.wait_for(reader.read(), 0.2) == b""
    await asyncio.wait_for(silent[0].read(), 2)
    context = ssl.create_default_context(cafile=authority.ca_path)
    reader, writer = await served.connect(ssl=context, server_hostname="localhost")
    writer.write(GET)
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await asyncio.sleep(0.1)
    assert served.server._connected == {}


async def test_one_client_gets_so_many_answers_at_once(serving):
    served = await serving(OTHERS)
    may_end = asyncio.Event()

    async def held(_request):
        await may_end.wait()
        return Response(200)

    served.answer = held
    client = Client(*await served.connect())
    first, second, third = client.ask(), client.ask(), client.ask()
    await client.until(lambda: third in client.status)
    assert client.status == {third: "429"}
    may_end.set()
    assert (await client.answer(first))[0] == (await client.answer(second))[0] == "200"
    assert served.server._asking == {}


async def test_when_the_node_is_nearly_full_idle_connections_make_room(serving):
    served = await serving(HttpLimits(connections=10, idle_s=2.0))
    idle = [await served.connect() for _ in range(10)]
    for reader, writer in idle:
        writer.write(GET)
        await reader.readuntil(b"GET ")
    served.server._tick()
    for reader, writer in idle:
        writer.write(GET)
        await reader.readuntil(b"GET ")
    closed = await asyncio.wait_for(asyncio.gather(*[reader.read() for reader, _ in idle]), 1.5)
    assert closed == [b""] * 10


async def test_who_comes_while_the_node_drains_is_told_so(serving):
    served = await serving()
    served.server.is_draining = True
    answer = await served.talk(GET)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Connection: close\r\n" in answer


# Bodies


async def test_a_spool_gives_back_what_it_was_given(tmp_path):
    pieces = [os.urandom(size) for size in (1, 999, 0, 1, 100_000, 5)]
    for folder, is_on_disk in ((tmp_path, True), (None, False)):
        spool = Spool(folder, 1000)
        for piece in pieces:
            spool.add(piece)
        assert spool.is_on_disk is is_on_disk
        assert spool.size == sum(map(len, pieces))
        assert list(tmp_path.iterdir()) == []  # the file has no name
        assert await spool.take() == b"".join(pieces)
        assert not spool.is_on_disk


def _open_files(folder: Path) -> int:
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith(str(folder))
        except OSError:
            continue
    return found


SPOOLING = HttpLimits(spooled_bytes=10_000)


@pytest.fixture
def spooling(serving, tmp_path, monkeypatch):
    async def start(limits=SPOOLING):
        before = HttpServer.__init__
        monkeypatch.setattr(HttpServer, "__init__", lambda self, handle, given=None: before(self, handle, given, tmp_path))
        return await serving(limits)

    return start


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_large_body_waits_on_disk_and_comes_whole(spooling, tmp_path, is_chunked):
    served = await spooling()
    body = os.urandom(200_000)
    reader, writer = await served.connect(limit=1 << 20)
    told = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: 200000"
    writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\n" + told + b"\r\n\r\n")
    data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if is_chunked else body
    for at in range(0, 150_000, 10_000):
        writer.write(data[at : at + 10_000])
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert _open_files(tmp_path) == 1
    writer.write(data[150_000:])
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(200_005) == b"POST " + body
    assert _open_files(tmp_path) == 0
    assert served.server.bodies_bytes == 0


async def test_pipelined_large_bodies_keep_their_order(spooling, tmp_path):
    served = await spooling()
    bodies = [bytes([65 + n]) * 100_000 for n in range(5)]
    reader, writer = await served.connect(limit=1 << 20)
    for body in bodies:
        writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + body)
    for body in bodies:
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(100_005) == b"POST " + body
    assert (served.server.bodies_bytes, _open_files(tmp_path)) == (0, 0)


async def test_cut_off_bodies_leave_nothing(spooling, tmp_path):
    served = await spooling()
    _reader, writer = await served.connect()
    writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(5):
        writer.write(bytes(15_000))
        await asyncio.sleep(0.02)
    client = Client(*await served.connect())
    stream_id = client.ask(POST, end=False)
    client.h2.send_data(stream_id, bytes(16_000))
    client.flush()
    await asyncio.sleep(0.05)
    assert _open_files(tmp_path) == 2
    await served.hang_up()
    await asyncio.sleep(0.05)
    assert (served.server.bodies_bytes, _open_files(tmp_path)) == (0, 0)


async def test_http2_bodies_wait_on_disk_too(spooling, tmp_path):
    served = await spooling()
    client = Client(*await served.connect())
    body = os.urandom(300_000)
    stream_id = client.ask(POST, end=False)
    await client.upload(stream_id, body)
    assert await client.answer(stream_id) == ("200", b"POST " + body)
    assert (served.server.bodies_bytes, _open_files(tmp_path)) == (0, 0)


async def test_a_disk_that_takes_no_more_is_told(spooling, tmp_path, caplog):
    served = await spooling()
    tmp_path.rmdir()
    reader, writer = await served.connect()
    writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(5):
        writer.write(bytes(15_000))
        await asyncio.sleep(0.02)
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 503 ")
    assert served.server.bodies_bytes == 0
    tmp_path.mkdir()


async def test_a_handler_that_replaces_the_body_does_not_change_the_count(serving):
    served = await serving()

    async def unpack(request):
        request.body = b"other"
        return Response(200)

    served.answer = unpack
    for _ in range(3):
        await served.talk(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    assert served.server.bodies_bytes == 0
