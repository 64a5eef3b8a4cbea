"""Claims about places that accounts get in fair turn."""

import asyncio

from cumulet.tenancy.turns import FairRounds, FairTurns


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


async def test_in_one_round_of_the_loop_only_so_many_get_on_and_accounts_take_turns():
    rounds, order = FairRounds(4), []

    async def call(account):
        if (turn := rounds.enter(account)) is not None:
            await turn
        order.append(account)

    burst = [asyncio.ensure_future(call("hog")) for _ in range(400)]
    await asyncio.sleep(0)
    assert len(order) == 4
    await call("victim")
    assert order.index("victim") <= 12
    await asyncio.gather(*burst)
    assert len(order) == 401 and not len(rounds)


async def test_who_comes_alone_does_not_wait():
    rounds = FairRounds(4)
    for _ in range(100):
        assert rounds.enter("a") is None
        await asyncio.sleep(0)
