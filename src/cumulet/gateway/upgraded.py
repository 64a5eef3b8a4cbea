"""A connection that has left HTTP: the socket's side of a `ByteStream`, and the task that runs the other protocol on it.

Holds little for each connection (there may be thousands, mostly silent) and bounds it both ways: what the client sends ahead of a
reader stops the socket, what the client does not take stops the writer. Has no deadlines of its own: a quiet line is no fault here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from cumulet.core.http import ByteStream

log = logging.getLogger("cumulet.http")

_READ_AHEAD_BYTES = 65_536
_FLUSH_S = 20.0
_LINGER_S = 1.0


class Server(Protocol):
    """What an upgraded connection needs of the server that it was accepted by."""

    now: float

    def forget(self, connection: "UpgradedConnection") -> None: ...


class UpgradedConnection(asyncio.Protocol):
    """One client and the run of its new protocol; given to that run as its `ByteStream`."""

    def __init__(self, server: Server, transport: asyncio.Transport, read_ahead: bytes, *, is_lost: bool) -> None:
        self.read_deadline = float("inf")
        self.write_deadline = float("inf")
        self.source = ""
        self._server = server
        self.transport = transport
        self._pieces = [read_ahead] if read_ahead else []
        self._waiting_bytes = len(read_ahead)
        self._is_reading_paused = True
        self._is_ended = self._is_lost = is_lost
        self._is_closed = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, head: bytes, run: Callable[[ByteStream], Awaitable[None]]) -> None:
        """Send HTTP's last word and run the protocol; afterwards the connection is closed."""
        if not self._is_lost:
            self.transport.set_protocol(self)
            self.transport.write(head)
            if not self._waiting_bytes:
                self._resume_reading()
        self._task = asyncio.get_running_loop().create_task(self._run(run))

    async def _run(self, run: Callable[[ByteStream], Awaitable[None]]) -> None:
        try:
            await run(self)
        except ConnectionError:
            pass  # the client went while it was written to: no news
        except Exception:
            log.exception("an upgraded connection broke")
        finally:
            self._task = None
            self.close()
            self._forget_when_over()

    # The stream

    async def read(self) -> bytes:
        while not self._pieces and not self._is_ended and not self._is_closed:
            self._readable = asyncio.get_running_loop().create_future()
            try:
                await self._readable
            finally:
                self._readable = None
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting_bytes = 0
        if self._is_reading_paused and not self._is_ended:
            self._resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        if self._is_lost or self._is_closed or self.transport.is_closing():
            raise ConnectionResetError("The client is gone")
        self.transport.write(data)
        if self._writable is not None:
            await asyncio.shield(self._writable)  # several may wait for it; one that is cancelled must not wake the others
            if self._is_lost:
                raise ConnectionResetError("The client is gone")

    def close(self) -> None:
        """Ends our half first and reads on for a while: closed with unread bytes, the client might lose what was said last."""
        if self._is_closed or self._is_lost:
            return
        self._is_closed = True
        self._pieces.clear()
        self._wake_reader()
        is_flushed = self.transport.get_write_buffer_size() == 0
        self.read_deadline = self._server.now + (_LINGER_S if is_flushed else _FLUSH_S)
        if self._is_ended or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        if self._is_reading_paused:
            self._resume_reading()

    # The socket

    def data_received(self, data: bytes) -> None:
        if self._is_closed:
            return
        self._pieces.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _READ_AHEAD_BYTES and not self._is_reading_paused:
            self._is_reading_paused = True
            self.transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        self._is_ended = True
        self._wake_reader()
        if self._is_closed:
            return False
        return self.transport.get_extra_info("sslcontext") is None  # the other half stays open, where the transport can do that

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_ended = self._is_lost = True
        self._wake_reader()
        self.resume_writing()
        self._forget_when_over()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _forget_when_over(self) -> None:
        """The server waits for the run as well as for the socket."""
        if self._is_lost and self._task is None:
            self._server.forget(self)

    def _wake_reader(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def _resume_reading(self) -> None:
        self._is_reading_paused = False
        self.transport.resume_reading()

    # The server's timer and its end

    def expire(self) -> None:
        """Closed, and the client still has not taken what was left to send."""
        self.abort()

    def close_when_idle(self) -> None:
        """The node stops: the run is cancelled, after it had its chance to begin."""
        if self._task is not None:
            asyncio.get_running_loop().call_soon(self._task.cancel)

    def abort(self) -> None:
        if not self._is_lost:
            self.transport.abort()
