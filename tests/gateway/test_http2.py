"""HTTP/2 through its socket: streams, flow control both ways, and what is refused."""

import asyncio
import os
import shutil
import ssl
import struct
import subprocess
from collections import defaultdict

import httpx
import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import ContinuationFrame, HeadersFrame, PingFrame, PriorityFrame, SettingsFrame

from cumulet.core.http import Response
from cumulet.gateway.http import HttpLimits
from cumulet.gateway.local_authority import LocalAuthority
from cumulet.gateway.tls import Certificates

GET = [(":method", "GET"), (":path", "/a?b=c"), (":scheme", "http"), (":authority", "x:1")]
POST = [(":method", "POST"), *GET[1:]]


class Client:
    """An HTTP/2 client that also says what it should not, and keeps whatever it is told."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(
            H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8")
        )
        self.h2.initiate_connection()
        self.does_take = True
        self.status: dict[int, str] = {}
        self.headers: dict[int, dict[str, str]] = {}
        self.body: dict[int, bytes] = defaultdict(bytes)
        self.ended: set[int] = set()
        self.reset: dict[int, int] = {}
        self.informed: dict[int, str] = {}
        self.goodbye: int | None = None
        self.is_closed = False
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def ask(self, headers=GET, *, end=True) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, headers, end_stream=end)
        self.flush()
        return stream_id

    async def until(self, is_so, wait_s: float = 5) -> None:
        async with asyncio.timeout(wait_s):
            while not is_so():
                assert not self.is_closed, "closed before that"
                await self.hear()

    async def hear(self) -> None:
        data = await self.reader.read(65_536)
        if not data:
            self.is_closed = True
            return
        for event in self.h2.receive_data(data):
            if isinstance(event, events.ResponseReceived):
                self.headers[event.stream_id] = dict(event.headers)
                self.status[event.stream_id] = dict(event.headers)[":status"]
            elif isinstance(event, events.InformationalResponseReceived):
                self.informed[event.stream_id] = dict(event.headers)[":status"]
            elif isinstance(event, events.DataReceived):
                self.body[event.stream_id] += event.data
                if self.does_take:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, events.StreamReset):
                self.reset[event.stream_id] = event.error_code
            elif isinstance(event, events.ConnectionTerminated):
                self.goodbye = event.error_code
        if self.goodbye is None:
            self.flush()

    async def answer(self, stream_id: int) -> tuple[str, bytes]:
        await self.until(lambda: stream_id in self.ended)
        return self.status[stream_id], self.body[stream_id]

    async def upload(self, stream_id: int, data: bytes) -> None:
        while data:
            room = min(self.h2.local_flow_control_window(stream_id), 16_384)
            if room:
                self.h2.send_data(stream_id, data[:room], end_stream=room >= len(data))
                data = data[room:]
                self.flush()
            else:
                await self.hear()

    async def closed(self, wait_s: float = 5) -> None:
        async with asyncio.timeout(wait_s):
            try:
                while not self.is_closed:
                    await self.hear()
            except ConnectionError:
                self.is_closed = True


@pytest.fixture
def connecting():
    async def connect(served) -> Client:
        return Client(*await served.connect())

    return connect


async def test_a_stream_is_a_request_and_its_answer(serving, connecting):
    served = await serving()
    client = await connecting(served)
    stream_id = client.ask([*GET, ("x-one", "1"), ("cookie", "a=1"), ("cookie", "b=2")])
    assert await client.answer(stream_id) == ("200", b"GET ")
    assert client.headers[stream_id]["x-path"] == "/a"
    assert client.headers[stream_id]["content-length"] == "4"
    request = served.requests[0]
    assert (request.path, request.query, request.scheme, request.source_ip) == ("/a", "b=c", "http", "127.0.0.1")
    assert request.headers == [("host", "x:1"), ("x-one", "1"), ("cookie", "a=1; b=2")]
    assert request.names == [b"host", b"x-one", b"cookie"]


async def test_slow_streams_do_not_hold_others(serving, connecting):
    served = await serving()
    may_end = asyncio.Event()

    async def answer(request):
        if request.path == "/slow":
            await may_end.wait()
        return Response(200, [], request.path.encode())

    served.answer = answer
    client = await connecting(served)
    slow = client.ask([GET[0], (":path", "/slow"), *GET[2:]])
    fast = [client.ask() for _ in range(50)]
    for stream_id in fast:
        assert await client.answer(stream_id) == ("200", b"/a")
    assert slow not in client.ended
    may_end.set()
    assert await client.answer(slow) == ("200", b"/slow")


async def test_large_bodies_go_both_ways_under_flow_control(serving, connecting):
    served = await serving()
    client = await connecting(served)
    data = os.urandom(3_000_000)
    stream_id = client.ask(POST, end=False)
    await client.upload(stream_id, data)
    status, body = await client.answer(stream_id)
    assert (status, body) == ("200", b"POST " + data)
    assert served.server.bodies_bytes == 0


async def test_an_answer_waits_for_the_clients_window_and_its_source_with_it(serving, connecting):
    served = await serving()
    made = 0

    async def pieces():
        nonlocal made
        for _ in range(200):
            made += 1
            yield bytes(10_000)

    async def stream(_request):
        return Response(200, [], pieces())

    served.answer = stream
    client = await connecting(served)
    client.does_take = False
    stream_id = client.ask()
    await client.until(lambda: len(client.body[stream_id]) == 65_535)
    await asyncio.sleep(0.05)
    assert made <= 8
    client.h2.increment_flow_control_window(1_000_000, stream_id)  # the stream's alone: the connection's is still used up
    client.flush()
    await asyncio.sleep(0.05)
    assert made <= 8
    client.h2.increment_flow_control_window(3_000_000)
    client.h2.increment_flow_control_window(1_000_000, stream_id)
    client.flush()
    await client.answer(stream_id)
    assert len(client.body[stream_id]) == 2_000_000


async def test_a_window_opened_by_settings_is_used(serving, connecting):
    served = await serving()

    async def answer(_request):
        return Response(200, [], bytes(1000))

    served.answer = answer
    client = await connecting(served)
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    client.flush()
    stream_id = client.ask()
    await client.until(lambda: stream_id in client.status)
    assert client.body[stream_id] == b""
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 500})
    client.flush()
    await client.until(lambda: len(client.body[stream_id]) == 500)
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2000})
    client.flush()
    assert await client.answer(stream_id) == ("200", bytes(1000))


async def test_a_stream_that_breaks_off_is_reset(serving, connecting):
    served = await serving()

    async def pieces():
        yield b"abc"
        raise RuntimeError("source failed")

    async def stream(_request):
        return Response(200, [], pieces())

    served.answer = stream
    client = await connecting(served)
    stream_id = client.ask()
    await client.until(lambda: stream_id in client.reset)
    assert client.reset[stream_id] == ErrorCodes.INTERNAL_ERROR
    served.answer = served._echo
    assert (await client.answer(client.ask()))[0] == "200"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_answers_without_a_body(serving, connecting, method, status):
    served = await serving()

    async def answer(_request):
        return Response(status, [("X-A", "b")], b"not sent")

    served.answer = answer
    client = await connecting(served)
    stream_id = client.ask([(":method", method), *GET[1:]])
    assert await client.answer(stream_id) == (str(status), b"")
    assert client.headers[stream_id].get("content-length") == ("8" if method == "HEAD" else None)


async def test_100_continue_is_said_before_the_body_is_sent(serving, connecting):
    served = await serving()
    client = await connecting(served)
    stream_id = client.ask([*POST, ("expect", "100-continue")], end=False)
    await client.until(lambda: client.informed.get(stream_id) == "100")
    await client.upload(stream_id, b"abc")
    assert await client.answer(stream_id) == ("200", b"POST abc")


async def test_trailers_are_dropped(serving, connecting):
    served = await serving()
    client = await connecting(served)
    stream_id = client.ask(POST, end=False)
    client.h2.send_data(stream_id, b"abc")
    client.h2.send_headers(stream_id, [("x-extra", "y")], end_stream=True)
    client.flush()
    assert await client.answer(stream_id) == ("200", b"POST abc")
    assert served.requests[0].headers == [("host", "x:1")]


async def test_handlers_headers_cannot_reach_beyond_their_line(serving, connecting):
    served = await serving()

    async def hostile(_request):
        headers = [
            ("X-A", "b\r\nSet-Cookie: stolen=1"),
            ("X-B\r\nX-C", "d"),
            (":status", "500"),
            ("Content-Length", "1000"),
            ("transfer-encoding", "chunked"),
            ("Connection", "upgrade"),
            ("Proxy-Connection", "x"),
            ("X-G", " ünïcode "),
        ]
        return Response(200, headers, b"body")

    served.answer = hostile
    client = await connecting(served)
    stream_id = client.ask()
    assert await client.answer(stream_id) == ("200", b"body")
    told = client.headers[stream_id]
    assert set(told) == {":status", "date", "x-a", "x-g", "content-length"}
    assert (told["x-a"], told["x-g"], told["content-length"]) == ("b  Set-Cookie: stolen=1", "ünïcode", "4")


ENDED_WITH_THE_CONNECTION = {
    "upper case": [*GET, ("X-Upper", "a")],
    "connection header": [*GET, ("connection", "close")],
    "transfer coding": [*GET, ("transfer-encoding", "chunked")],
    "upgrade": [*GET, ("upgrade", "websocket")],
    "te": [*GET, ("te", "gzip")],
    "line end in a value": [*GET, ("x", "a\r\nb: c")],
    "line end in the path": [GET[0], (":path", "/a HTTP/1.1\r\nHost: y\r\n\r\n"), *GET[2:]],
    "nul in a value": [*GET, ("x", "a\0b")],
    "line end in a name": [*GET, ("x\r\ny", "a")],
    "colon in a name": [*GET, ("x:y", "a")],
    "empty name": [*GET, ("", "a")],
    "pseudo-header after others": [*GET[:3], ("x", "y"), GET[3]],
    "pseudo-header twice": [*GET, (":path", "/b")],
    "unknown pseudo-header": [*GET, (":other", "y")],
    "status in a request": [*GET, (":status", "200")],
    "no path": [GET[0], *GET[2:]],
    "empty path": [GET[0], (":path", ""), *GET[2:]],
    "no method": GET[1:],
    "no scheme": [GET[0], GET[1], GET[3]],
    "no host": GET[:3],
    "two hosts": [*GET, ("host", "other")],
    "length with an underscore": [*POST, ("content-length", "0_0")],
    "length that is no number": [*GET, ("content-length", "x")],
}


@pytest.mark.parametrize("kind", ENDED_WITH_THE_CONNECTION)
async def test_what_http2_forbids_ends_the_connection(serving, connecting, kind):
    served = await serving()
    client = await connecting(served)
    client.ask(ENDED_WITH_THE_CONNECTION[kind])
    await client.closed()
    assert client.goodbye == ErrorCodes.PROTOCOL_ERROR
    assert served.requests == []


REFUSED = {
    "space in the path": ([GET[0], (":path", "/a b"), *GET[2:]], "400"),
    "high byte in the path": ([GET[0], (":path", "/é"), *GET[2:]], "400"),
    "fragment in the path": ([GET[0], (":path", "/a#b"), *GET[2:]], "400"),
    "absolute path": ([GET[0], (":path", "http://y/a"), *GET[2:]], "400"),
    "star without OPTIONS": ([GET[0], (":path", "*"), *GET[2:]], "400"),
    "method with a space": ([(":method", "GET /x"), *GET[1:]], "400"),
    "user in the host": ([*GET[:3], (":authority", "user@x")], "400"),
    "long path": ([GET[0], (":path", "/" + "a" * 20_000), *GET[2:]], "414"),
    "many headers": ([*GET, *[("a", "b")] * 101], "431"),
    "two lengths": ([*POST, ("content-length", "0"), ("content-length", "0")], "400"),
    "length and no body": ([*GET, ("content-length", "3")], "400"),
    "length beyond the limit": ([*POST, ("content-length", str(10**10))], "413"),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_what_no_handler_should_see_is_refused_and_the_connection_goes_on(serving, connecting, kind):
    served = await serving()
    client = await connecting(served)
    headers, status = REFUSED[kind]
    stream_id = client.ask(headers, end=kind != "length beyond the limit")
    await client.until(lambda: stream_id in client.status)
    assert client.status[stream_id] == status
    assert served.requests == []
    assert (await client.answer(client.ask()))[0] == "200"


async def test_more_or_less_than_the_length_told_is_refused(serving, connecting):
    for data in (b"ab", b"abcd"):
        served = await serving()
        client = await connecting(served)
        stream_id = client.ask([*POST, ("content-length", "3")], end=False)
        client.h2.send_data(stream_id, data, end_stream=True)
        client.flush()
        await client.closed()
        assert client.goodbye == ErrorCodes.PROTOCOL_ERROR
        assert served.requests == []
        assert served.server.bodies_bytes == 0


async def test_bodies_are_bounded_and_the_rest_is_not_taken(serving, connecting):
    served = await serving(HttpLimits(body_bytes=100_000))
    client = await connecting(served)
    stream_id = client.ask(POST, end=False)
    while stream_id not in client.status:
        if stream_id not in client.reset and client.h2.local_flow_control_window(stream_id) >= 16_000:
            client.h2.send_data(stream_id, bytes(16_000))
            client.flush()
        else:
            await client.hear()
    assert client.status[stream_id] == "413"
    assert served.server.bodies_bytes == 0
    assert (await client.answer(client.ask()))[0] == "200"


async def test_a_body_that_stalls_is_given_up_and_others_go_on(serving, connecting):
    served = await serving(HttpLimits(stall_s=0.2))
    client = await connecting(served)
    stalled = client.ask(POST, end=False)
    assert (await client.answer(client.ask()))[0] == "200"
    await client.until(lambda: stalled in client.status)
    assert client.status[stalled] == "408"
    assert (await client.answer(client.ask()))[0] == "200"


async def test_a_client_that_never_opens_its_window_is_given_up(serving, connecting):
    served = await serving(HttpLimits(stall_s=0.2, least_bytes_per_s=1 << 30))

    async def large(_request):
        return Response(200, [], bytes(1_000_000))

    served.answer = large
    client = await connecting(served)
    client.does_take = False
    stream_id = client.ask()
    await client.until(lambda: stream_id in client.reset)
    assert client.reset[stream_id] == ErrorCodes.ENHANCE_YOUR_CALM


async def test_a_client_that_does_not_read_is_cut(serving, connecting):
    served = await serving(HttpLimits(stall_s=0.2, least_bytes_per_s=1 << 30))

    async def large(_request):
        return Response(200, [], bytes(1_000_000))

    served.answer = large
    client = await connecting(served)
    client.h2.increment_flow_control_window(1 << 30)
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 30})
    client.flush()
    for _ in range(50):
        client.ask()
    await asyncio.sleep(1)
    assert served.server.connections == set()


async def test_idle_connections_are_told_goodbye(serving, connecting):
    served = await serving(HttpLimits(idle_s=0.2))
    client = await connecting(served)
    assert (await client.answer(client.ask()))[0] == "200"
    await client.closed()
    assert client.goodbye == ErrorCodes.NO_ERROR


async def test_who_never_finishes_the_preface_is_let_go(serving):
    served = await serving(HttpLimits(head_s=0.2))
    reader, writer = await served.connect()
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00")
    await asyncio.wait_for(reader.read(), 3)
    assert served.requests == []


async def test_http1_behind_the_preface_is_refused(serving):
    served = await serving(HttpLimits(head_s=0.2))
    reader, writer = await served.connect()
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 3)
    assert b"HTTP/1.1" not in answer
    assert served.requests == []


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
