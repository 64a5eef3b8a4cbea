"""Asynchronous events: accepted durably, retried, settled, delivered."""

import asyncio
import json

import pytest

from cumulet.core.clock import ManualClock
from cumulet.delivery.targets import Targets
from cumulet.invoke.asynchronous import DurableAsyncInvoker
from cumulet.invoke.contract import AsyncSettings, Invocation, InvocationResult
from cumulet.invoke.faults import TooManyRequests
from cumulet.runtimes.contract import FunctionSpec
from cumulet.services.functions.errors import ResourceNotFound
from cumulet.store.memory import MemoryStore
from cumulet.tenancy.quotas import Quota, Quotas

SPEC = FunctionSpec("000000000000", "r", "f", "id", "$LATEST", "c", "python3.11", "h", "code", "arn:aws:iam::000000000000:role/r")


class Scripted:
    """An invoker whose outcomes are told beforehand: True, False (the function fails), or a Fault."""

    def __init__(self, *outcomes):
        self.outcomes, self.calls = list(outcomes), []

    async def invoke(self, spec, invocation):
        self.calls.append(invocation)
        outcome = self.outcomes.pop(0) if self.outcomes else True
        if isinstance(outcome, Exception):
            raise outcome
        return InvocationResult(b'"done"', "$LATEST", None if outcome else "Unhandled")


class World:
    def __init__(self, *outcomes, settings=None, quota=None):
        self.quotas = Quotas(quota or Quota())
        self.store, self.clock, self.invoker, self.targets = MemoryStore(), ManualClock(), Scripted(*outcomes), Targets()
        self.settings, self.delivered, self.is_gone = settings or AsyncSettings(), [], False
        self.targets.register("sqs", self._deliver)
        self.open()

    async def _deliver(self, arn, document):
        self.delivered.append((str(arn), json.loads(document)))

    async def _resolve(self, account, region, name, qualifier):
        if self.is_gone:
            raise ResourceNotFound("gone")
        return SPEC, self.settings

    def open(self):
        self.asynchronous = DurableAsyncInvoker(self.store, self.clock, self.invoker, self._resolve, self.targets, self.quotas)
        self.stop = asyncio.Event()

    async def __aenter__(self):
        self.running = asyncio.create_task(self.asynchronous.run(self.stop))
        return self

    async def __aexit__(self, *_):
        self.stop.set()
        await self.running

    async def accept(self, payload=b'{"a": 1}', account="000000000000", id="req"):
        await self.asynchronous.accept(
            account=account, region="r", name="f", qualifier=None, invocation=Invocation(id, payload, SPEC.function_arn)
        )

    async def settle(self):
        for _ in range(30):
            await asyncio.sleep(0)

    async def pass_time(self, seconds):
        self.clock.advance(seconds=seconds)
        self.asynchronous.wake()
        await self.settle()

    async def kept(self):
        return await self.store.read("async/000000000000/r", lambda reader: len(list(reader.scan(b""))))


async def test_an_accepted_event_runs_once_and_is_forgotten():
    async with World() as world:
        await world.accept()
        await world.settle()
        assert [call.payload for call in world.invoker.calls] == [b'{"a": 1}']
        assert await world.kept() == 0


async def test_a_failing_function_is_retried_after_one_and_two_minutes():
    async with World(False, False, True) as world:
        await world.accept()
        await world.settle()
        assert len(world.invoker.calls) == 1
        await world.pass_time(59)
        assert len(world.invoker.calls) == 1
        await world.pass_time(1)
        assert len(world.invoker.calls) == 2
        await world.pass_time(119)
        assert len(world.invoker.calls) == 2
        await world.pass_time(1)
        assert len(world.invoker.calls) == 3
        assert {call.request_id for call in world.invoker.calls} == {"req"}
        assert await world.kept() == 0


@pytest.mark.parametrize("quota", [Quota(waiting_events=2), Quota(waiting_event_bytes=20)])
async def test_an_account_that_has_too_many_events_waiting_is_refused_until_some_are_settled(quota):
    async with World(False, False, False, quota=quota) as world:
        for id in ("first", "second"):
            await world.accept(id=id)
        for _ in range(2):
            with pytest.raises(TooManyRequests):
                await world.accept(id="third")
        await world.accept(account="111111111111", id="another")
        await world.settle()
    world.open()  # as after a crash: what waits is known again
    await world.asynchronous.open()
    with pytest.raises(TooManyRequests):
        await world.accept(id="third")
    async with world:
        await world.pass_time(61)
        assert await world.kept() == 0 and world.asynchronous.backlog == 0
        await world.accept(id="third")


