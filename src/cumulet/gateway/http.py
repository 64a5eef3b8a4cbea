"""The HTTP server: its sockets, what all connections together may take, the timer that ends the slow ones, and the end.

Knows nothing of AWS, services or paths; how one connection speaks is `http1.py`'s affair or `http2.py`'s.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from email.utils import formatdate
from pathlib import Path
from typing import Protocol

from cumulet.core.http import Request, Response
from cumulet.gateway.http1 import Connection
from cumulet.gateway.http_limits import HttpLimits
from cumulet.gateway.spool import Spool

__all__ = ["Handle", "HttpLimits", "HttpServer"]

log = logging.getLogger("cumulet.http")

Handle = Callable[[Request], Awaitable[Response]]
"""Answers one request. Must not raise: what it cannot answer is a 500 of its own making."""

_BACKLOG = 1024
_PAUSE_S = 0.1


class Client(Protocol):
    """One connection, as the server sees it. A deadline is a time of the server's clock; once it has passed, `expire` is called."""

    write_deadline: float

    @property
    def read_deadline(self) -> float: ...

    def expire(self) -> None: ...

    def close_when_idle(self) -> None: ...

    def abort(self) -> None: ...


class HttpServer:
    """All connections of a node, on one or more addresses. Large bodies wait in `spool_folder`; None: in memory."""

    def __init__(self, handle: Handle, limits: HttpLimits | None = None, spool_folder: Path | None = None) -> None:
        self.handle = handle
        self._spool_folder = spool_folder
        self.limits = limits or HttpLimits()
        self.connections: set[Client] = set()
        self.bodies_bytes = 0
        self.is_draining = False
        self.now = 0.0
        self.date = ""
        self._listeners: list[asyncio.Server] = []
        self._tls: list[tuple[socket.socket, ssl.SSLContext]] = []
        self._accepting: set[asyncio.Task[None]] = set()
        self._handshakes = 0
        self._emptied: asyncio.Event = asyncio.Event()

    async def bind(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Take an address, without answering yet; returns the port. Raises OSError when it cannot be had."""
        loop = asyncio.get_running_loop()
        if tls is not None:
            listener = await _listener(host, port)
            self._tls.append((listener, tls))
            return int(listener.getsockname()[1])
        server = await loop.create_server(lambda: Connection(self), host, port, backlog=_BACKLOG, start_serving=False)
        self._listeners.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Begin to answer."""
        self._tick()
        for server in self._listeners:
            await server.start_serving()
        for listener, context in self._tls:
            listener.listen(_BACKLOG)
            self._spawn(self._accept(listener, context))

    async def sweep(self) -> None:
        """End what is past its deadline, for ever: as exactly as this loop steps, half a second, or less for small limits."""
        step = min(0.5, self.limits.head_s / 4, self.limits.stall_s / 4, self.limits.idle_s / 4)
        while True:
            await asyncio.sleep(step)
            self._tick()
            for connection in [c for c in self.connections if min(c.read_deadline, c.write_deadline) < self.now]:
                connection.expire()

    async def stop(self, drain_s: float) -> None:
        """Accept nothing more, finish what is in flight within `drain_s`, then cut the rest."""
        self.is_draining = True
        for server in self._listeners:
            server.close()
        for task in self._accepting:
            task.cancel()
        for listener, _ in self._tls:
            listener.close()
        for connection in list(self.connections):
            connection.close_when_idle()
        if self.connections:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), drain_s)
        for connection in list(self.connections):
            connection.abort()

    async def answer(self, request: Request) -> Response:
        """The handler's answer, whatever happens."""
        try:
            return await self.handle(request)
        except Exception:
            log.exception("a handler let an exception through")
            return Response(500)

    def new_spool(self) -> Spool:
        """For a body that comes in pieces."""
        return Spool(self._spool_folder, self.limits.spooled_bytes)

    def forget(self, connection: Client) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    # TLS: accepted here, so that a client is counted before its handshake, which costs more than most requests

    async def _accept(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError:  # out of file descriptors, most likely: others must end first
                await asyncio.sleep(_PAUSE_S)
                continue
            if len(self.connections) + self._handshakes >= self.limits.connections:
                client.close()
                continue
            self._handshakes += 1
            self._spawn(self._shake_hands(client, context))

    async def _shake_hands(self, client: socket.socket, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                lambda: Connection(self), client, ssl=context, ssl_handshake_timeout=self.limits.head_s, ssl_shutdown_timeout=3.0
            )
        except (OSError, EOFError):  # no TLS, no certificate that it likes, or it went: the client's affair
            client.close()
        finally:
            self._handshakes -= 1

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    def _tick(self) -> None:
        self.now = time.monotonic()
        self.date = f"Date: {formatdate(usegmt=True)}\r\n"


async def _listener(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
