"""Versions whose environments end by a crash, one after the other: their next starts wait. Pure, constant time."""

from cumulet.core.clock import Clock

Key = tuple[str, str, str]
_FREE = 3
"""Crashes in a row after which nothing is held back yet."""
_FIRST_S, _LONGEST_S = 0.01, 1.0
_FORGOTTEN_S = 60.0
_MOST_KEPT = 10_000


class CrashLoops:
    """A start costs the machine some hundred times what a call does, and code that ends its process at every call asks for one each
    time. The more crashes of a version there were without a good call between, the longer its next start waits: 10 ms after the
    fourth, then twice as long each time, up to a second. A change of the function is another version here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._crashes: dict[Key, tuple[int, float]] = {}  # how many in a row, and when the last one was: the oldest first

    def __len__(self) -> int:
        return len(self._crashes)

    def crashed(self, key: Key) -> None:
        """An environment of the version has ended in a call or in its init."""
        now_s = self._clock.monotonic_s()
        many, seen_s = self._crashes.pop(key, (0, now_s))
        self._crashes[key] = (1 if now_s - seen_s >= _FORGOTTEN_S else many + 1, now_s)
        if len(self._crashes) > _MOST_KEPT:
            del self._crashes[next(iter(self._crashes))]

    def succeeded(self, key: Key) -> None:
        """A call of the version has been answered by its code."""
        self._crashes.pop(key, None)

    def delay_s(self, key: Key) -> float:
        """For how long the version's next start is to wait, mostly 0."""
        many, seen_s = self._crashes.get(key, (0, 0.0))
        if many <= _FREE or self._clock.monotonic_s() - seen_s >= _FORGOTTEN_S:
            return 0.0
        return float(min(_LONGEST_S, _FIRST_S * 2 ** min(many - _FREE - 1, 16)))
