"""The loop of one mapping on a stream: reads ahead, sends what is due, and keeps how far it came. It sleeps until something
arrives, ends or falls due."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.errors import Fault
from cumulet.invoke.contract import Invocation, InvocationResult, Invoker, Resolve
from cumulet.pollers import documents
from cumulet.pollers.contract import NoSuchStream, Shard, SourceMapping, StreamSource
from cumulet.pollers.lanes import Batch, Drop, Lane, NotInvoked, Outcome, Send, Succeeded
from cumulet.pollers.positions import LanePosition, Position
from cumulet.pollers.settings import StreamSettings, settings_of
from cumulet.pollers.shards import ShardWork
from cumulet.pollers.storage import PollerStorage

log = logging.getLogger("cumulet.pollers")

NOTHING_YET = "No records processed"
OK = "OK"
CALL_FAILED = "PROBLEM: Function call failed"
STREAM_GONE = "PROBLEM: Stream not found"
_PAGE = 1000
_LAST_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every loop needs of the node. `note` hears of (mapping's uuid, last processing result)."""

    storage: PollerStorage
    clock: Clock
    invoker: Invoker
    resolve: Resolve
    note: Callable[[str, str], None]


async def begin(mapping: SourceMapping, source: StreamSource, storage: PollerStorage) -> None:
    """Resolve the starting position, once: shards that come later are read from their beginning. Raises NoSuchStream."""
    if await storage.has_begun(mapping):
        return
    starts: dict[str, Position] = {}
    if settings_of(mapping.settings).starts_at == "LATEST":
        for shard in await source.shards(mapping.source_arn):
            newest = await source.newest(mapping.source_arn, shard.id)
            starts[shard.id] = Position((LanePosition(newest),))
    await storage.begin(mapping, starts)


