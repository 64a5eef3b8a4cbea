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
    """Frames from a stream that comes in pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now. Raises ProtocolError; then nothing more can be read from this stream."""
        self._buffer += data
        found: list[Frame] = []
        while len(self._buffer) >= _START.size:
            kind, head_size, body_size = _START.unpack_from(self._buffer)
            if head_size > _MAX_HEAD_BYTES or body_size > _MAX_BODY_BYTES or not INVOKE <= kind <= PART:
                raise ProtocolError(f"a frame of kind {kind} with {head_size} + {body_size} bytes")
            end = _START.size + head_size + body_size
            if len(self._buffer) < end:
                break
            try:
                head = orjson.loads(self._buffer[_START.size : _START.size + head_size])
            except ValueError as error:
                raise ProtocolError("a frame whose head is not JSON") from error
            if not isinstance(head, dict):
                raise ProtocolError("a frame whose head is no object")
            found.append((kind, head, bytes(self._buffer[_START.size + head_size : end])))
            del self._buffer[:end]
        return found
