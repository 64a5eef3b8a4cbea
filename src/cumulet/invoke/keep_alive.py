"""For how long environments stay after a call, and when they are started again before the next: rules, without I/O or a clock.

`Fixed` is what everybody does. `Hybrid` learns: each function's idle times (from the end of its last running call to the next one's
arrival) fill a histogram of one-minute bins over four hours. When that says something, environments go at once where the shortest
idle times (the 5th percentile) are long, are started again just before that, and stay until the longest (the 99th) are over. Where
it says nothing yet, or not any more, `Hybrid` is `Fixed`; so it is for what is idle beside another environment of its version, and
for functions that are called often it is never shorter. After "Serverless in the Wild" (ATC 2020):
https://www.usenix.org/conference/atc20/presentation/shahrad
"""

import math
from array import array
from collections import OrderedDict
from typing import NamedTuple, Protocol

FunctionKey = tuple[str, str]
"""(function id, version): what is learned outlives a change of code."""
BIN_S = 60.0
BINS = 240
_ENOUGH = 10
"""Idle times before a histogram is believed."""
_PEAKED = 2.0
"""The least coefficient of variation of the bins' counts: below it calls come at any time."""
_HEAD, _TAIL, _MARGIN = 0.05, 0.99, 0.10
_MOST_COUNTED = 1000
"""Then all counts are halved, so that the old counts for less than the new."""
_REMEMBERED_BEYOND = 8
_REGULAR = 0.2
"""The most that idle times longer than the histogram may vary, as a share of their mean, to be foreseen."""
_BEYOND_MARGIN = 0.15
_GRACE_S = 10.0
"""What goes at once still stays so long: calls that are tried again, or come in twos."""
_MOST_FUNCTIONS = 20_000


class Plan(NamedTuple):
    """Seconds after a function's last call has ended. `unload_s`: an environment goes; `prewarm_s`: one is started, None for never;
    `until_s`: that one goes too."""

    unload_s: float
    prewarm_s: float | None = None
    until_s: float = 0.0


class History:
    """The calls of one function: how many run, since when none does, and how long that was, each time. About 700 bytes."""

    __slots__ = ("_beyond", "_bins", "_counted", "_outside", "_short", "_squares", "busy", "idle_since_s", "plan")

    def __init__(self) -> None:
        self.busy = 0
        self.idle_since_s: float | None = None
        self.plan: Plan | None = None  # the policy's, as long as it holds
        self._bins: array[int] | None = None
        self._counted = 0
        self._squares = 0
        self._short = 0  # idle times of less than a bin that are not counted yet: nearly all, where calls are many
        self._outside = 0
        self._beyond: list[float] | None = None

    def begin(self, now_s: float) -> None:
        """A call has come."""
        self.busy += 1
        if self.busy == 1 and self.idle_since_s is not None:
            idle_s = now_s - self.idle_since_s
            if idle_s < BIN_S:
                self._short += 1
            else:
                self._add(idle_s)

    def end(self, now_s: float) -> None:
        """A call is over."""
        self.busy -= 1
        if not self.busy:
            self.idle_since_s = now_s

    def count_short(self) -> None:
        """Before anything is asked."""
        if self._short:
            self._count(0, min(self._short, _MOST_COUNTED))
            self._short = 0

    def _count(self, at: int, many: int) -> None:
        self.plan = None
        if self._bins is None:
            self._bins = array("H", bytes(2 * BINS))
        self._squares += many * (2 * self._bins[at] + many)
        self._bins[at] += many
        self._counted += many
        if self._counted >= _MOST_COUNTED:
            self._halve()

    def _add(self, idle_s: float) -> None:
        self.count_short()
        if idle_s >= BIN_S * BINS:
            self._outside += 1
            if self._beyond is None:
                self._beyond = []
            self._beyond = [*self._beyond[1 - _REMEMBERED_BEYOND :], idle_s]
            self.plan = None
            self._counted += 1
        else:
            self._count(int(idle_s / BIN_S), 1)

    def _halve(self) -> None:
        bins = self._bins if self._bins is not None else array("H")
        for at, count in enumerate(bins):
            if count:
                bins[at] = count >> 1
        self._outside >>= 1
        self._counted = sum(bins) + self._outside
        self._squares = sum(count * count for count in bins)

    @property
    def is_known(self) -> bool:
        return self._counted >= _ENOUGH

    @property
    def is_mostly_beyond(self) -> bool:
        """Whether most idle times are longer than the histogram."""
        return 2 * self._outside > self._counted

    @property
    def is_peaked(self) -> bool:
        """Whether some idle times are much more frequent than others."""
        inside = self._counted - self._outside
        mean = inside / BINS
        return inside > 0 and (self._squares / BINS - mean * mean) ** 0.5 >= _PEAKED * mean

    def percentile_bin(self, share: float) -> int:
        """The first bin by whose end so large a share of the idle times inside the histogram is over."""
        wanted, seen = share * (self._counted - self._outside), 0
        for at, count in enumerate(self._bins or ()):
            seen += count
            if seen and seen >= wanted:
                return at
        return BINS - 1

    def foreseen_s(self) -> float | None:
        """The next idle time, when those beyond the histogram have been regular."""
        if self._beyond is None or len(self._beyond) < 3:
            return None
        mean = sum(self._beyond) / len(self._beyond)
        deviation = math.sqrt(sum((each - mean) ** 2 for each in self._beyond) / len(self._beyond))
        return mean if deviation <= _REGULAR * mean else None


