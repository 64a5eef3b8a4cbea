"""HTTP/2 through its socket: streams, flow control both ways, and what is refused."""

import asyncio
import os

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from cumulet.core.http import Response
from cumulet.gateway.http import HttpLimits
from http2_client import GET, POST


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
