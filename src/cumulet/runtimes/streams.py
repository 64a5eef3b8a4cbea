"""An answer that is sent while the function still runs: one environment feeds it, one client's response takes it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

MAX_STREAM_BYTES = 200 * 1024 * 1024
"""The most that one answer may stream, as on Lambda."""
HTTP_PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response"
"""The content type of a stream that begins with a JSON object of status and headers, and eight zero bytes."""
TUNNEL_TYPE = "application/vnd.cumulet.tunnel"
"""The content type of a stream that has become a connection both ways: it begins as one with a prelude does."""
_FULL_BYTES = 1 << 20


class ResponseStream:
    """Parts in order, a bounded number of bytes at once. Whoever feeds it stops reading its source while `is_full`, and goes on
    when `on_drained` is called. A client that has gone takes nothing more, and the function runs to its end all the same."""

    takes_streams = True
    """The caller wants an answer as it is made; False: whole, whatever else may come on this stream."""
    most_bytes = MAX_STREAM_BYTES

    def __init__(self) -> None:
        self.content_type = ""
        self.is_begun = False
        self.is_too_large = False
        self.on_drained: Callable[[], None] = lambda: None
        self._parts: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._total_bytes = 0
        self._is_finished = False
        self._is_abandoned = False
        self._changed = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return self._waiting_bytes >= _FULL_BYTES

    def begin(self, content_type: str) -> None:
        """The function has chosen to stream; parts follow, or the end."""
        self.content_type = content_type
        self.is_begun = True
        self._changed.set()

    def feed(self, data: bytes) -> None:
        self._total_bytes += len(data)
        self.is_too_large = self._total_bytes > self.most_bytes
        if data and not self._is_abandoned and not self.is_too_large:
            self._parts.append(data)
            self._waiting_bytes += len(data)
            self._changed.set()

    def finish(self) -> None:
        """Nothing more comes, for whatever reason. May be called twice."""
        self._is_finished = True
        self._changed.set()

    def abandon(self) -> None:
        """Nobody listens any more."""
        self._is_abandoned = True
        self._parts.clear()
        self._waiting_bytes = 0
        self.on_drained()

    async def wait_begun(self) -> bool:
        """True when the function streams; False when it ended without."""
        while not self.is_begun and not self._is_finished:
            self._changed.clear()
            await self._changed.wait()
        return self.is_begun

    async def parts(self) -> AsyncIterator[bytes]:
        """Each part as it comes, until the function has ended."""
        while True:
            while self._parts:
                part = self._parts.popleft()
                was_full = self.is_full
                self._waiting_bytes -= len(part)
                if was_full and not self.is_full:
                    self.on_drained()
                yield part
            if self._is_finished:
                return
            self._changed.clear()
            await self._changed.wait()


class Tunnel(ResponseStream):
    """A stream that the function may turn into a connection both ways, by an answer of the type `TUNNEL_TYPE`. From then on `send`
    takes what the client says, b"" for its end; it waits while the function does not read. It has no limit but time."""

    most_bytes = 1 << 62

    def __init__(self, *, takes_streams: bool) -> None:
        super().__init__()
        self.takes_streams = takes_streams
        self.send: Callable[[bytes], Awaitable[None]] = _to_nobody


async def _to_nobody(data: bytes) -> None:
    pass
