"""Parts of a node that are imported and opened after its first answers, or when a request asks for one before.

Importing all services takes longer than everything else that a start is: a node answers calls of functions meanwhile. Imports
run in one thread, never on the event loop, and in small turns with it.
"""

import asyncio
import contextlib
import gc
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from cumulet.core.context import Context
from cumulet.core.errors import NotImplementedFault
from cumulet.core.operations import Handler
from cumulet.gateway.exchange import Service

_PAUSE_S = 0.1
"""For the first requests, which then have the processor for themselves."""
_TURN_S = 0.0005
"""What the event loop waits at most for the thread that imports; the interpreter's own default is ten times that."""


class Loop(Protocol):
    """What goes on beside requests until it is told to stop."""

    async def run(self, stop: asyncio.Event) -> None: ...


class Part(Protocol):
    """What is opened late."""

    @property
    def loops(self) -> Sequence[Loop]: ...

    async def close(self) -> None: ...


T = TypeVar("T")
P = TypeVar("P", bound=Part)


class Importer:
    """One thread, so that one part is imported after the other: two would only wait for each other's modules."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "importer")

    async def load(self, load: Callable[[], T]) -> T:
        """What `load` returns, which imports what it needs for that."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(_in_small_turns, load))


class Late(Generic[P]):
    """`load` imports a part and returns what opens it, on the event loop."""

    def __init__(self, importer: Importer, load: Callable[[], Callable[[], Awaitable[P]]]) -> None:
        self.part: P | None = None
        self._importer = importer
        self._load = load
        self._opening: asyncio.Task[P] | None = None

    async def get(self) -> P:
        """The part, opened once whoever asks first."""
        if self.part is not None:
            return self.part
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def run(self, stop: asyncio.Event) -> None:
        """Open the part unless the node ends before, and run its loops. A part that cannot be opened is raised here."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _PAUSE_S)
        if stop.is_set() and self._opening is None:
            return
        part = await self.get()
        async with asyncio.TaskGroup() as loops:
            for loop in part.loops:
                loops.create_task(loop.run(stop))

    async def close(self) -> None:
        if self.part is not None:
            await self.part.close()

    def service(self, name: str, of: Callable[[P], Mapping[str, Handler]], signing_name: str = "") -> Service:
        """One of its services, as the gateway sees it."""

        async def opened() -> Mapping[str, Handler]:
            return of(await self.get())

        return Service(name, LateHandlers(name, opened), signing_name)

    async def _open(self) -> P:
        put_together = await self._importer.load(self._load)
        self.part = await put_together()
        gc.freeze()  # as at the start: what is there now stays
        return self.part


class LateHandlers:
    """A service's operations by name. A call of one waits until its part is open."""

    def __init__(self, service: str, opened: Callable[[], Awaitable[Mapping[str, Handler]]]) -> None:
        self._service = service
        self._open = opened
        self._opened: Mapping[str, Handler] | None = None

    def get(self, name: str) -> Handler | None:
        return self._opened.get(name) if self._opened is not None else partial(self._first, name)

    async def _first(self, name: str, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        self._opened = await self._open()
        handler = self._opened.get(name)
        if handler is None:
            raise NotImplementedFault(f"This node does not implement {self._service}:{name}")
        return await handler(ctx, req)


def _in_small_turns(load: Callable[[], T]) -> T:
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        return load()
    finally:
        sys.setswitchinterval(before)
