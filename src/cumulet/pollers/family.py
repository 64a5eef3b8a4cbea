"""All loops of a node: one for each enabled mapping whose source this node reads, begun and ended as mappings change."""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from cumulet.core.clock import Clock
from cumulet.delivery.outbox import Outbox
from cumulet.delivery.targets import Targets
from cumulet.invoke.contract import Invoker, Resolve
from cumulet.pollers.contract import NoSuchStream, SourceMapping, Sources
from cumulet.pollers.storage import PollerStorage
from cumulet.pollers.stream_loop import NOTHING_YET, StreamLoop, Surroundings, begin
from cumulet.store.contract import Store


@dataclass(slots=True)
class _Work:
    """The newest loop of a mapping. The one before it ends first, so that no batch runs twice at once."""

    task: "asyncio.Task[None]"
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    loop: StreamLoop | None = None


class Pollers:
    """Told of mappings by `open`, `changed` and `removed`."""

    def __init__(self, store: Store, clock: Clock, invoker: Invoker, resolve: Resolve, targets: Targets, sources: Sources) -> None:
        self._sources = sources
        self._outbox = Outbox(store, targets)
        self._storage = PollerStorage(store, self._outbox)
        self._results: dict[str, str] = {}
        self._node = Surroundings(self._storage, clock, invoker, resolve, self._results.__setitem__)
        self._mappings: dict[str, SourceMapping] = {}
        self._works: dict[str, _Work] = {}
        self._group: asyncio.TaskGroup | None = None

    async def open(self, mappings: Iterable[SourceMapping]) -> None:
        """Take up all mappings that there are, and the deliveries that an earlier run left."""
        await self._storage.recover()
        for mapping in mappings:
            self._mappings[mapping.uuid] = mapping
            result = await self._storage.last_result(mapping)
            if result is not None:
                self._results[mapping.uuid] = result

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; what is under way is waited for and settled. A loop that breaks is raised here."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for mapping in self._mappings.values():
                    self._start(mapping)
                await stop.wait()
                self._group = None
                for work in self._works.values():
                    work.stop.set()
        finally:
            self._group = None
            await self._outbox.close()

    def wake(self) -> None:
        """Look again at what is due: for a clock that was moved."""
        for work in self._works.values():
            if work.loop is not None:
                work.loop.wake()

    def has_poller(self, kind: str) -> bool:
        """Whether this node reads sources of that service (`dynamodb`)."""
        return self._sources.has(kind)

    async def exists(self, source_arn: str) -> bool:
        """False when the source is of a service that this node reads, and isn't there."""
        source = self._sources.find(source_arn)
        if source is None:
            return True
        try:
            await source.shards(source_arn)
        except NoSuchStream:
            return False
        return True

    def last_result(self, uuid: str) -> str:
        """In words, as the mapping's LastProcessingResult."""
        return self._results.get(uuid, NOTHING_YET)

    async def changed(self, mapping: SourceMapping) -> None:
        """A mapping is new or changed: returns when its starting position is durable, so that nothing after this is missed."""
        self._mappings[mapping.uuid] = mapping
        source = self._sources.find(mapping.source_arn)
        if source is not None and mapping.is_enabled:
            with contextlib.suppress(NoSuchStream):  # its loop says so
                await begin(mapping, source, self._storage)
        self._start(mapping)

    async def removed(self, mapping: SourceMapping) -> None:
        """A mapping is gone: so is, after its last batch, what was kept of it."""
        self._mappings.pop(mapping.uuid, None)
        self._results.pop(mapping.uuid, None)
        if self._group is not None:
            before = self._end(mapping.uuid)
            self._group.create_task(self._forget(mapping, before))

    def _start(self, mapping: SourceMapping) -> None:
        if self._group is None:
            return
        before = self._end(mapping.uuid)
        source = self._sources.find(mapping.source_arn)
        if source is None or not mapping.is_enabled:
            return
        stop, loop = asyncio.Event(), StreamLoop(mapping, source, self._node)
        task = self._group.create_task(_run_after(before, loop, stop))
        self._works[mapping.uuid] = _Work(task, stop, loop)

    def _end(self, uuid: str) -> "asyncio.Task[None] | None":
        """Tell the mapping's loop to stop; its task, when there is one."""
        work = self._works.get(uuid)
        if work is None:
            return None
        work.stop.set()
        return work.task

    async def _forget(self, mapping: SourceMapping, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait((before,))
        self._works.pop(mapping.uuid, None)
        await self._storage.forget(mapping)


async def _run_after(before: "asyncio.Task[None] | None", loop: StreamLoop, stop: asyncio.Event) -> None:
    if before is not None:
        await asyncio.wait((before,))
    await loop.run(stop)
