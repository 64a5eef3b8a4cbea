"""Time as a value that is handed in, so that rules and tests never read the machine's clock themselves."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall-clock and monotonic time; the only source of time in the node."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary origin, never going back: for durations and deadlines."""
        ...


class SystemClock:
    """The machine's own time."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    monotonic_s = staticmethod(time.monotonic)


class ManualClock:
    """Time that moves only when told to: for tests."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._now_ms / 1000

    def advance(self, *, seconds: float) -> None:
        self._now_ms += int(seconds * 1000)
