"""Claims about neighbours: what one account does to the invocations of another.

The invoker is real; its environments are coroutines.
"""

import asyncio

import pytest

from cumulet.core.clock import ManualClock
from cumulet.delivery.targets import Targets
from cumulet.invoke.asynchronous import DurableAsyncInvoker
from cumulet.invoke.contract import AsyncSettings, Invocation, InvocationResult
from cumulet.invoke.faults import ServiceUnavailable, TooManyRequests
from cumulet.runtimes.contract import FunctionSpec
from cumulet.store.memory import MemoryStore
from cumulet.tenancy.quotas import Quota, Quotas

HOG, VICTIM = "111111111111", "222222222222"


@pytest.fixture
def crowd(make_bench):
    """A node of 640 MB, where each environment takes 64: a hog that keeps whatever it gets, and a victim that answers at once."""

    class Crowd:
        def __init__(self, **settings):
            self.bench = make_bench(memory_budget_mb=640, **settings)
            self.bench.runtimes.peak_mb = 50
            self.let_go = asyncio.Event()
            self.hog = self.bench.define("hog", self._hold, account=HOG, timeout_s=900)
            self.victim = self.bench.define("victim", lambda event, write: "here", account=VICTIM)
            self.calls = []

        async def _hold(self, event, write):
            await self.let_go.wait()

        async def overload(self, many):
            self.calls = [asyncio.ensure_future(self.bench.invoke(self.hog)) for _ in range(many)]
            for _ in range(many // 4 + 20):
                await asyncio.sleep(0)

        async def end(self):
            self.let_go.set()
            return await asyncio.gather(*self.calls, return_exceptions=True)

    return Crowd


async def test_a_single_call_finds_room_on_a_node_that_another_account_fills(crowd):
    node = crowd()
    await node.overload(100)
    async with asyncio.timeout(2):
        result = await node.bench.invoke(node.victim)
    assert result.payload == b'"here"'
    assert node.bench.invoker.pool.used_mb <= 640
    assert all(not isinstance(each, BaseException) for each in await node.end())


async def test_what_a_small_account_keeps_warm_stays_while_another_takes_all_it_can(crowd):
    node = crowd()
    await node.bench.invoke(node.victim)
    for _ in range(3):
        await node.overload(50)
        assert not (await node.bench.invoke(node.victim)).is_cold_start
        await node.end()
        node.let_go.clear()


async def test_room_that_falls_free_goes_to_the_account_that_has_least(crowd):
    node = crowd()
    others = [node.bench.define(f"v{number}", lambda event, write: 0, account=f"{number:012d}") for number in range(20)]
    await node.overload(100)
    async with asyncio.timeout(5):
        await asyncio.gather(*(node.bench.invoke(other) for other in others))
    assert all(not call.done() for call in node.calls)
    await node.end()


async def test_an_account_alone_has_all_but_what_is_kept_for_others(crowd):
    node = crowd()
    await node.overload(30)
    assert node.bench.invoker.pool.live == 9
    await node.end()


async def test_too_many_that_wait_are_refused_where_they_are_most(crowd):
    node = crowd(most_waiting=20)
    await node.overload(60)
    await node.bench.invoke(node.victim)
    results = await node.end()
    refused = [each for each in results if isinstance(each, TooManyRequests)]
    assert len(refused) >= 30
    assert {each.fields["Reason"] for each in refused} == {"ConcurrentInvocationLimitExceeded"}
    assert not [each for each in results if isinstance(each, ServiceUnavailable)]


async def test_limits_of_one_account_are_not_another_s(make_bench):
    bench = make_bench(quotas=Quotas(Quota(), {HOG: Quota(concurrency=1)}))
    let_go = asyncio.Event()

    async def hold(event, write):
        await let_go.wait()

    hog, victim = bench.define("hog", hold, account=HOG), bench.define("victim", hold, account=VICTIM)
    calls = [asyncio.ensure_future(bench.invoke(spec)) for spec in (hog, victim, victim)]
    await asyncio.sleep(0.01)
    with pytest.raises(TooManyRequests):
        await bench.invoke(hog)
    let_go.set()
    await asyncio.gather(*calls)


async def test_an_event_runs_though_another_account_has_more_events_than_can_run():
    held, ran = asyncio.Event(), []

    class Holding:
        async def invoke(self, spec, invocation):
            if spec.account == HOG:
                await held.wait()
            ran.append(spec.account)
            return InvocationResult(b"1", "1")

    async def resolve(account, region, name, qualifier):
        return FunctionSpec(account, region, name, "id", "1", "c", "python3.11", "h", "code", "role"), AsyncSettings()

    asynchronous = DurableAsyncInvoker(MemoryStore(), ManualClock(), Holding(), resolve, Targets())
    stop = asyncio.Event()
    running = asyncio.create_task(asynchronous.run(stop))
    for account, many in ((HOG, 400), (VICTIM, 1)):
        for number in range(many):
            invocation = Invocation(f"{account}-{number}", b"{}", "arn")
            await asynchronous.accept(account=account, region="r", name="f", qualifier=None, invocation=invocation)
    async with asyncio.timeout(5):
        while not ran:
            await asyncio.sleep(0.001)
    assert ran == [VICTIM]
    held.set()
    async with asyncio.timeout(5):
        while asynchronous.backlog:
            await asyncio.sleep(0.001)
    stop.set()
    await running
    assert len(ran) == 401