async def test_events_for_which_memory_has_no_room_run_from_the_store(monkeypatch):
    monkeypatch.setattr("cumulet.invoke.backlog.MOST_HELD_BYTES", 10)
    async with World(False) as world:
        payloads = [b'{"n": %d}' % n for n in range(5)]
        for n, payload in enumerate(payloads):
            await world.accept(payload, id=f"req-{n}")
        await world.settle()
        await world.pass_time(61)
        assert sorted(call.payload for call in world.invoker.calls) == sorted([payloads[0], *payloads])
        assert await world.kept() == 0 and world.asynchronous._backlog._held_bytes == 0


async def test_throttled_events_back_off_without_using_up_retries():
    refusals = [TooManyRequests("ConcurrentInvocationLimitExceeded") for _ in range(4)]
    async with World(*refusals, True) as world:
        await world.accept()
        await world.settle()
        for tries, pause_s in ((2, 1), (3, 2), (4, 4), (5, 8)):
            await world.pass_time(pause_s - 0.5)
            assert len(world.invoker.calls) == tries - 1
            await world.pass_time(0.5)
            assert len(world.invoker.calls) == tries
        assert await world.kept() == 0


async def test_the_last_failure_goes_to_the_destination_and_the_dead_letter_queue():
    settings = AsyncSettings(
        maximum_retries=0, on_failure="arn:aws:sqs:r:000000000000:failed", dead_letter="arn:aws:sqs:r:000000000000:dead"
    )
    async with World(False, settings=settings) as world:
        await world.accept()
        await world.settle()
        records = dict(world.delivered)
        failed = records["arn:aws:sqs:r:000000000000:failed"]
        assert (
            failed["requestContext"]["condition"] == "RetriesExhausted" and failed["requestContext"]["approximateInvokeCount"] == 1
        )
        assert failed["requestPayload"] == {"a": 1} and failed["responseContext"]["functionError"] == "Unhandled"
        assert records["arn:aws:sqs:r:000000000000:dead"] == {"a": 1}
        assert await world.kept() == 0


async def test_success_goes_to_its_destination():
    async with World(settings=AsyncSettings(on_success="arn:aws:sqs:r:000000000000:well")) as world:
        await world.accept()
        await world.settle()
        ((_, record),) = world.delivered
        assert (record["requestContext"]["condition"], record["responsePayload"]) == ("Success", "done")


async def test_an_event_that_is_too_old_is_not_run():
    settings = AsyncSettings(maximum_age_s=60, on_failure="arn:aws:sqs:r:000000000000:failed")
    async with World(False, settings=settings) as world:
        await world.accept()
        await world.settle()
        await world.pass_time(61)
        assert len(world.invoker.calls) == 1
        assert world.delivered[0][1]["requestContext"]["condition"] == "EventAgeExceeded"


async def test_an_event_of_a_deleted_function_is_dropped():
    async with World() as world:
        world.is_gone = True
        await world.accept()
        await world.settle()
        assert world.invoker.calls == [] and await world.kept() == 0


@pytest.mark.parametrize("is_running", [True, False])
async def test_what_was_accepted_survives_the_node(is_running):
    """A node that is killed leaves the store as it was: waiting events, and those that ran."""
    world = World()
    if is_running:
        started = asyncio.Event()

        async def hang(spec, invocation):
            started.set()
            await asyncio.sleep(3600)

        world.invoker.invoke = hang
        running = asyncio.create_task(world.asynchronous.run(world.stop))
        await world.accept()
        await started.wait()
        for task in world.asynchronous._running:
            task.cancel()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    else:
        await world.accept()
    world.invoker = Scripted()
    world.open()
    await world.asynchronous.open()
    async with world:
        await world.settle()
        assert [call.request_id for call in world.invoker.calls] == ["req"]
        assert await world.kept() == 0


async def test_a_delivery_that_fails_is_kept_and_one_without_a_target_is_given_up():
    world = World(settings=AsyncSettings(on_success="arn:aws:nowhere:r:000000000000:x"))
    async with world:
        await world.accept()
        await world.settle()
        assert world.delivered == [] and await world.kept() == 0
    failing = World(settings=AsyncSettings(on_success="arn:aws:sqs:r:000000000000:x"))

    async def refuse(arn, document):
        raise TooManyRequests("later")

    failing.targets.register("sqs", refuse)
    async with failing:
        await failing.accept()
        await failing.settle()
        assert await failing.kept() == 1
    failing.targets.register("sqs", failing._deliver)
    failing.open()
    await failing.asynchronous.open()
    async with failing:
        await failing.settle()
        assert len(failing.delivered) == 1 and await failing.kept() == 0
