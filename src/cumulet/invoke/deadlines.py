"""When the time of calls under way is over. Calls of one timeout fall due in the order in which they began, so that all of
them have one timer, which mostly finds that whom it was set for has long been answered.
"""

import asyncio
import itertools
from collections.abc import Callable

Expire = Callable[[], None]


class Deadlines:
    """Calls under way. `expire` is called once for each whose time is over."""

    def __init__(self) -> None:
        self._of: dict[float, _Line] = {}
        self._numbers = itertools.count()

    def begin(self, timeout_s: float, expire: Expire) -> int:
        """A call begins: its number."""
        line = self._of.get(timeout_s)
        if line is None:
            line = self._of[timeout_s] = _Line()
        number = next(self._numbers)
        line.waiting[number] = (line.now_s() + timeout_s, expire)
        if line.timer is None:
            line.set_timer(timeout_s)
        return number

    def end(self, timeout_s: float, number: int) -> None:
        """It is over."""
        self._of[timeout_s].waiting.pop(number, None)


class _Line:
    """The calls of one timeout, the oldest first."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.now_s = self._loop.time
        self.waiting: dict[int, tuple[float, Expire]] = {}
        self.timer: asyncio.TimerHandle | None = None

    def set_timer(self, delay_s: float) -> None:
        self.timer = self._loop.call_later(delay_s, self._look)

    def _look(self) -> None:
        self.timer = None
        while self.waiting:
            number, (due_s, expire) = next(iter(self.waiting.items()))
            if due_s > self.now_s():
                self.set_timer(due_s - self.now_s())
                return
            del self.waiting[number]
            expire()
