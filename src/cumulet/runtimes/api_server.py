"""HTTP/1.1 for the programs of one environment: the Runtime, Extensions and Telemetry APIs are asked over it.

Knows no paths. The listening socket was made inside the jail; the node accepts on it, so what asks is hostile until proven
otherwise: heads, bodies and connections are bounded.
"""

import asyncio
import json
import re
import socket
from typing import NamedTuple, Protocol, cast

import httptools

MAX_BODY_BYTES = 6 * 1024 * 1024 + 100
_MAX_HEAD_BYTES = 64 << 10
_MAX_CONNECTIONS = 64
_REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
}


class ApiRequest(NamedTuple):
    """`headers` by lower-case name; `is_too_large`: the body was longer than is kept, and is empty."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    is_too_large: bool = False


class Refusal(Exception):
    """Raised by what handles a request that is answered with an error."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.document = json.dumps({"errorType": error_type, "errorMessage": message}).encode()


class BodySink(Protocol):
    """Takes a request's body as it comes."""

    def feed(self, data: bytes) -> None: ...

    def finish(self, trailers: dict[str, str]) -> None:
        """The body is whole: now answer."""
        ...

    def broken(self) -> None:
        """The connection ended first."""
        ...


class Handler(Protocol):
    """What answers: at once, or later, by `connection.respond`, exactly once for every request. May raise Refusal."""

    def handle(self, request: ApiRequest, connection: "ApiConnection") -> None: ...

    def sink_of(self, request: ApiRequest, connection: "ApiConnection") -> BodySink | None:
        """Where a body that should not be gathered goes; None: gather it, then `handle`."""
        ...

    def disconnected(self, connection: "ApiConnection") -> None: ...


class ApiServer:
    """All connections of one environment."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections: set[ApiConnection] = set()
        self._server: asyncio.Server | None = None

    async def open(self, listener: socket.socket) -> None:
        own = listener.dup()
        own.setblocking(False)
        self._server = await asyncio.get_running_loop().create_server(lambda: ApiConnection(self), sock=own)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()


class ApiConnection(asyncio.Protocol):
    """One connection of a program's. `waits_for` is the handler's own note of what a request that is held open waits for."""

    def __init__(self, server: ApiServer) -> None:
        self.waits_for: object = None
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._keeps_alive = False
        self._sink: BodySink | None = None
        self._is_paused = False
        self._begin()

    def _begin(self) -> None:
        self._url, self._body, self._is_too_large, self._is_in_body = b"", bytearray(), False, False
        self._headers: dict[str, str] = {}
        self._trailers: dict[str, str] = {}
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        if len(self._server.connections) > _MAX_CONNECTIONS:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        if self._sink is not None:
            self._sink.broken()
        self._server.handler.disconnected(self)

    def close(self) -> None:
        self._transport.close()

    def pause(self) -> None:
        """Read no more of the body for now."""
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.respond(400, Refusal(400, "InvalidRequest", "not HTTP").document)
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        (self._trailers if self._is_in_body else self._headers)[name.decode("latin-1").lower()] = value.decode("latin-1")

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > _MAX_HEAD_BYTES:
            raise ValueError("too long a head")

    def on_headers_complete(self) -> None:
        self._is_in_body = True
        self._keeps_alive = self._parser.should_keep_alive()
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._sink = self._server.handler.sink_of(self._request(), self)

    def on_body(self, body: bytes) -> None:
        if self._sink is not None:
            self._sink.feed(body)
        elif len(self._body) + len(body) > MAX_BODY_BYTES:
            self._is_too_large = True
            self._body.clear()
        elif not self._is_too_large:
            self._body += body

    def on_message_complete(self) -> None:
        self._keeps_alive = self._parser.should_keep_alive()  # known only now, and an answer may be long in coming
        request, sink, trailers = self._request(), self._sink, self._trailers
        self._sink = None
        self._begin()
        try:
            if sink is not None:
                sink.finish(trailers)
            else:
                self._server.handler.handle(request, self)
        except Refusal as refusal:
            self.respond(refusal.status, refusal.document)

    def _request(self) -> ApiRequest:
        path = self._url.decode("latin-1").partition("?")[0]
        method = self._parser.get_method().decode("latin-1")
        return ApiRequest(method, path, self._headers, bytes(self._body), self._is_too_large)

    def respond(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """The answer to the request that was handled last. `body` is JSON unless a Content-Type is among the headers."""
        if self._transport.is_closing():
            return
        told = {"Content-Type": "application/json"} | (headers or {})
        told |= {"Connection": "keep-alive" if self._keeps_alive else "close", "Content-Length": str(len(body))}
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        head += "".join(f"{name}: {_header_text(value)}\r\n" for name, value in told.items())
        self._transport.write(head.encode("latin-1") + b"\r\n" + body)
        if not self._keeps_alive:
            self._transport.close()

    def accept(self) -> None:
        self.respond(202, b'{"status":"OK"}\n')


def _header_text(value: str) -> str:
    """A header's value: one line of ASCII. JSON texts stay JSON: what does not fit is escaped as JSON escapes it."""
    return re.sub(r"[^\x20-\x7e]", lambda found: json.dumps(found[0])[1:-1], value)
