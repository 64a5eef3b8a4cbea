"""Environments between two calls: soon frozen, so that what a handler left running gets no CPU.

Freezing waits a few milliseconds: an environment that is called again at once must not pay for it, and a busy one is never
frozen. Thawing is the next call's first act.
"""

import asyncio
import time
from itertools import islice
from typing import Protocol

DELAY_S = 0.005
_UNSETTLED_S = 0.02
_MOST_AT_ONCE = 64
"""Groups frozen in one turn of the event loop, some ten microseconds each."""


class Sleeper(Protocol):
    """What can be frozen. `settle` starts what must be over first, and says whether it is."""

    def settle(self, rested_s: float) -> bool: ...
    def freeze(self) -> None: ...


class Resting:
    """Who is idle and not frozen yet."""

    def __init__(self, delay_s: float = DELAY_S) -> None:
        self._delay_s = delay_s
        self._idle: dict[Sleeper, float] = {}  # since when; those who came first are first
        self._unsettled: dict[Sleeper, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, sleeper: Sleeper) -> None:
        self._idle[sleeper] = time.monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay_s, self._sweep)

    def remove(self, sleeper: Sleeper) -> None:
        self._idle.pop(sleeper, None)
        if self._unsettled:
            self._unsettled.pop(sleeper, None)

    def close(self) -> None:
        self._idle.clear()
        self._unsettled.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        now_s = time.monotonic()
        for sleeper, since_s in list(self._unsettled.items()):
            if sleeper.settle(now_s - since_s):
                del self._unsettled[sleeper]
                sleeper.freeze()
        for sleeper, since_s in list(islice(self._idle.items(), _MOST_AT_ONCE)):
            if since_s > now_s - self._delay_s:
                break
            del self._idle[sleeper]
            if sleeper.settle(now_s - since_s):
                sleeper.freeze()
            else:
                self._unsettled[sleeper] = since_s
        self._timer = None
        if self._idle or self._unsettled:
            wait_s = self._delay_s if self._idle else _UNSETTLED_S
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._sweep)
