"""Messages between the node and a runtime: 1 byte of kind, 4 of the head's length, 4 of the body's, then both.

The head is JSON, the body whatever it is. What comes from a runtime is hostile until proven otherwise: lengths are bounded before
anything is gathered.
"""

import struct
from typing import Any

import orjson

INVOKE, RESULT, ERROR, READY, INIT_ERROR, SPECIALISE, PART, INPUT = 1, 2, 3, 4, 5, 6, 7, 8

_START = struct.Struct(">BII")
_MAX_HEAD_BYTES = 64 << 10
_MAX_BODY_BYTES = 8 << 20

Frame = tuple[int, dict[str, Any], bytes]


class ProtocolError(Exception):
    """The other side sent what is no frame."""


def encode(kind: int, head: dict[str, Any], body: bytes) -> bytes:
    packed = orjson.dumps(head)
    return _START.pack(kind, len(packed), len(body)) + packed + body


class Decoder:
    """Frames from a stream that comes in pieces. Nearly always one piece is one frame, and nothing is copied together."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._missing = 0
        """How much must come before there can be another frame, where something is kept."""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now. Raises ProtocolError; then nothing more can be read from this stream."""
        if self._kept:
            self._kept.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return []
            data, self._kept = b"".join(self._kept), []
        found: list[Frame] = []
        start, size = 0, len(data)
        while start < size:
            if size - start < _START.size:
                return self._wait(data, start, start + _START.size, found)
            kind, head_size, body_size = _START.unpack_from(data, start)
            if head_size > _MAX_HEAD_BYTES or body_size > _MAX_BODY_BYTES or not INVOKE <= kind <= PART:
                raise ProtocolError(f"a frame of kind {kind} with {head_size} + {body_size} bytes")
            body_at = start + _START.size + head_size
            end = body_at + body_size
            if end > size:
                return self._wait(data, start, end, found)
            try:
                head = orjson.loads(data[start + _START.size : body_at])
            except ValueError as error:
                raise ProtocolError("a frame whose head is not JSON") from error
            if not isinstance(head, dict):
                raise ProtocolError("a frame whose head is no object")
            found.append((kind, head, data[body_at:end]))
            start = end
        return found

    def _wait(self, data: bytes, start: int, end: int, found: list[Frame]) -> list[Frame]:
        self._kept, self._missing = [data[start:]], end - len(data)
        return found
