"""The HTTP server: its sockets, what all connections together may take, the timer that ends the slow ones, and the end.

Knows nothing of AWS, services or paths; how one connection speaks is `http1.py`'s affair or `http2.py`'s.
"""

import asyncio
import contextlib
import functools
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from cumulet.core.http import Request, Response
from cumulet.core.http_dates import http_date
from cumulet.gateway.http1 import Connection
from cumulet.gateway.http_heads import refusal
from cumulet.gateway.http_limits import HttpLimits
from cumulet.gateway.spool import Spool

__all__ = ["Handle", "HttpLimits", "HttpServer"]

log = logging.getLogger("cumulet.http")

Handle = Callable[[Request], Response | Awaitable[Response]]
"""Answers one request, at once where it need not wait. Must not raise: what it cannot answer is a 500 of its own making."""

LOOPBACK = "loopback"
_BACKLOG = 1024
_PAUSE_S = 0.1
_SWEPT = 500
"""How many connections are looked at before others have their turn: a third of a millisecond's work."""


class Client(Protocol):
    """One connection, as the server sees it. A deadline is a time of the server's clock; once it has passed, `expire` is called."""

    write_deadline: float
    source: str
    """Whose share it counts for; "" when nobody's."""

    @property
    def read_deadline(self) -> float: ...

    @property
    def transport(self) -> asyncio.Transport: ...

    def expire(self) -> None: ...

    def close_when_idle(self) -> None: ...

    def abort(self) -> None: ...


