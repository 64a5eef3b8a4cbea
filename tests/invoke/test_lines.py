"""Claims about calls for which there is no environment yet. The invoker is real; its environments are coroutines, its clock is told
the time."""

import asyncio
from dataclasses import replace

import pytest

from cumulet.core.clock import ManualClock
from cumulet.invoke.lines import patience_s

LONG_S = 3600.0


@pytest.fixture
def world(make_bench):
    """Calls that end when they are told to. Starts begin at once and go on when they `may_start`."""

    class World:
        def __init__(self, patience_s=0.0, call_ms=1, **settings):
            self.clock = ManualClock()
            self.bench = make_bench(clock=self.clock, patience_s=patience_s, **settings)
            self.spec = self.bench.define("f", self._run)
            self.may_start = asyncio.Event()
            self.may_start.set()
            self.begun = []
            self.ends = {}
            self.call_ms = call_ms
            start = self.bench.runtimes.start

            async def held(spec, launch, output):
                await self.may_start.wait()
                return await start(spec, replace(launch, is_wanted=lambda: True), output)

            self.bench.runtimes.start = held

        async def _run(self, event, write):
            self.begun.append(event)
            self.ends[event] = asyncio.Event()
            await self.ends[event].wait()
            self.clock.advance(seconds=self.call_ms / 1000)
            return event

        async def call(self, name):
            """Begins it, and lets everything happen that can."""
            call = asyncio.create_task(self.bench.invoke(self.spec, name))
            await self.settle()
            return call

        async def end(self, name):
            self.ends[name].set()
            await self.settle()

        async def settle(self):
            for _ in range(40):
                await asyncio.sleep(0)

        async def warm(self):
            call = await self.call("first")
            await self.end("first")
            await call
            self.begun.clear()

        @property
        def started(self):
            return len(self.bench.runtimes.environments)

    return World


async def test_a_call_takes_an_environment_that_comes_free_before_its_own_has_started(world):
    node = world()
    await node.warm()
    one = await node.call("one")
    node.may_start.clear()
    two = await node.call("two")
    await node.end("one")
    assert node.begun == ["one", "two"] and node.started == 1
    await node.end("two")
    result = await two
    assert not result.is_cold_start and list(result.phases) == ["queue", "invoke"]
    assert not any("Init Duration" in line for line in node.bench.logged[-1:])
    node.may_start.set()
    await one
    await node.settle()
    assert node.bench.invoker.pool.idle == 2, "what was started for it is there for the next"


async def test_what_was_started_for_one_that_needs_it_no_more_goes_to_the_next_in_line(world):
    node = world()
    await node.warm()
    await node.call("one")
    node.may_start.clear()
    for name in ("two", "three"):
        await node.call(name)
    await node.end("one")
    assert node.begun == ["one", "two"]
    node.may_start.set()
    await node.settle()
    assert node.begun == ["one", "two", "three"] and node.started == 3
    for name in ("two", "three"):
        await node.end(name)


async def test_who_came_first_is_served_first(world):
    node = world()
    await node.warm()
    await node.call("0")
    node.may_start.clear()
    calls = [await node.call(str(number)) for number in range(1, 6)]
    for number in range(6):
        await node.end(str(number))
    assert node.begun == [str(number) for number in range(6)] and node.started == 1
    assert [(await call).is_cold_start for call in calls] == [False] * 5
    node.may_start.set()
    await node.settle()


async def test_nothing_is_started_while_short_calls_are_about_to_end(world):
    node = world(patience_s=LONG_S)
    await node.warm()
    await node.call("one")
    two = await node.call("two")
    assert node.started == 1
    await node.end("one")
    await node.end("two")
    assert not (await two).is_cold_start and node.started == 1


async def test_patience_ends(world):
    node = world(patience_s=0.02)
    await node.warm()
    await node.call("one")
    two = await node.call("two")
    async with asyncio.timeout(5):
        while "two" not in node.begun:
            await asyncio.sleep(0.001)
    await node.end("two")
    assert (await two).is_cold_start
    await node.end("one")


async def test_one_is_started_at_once_where_calls_take_long(world):
    node = world(patience_s=1.0, call_ms=2000)
    await node.warm()
    for name in ("one", "two"):
        await node.call(name)
    assert node.begun == ["one", "two"] and node.started == 2
    for name in ("one", "two"):
        await node.end(name)


