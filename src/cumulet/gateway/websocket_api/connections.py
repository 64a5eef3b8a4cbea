"""The open connections of all WebSocket APIs of this node, and the one loop that ends the silent, the old and the stubborn."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from cumulet.core.clock import Clock
from cumulet.core.place import Place
from cumulet.gateway.websocket.session import GOING_AWAY, NORMAL, ClientTooSlow, WebSocket, WebSocketLimits
from cumulet.gateway.websocket_api.call import Caller

_STEP_S = 1.0


class Connection:
    """A caller and the session with it."""

    __slots__ = ("_clock", "caller", "running", "session")

    def __init__(self, caller: Caller, session: WebSocket, clock: Clock) -> None:
        self.caller = caller
        self.session = session
        self.running: set[asyncio.Task[None]] = set()
        self._clock = clock

    @property
    def place(self) -> Place:
        return self.caller.place

    @property
    def api_id(self) -> str:
        return self.caller.api_id

    @property
    def stage(self) -> str:
        return self.caller.stage

    @property
    def connected_at_ms(self) -> int:
        return self.caller.connected_at_ms

    @property
    def identity(self) -> dict[str, Any]:
        return self.caller.identity

    def active_at_ms(self) -> int:
        return self._clock.now_ms() - int((self._clock.monotonic_s() - self.session.active_s) * 1000)

    async def send(self, data: bytes) -> None:
        """As text where it is text, which is what browsers expect of most APIs. Raises ConnectionError, BufferError."""
        try:
            await self.session.send(as_message(data))
        except ClientTooSlow:
            raise BufferError("the client does not read") from None

    async def close(self) -> None:
        await self.session.close(NORMAL, "Connection Closed Normally")


class Connections:
    """By id. `run` is the loop."""

    def __init__(self, clock: Clock, limits: WebSocketLimits) -> None:
        self.limits = limits
        self._clock = clock
        self._all: dict[str, Connection] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.is_draining = False
        self._served = 0
        self._none_served = asyncio.Event()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> None:
        self._all[connection.caller.id] = connection
        if self.is_draining:
            self._begin_close(connection)

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Around all that a connection brings about, its `$disconnect` included."""
        self._served += 1
        try:
            yield
        finally:
            self._served -= 1
            if not self._served:
                self._none_served.set()

    async def drain(self, wait_s: float) -> None:
        """End all, while the node still answers: functions that are told of it may need its services."""
        self.is_draining = True
        for connection in self:
            self._begin_close(connection)
        if self._served:
            self._none_served.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_served.wait(), wait_s)

    def remove(self, connection: Connection) -> None:
        self._all.pop(connection.caller.id, None)

    def find(self, connection_id: str) -> Connection | None:
        """An open one: a connection that is being closed is gone."""
        found = self._all.get(connection_id)
        return found if found is not None and found.session.is_open else None

    def close_all(self, api_id: str, stages: frozenset[str]) -> None:
        """An API's stages are these now: connections of others have nothing left to talk to."""
        for connection in list(self._all.values()):
            if connection.api_id == api_id and connection.stage not in stages:
                self._begin_close(connection)

    async def run(self, halt: asyncio.Event) -> None:
        step_s = min(_STEP_S, self.limits.idle_s / 4, self.limits.closing_s / 4)
        while not halt.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(halt.wait(), step_s)
            now_s = self._clock.monotonic_s()
            for connection in list(self._all.values()):
                connection.session.check_closing(now_s)
                if connection.session.is_due(now_s):
                    self._begin_close(connection)

    def _begin_close(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(connection.session.close(GOING_AWAY, "Going away"))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._all.values()))


def as_message(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