class StreamLoop:
    """See the module's text."""

    def __init__(self, mapping: SourceMapping, source: StreamSource, node: Surroundings) -> None:
        self._mapping = mapping
        self._source = source
        self._node = node
        self._settings = _limited(settings_of(mapping.settings), source.retention_ms)
        self._works: dict[str, ShardWork] = {}
        self._done: set[str] = set()
        self._has_news = True
        self._woken = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    def wake(self) -> None:
        """Look again: records came, or a clock was moved."""
        self._has_news = True
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; then wait for the batches that are under way, and settle them."""
        stopped = asyncio.ensure_future(stop.wait())
        unsubscribe = self._source.subscribe(self._mapping.source_arn, self.wake)
        try:
            self._done = await self._node.storage.done_shards(self._mapping)
            while not stop.is_set() and self._failure is None:
                self._woken.clear()
                await self._look()
                timeout_s = self._start_due()
                woken = asyncio.ensure_future(self._woken.wait())
                await asyncio.wait((stopped, woken), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
        finally:
            unsubscribe()
            stopped.cancel()
            await self._end_running()
        if self._failure is not None:
            raise self._failure

    async def _end_running(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=_LAST_WAIT_S)
        for task in self._running:
            task.cancel()  # its records are sent again by the next run

    async def _look(self) -> None:
        """Read what there is, as far as there is room."""
        try:
            if self._has_news:
                self._has_news = False
                await begin(self._mapping, self._source, self._node.storage)
                await self._open_shards(await self._source.shards(self._mapping.source_arn))
            for work in list(self._works.values()):
                await self._read(work)
        except NoSuchStream:
            self._node.note(self._mapping.uuid, STREAM_GONE)
            for work in self._works.values():
                work.is_dry = True

    async def _open_shards(self, shards: Sequence[Shard]) -> None:
        """Take up shards whose parents are done; forget done ones that the stream no longer has."""
        listed = {shard.id: shard for shard in shards}
        trimmed = self._done - set(listed)
        if trimmed:
            self._done -= trimmed
            await self._node.storage.forget_shards(self._mapping, trimmed)
        for shard in listed.values():
            if shard.id in self._done or (shard.parent in listed and shard.parent not in self._done):
                continue
            work = self._works.get(shard.id)
            if work is None:
                position = await self._node.storage.position(self._mapping, shard.id)
                work = self._works[shard.id] = ShardWork(shard.id, position, self._settings)
            work.is_closed = shard.is_closed
            work.is_dry = False

    async def _read(self, work: ShardWork) -> None:
        while not work.is_dry and work.room:
            limit = min(_PAGE, work.room)
            records = await self._source.read(self._mapping.source_arn, work.id, work.cursor, limit)
            if not records:
                work.is_dry = True
                break
            work.take(records, self._node.clock.now_ms())
        if not work.is_settled:
            return
        await self._checkpoint(work, None)  # filters may have let nothing through
        if work.is_dry and work.is_closed and not work.has_open_window:
            await self._node.storage.note_done(self._mapping, work.id)
            self._done.add(work.id)
            del self._works[work.id]
            self.wake()  # its children may begin

    def _start_due(self) -> float | None:
        """Start what is due; how long until something falls due, None when nothing will by itself."""
        now_ms = self._node.clock.now_ms()
        until: list[int] = []
        for work in self._works.values():
            for lane in work.lanes:
                step = lane.next_step(now_ms, is_dry=work.is_dry)
                if isinstance(step, Send):
                    self._start(self._send(work, lane, step.batch))
                elif isinstance(step, Drop):
                    self._start(self._drop(work, lane, step))
                elif step.until_ms is not None:
                    until.append(step.until_ms)
        return max(0.0, (min(until) - now_ms) / 1000) if until else None

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._woken.set()
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()

    async def _send(self, work: ShardWork, lane: Lane, batch: Batch) -> None:
        """One invocation, and what follows from how it went."""
        request_id = ids.request_id()
        result, outcome = await self._invoke(work, lane, batch, request_id)
        now_ms = self._node.clock.now_ms()
        drop = lane.settle(outcome, now_ms)
        if drop is not None:
            self._note_drop(work, drop, request_id, result)
        await self._checkpoint(work, OK if isinstance(outcome, Succeeded) else CALL_FAILED)
        lane.release()

    async def _invoke(self, work: ShardWork, lane: Lane, batch: Batch, request_id: str) -> tuple[InvocationResult | None, Outcome]:
        mapping = self._mapping
        payload = documents.event(batch, mapping, work.id, self._settings.tumbling_ms, lane.state)
        try:
            spec, _ = await self._node.resolve(mapping.account, mapping.region, mapping.function, mapping.qualifier)
            result = await self._node.invoker.invoke(spec, Invocation(request_id, payload, mapping.function_arn))
        except Fault as fault:
            log.info("a batch of %s waits: %s", mapping.uuid, fault.message)
            return None, NotInvoked()
        return result, documents.outcome(result, batch, self._settings)

    async def _drop(self, work: ShardWork, lane: Lane, drop: Drop) -> None:
        self._note_drop(work, drop, ids.request_id(), None)
        await self._checkpoint(work, CALL_FAILED)
        lane.release()

    def _note_drop(self, work: ShardWork, drop: Drop, request_id: str, result: InvocationResult | None) -> None:
        if self._settings.on_failure is not None:
            now_ms = self._node.clock.now_ms()
            document = documents.failure_record(drop, self._mapping, work.id, request_id, result, now_ms)
            work.outgoing.append((self._settings.on_failure, document))

    async def _checkpoint(self, work: ShardWork, result: str | None) -> None:
        """Make durable how far the shard came, with the deliveries that it caused."""
        if result is not None:
            self._node.note(self._mapping.uuid, result)
        async with work.saving:
            position, outgoing = work.position(), work.outgoing
            if position == work.saved and not outgoing:
                return
            work.outgoing = []
            await self._node.storage.checkpoint(self._mapping, work.id, position, result, outgoing)
            work.saved = position


def _limited(settings: StreamSettings, retention_ms: int) -> StreamSettings:
    """No record is tried for longer than its stream keeps it."""
    return replace(settings, maximum_age_ms=min(settings.maximum_age_ms or retention_ms, retention_ms))
