"""A client's half of HTTP/1.1, as much as it takes to talk to a program over loopback: one request after the other on a connection.

The program is the user's own and the process that uses this is confined with it, so limits are here for order, not for safety.
"""

import select
import socket
import threading
from typing import Any, List, Optional, Tuple

Headers = List[Tuple[str, str]]
_MOST_LINE_BYTES = 1 << 16
_MOST_HEADERS = 1000
_PART_BYTES = 1 << 16
_SENT_AT_ONCE_BYTES = 1 << 16


class HttpError(Exception):
    """The program did not answer in HTTP."""


class Connection:
    """One connection. Every response has to be read to its end before the next request."""

    def __init__(self, address: Tuple[str, int], timeout_s: Optional[float] = None) -> None:
        self.sock = socket.create_connection(address, timeout_s)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream: Any = self.sock.makefile("rb", buffering=_PART_BYTES)

    def is_usable(self) -> bool:
        """An idle connection on which anything came has been closed by the other end."""
        return not select.select([self.sock], [], [], 0)[0]

    def ask(self, method: str, target: str, headers: Headers, body: bytes) -> "Response":
        """Send a request, and return when the head of the response is there. Raises HttpError and OSError."""
        lines = ["%s %s HTTP/1.1" % (method, target), *("%s: %s" % header for header in headers)]
        head = ("\r\n".join(_one_line(line) for line in lines) + "\r\n\r\n").encode("latin-1", "replace")
        if len(body) <= _SENT_AT_ONCE_BYTES:
            self._send(head + body)
        else:  # a program may answer while it reads, and wait for its answer to be taken
            threading.Thread(target=self._send, args=(head + body,), daemon=True).start()
        return Response(self.stream, method)

    def close(self) -> None:
        self.stream.close()
        self.sock.close()

    def _send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # the program may have answered without reading all; if not, reading tells


class Response:
    """A response whose head has been read. `is_reusable`: once it is read to its end, another request may follow."""

    def __init__(self, stream: Any, method: str) -> None:
        self._stream = stream
        while True:
            version, self.status = self._status_line()
            self.headers = self._header_lines()
            if not 100 <= self.status < 200 or self.status == 101:
                break
        self._is_chunked = "chunked" in self._header("transfer-encoding").lower()
        self._left: Optional[int] = None
        length = self._header("content-length")
        if method == "HEAD" or self.status in (101, 204, 304):
            self._left, self._is_chunked = 0, False
        elif self._is_chunked:
            self._left = 0
        elif length:
            if not length.isdigit():
                raise HttpError("a Content-Length that is no number: %r" % length)
            self._left = int(length)
        wants_to_close = "close" in self._header("connection").lower()
        self.is_reusable = version == "HTTP/1.1" and not wants_to_close and (self._is_chunked or self._left is not None)

    def read(self) -> bytes:
        """What comes next of the body; b"" at its end. Raises HttpError when it breaks off."""
        if self._is_chunked and self._left == 0:
            self._begin_chunk()
        if self._left == 0:
            return b""
        part: bytes = self._stream.read1(_PART_BYTES if self._left is None else min(self._left, _PART_BYTES))
        if self._left is not None:
            if not part:
                raise HttpError("the response broke off")
            self._left -= len(part)
            if self._is_chunked and self._left == 0:
                self._line()
        return part

    def _begin_chunk(self) -> None:
        size = self._line().partition(";")[0].strip()
        try:
            self._left = int(size, 16)
        except ValueError:
            raise HttpError("a chunk whose size is no number: %r" % size)
        if self._left == 0:
            self._is_chunked = False
            self._header_lines()  # trailers

    def _header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name)

    def _status_line(self) -> Tuple[str, int]:
        line = self._line()
        version, _, rest = line.partition(" ")
        status = rest[:3]
        if not version.startswith("HTTP/1.") or not status.isdigit():
            raise HttpError("not HTTP: %r" % line[:80])
        return version, int(status)

    def _header_lines(self) -> Headers:
        found: Headers = []
        while True:
            line = self._line()
            if not line:
                return found
            name, colon, value = line.partition(":")
            if not colon or len(found) >= _MOST_HEADERS:
                raise HttpError("not a header: %r" % line[:80])
            found.append((name.strip(), value.strip()))

    def _line(self) -> str:
        line: bytes = self._stream.readline(_MOST_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise HttpError("the connection was closed" if not line else "a line that is too long, or not whole")
        return line.rstrip(b"\r\n").decode("latin-1")


def _one_line(text: str) -> str:
    """What would end a line early is no part of it."""
    return text.replace("\r", " ").replace("\n", " ")
