"""What falls due when, with one entry for each key: pure, O(log n)."""

import heapq
import itertools
from typing import Generic, TypeVar

K = TypeVar("K")


class Timetable(Generic[K]):
    """Keys and the times at which they fall due. Whoever falls due is no longer in it."""

    def __init__(self) -> None:
        self._due: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._ties = itertools.count()

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: K) -> bool:
        return key in self._due

    def set(self, key: K, due_s: float) -> None:
        """From now on it falls due then."""
        entry = (due_s, next(self._ties))
        self._due[key] = entry
        heapq.heappush(self._heap, (*entry, key))
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(*each, other) for other, each in self._due.items()]
            heapq.heapify(self._heap)

    def drop(self, key: K) -> None:
        self._due.pop(key, None)

    def pop_due(self, now_s: float) -> K | None:
        """One that has fallen due, the earliest."""
        while self._heap and self._heap[0][0] <= now_s:
            due_s, tie, key = heapq.heappop(self._heap)
            if self._due.get(key) == (due_s, tie):
                del self._due[key]
                return key
        return None
