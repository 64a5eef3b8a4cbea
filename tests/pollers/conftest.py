"""Pollers over a source in memory: a second implementation of the stream contract, whose records live in the store's own style."""

import asyncio
import json

import pytest

from cumulet.core.clock import ManualClock
from cumulet.delivery.targets import Targets
from cumulet.invoke.contract import AsyncSettings, InvocationResult
from cumulet.pollers.contract import NoSuchStream, Shard, SourceMapping, Sources, StreamRecord
from cumulet.pollers.family import Pollers
from cumulet.runtimes.contract import FunctionSpec
from cumulet.store.memory import MemoryStore

STREAM = "arn:aws:dynamodb:r:000000000000:table/t/stream/2026"
DEAD = "arn:aws:sqs:r:000000000000:dead"
SPEC = FunctionSpec("000000000000", "r", "f", "id", "$LATEST", "c", "python3.11", "h", "code", "arn:aws:iam::000000000000:role/r")


class MemoryStream:
    """One stream; `reads` counts what it was asked for."""

    retention_ms = 24 * 3600 * 1000

    def __init__(self, clock):
        self.clock, self.records, self.order, self.is_gone, self.reads = clock, {"s0": []}, ["s0"], False, 0
        self.parents, self.closed, self.listeners = {}, set(), set()

    def put(self, n, key="k", shard="s0"):
        sequence = str(1000 + sum(map(len, self.records.values())))
        body = {"eventID": sequence, "n": n, "key": key}
        self.records[shard].append(StreamRecord(sequence, self.clock.now_ms(), key.encode(), body, 50))
        self.tell()

    def tell(self):
        for wake in list(self.listeners):
            wake()

    def split(self, parent, *children):
        self.closed.add(parent)
        for child in children:
            self.records[child], self.parents[child] = [], parent
            self.order.append(child)

    async def shards(self, arn):
        if self.is_gone:
            raise NoSuchStream(arn)
        return [Shard(each, self.parents.get(each), each in self.closed) for each in self.order]

    async def read(self, arn, shard_id, after, limit):
        self.reads += 1
        if self.is_gone:
            raise NoSuchStream(arn)
        return [each for each in self.records[shard_id] if after is None or each.order > int(after)][:limit]

    async def newest(self, arn, shard_id):
        return self.records[shard_id][-1].sequence if self.records[shard_id] else None

    def subscribe(self, arn, wake):
        self.listeners.add(wake)
        return lambda: self.listeners.discard(wake)


class World:
    """`behaviour(event)` is the function; what it returns is its result, what it raises its error, a Fault the invoker's."""

    def __init__(self):
        self.store, self.clock, self.targets = MemoryStore(), ManualClock(), Targets()
        self.stream, self.delivered, self.events = MemoryStream(self.clock), [], []
        self.behaviour = lambda event: None
        self.targets.register("sqs", self._deliver)
        self.mappings = {}
        self.running = None

    async def _deliver(self, arn, document):
        self.delivered.append(json.loads(document))

    async def _resolve(self, account, region, name, qualifier):
        return SPEC, AsyncSettings()

    async def invoke(self, spec, invocation):
        from cumulet.core.errors import Fault

        event = json.loads(invocation.payload)
        self.events.append(event)
        try:
            answer = self.behaviour(event)
            if asyncio.iscoroutine(answer):
                answer = await answer
        except Fault:
            raise
        except Exception as error:
            return InvocationResult(json.dumps({"errorMessage": str(error)}).encode(), "$LATEST", "Unhandled")
        return InvocationResult(json.dumps(answer).encode(), "$LATEST")

    async def start(self):
        sources = Sources()
        sources.register("dynamodb", self.stream)
        self.pollers = Pollers(self.store, self.clock, self, self._resolve, self.targets, sources)
        self.stop = asyncio.Event()
        await self.pollers.open(self.mappings.values())
        self.running = asyncio.create_task(self.pollers.run(self.stop))
        await self.settle()

    async def end(self):
        if self.running is not None:
            self.stop.set()
            running, self.running = self.running, None
            await running

    async def kill(self):
        """As kill -9: nothing more is written, nothing is waited for."""
        running, self.running = self.running, None
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await self.settle()

    async def map(self, uuid="u", *, is_enabled=True, **members):
        mapping = SourceMapping(
            uuid, "000000000000", "r", STREAM, "f", None, is_enabled, {"StartingPosition": "TRIM_HORIZON"} | members
        )
        self.mappings[uuid] = mapping
        await self.pollers.changed(mapping)
        await self.settle()
        return mapping

    async def settle(self):
        for _ in range(60):
            await asyncio.sleep(0)

    async def pass_time(self, seconds):
        self.clock.advance(seconds=seconds)
        self.pollers.wake()
        await self.settle()

    async def put(self, *numbers, key="k"):
        for n in numbers:
            self.stream.put(n, key)
        await self.settle()

    @property
    def batches(self):
        return [[record["n"] for record in event["Records"]] for event in self.events]


@pytest.fixture
async def world():
    made = World()
    await made.start()
    yield made
    await made.end()
