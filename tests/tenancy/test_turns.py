"""Claims about places that accounts get in fair turn."""

import asyncio

from cumulet.tenancy.turns import FairTurns


async def test_a_single_one_is_not_behind_a_burst():
    turns, order = FairTurns(2), []

    async def work(account):
        async with turns.turn(account):
            order.append(account)
            await asyncio.sleep(0)

    burst = [asyncio.ensure_future(work("hog")) for _ in range(200)]
    await asyncio.sleep(0)
    await work("victim")
    assert order.index("victim") < 10
    await asyncio.gather(*burst)
    assert len(order) == 201 and not len(turns)


async def test_cancelled_ones_give_their_places_back():
    turns = FairTurns(1)
    inside = asyncio.Event()

    async def hold():
        async with turns.turn("a"):
            inside.set()
            await asyncio.Event().wait()

    holder = asyncio.ensure_future(hold())
    await inside.wait()
    waiting = [asyncio.ensure_future(hold()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    holder.cancel()
    await asyncio.sleep(0)
    waiting[1].cancel()  # it has been given the place, and does not know it yet
    waiting[2].cancel()
    await asyncio.gather(holder, *waiting, return_exceptions=True)
    async with asyncio.timeout(1), turns.turn("b"):
        assert not len(turns)
