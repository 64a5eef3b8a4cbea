"""Which idle environment goes first when there is no room: greedy-dual, as FaasCache uses it. Pure, O(log n).

An environment's priority is the clock at its last use, plus its worth: how often its version is called times what its cold start
cost, divided by its size. The clock is the priority of what was evicted last, so that what is not used grows old.
https://doi.org/10.1145/3445814.3446757
"""

import heapq
import itertools
from collections.abc import Collection
from typing import Generic, Protocol, TypeVar


class Ranked(Protocol):
    """What can be evicted. `is_evictable` False: in use, or gone."""

    priority: float

    @property
    def account(self) -> str: ...

    @property
    def is_evictable(self) -> bool: ...


R = TypeVar("R", bound=Ranked)


class GreedyDual(Generic[R]):
    """The ranking of a node's idle environments, and of every account's by themselves."""

    def __init__(self) -> None:
        self._all: _Heap[R] = _Heap()
        self._of: dict[str, _Heap[R]] = {}
        self.clock = 0.0

    def __len__(self) -> int:
        return len(self._all)

    def used(self, member: R, worth: float) -> None:
        """It is idle from now on."""
        member.priority = self.clock + worth
        own = self._of.get(member.account)
        if own is None:
            own = self._of[member.account] = _Heap()
        if member not in self._all.members:
            self._all.add(member)
        if member not in own.members:
            own.add(member)

    def pop_least(self, accounts: Collection[str] | None = None) -> R | None:
        """The evictable one of the least priority, of all or of these accounts, taken out; the clock moves on to it."""
        heap = self._all
        if accounts is not None:
            heaps = [own for own in map(self._of.get, accounts) if own is not None and own.least() is not None]
            if not heaps:
                return None
            heap = min(heaps, key=_least_priority)
        member = heap.least()
        if member is not None:
            heap.pop()
            self.clock = max(self.clock, member.priority)
        return member

    def tidy(self) -> None:
        """Drop what is gone, where that is most of it: called from time to time."""
        self._all.tidy()
        for account, own in list(self._of.items()):
            own.tidy()
            if not len(own):
                del self._of[account]


class _Heap(Generic[R]):
    """Each has one entry at most, however often it is used: an entry that has become wrong is put right when it comes up."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, R]] = []
        self.members: set[R] = set()
        self._ties = itertools.count()
        self._tidied = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, member: R) -> None:
        """One that has no entry."""
        self.members.add(member)
        heapq.heappush(self._entries, (member.priority, next(self._ties), member))

    def least(self) -> R | None:
        while self._entries:
            priority, _, member = self._entries[0]
            if not member.is_evictable:
                self.pop()
            elif member.priority > priority:
                heapq.heapreplace(self._entries, (member.priority, next(self._ties), member))
            else:
                return member
        return None

    def pop(self) -> None:
        _, _, member = heapq.heappop(self._entries)
        self.members.discard(member)

    def tidy(self) -> None:
        """Half of the entries at least have come since the last time: then it costs each of them two steps."""
        if len(self._entries) < 2 * self._tidied + 16 and self._tidied:
            return
        self._entries = [(each[2].priority, each[1], each[2]) for each in self._entries if each[2].is_evictable]
        self.members = {each[2] for each in self._entries}
        heapq.heapify(self._entries)
        self._tidied = len(self._entries)


def _least_priority(heap: "_Heap[R]") -> float:
    member = heap.least()
    return member.priority if member is not None else float("inf")