async def test_who_gives_up_takes_nothing_from_the_line(world):
    node = world(patience_s=LONG_S)
    await node.warm()
    await node.call("one")
    two = await node.call("two")
    three = await node.call("three")
    two.cancel()
    await asyncio.wait((two,))
    await node.end("one")
    assert node.begun == ["one", "three"]
    await node.end("three")
    assert (await three).function_error is None
    assert node.bench.invoker.concurrency.running("000000000000") == 0 and node.bench.invoker.pool.idle == 1


async def test_who_gives_up_just_when_it_is_served_gives_the_environment_on(world):
    node = world(patience_s=LONG_S)
    await node.warm()
    member = node.bench.invoker.pool.lease(node.spec)
    two = await node.call("two")
    three = await node.call("three")
    node.bench.invoker.pool.release(member)
    two.cancel()
    await node.settle()
    assert two.cancelled() and node.begun == ["three"]
    await node.end("three")
    assert not (await three).is_cold_start


async def test_on_a_full_node_calls_follow_each_other_in_one_environment(world):
    node = world(memory_budget_mb=128)
    node.bench.runtimes.peak_mb = 100
    await node.warm()
    await node.call("0")
    calls = [await node.call(str(number)) for number in range(1, 4)]
    for number in range(4):
        await node.end(str(number))
    assert [(await call).is_cold_start for call in calls] == [False] * 3
    assert node.started == 1 and not node.bench.invoker.pool.room.waiting


async def test_an_environment_that_another_account_waits_for_is_not_handed_on(world):
    node = world(memory_budget_mb=128)
    node.bench.runtimes.peak_mb = 100
    other = node.bench.define("other", lambda event, write: "here", account="222222222222")
    await node.warm()
    await node.call("one")
    beside = asyncio.create_task(node.bench.invoke(other))
    await node.settle()
    two = await node.call("two")
    await node.end("one")
    assert (await beside).payload == b'"here"'
    await node.settle()
    await node.end("two")
    assert (await two).is_cold_start


async def test_an_init_that_fails_is_told_to_whom_it_was_for(world, init_error):
    node = world()
    await node.warm()
    await node.call("one")
    node.bench.runtimes.handlers["f"] = init_error()
    two = await node.call("two")
    assert (await two).function_error == "Unhandled"
    await node.end("one")


async def test_calls_that_come_while_one_starts_need_no_more_starts_than_wait_at_once(world):
    node = world()
    await node.warm()
    await node.call("0")
    node.may_start.clear()
    calls = []
    for number in range(1, 20):
        calls.append(await node.call(str(number)))
        await node.end(str(number - 1))
    await node.end("19")
    node.may_start.set()
    await node.settle()
    assert [(await call).is_cold_start for call in calls] == [False] * 19
    assert node.started == 2 and node.bench.invoker.pool.idle == 2


@pytest.mark.parametrize("patience_s", [0.0, 0.001])
async def test_there_are_never_more_environments_than_were_called_at_once(make_bench, patience_s):
    bench = make_bench(clock=ManualClock(), patience_s=patience_s)
    start = bench.runtimes.start

    async def slow_start(*args):
        for _ in range(20):
            await asyncio.sleep(0)
        return await start(*args)

    async def short(event, write):
        await asyncio.sleep(0)

    async def client():
        for _ in range(100):
            await bench.invoke(spec)

    bench.runtimes.start = slow_start
    spec = bench.define("f", short)
    await bench.invoke(spec)
    await asyncio.gather(*(client() for _ in range(12)))
    for _ in range(40):
        await asyncio.sleep(0)
    assert len(bench.runtimes.environments) <= 12
    assert bench.invoker.pool.idle == bench.invoker.pool.live


async def test_only_a_few_of_short_calls_are_started_at_once_and_who_waits_gets_one_in_the_end(world):
    node = world(patience_s=0.02)
    await node.warm()
    await node.call("0")
    calls = [await node.call(str(number)) for number in range(1, 6)]
    async with asyncio.timeout(10):
        while len(node.begun) < 6:
            await asyncio.sleep(0.001)
    for number in range(6):
        await node.end(str(number))
    assert all([(await call).function_error is None for call in calls])


@pytest.mark.parametrize(
    ("call_ms", "ahead", "at_work", "waits_ms"),
    [
        (1, 0, 1, 3),
        (0.2, 0, 1, 2),
        (0.2, 0, 40, 2),
        (5, 0, 1, 10),
        (5, 9, 10, 10),
        (5, 30, 10, 0),
        (1, 0, 0, 0),
        (11, 0, 1000, 0),
        (float("inf"), 0, 1, 0),
    ],
)
def test_how_long_one_waits(call_ms, ahead, at_work, waits_ms):
    assert patience_s(call_ms / 1000, ahead, at_work, 0.01) * 1000 == pytest.approx(waits_ms)
