"""Claims about the time that calls have: each its own, whatever others do."""

import asyncio

from cumulet.invoke.deadlines import Deadlines


async def test_each_call_has_its_own_time():
    deadlines, expired = Deadlines(), []
    for name, timeout_s in (("slow", 0.08), ("fast", 0.02), ("other", 0.08)):
        deadlines.begin(timeout_s, lambda name=name: expired.append(name))
    await asyncio.sleep(0.2)
    assert expired == ["fast", "slow", "other"]


async def test_what_is_over_does_not_expire_and_what_comes_later_has_its_whole_time():
    deadlines, expired, loop = Deadlines(), [], asyncio.get_running_loop()
    over = deadlines.begin(0.05, lambda: expired.append("over"))
    await asyncio.sleep(0.03)
    deadlines.end(0.05, over)
    begun_s = loop.time()
    done = loop.create_future()
    deadlines.begin(0.05, lambda: done.set_result(loop.time()))
    assert await asyncio.wait_for(done, 5) - begun_s >= 0.05
    assert expired == []


async def test_after_a_time_without_calls_the_next_one_expires_as_well():
    deadlines = Deadlines()
    deadlines.end(0.01, deadlines.begin(0.01, lambda: None))
    await asyncio.sleep(0.03)
    done = asyncio.Event()
    deadlines.begin(0.01, done.set)
    await asyncio.wait_for(done.wait(), 5)
