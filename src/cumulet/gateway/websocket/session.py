"""One WebSocket after its handshake: whole messages both ways over a byte stream, with limits on all that a client can make grow.

The framing is wsproto's; here are the answers that the protocol wants (pongs, the other half of a close), what is too much, and
when a session is over. A session has no task and no timer of its own: whoever receives runs it, and `check` is asked now and then.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from wsproto.connection import Connection as Wire
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from cumulet.core.http import ByteStream

NORMAL, GOING_AWAY, UNSUPPORTED, ABNORMAL, POLICY, TOO_BIG = 1000, 1001, 1003, 1006, 1008, 1009


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """API Gateway's own. `unsent_bytes` is what may wait for a client that does not read, beyond the socket's buffers."""

    frame_bytes: int = 32 * 1024
    message_bytes: int = 128 * 1024
    unsent_bytes: int = 256 * 1024
    idle_s: float = 600.0
    life_s: float = 7200.0
    closing_s: float = 5.0


class ClientTooSlow(Exception):
    """So much waits for the client already that no more is taken."""


class WebSocket:
    """`monotonic_s` is the clock's. `close_code` and `close_reason` say how it ended: the client's word, or ours if it had none."""

    __slots__ = (
        "_close_by_s", "_frame_bytes", "_is_over", "_limits", "_message_bytes", "_monotonic_s", "_opened_s", "_pieces", "_stream",
        "_unsent_bytes", "_wire", "active_s", "close_code", "close_reason",
    )  # fmt: skip

    def __init__(self, stream: ByteStream, limits: WebSocketLimits, monotonic_s: Callable[[], float]) -> None:
        self.close_code = ABNORMAL
        self.close_reason = ""
        self.active_s = self._opened_s = monotonic_s()
        self._stream = stream
        self._limits = limits
        self._monotonic_s = monotonic_s
        self._wire = Wire(ConnectionType.SERVER)
        self._pieces: list[str | bytes] = []
        self._frame_bytes = self._message_bytes = self._unsent_bytes = 0
        self._close_by_s = float("inf")
        self._is_over = False

    @property
    def is_open(self) -> bool:
        return not self._is_over and self._wire.state is ConnectionState.OPEN

    async def receive(self) -> str | bytes | None:
        """The next whole message; None when the session is over, whoever ended it."""
        while True:
            for event in self._wire.events():
                message = await self._take(event)
                if message is not None or self._is_over:
                    return message
            data = b"" if self._is_over else await self._stream.read()
            if not data:
                self._end()
                return None
            self.active_s = self._monotonic_s()
            self._wire.receive_data(data)

    async def send(self, data: str | bytes) -> None:
        """Send a message, and wait while the client does not take it.

        Raises ConnectionError when the session is over or ending, ClientTooSlow when too much waits.
        """
        if not self.is_open:
            raise ConnectionResetError("the WebSocket is closed")
        if self._unsent_bytes and self._unsent_bytes + len(data) > self._limits.unsent_bytes:
            raise ClientTooSlow
        self.active_s = self._monotonic_s()
        await self._write(TextMessage(data) if isinstance(data, str) else BytesMessage(data))

    async def close(self, code: int, reason: str = "") -> None:
        """Begin to end the session; `receive` tells when the client has agreed, or time is up."""
        if not self.is_open:
            return
        self.close_code, self.close_reason = code, reason
        self._close_by_s = self._monotonic_s() + self._limits.closing_s
        if self._unsent_bytes:
            self._end()  # nobody reads what would be said
            return
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(self._limits.closing_s):
                await self._write(CloseConnection(code, reason or None))

    def is_due(self, now_s: float) -> bool:
        """Whether the session has been silent, or has lasted, too long."""
        return self.is_open and (now_s - self.active_s >= self._limits.idle_s or now_s - self._opened_s >= self._limits.life_s)

    def check_closing(self, now_s: float) -> None:
        """End what a client does not end although it was asked to."""
        if now_s >= self._close_by_s:
            self._end()

    async def _take(self, event: Event) -> str | bytes | None:
        match event:
            case TextMessage() | BytesMessage():
                return await self._take_message(event)
            case Ping():
                if self.is_open:
                    await self._write(event.response())
            case CloseConnection():
                await self._take_close(event)
        return None

    async def _take_message(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        """A piece of a message; the whole when it was the last."""
        data = event.data if isinstance(event.data, str) else bytes(event.data)
        size = len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        self._frame_bytes += size
        self._message_bytes += size
        if self._frame_bytes > self._limits.frame_bytes or self._message_bytes > self._limits.message_bytes:
            await self._fail(TOO_BIG, "")
            return None
        if size:
            self._pieces.append(data)
        if event.frame_finished:
            self._frame_bytes = 0
        if not (event.frame_finished and event.message_finished):
            return None
        whole = self._pieces[0] if len(self._pieces) == 1 else type(data)().join(self._pieces)  # type: ignore[arg-type]
        self._pieces, self._message_bytes = [], 0
        return whole if self.is_open else None

    async def _take_close(self, event: CloseConnection) -> None:
        match self._wire.state:
            case ConnectionState.REMOTE_CLOSING:
                self.close_code, self.close_reason = int(event.code), event.reason or ""
                with contextlib.suppress(ConnectionError):
                    await self._write(event.response())
                self._end()
            case ConnectionState.CLOSED:
                self._end()
            case _:
                await self._fail(int(event.code), event.reason or "")

    async def _fail(self, code: int, reason: str) -> None:
        """What came cannot be gone on with: say why, and hang up."""
        is_open, self.close_code, self.close_reason = self.is_open, code, reason
        if is_open and not self._unsent_bytes:
            with contextlib.suppress(ConnectionError):
                await self._write(CloseConnection(code, reason or None))
        self._end()

    async def _write(self, event: Event) -> None:
        data = self._wire.send(event)
        self._unsent_bytes += len(data)
        try:
            await self._stream.write(data)
        finally:
            self._unsent_bytes -= len(data)

    def _end(self) -> None:
        self._is_over = True
        self._pieces = []
        self._stream.close()