class KeepAlive(Protocol):
    """A policy. `soonest_s`: no environment goes sooner after a call. `surplus_s`: what is idle beside another of its version, as
    after calls at once, goes after so long, if not sooner."""

    soonest_s: float
    surplus_s: float

    def history_of(self, key: FunctionKey) -> History:
        """Where the function's calls are to be told."""
        ...

    def plan(self, history: History) -> Plan:
        """What to do when no call comes."""
        ...


class Fixed:
    """The same time for every function. Nothing is remembered."""

    def __init__(self, keep_s: float = 600.0) -> None:
        self._plan = Plan(keep_s)
        self.soonest_s = min(keep_s, _GRACE_S)
        self.surplus_s = keep_s

    def history_of(self, key: FunctionKey) -> History:
        return History()

    def plan(self, history: History) -> Plan:
        return self._plan


class Hybrid:
    """See above. Of so many functions at most: those that were not used for the longest time are forgotten."""

    def __init__(self, fallback_s: float = 600.0, most_functions: int = _MOST_FUNCTIONS) -> None:
        self._fallback = Plan(fallback_s)
        self.soonest_s = min(fallback_s, _GRACE_S)
        self.surplus_s = fallback_s
        self._most_functions = most_functions
        self._known: OrderedDict[FunctionKey, History] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def history_of(self, key: FunctionKey) -> History:
        history = self._known.get(key)
        if history is None:
            history = self._known[key] = History()
            if len(self._known) > self._most_functions:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return history

    def plan(self, history: History) -> Plan:
        history.count_short()
        if history.plan is None:
            history.plan = self._made(history)
        return history.plan

    def _made(self, history: History) -> Plan:
        if history.is_mostly_beyond:
            foreseen_s = history.foreseen_s()
            if foreseen_s is None:
                return self._fallback
            return Plan(_GRACE_S, foreseen_s * (1 - _BEYOND_MARGIN), foreseen_s * (1 + _BEYOND_MARGIN))
        if not (history.is_known and history.is_peaked):
            return self._fallback
        head_s = history.percentile_bin(_HEAD) * BIN_S * (1 - _MARGIN)
        tail_s = (history.percentile_bin(_TAIL) + 1) * BIN_S * (1 + _MARGIN)
        return Plan(max(tail_s, self._fallback.unload_s)) if head_s <= _GRACE_S else Plan(_GRACE_S, head_s, tail_s)


def keep_alive_of(text: str) -> KeepAlive:
    """`fixed:SECONDS` or `hybrid`. Raises ValueError."""
    name, colon, seconds = text.partition(":")
    if name == "hybrid" and not colon:
        return Hybrid()
    if name == "fixed" and seconds.isascii() and seconds.isdigit() and len(seconds) < 8:
        return Fixed(float(seconds))
    raise ValueError(f"{text!r} is no keep-alive: fixed:SECONDS or hybrid")
