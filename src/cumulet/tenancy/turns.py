"""Bounds on how much happens at once, and in one go, whose places accounts get in fair turn."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from cumulet.tenancy.fair_queue import FairQueue, WeightOf


class FairTurns:
    """`at_once` places. Who finds none waits: the next place goes to the account that is furthest behind."""

    def __init__(self, at_once: int, weight_of: WeightOf = lambda account: 1.0) -> None:
        self._free = at_once
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(weight_of, most=1 << 30)  # bounded by who may wait at all

    def __len__(self) -> int:
        return len(self._queue)

    @asynccontextmanager
    async def turn(self, account: str) -> AsyncIterator[None]:
        """A place for as long as the block runs."""
        await self._take(account)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, account: str) -> None:
        if self._free and not self._queue:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = self._queue.push(account, place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._give_back()
            else:
                self._queue.discard(waiter)
            raise

    def _give_back(self) -> None:
        self._free += 1
        while self._free and (waiter := self._queue.first()) is not None:
            self._queue.take(waiter)
            if not waiter.item.done():
                self._free -= 1
                waiter.item.set_result(None)


class FairRounds:
    """The event loop's time: in one round of it only so many get on, and the accounts take turns.

    Who comes while fewer have come does not wait. A thousand connections of one account then delay another's by a round or two, and
    not by all that they have to say: each of them sends its next request after the answer only. Rounds are counted only where the
    places of one are used up: nothing is asked of the loop for those who come one by one.
    """

    def __init__(self, at_once: int, weight_of: WeightOf = lambda account: 1.0) -> None:
        self._at_once = at_once
        self._left = at_once
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(weight_of, most=1 << 30)  # bounded by the connections

    def __len__(self) -> int:
        return len(self._queue)

    def enter(self, account: str) -> Awaitable[None] | None:
        """Get on in this round, or wait for what is returned."""
        if self._left:
            self._left -= 1
            if not self._left:
                asyncio.get_running_loop().call_soon(self._begin_round)
            return None
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.push(account, turn)
        return turn

    def _begin_round(self) -> None:
        self._left = self._at_once
        while self._left and (waiter := self._queue.first()) is not None:
            self._queue.take(waiter)
            if not waiter.item.done():
                self._left -= 1
                waiter.item.set_result(None)
        if not self._left:
            asyncio.get_running_loop().call_soon(self._begin_round)
