"""Callers for whom there was no environment, a line for each version, in the order in which they came.

Each takes whichever is ready first: an environment that is given back, or the one that is started for it. A start costs more than
many a call, and takes longer: where calls are short, and enough of them end soon, a caller waits for that before one is started.
"""

import asyncio
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")
PoolKey = tuple[str, str, str]
PATIENCE_S = 0.01
"""The longest that a caller waits for another's call to end before an environment is started for it."""
_LEAST_PATIENT = 0.2
"""The shortest, as a share of that."""
_MARGIN = 3
"""How many times as long as expected a caller waits."""


class Place(Generic[T]):
    """A caller's place in its line. `start`: what is started for it; `is_own`: it got just that; `left`: how often it waits on."""

    __slots__ = ("given", "is_in_room", "is_own", "left", "line", "start", "timer")

    def __init__(self, line: "Line[T]") -> None:
        self.line = line
        self.given: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.is_in_room = False
        self.is_own = False
        self.left = 0
        self.start: Start[T] | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def is_served(self) -> bool:
        """Whether it has got an environment, or an error; not when its caller has only gone."""
        return self.given.done() and not self.given.cancelled()


class Start(Generic[T]):
    """An environment that is being started, and for whom."""

    __slots__ = ("is_dropped", "is_in_room", "key", "place", "task")

    def __init__(self, key: PoolKey, place: Place[T]) -> None:
        self.key = key
        self.place = place
        self.is_in_room = False
        self.is_dropped = False
        self.task: asyncio.Task[T] | None = None

    def is_wanted(self) -> bool:
        """Asked once it may begin; it is nobody's from then on when it isn't."""
        self.is_dropped = self.place.is_served
        return not self.is_dropped

    def set_in_room(self, is_in_room: bool) -> None:
        """It begins to wait for memory, or has got it."""
        self.is_in_room = is_in_room
        self.place.line.set_in_room(self.place, is_in_room)


class Starts(Generic[T]):
    """What is being started, by version; first among it what nobody waits for any more."""

    def __init__(self) -> None:
        self._counts: dict[PoolKey, int] = {}
        self._spare: dict[PoolKey, OrderedDict[Start[T], None]] = {}

    def count(self, key: PoolKey) -> int:
        """How many there are of the version."""
        return self._counts.get(key, 0)

    def begin(self, key: PoolKey, place: Place[T]) -> Start[T]:
        """One more, for who has the place."""
        self._counts[key] = self._counts.get(key, 0) + 1
        place.start = Start(key, place)
        return place.start

    def adopt(self, key: PoolKey, place: Place[T]) -> bool:
        """One that nobody waits for is now for who has the place; False when there is none."""
        spare = self._spare.get(key)
        while spare:
            start, _ = spare.popitem(last=False)
            if not spare:
                del self._spare[key]
            if not start.is_dropped:
                start.place = place
                place.start = start
                place.line.set_in_room(place, start.is_in_room)
                return True
        return False

    def leave(self, place: Place[T]) -> None:
        """Who has the place needs no start any more. What still waits for memory is given up, all else is for the next."""
        start, place.start = place.start, None
        if start is None or start.task is None or start.task.done():
            return
        if start.is_in_room:
            start.task.cancel()
        else:
            self._spare.setdefault(start.key, OrderedDict())[start] = None

    def end(self, start: Start[T]) -> None:
        """It has started, or failed to."""
        key = start.key
        left = self._counts[key] - 1
        if left:
            self._counts[key] = left
        else:
            del self._counts[key]
        spare = self._spare.get(key)
        if spare is not None:
            spare.pop(start, None)
            if not spare:
                del self._spare[key]


class Line(Generic[T]):
    """The callers of one version. `in_room` of them wait for memory as well."""

    def __init__(self) -> None:
        self._places: OrderedDict[Place[T], None] = OrderedDict()
        self.in_room = 0

    def __len__(self) -> int:
        return len(self._places)

    def join(self) -> Place[T]:
        """The last place."""
        place: Place[T] = Place(self)
        self._places[place] = None
        return place

    def leave(self, place: Place[T]) -> None:
        """It waits no longer. May be called twice."""
        if place in self._places:
            del self._places[place]
            self.in_room -= place.is_in_room

    def set_in_room(self, place: Place[T], is_in_room: bool) -> None:
        """What is started for it begins to wait for memory, or has got it."""
        if place in self._places:
            self.in_room += is_in_room - place.is_in_room
        place.is_in_room = is_in_room

    def first(self) -> Place[T] | None:
        """Who is next, of those who still wait."""
        while self._places:
            place = next(iter(self._places))
            if not place.given.done():
                return place
            self.leave(place)
        return None


def patience_s(call_s: float, ahead: int, at_work: int, most_s: float) -> float:
    """How long to wait, behind `ahead` others, for one of `at_work` environments whose calls take `call_s`; 0: not at all."""
    if call_s > most_s or not at_work:
        return 0.0
    expected_s = call_s * (ahead + 1) / at_work
    return 0.0 if expected_s > most_s else min(most_s, max(most_s * _LEAST_PATIENT, expected_s * _MARGIN))
