"""Any bytes behind HTTP/2's preface: the connection answers or ends, and no other notices."""

import asyncio
import contextlib
import logging
import socket

from h2.config import H2Configuration
from h2.connection import H2Connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cumulet.core.http import Response
from cumulet.gateway.http import HttpLimits, HttpServer
from cumulet.gateway.http1 import PREFACE, Connection

HEADERS = [
    (":method", "POST"),
    (":path", "/a"),
    (":scheme", "http"),
    (":authority", "x"),
    ("content-length", "5"),
    ("x-long", "y" * 200),
]


def _session() -> bytes:
    """What a client says: three requests, one with a body, one taken back, and the frames beside them."""
    client = H2Connection(H2Configuration())
    client.initiate_connection()
    client.send_headers(1, HEADERS)
    client.send_data(1, b"hello", end_stream=True, pad_length=3)
    client.send_headers(3, [("x", "y") if name == "content-length" else (name, value) for name, value in HEADERS], end_stream=True)
    client.ping(b"12345678")
    client.send_headers(5, HEADERS)
    client.reset_stream(5)
    client.increment_flow_control_window(1000)
    client.prioritize(3, weight=5)
    return client.data_to_send()


SESSION = _session()


@st.composite
def _mutations(draw):
    data = bytearray(SESSION)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(len(PREFACE), len(data) - 1))
        change = draw(st.sampled_from(["set", "cut", "put", "again"]))
        if change == "set":
            data[at] = draw(st.integers(0, 255))
        elif change == "cut" and len(data) > len(PREFACE) + 40:
            del data[at : at + draw(st.integers(1, 9))]
        elif change == "put":
            data[at:at] = draw(st.binary(max_size=12))
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 40))]
    return bytes(data)


async def _talk(data: bytes):
    """(server, bodies of the requests that it saw)."""
    seen = []

    async def handle(request):
        seen.append(request.body)
        return Response(200, [], request.body)

    server = HttpServer(handle, HttpLimits(body_bytes=1000))
    await server.start()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: Connection(server), sock=ours)
    with theirs, contextlib.suppress(ConnectionError):
        await loop.sock_sendall(theirs, data)
        await asyncio.sleep(0)
        theirs.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(10):
            while await loop.sock_recv(theirs, 65_536):
                pass
    for _ in range(5):
        await asyncio.sleep(0)
    await server.stop(0.2)
    return server, seen


async def test_the_session_that_is_mutated_is_a_good_one():
    _, seen = await _talk(SESSION)
    assert sorted(seen) == [b"", b"hello"]


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=_mutations() | st.binary(max_size=300).map(lambda data: PREFACE + data))
async def test_any_bytes_are_taken_or_end_the_connection(caplog, data):
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        server, _ = await _talk(data)
    assert server.bodies_bytes == 0
    assert [record.getMessage() for record in caplog.records] == []