class HttpServer:
    """All connections of a node, on one or more addresses. Large bodies wait in `spool_folder`; None: in memory."""

    def __init__(self, handle: Handle, limits: HttpLimits | None = None, spool_folder: Path | None = None) -> None:
        self.handle = handle
        self.loop: asyncio.AbstractEventLoop
        """Kept: to ask for it costs a system call."""
        self._spool_folder = spool_folder
        self.limits = limits or HttpLimits()
        self.connections: set[Client] = set()
        self.bodies_bytes = 0
        self.idle_s = self.limits.idle_s
        self._connected: dict[str, int] = {}
        self._asking: dict[str, int] = {}
        self.is_draining = False
        self.now = 0.0
        self.date = ""
        self._listeners: list[asyncio.Server] = []
        self._tls: list[tuple[socket.socket, ssl.SSLContext]] = []
        self._accepting: set[asyncio.Task[None]] = set()
        self._handshakes = 0
        self._emptied: asyncio.Event = asyncio.Event()
        self._on_closed: dict[asyncio.BaseTransport, Callable[[], None]] = {}

    async def bind(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Take an address, without answering yet; returns the port. Raises OSError when it cannot be had."""
        loop = asyncio.get_running_loop()
        if tls is not None:
            listeners = await _listeners(host, port)
            self._tls += [(listener, tls) for listener in listeners]
            return int(listeners[0].getsockname()[1])
        names: Any = [host.encode("ascii" if host.isascii() else "idna")]  # as text it has Python import its tables of names
        server = await loop.create_server(lambda: Connection(self), names, port, backlog=_BACKLOG, start_serving=False)
        self._listeners.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Begin to answer."""
        self.loop = asyncio.get_running_loop()
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
            everybody = list(self.connections)
            for at in range(0, len(everybody), _SWEPT):
                for connection in everybody[at : at + _SWEPT]:
                    if min(connection.read_deadline, connection.write_deadline) < self.now and connection in self.connections:
                        connection.expire()
                await asyncio.sleep(0)

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

    def answer(self, request: Request, source: str, spool: Spool | None) -> Response | Coroutine[None, None, Response]:
        """The handler's answer, whatever happens: at once where it need not be waited for. `source` is whose share the request
        counts for; `spool` has the body where it is not in the request yet."""
        if source and not self._take(self._asking, source):
            return refusal(429)
        if spool is not None:
            return self._answer_later(self._unspooled(request, spool), source)
        try:
            answer = self.handle(request)
        except Exception:
            answer = _bug()
        if not isinstance(answer, Response):
            return self._answer_later(answer, source)
        if source:
            _give_back(self._asking, source)
        return answer

    async def _answer_later(self, answer: Awaitable[Response], source: str) -> Response:
        try:
            return await answer
        except Exception:
            return _bug()
        finally:
            if source:
                _give_back(self._asking, source)

    async def _unspooled(self, request: Request, spool: Spool) -> Response:
        request.body = await spool.take()
        answer = self.handle(request)
        return answer if isinstance(answer, Response) else await answer

    def source_of(self, source_ip: str) -> str:
        """Whose share an address counts for; "" for those that are not counted."""
        source = source_of(source_ip)
        return "" if source == LOOPBACK and self.limits.is_loopback_free else source

    def admit(self, connection: Client, *, is_counted: bool) -> bool:
        """Count a connection among all, and among its source's unless it is already; whether there is room for it."""
        self.connections.add(connection)
        has_room = is_counted or not connection.source or self._take(self._connected, connection.source)
        if not has_room:
            connection.source = ""
        return has_room and len(self.connections) <= self.limits.connections and not self.is_draining

    def hand_on(self, old: Client, new: Client) -> None:
        """A connection goes on as another object, which takes its place and its share."""
        self.connections.discard(old)
        self.connections.add(new)
        new.source, old.source = old.source, ""

    def _take(self, counts: dict[str, int], source: str) -> bool:
        taken = counts.get(source, 0)
        if taken >= self.limits.each:
            return False
        counts[source] = taken + 1
        return True

    def new_spool(self) -> Spool:
        """For a body that comes in pieces."""
        return Spool(self._spool_folder, self.limits.spooled_bytes)

    def adopt(self, client: socket.socket, on_closed: Callable[[], None]) -> None:
        """Serve a connection, not blocking, that was accepted elsewhere: one from inside a jail."""
        self._spawn(self._serve_adopted(client, on_closed))

    async def _serve_adopted(self, client: socket.socket, on_closed: Callable[[], None]) -> None:
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(self), client)
        except OSError:
            client.close()
            on_closed()
            return
        if transport.is_closing():
            on_closed()
        else:
            self._on_closed[transport] = on_closed

    def forget(self, connection: Client) -> None:
        if self._on_closed and (on_closed := self._on_closed.pop(connection.transport, None)) is not None:
            on_closed()
        self.connections.discard(connection)
        if connection.source:
            _give_back(self._connected, connection.source)
            connection.source = ""
        if not self.connections:
            self._emptied.set()

    # TLS: accepted here, so that a client is counted before its handshake, which costs more than most requests

    async def _accept(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError:  # out of file descriptors, most likely: others must end first
                await asyncio.sleep(_PAUSE_S)
                continue
            source = self.source_of(str(address[0]))
            if len(self.connections) + self._handshakes >= self.limits.connections or not self._may_shake_hands(source):
                client.close()
                continue
            self._handshakes += 1
            self._spawn(self._shake_hands(client, context, source))

    def _may_shake_hands(self, source: str) -> bool:
        return not source or self._take(self._connected, source)

    async def _shake_hands(self, client: socket.socket, context: ssl.SSLContext, source: str) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(self, is_counted=True)
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                lambda: connection, client, ssl=context, ssl_handshake_timeout=self.limits.head_s, ssl_shutdown_timeout=3.0
            )
        except (OSError, EOFError):  # no TLS, no certificate that it likes, or it went: the client's affair
            client.close()
        finally:
            self._handshakes -= 1
            if source and not connection.is_made:
                _give_back(self._connected, source)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    def _tick(self) -> None:
        self.now = time.monotonic()
        self.idle_s = self.limits.idle_s / (5 if len(self.connections) > 0.9 * self.limits.connections else 1)
        self.date = f"Date: {http_date(time.time())}\r\n"


def _bug() -> Response:
    log.exception("a handler let an exception through")
    return Response(500)


def _give_back(counts: dict[str, int], source: str) -> None:
    counts[source] -= 1
    if not counts[source]:
        del counts[source]


@functools.lru_cache(maxsize=4096)
def source_of(source_ip: str) -> str:
    """An address as its share is counted: an IPv6 network of 64 bits is one customer's."""
    if not source_ip:
        return LOOPBACK
    try:
        address = ipaddress.ip_address(source_ip.partition("%")[0])
    except ValueError:
        return source_ip
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif not address.is_loopback:
            return str(ipaddress.IPv6Network((address, 64), strict=False))
    return LOOPBACK if address.is_loopback else str(address)


async def _listeners(host: str, port: int) -> list[socket.socket]:
    """Bound sockets that do not listen yet, one for each address of the host, on one port."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in found:
            listener = socket.socket(family, kind, protocol)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.setblocking(False)
            listener.bind((address[0], port, *address[2:]))
            port = port or int(listener.getsockname()[1])
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners
