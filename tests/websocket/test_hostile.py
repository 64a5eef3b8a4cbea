"""Bytes that no client should send: a session takes them or ends, and says so in the protocol's own words."""

import asyncio
import itertools
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection

from cumulet.gateway.websocket.session import WebSocket, WebSocketLimits


class Wire:
    """A byte stream in memory: gives `pieces`, keeps what is written."""

    def __init__(self, pieces):
        self.pieces = list(pieces)
        self.written = bytearray()
        self.is_closed = False

    async def read(self):
        return self.pieces.pop(0) if self.pieces and not self.is_closed else b""

    async def write(self, data):
        if self.is_closed:
            raise ConnectionResetError
        self.written += data

    def close(self):
        self.is_closed = True


LIMITS = WebSocketLimits(frame_bytes=256, message_bytes=1024)


async def converse(pieces):
    wire, messages = Wire(pieces), []
    session = WebSocket(wire, LIMITS, lambda: 0.0)
    while (message := await session.receive()) is not None:
        messages.append(message)
    return wire, session, messages


@st.composite
def frames(draw):
    """Mostly frames, with every bit of their heads open."""
    payload = draw(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
    opcode = draw(st.sampled_from([0, 1, 2, 8, 9, 10]) | st.integers(0, 15))
    first = (draw(st.sampled_from([0x80, 0x80, 0x00])) | draw(st.sampled_from([0, 0, 0, 0x40, 0x10]))) | opcode
    length = draw(st.just(len(payload)) | st.integers(0, 1 << 63))
    short = length if length < 126 and length == len(payload) else 126 if length < 65_536 else 127
    size = b"" if short < 126 else struct.pack("!H", length) if short == 126 else struct.pack("!Q", length)
    is_masked = draw(st.sampled_from([True, True, True, False]))
    key = draw(st.binary(min_size=4, max_size=4)) if is_masked else b""
    masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload)) if is_masked else payload
    return bytes([first, (0x80 if is_masked else 0) | short]) + size + key + masked


def cut(data, at):
    return [piece for piece in (data[:at], data[at:]) if piece]


@settings(max_examples=500, deadline=None)
@given(st.lists(frames() | st.binary(max_size=40), max_size=8), st.integers(0, 400))
def test_a_session_survives_any_bytes(pieces, at):
    wire, session, messages = asyncio.run(converse(cut(b"".join(pieces), at)))
    assert wire.is_closed and not session.is_open
    assert all(len(message.encode() if isinstance(message, str) else message) <= LIMITS.message_bytes for message in messages)
    assert 1000 <= session.close_code <= 4999
    client = Connection(ConnectionType.CLIENT)  # what was said is the protocol's, to its last byte
    client.receive_data(bytes(wire.written))
    closes = [event for event in client.events() if isinstance(event, CloseConnection)]
    assert len(closes) <= 1 and all(int(each.code) not in (1006, 1015) for each in closes)
    if closes and session.close_code != 1005:
        assert int(closes[0].code) == session.close_code


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=10), st.data())
def test_a_text_comes_whole_however_it_is_cut(parts, data):
    text = "".join(parts)[:200]
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    edges = [0, *cuts, len(raw)]
    made = b""
    for index, (start, end) in enumerate(itertools.pairwise(edges)):
        is_last = index == len(edges) - 2
        piece = raw[start:end]
        head = bytes([(0x80 if is_last else 0) | (0 if index else 1)])
        size = bytes([0x80 | len(piece)]) if len(piece) < 126 else b"\xfe" + struct.pack("!H", len(piece))
        made += head + size + b"\0\0\0\0" + piece
    step = data.draw(st.integers(1, 50))
    if len(raw) <= LIMITS.frame_bytes:
        _, _, messages = asyncio.run(converse([made[at : at + step] for at in range(0, len(made), step)]))
        assert messages == [text]
