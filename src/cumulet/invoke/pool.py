"""The environments of a node: idle ones to lease, room for new ones, and who must go when there is none.

Idle environments of one function version are a stack, so that the last used is used again and the others grow old. When there is no
room the idle environment of the least worth goes, by greedy-dual: a version's uses are shared out among its environments.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from cumulet.core.clock import Clock
from cumulet.invoke.greedy_dual import GreedyDual
from cumulet.invoke.keep_alive import Fixed, History, KeepAlive
from cumulet.invoke.lines import PATIENCE_S, Line, Place, PoolKey, patience_s
from cumulet.invoke.room import MOST_WAITING, Room
from cumulet.invoke.timetable import Timetable
from cumulet.runtimes.contract import Environment, FunctionSpec
from cumulet.tenancy.fair_queue import WeightOf

_MOST_PREWARMED = 20_000
"""Functions without an environment of which it is known when to start one."""
_NEWEST = 1 / 8
"""What the last call counts for in how long calls take."""
_FULL = 0.9
"""The share of the budget that may really be taken before idle environments go."""


@dataclass(eq=False, slots=True)
class Shelf:
    """All environments of one version, each counted for `size_mb`. `uses` are its calls since it last had none, `call_s` is how
    long they took of late, `looked_at_s` when the next of its idle ones may have to go."""

    key: PoolKey
    history: History
    size_mb: int
    idle: "deque[Member]" = field(default_factory=deque)
    shared: "list[Member]" = field(default_factory=list)
    live: int = 0
    uses: int = 0
    call_s: float = float("inf")
    looked_at_s: float = float("inf")


@dataclass(eq=False, slots=True)
class Member:
    """An environment with what the pool knows of it."""

    environment: Environment
    shelf: Shelf
    account: str
    cold_ms: float
    is_provisioned: bool = False
    is_retired: bool = False
    is_idle: bool = False
    is_called: bool = False
    is_prewarmed: bool = False
    is_given_back: bool = False
    idle_since_s: float = 0.0
    priority: float = 0.0
    calls: int = 1
    peak_mb: int = 0

    @property
    def is_evictable(self) -> bool:
        return self.is_idle and not self.is_provisioned


class Pool:
    """Leases, keeps and evicts environments. Knows sizes and times, not how environments are made."""

    def __init__(
        self,
        clock: Clock,
        budget_mb: int,
        keep_alive: KeepAlive | None = None,
        weight_of: WeightOf = lambda account: 1.0,
        most_waiting: int = MOST_WAITING,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._lines: dict[PoolKey, Line[Member]] = {}
        self._keep_alive = Fixed() if keep_alive is None else keep_alive  # one that knows nothing yet is false
        self._expiries: Timetable[Shelf] = Timetable()
        self._prewarms: Timetable[PoolKey] = Timetable()
        self._absent: OrderedDict[PoolKey, tuple[FunctionSpec, History]] = OrderedDict()
        self._shelves: dict[PoolKey, Shelf] = {}
        self._members: dict[str, Member] = {}
        self._ranking: GreedyDual[Member] = GreedyDual()
        self._idle = 0
        self.room = Room(budget_mb, self._evict_least, weight_of, most_waiting)
        self.on_lost: Callable[[Member], None] = lambda member: None
        self.on_served: Callable[[Place[Member]], None] = lambda place: None

    @property
    def used_mb(self) -> int:
        """What the live environments are counted for."""
        return self.room.used_mb

    @property
    def live(self) -> int:
        return len(self._members)

    @property
    def idle(self) -> int:
        return self._idle

    def lease(self, spec: FunctionSpec) -> Member | None:
        """The idle environment used last, None when there is none."""
        shelf = self._shelves.get(spec.pool_key)
        if shelf is None:
            return None
        shelf.uses += 1
        return self._lease_of(shelf)

    def _lease_of(self, shelf: Shelf) -> Member | None:
        if shelf.shared and (shared := _find_shared(shelf)) is not None:
            shared.calls += 1
            return shared
        now_s = self._clock.monotonic_s()
        while shelf.idle:
            member = shelf.idle.pop()
            member.is_idle = False
            self._idle -= 1
            if not member.environment.exited.done():
                member.environment.wake()
                member.is_called = True
                member.calls = 1
                if member.environment.calls_at_once > 1:
                    shelf.shared.append(member)
                shelf.history.begin(now_s)
                return member
        return None

    def line_up(self, spec: FunctionSpec) -> tuple[Place[Member], float]:
        """A place in the version's line, after `lease` found none, and for how many seconds nothing should be started for it."""
        line = self._lines.get(spec.pool_key)
        if line is None:
            line = self._lines[spec.pool_key] = Line()
        shelf, wait_s = self._shelves.get(spec.pool_key), 0.0
        if shelf is not None:
            wait_s = patience_s(shelf.call_s, len(line), shelf.history.busy, self._patience_s)
        return line.join(), wait_s

    def most_starting(self, spec: FunctionSpec) -> int:
        """How many of a version whose calls are short are started at once: a few more than there are, each time."""
        shelf = self._shelves.get(spec.pool_key)
        return 1 if shelf is None else 1 + shelf.live // 4

    def leave_line(self, spec: FunctionSpec, place: Place[Member]) -> None:
        """Whoever lined up has got an environment, or wants none any more."""
        line = self._lines.get(spec.pool_key)
        if line is not None:
            line.leave(place)
            if not line:
                del self._lines[spec.pool_key]

    async def make_room(self, spec: FunctionSpec) -> None:
        """Room for one that will be started. Raises ServiceUnavailable, TooManyRequests."""
        await self.room.take(spec)

    def make_room_now(self, spec: FunctionSpec) -> bool:
        """The same without waiting; False when there is no room to be made."""
        return self.room.take_now(spec)

    def find_room(self, spec: FunctionSpec) -> bool:
        """The same when there is room without evicting anyone; False when there isn't."""
        return self.room.take_free(spec)

    def abandon(self, spec: FunctionSpec) -> None:
        """It could not be started."""
        self.room.give_back(spec)

    def add(
        self,
        environment: Environment,
        cold_ms: float,
        *,
        is_provisioned: bool = False,
        is_prewarmed: bool = False,
    ) -> Member:
        """A new environment, for which there was room, leased to whoever made it: for a call, or kept on purpose, or ahead of a
        call that is expected."""
        spec = environment.spec
        shelf = self._shelves.get(spec.pool_key)
        if shelf is None:
            history = self._keep_alive.history_of(spec.pool_key[:2])
            shelf = self._shelves[spec.pool_key] = Shelf(spec.pool_key, history, self.room.size_mb(spec), uses=1)
            self._absent.pop(spec.pool_key, None)
            self._prewarms.drop(spec.pool_key)
        shelf.live += 1
        member = Member(environment, shelf, spec.account, max(cold_ms, 1.0), is_provisioned, is_prewarmed=is_prewarmed)
        if not is_provisioned and not is_prewarmed:
            member.is_called = True
            shelf.history.begin(self._clock.monotonic_s())
        self._members[environment.id] = member
        if environment.calls_at_once > 1:
            shelf.shared.append(member)
        environment.exited.add_done_callback(lambda _: self._forget(member))
        return member

    def release(self, member: Member) -> None:
        """The call is over: the environment is idle, or dies when its version is no longer wanted."""
        member.calls -= 1
        if member.calls:
            if self._lines:
                self._serve_line(member.shelf)
            return
        shelf, environment, now_s = member.shelf, member.environment, self._clock.monotonic_s()
        if environment.calls_at_once > 1:
            shelf.shared.remove(member)
        if member.is_called:
            member.is_called = False
            member.is_prewarmed = False
            shelf.history.end(now_s)
        if environment.exited.done():
            return
        if member.is_retired:
            environment.kill()
            return
        environment.rest()
        member.idle_since_s = now_s
        member.is_idle = True
        self._idle += 1
        shelf.idle.append(member)
        if not member.is_provisioned:
            # What keeping it saves, for each megabyte that it takes.
            self._ranking.used(member, shelf.uses / shelf.live * member.cold_ms / shelf.size_mb)
            if shelf.looked_at_s > now_s + self._keep_alive.soonest_s:  # what the plan is, is worked out then
                self._look_at(shelf, now_s + self._keep_alive.soonest_s)
        if self.room.waiting and not self._is_room_for(shelf):
            self.room.serve_waiting()
        if self._lines:
            self._serve_line(shelf)

    def _is_room_for(self, shelf: Shelf) -> bool:
        """Whether nobody waits for room but who would rather have an environment of the shelf as it is."""
        line = self._lines.get(shelf.key)
        return line is not None and line.in_room >= self.room.waiting

    def _serve_line(self, shelf: Shelf) -> None:
        line = self._lines.get(shelf.key)
        while line is not None and (place := line.first()) is not None and (member := self._lease_of(shelf)) is not None:
            line.leave(place)
            place.given.set_result(member)
            self.on_served(place)

    def learn(self, member: Member, peak_mb: int, call_s: float) -> None:
        """A call took so long, and the environment so much memory at most."""
        shelf = member.shelf
        shelf.call_s = call_s if shelf.call_s == float("inf") else shelf.call_s + (call_s - shelf.call_s) * _NEWEST
        if peak_mb > member.peak_mb:
            member.peak_mb = peak_mb
            self.room.learn(member.environment.spec, peak_mb)
            member.shelf.size_mb = self.room.size_mb(member.environment.spec)

    def retire(self, function_id: str, keep: PoolKey | None = None) -> None:
        """A function changed or is gone: environments of `keep`'s version but of another configuration die when they are idle;
        without `keep` all of the function's do."""
        for member in list(self._members.values()):
            key = member.shelf.key
            if key[0] == function_id and key != keep and (keep is None or key[1] == keep[1]):
                member.is_retired = True
                self._kill_if_idle(member)
        for key in [each for each in self._absent if each[0] == function_id and each != keep]:
            if keep is None or key[1] == keep[1]:
                del self._absent[key]
                self._prewarms.drop(key)

    def expire(self) -> None:
        """Scale to zero: end what was idle for as long as the keep-alive says. Called from time to time."""
        now_s = self._clock.monotonic_s()
        while (shelf := self._expiries.pop_due(now_s)) is not None:
            next_s, gone = float("inf"), None
            shelf.looked_at_s = float("inf")
            for member in [each for each in shelf.idle if not each.is_provisioned]:
                expires_s = self._expires_s(member)
                if expires_s > now_s:
                    next_s = min(next_s, expires_s)
                    continue
                self._kill_if_idle(member)
                gone = member
            if gone is not None and not shelf.idle and not shelf.history.busy:
                self._expect_next(gone)
            if next_s < float("inf"):
                self._look_at(shelf, next_s)
        self._ranking.tidy()

    def pop_expected(self) -> FunctionSpec | None:
        """A version without any environment that is about to be called, if what was learned is right: to be started now."""
        now_s = self._clock.monotonic_s()
        while (key := self._prewarms.pop_due(now_s)) is not None:
            spec, history = self._absent.pop(key)
            until_s = self._keep_alive.plan(history).until_s
            if not history.busy and history.idle_since_s is not None and history.idle_since_s + until_s > now_s:
                return spec
        return None

    def _look_at(self, shelf: Shelf, due_s: float) -> None:
        shelf.looked_at_s = due_s
        self._expiries.set(shelf, due_s)

    def _expires_s(self, member: Member) -> float:
        """When an idle environment goes. One that was started ahead of a call goes when the call is not expected any more."""
        history = member.shelf.history
        plan = self._keep_alive.plan(history)
        if member.is_prewarmed and history.idle_since_s is not None:
            return history.idle_since_s + plan.until_s
        is_surplus = member is not member.shelf.idle[-1]
        return member.idle_since_s + (min(plan.unload_s, self._keep_alive.surplus_s) if is_surplus else plan.unload_s)

    def _expect_next(self, member: Member) -> None:
        """The last environment of a version has gone: when is the next call expected?"""
        shelf, spec = member.shelf, member.environment.spec
        prewarm_s = self._keep_alive.plan(shelf.history).prewarm_s
        since_s = shelf.history.idle_since_s
        if member.is_prewarmed or prewarm_s is None or since_s is None:
            return
        self._absent[shelf.key] = (spec, shelf.history)
        self._prewarms.set(shelf.key, since_s + prewarm_s)
        if len(self._absent) > _MOST_PREWARMED:
            self._prewarms.drop(self._absent.popitem(last=False)[0])

    def relieve(self, used_mb: int) -> None:
        """The environments really take so much together: when that is near the budget, evict as much as is too much."""
        excess_mb = used_mb - int(self.room.budget_mb * _FULL)
        while excess_mb > 0 and (victim := self._ranking.pop_least()) is not None:
            excess_mb -= self.room.size_mb(victim.environment.spec)
            self._evict(victim)

    def provisioned(self, key: PoolKey) -> list[Member]:
        return [member for member in self._members.values() if member.is_provisioned and member.shelf.key == key]

    def unprovision(self, member: Member) -> None:
        """No longer kept on purpose."""
        member.is_provisioned = False
        member.is_retired = True
        self._kill_if_idle(member)

    def _leave_idle(self, member: Member) -> None:
        """It was taken from the stack of idle ones."""
        member.is_idle = False
        self._idle -= 1

    def _evict_least(self, accounts: Collection[str] | None) -> bool:
        victim = self._ranking.pop_least(accounts)
        if victim is not None:
            self._evict(victim)
        return victim is not None

    def _evict(self, victim: Member) -> None:
        """Being killed, it counts as gone at once."""
        victim.shelf.idle.remove(victim)
        self._leave_idle(victim)
        self.room.give_back_evicted(victim.environment.spec)
        victim.is_given_back = True
        victim.environment.kill()

    def _kill_if_idle(self, member: Member) -> None:
        if member.is_idle:
            member.shelf.idle.remove(member)
            self._leave_idle(member)
            member.environment.kill()

    def _forget(self, member: Member) -> None:
        self._members.pop(member.environment.id, None)
        if member.is_idle:
            member.shelf.idle.remove(member)
            self._leave_idle(member)
        shelf = member.shelf
        shelf.live -= 1
        if not shelf.live and self._shelves.get(shelf.key) is shelf:
            del self._shelves[shelf.key]
        if not member.is_given_back:
            self.room.give_back(member.environment.spec)
        self.on_lost(member)


def _find_shared(shelf: Shelf) -> Member | None:
    """An environment at work that takes one more call, as a few Python functions ask for."""
    for member in shelf.shared:
        is_there = not member.is_retired and not member.environment.exited.done()
        if is_there and member.calls < member.environment.calls_at_once:
            return member
    return None
