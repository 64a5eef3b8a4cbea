"""Messages between the node and a runtime: 1 byte of kind, 4 of the head's length, 4 of the body's, then both.

The head is JSON, the body whatever it is. `cumulet.runtimes.frames` is the other end.
"""

import json
import struct
from typing import Any, Dict, Tuple

from cumulet.guest import documents

INVOKE, RESULT, ERROR, READY, INIT_ERROR, SPECIALISE, PART, INPUT = 1, 2, 3, 4, 5, 6, 7, 8

_START = struct.Struct(">BII")


_RECEIVE_BYTES = 1 << 16


class Channel:
    """A stream socket's frames, blocking."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._received = b""

    def receive(self) -> Tuple[int, Dict[str, Any], bytes]:
        """The next frame. Raises EOFError when the node has closed its end."""
        # Nearly always the one piece that comes is the one frame that is sent, and nothing is copied together.
        data = self._received or self._sock.recv(_RECEIVE_BYTES)
        if len(data) < _START.size:
            data = self._more(data, _START.size)
        kind, head_size, body_size = _START.unpack_from(data)
        body_at = _START.size + head_size
        end = body_at + body_size
        if len(data) < end:
            data = self._more(data, end)
        self._received = data[end:]
        return kind, documents.read(data[_START.size : body_at]), data[body_at:end]

    def _more(self, data: bytes, size: int) -> bytes:
        pieces, missing = [data], size - len(data)
        while missing > 0:
            piece = self._sock.recv(max(_RECEIVE_BYTES, missing))
            if not piece:
                raise EOFError
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def send(self, kind: int, head: Dict[str, Any], body: bytes) -> None:
        self.send_packed(kind, json.dumps(head).encode(), body)

    def send_packed(self, kind: int, head: bytes, body: bytes) -> None:
        """`head` is JSON already."""
        self._sock.sendall(_START.pack(kind, len(head), len(body)) + head + body)
