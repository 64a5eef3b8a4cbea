"""Room for environments: the budget of memory that all of a node's share, and who gets it when there is too little.

Who waits gets it in fair turn between accounts. A tenth of the budget is for accounts that hold less than a tenth of it: whatever
large ones keep busy, and for however long, a small one finds room, and what it keeps idle in that tenth stays.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping

from cumulet.invoke.concurrency import ACCOUNT_LIMIT_REASON
from cumulet.invoke.faults import ServiceUnavailable, TooManyRequests
from cumulet.invoke.sizes import Sizes
from cumulet.runtimes.contract import FunctionSpec
from cumulet.tenancy.fair_queue import FairQueue, QueueFull, Waiter, WeightOf

_MAX_WAIT_S = 10.0
_RESERVED = 0.1
"""The share of the budget that makes an account a large one, and that all large ones together cannot have."""
MOST_WAITING = 10_000

Evict = Callable[[Collection[str] | None], bool]
Turn = tuple[FunctionSpec, "asyncio.Future[None]"]


class Room:
    """Counts what is taken, and lets wait. `evict` ends the idle environment of the least worth, of all accounts or of those it is
    given, and gives its memory back; False when there is none."""

    def __init__(self, budget_mb: int, evict: Evict, weight_of: WeightOf, most_waiting: int = MOST_WAITING) -> None:
        self.budget_mb = budget_mb
        self._evict = evict
        self._sizes = Sizes(budget_mb * _RESERVED)
        self._queue: FairQueue[Turn] = FairQueue(weight_of, most_waiting)

    @property
    def used_mb(self) -> int:
        return self._sizes.used_mb

    @property
    def large(self) -> Mapping[str, int]:
        """What each account holds that holds much: megabytes of ten at most."""
        return self._sizes.large

    @property
    def waiting(self) -> int:
        """How many wait for room."""
        return self._queue.count

    def size_mb(self, spec: FunctionSpec) -> int:
        """What an environment of the version is counted for."""
        return self._sizes.of(spec)

    async def take(self, spec: FunctionSpec) -> None:
        """Wait until an environment fits and count it. Raises ServiceUnavailable, and TooManyRequests when too many wait."""
        if spec.memory_mb > self.budget_mb:
            raise ServiceUnavailable(f"the node has {self.budget_mb} MB for environments, and this function wants {spec.memory_mb}")
        if self.take_now(spec):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            waiter = self._queue.push(spec.account, (spec, turn), self._sizes.of(spec))
        except QueueFull:
            raise TooManyRequests(ACCOUNT_LIMIT_REASON) from None
        self.serve_waiting()
        try:
            await asyncio.wait_for(turn, _MAX_WAIT_S)
        except TimeoutError:
            self._queue.discard(waiter)
            raise ServiceUnavailable("the node has no memory left for another environment") from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(spec)
            else:
                self._queue.discard(waiter)
            raise

    def take_now(self, spec: FunctionSpec) -> bool:
        """Count one if it fits, evicting others where that is needed, and nobody waits."""
        if self._queue or not self._make_fit(spec):
            return False
        self._sizes.take(spec)
        return True

    def take_free(self, spec: FunctionSpec) -> bool:
        """Count one if it fits as things are: nothing is evicted for it, and nobody who waits is passed."""
        if self._queue or not self._is_below_share(spec) or self._sizes.used_mb + self._sizes.of(spec) > self.budget_mb:
            return False
        self._sizes.take(spec)
        return True

    def give_back(self, spec: FunctionSpec) -> None:
        """Memory of an environment that is gone, or was never made."""
        self._sizes.give_back(spec)
        self.serve_waiting()

    def give_back_evicted(self, spec: FunctionSpec) -> None:
        """The same of one that is being evicted, for somebody whose turn it is."""
        self._sizes.give_back(spec)

    def learn(self, spec: FunctionSpec, peak_mb: int) -> None:
        """An environment of the version has taken so much at most."""
        if self._sizes.learn(spec, peak_mb):
            self.serve_waiting()

    def serve_waiting(self) -> None:
        """Give what can be had to those who wait, in their order: who is not served stays in line."""
        while self._queue and (waiter := self._queue.first(self._is_over_share)) is not None:
            spec, turn = waiter.item
            if turn.done():
                self._queue.discard(waiter)
                continue
            if not self._make_fit(spec):
                return
            self._queue.take(waiter)
            self._sizes.take(spec)
            turn.set_result(None)

    def _is_over_share(self, waiter: Waiter[Turn]) -> bool:
        """Whether the waiter's account must leave what room there is to small ones."""
        spec, _ = waiter.item
        return not self._make_share(spec)

    def _make_fit(self, spec: FunctionSpec) -> bool:
        """Evict idle environments of the least worth until one of the version fits."""
        if not self._make_share(spec):
            return False
        while self._sizes.used_mb + self._sizes.of(spec) > self.budget_mb:
            if not self._evict(None):
                return False
        return True

    def _make_share(self, spec: FunctionSpec) -> bool:
        """Evict idle environments of large accounts until these together stay below their share. There are ten at most."""
        while not self._is_below_share(spec):
            if not self._evict(self._sizes.large):
                return False
        return True

    def _is_below_share(self, spec: FunctionSpec) -> bool:
        if spec.account not in self._sizes.large:
            return True
        return self._sizes.large_mb + self._sizes.of(spec) <= self.budget_mb * (1 - _RESERVED)
