"""Claims about environments that go and come by what was learned. The invoker is real, its clock is told the time."""

import asyncio
import json

import pytest

from cumulet.core.clock import ManualClock
from cumulet.invoke.keep_alive import Hybrid


@pytest.fixture
async def world(make_bench):
    """A function that was called every half an hour, twenty times, by a node that learns; `pass_time` also does what falls due."""

    class World:
        def __init__(self):
            self.clock = ManualClock()
            self.bench = make_bench(clock=self.clock, keep_alive=Hybrid(), memory_budget_mb=214)
            self.bench.runtimes.peak_mb = 50
            self.pool = self.bench.invoker.pool
            self.spec = self.bench.define("f", lambda event, write: event)

        async def call(self, spec=None):
            return await self.bench.invoke(spec or self.spec, 1)

        async def pass_time(self, seconds, step_s=10):
            for _ in range(int(seconds / step_s)):
                self.clock.advance(seconds=step_s)
                self.bench.invoker.keep()
                for _ in range(12):
                    await asyncio.sleep(0)

        async def learn(self):
            for _ in range(20):
                await self.call()
                await self.pass_time(1800, step_s=100)

    world = World()
    await world.learn()
    return world


async def test_it_goes_after_a_call_and_is_there_before_the_next(world):
    await world.call()
    await world.pass_time(60)
    assert world.pool.live == 0
    await world.pass_time(1700)
    assert world.pool.live == 1
    world.bench.logged.clear()
    result = await world.call()
    assert not result.is_cold_start and "init" not in result.phases
    assert "Init Duration" not in "".join(world.bench.logged)
    assert sum("START" in line for line in world.bench.logged) == 1


async def test_a_call_that_does_not_come_is_waited_for_only_so_long(world):
    await world.call()
    await world.pass_time(1750)
    assert world.pool.live == 1
    await world.pass_time(600)
    assert world.pool.live == 0
    await world.pass_time(7200, step_s=100)
    assert world.pool.live == 0


async def test_nothing_is_started_ahead_where_there_is_no_room(world):
    await world.call()
    let_go = asyncio.Event()

    async def hold(event, write):
        await let_go.wait()

    other = world.bench.define("other", hold, account="111111111111", timeout_s=900)
    await world.pass_time(60)
    calls = [asyncio.ensure_future(world.call(other)) for _ in range(3)]
    await world.pass_time(1740)
    assert [each.spec.name for each in world.bench.runtimes.live] == ["other"] * 3
    let_go.set()
    await asyncio.gather(*calls)


async def test_a_function_that_is_gone_or_changed_is_not_started_ahead(world):
    await world.call()
    await world.pass_time(60)
    world.bench.invoker.retire(world.spec.function_id)
    await world.pass_time(1800)
    assert world.pool.live == 0


async def test_an_init_that_fails_ahead_of_the_call_is_told_by_the_call(world, init_error):
    await world.call()
    await world.pass_time(60)
    world.bench.runtimes.handlers["f"] = init_error()
    await world.pass_time(1740)
    assert world.pool.live == 0 and world.pool.used_mb == 0
    assert json.loads((await world.call()).payload)["errorType"] == "Runtime.ImportModuleError"
