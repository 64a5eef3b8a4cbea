"""Weighted fair queueing between accounts: whose turn is next when many wait for the same thing. Pure, O(log accounts).

Start-time fair queueing: every account has a virtual time, which each of its turns moves on by the turn's cost divided by the
account's weight; the account that is furthest behind goes next. One account's thousand waiters delay another's single one by one
turn, and who was away for long has saved up nothing. Within an account the order is that of arrival.
https://doi.org/10.1109/90.649569
"""

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
_MOST_FINISHED = 4096
"""Accounts that wait no longer, of which it is still known how far they were."""
WeightOf = Callable[[str], float]


class QueueFull(Exception):
    """No more can wait, or no more of this account."""


@dataclass(eq=False, slots=True)
class Waiter(Generic[T]):
    """One that waits. `cost` is in whatever unit is shared out: turns, megabytes."""

    account: str
    item: T
    cost: float


@dataclass(eq=False, slots=True)
class _Line(Generic[T]):
    """An account's waiters, and the virtual time at which its next turn starts. `entry` is its valid one in the heap."""

    start: float
    entry: int = -1
    waiters: "OrderedDict[Waiter[T], None]" = field(default_factory=OrderedDict)


class FairQueue(Generic[T]):
    """Waiters of many accounts. At most about `most` of them: when it is full, who has no more than an even share still gets in."""

    def __init__(self, weight_of: WeightOf = lambda account: 1.0, most: int = 10_000) -> None:
        self._weight_of = weight_of
        self._most = most
        self._now = 0.0
        self._lines: dict[str, _Line[T]] = {}
        self._order: list[tuple[float, int, _Line[T]]] = []
        self._entries = itertools.count()
        self._finished: OrderedDict[str, float] = OrderedDict()
        self.count = 0

    def __len__(self) -> int:
        """`count`, which those may read who ask once a call."""
        return self.count

    def waiting(self, account: str) -> int:
        """How many of the account's wait."""
        line = self._lines.get(account)
        return len(line.waiters) if line is not None else 0

    def push(self, account: str, item: T, cost: float = 1.0) -> Waiter[T]:
        """The last of its account's. Raises QueueFull."""
        line = self._lines.get(account)
        if self.count >= self._most:
            share = self._most // (len(self._lines) + (line is None))
            if self.waiting(account) >= share or self.count >= 2 * self._most:
                raise QueueFull
        if line is None:
            line = self._lines[account] = _Line(max(self._now, self._finished.pop(account, 0.0)))
            self._rank(line)
        waiter = Waiter(account, item, cost)
        line.waiters[waiter] = None
        self.count += 1
        return waiter

    def first(self, is_blocked: Callable[[Waiter[T]], bool] = lambda waiter: False) -> Waiter[T] | None:
        """Who is next: of the accounts whose own next one is not blocked. Costs a step more for each that is."""
        blocked: list[tuple[float, int, _Line[T]]] = []
        found: Waiter[T] | None = None
        while self._order and found is None:
            _, entry, line = self._order[0]
            if entry != line.entry:
                heapq.heappop(self._order)
                continue
            head = next(iter(line.waiters))
            if is_blocked(head):
                blocked.append(heapq.heappop(self._order))
            else:
                found = head
        for each in blocked:
            heapq.heappush(self._order, each)
        return found

    def take(self, waiter: Waiter[T]) -> None:
        """It has its turn: it must be the first of its account."""
        line = self._lines[waiter.account]
        self._now = max(self._now, line.start)
        line.start += waiter.cost / self._weight_of(waiter.account)
        self._remove(waiter, line)
        if line.waiters:
            self._rank(line)

    def discard(self, waiter: Waiter[T]) -> None:
        """It waits no longer, and had no turn: its account is charged nothing."""
        line = self._lines.get(waiter.account)
        if line is not None and waiter in line.waiters:
            self._remove(waiter, line)

    def _rank(self, line: _Line[T]) -> None:
        line.entry = next(self._entries)
        heapq.heappush(self._order, (line.start, line.entry, line))

    def _remove(self, waiter: Waiter[T], line: _Line[T]) -> None:
        del line.waiters[waiter]
        self.count -= 1
        if line.waiters:
            return
        line.entry = -1
        del self._lines[waiter.account]
        if not self._lines:  # the end of a busy period: nobody owes anything
            self._now = 0.0
            self._order.clear()
            self._finished.clear()
            return
        self._finished[waiter.account] = line.start
        if len(self._finished) > _MOST_FINISHED:
            self._finished.popitem(last=False)
