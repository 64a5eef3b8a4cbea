"""Messages between the node and a runtime: 1 byte of kind, 4 of the head's length, 4 of the body's, then both.

The head is JSON, the body whatever it is. `cumulet.runtimes.frames` is the other end.
"""

import json
import struct
from typing import Any, Dict, Tuple

INVOKE, RESULT, ERROR, READY, INIT_ERROR, SPECIALISE, PART = 1, 2, 3, 4, 5, 6, 7

_START = struct.Struct(">BII")


class Channel:
    """A stream socket's frames, blocking."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._stream = sock.makefile("rb", buffering=1 << 16)

    def receive(self) -> Tuple[int, Dict[str, Any], bytes]:
        """The next frame. Raises EOFError when the node has closed its end."""
        start = self._stream.read(_START.size)
        if len(start) < _START.size:
            raise EOFError
        kind, head_size, body_size = _START.unpack(start)
        head = json.loads(self._stream.read(head_size))
        return kind, head, self._stream.read(body_size)

    def send(self, kind: int, head: Dict[str, Any], body: bytes) -> None:
        packed = json.dumps(head).encode()
        self._sock.sendall(_START.pack(kind, len(packed), len(body)) + packed + body)
