"""The environments of a node: idle ones to lease, a budget of memory that all of them share, and who must go when it is full.

Idle environments of one function version are a stack, so that the last used is used again and the others grow old. When the
budget is full the idle environment of the least worth goes, by greedy-dual: the clock at its last use, plus how often its
version is called times what its cold start cost, divided by its size (`sizes`). https://doi.org/10.1145/3445814.3446757
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cumulet.core.clock import Clock
from cumulet.invoke.faults import ServiceUnavailable
from cumulet.invoke.sizes import Sizes
from cumulet.runtimes.contract import Environment, FunctionSpec

PoolKey = tuple[str, str, str]
_MAX_WAIT_S = 10.0
_FULL = 0.9
"""The share of the budget that may really be taken before idle environments go."""


@dataclass(slots=True)
class Member:
    """An environment with what the pool knows of it. `priority` is valid while `entry` is the newest one in the heap."""

    environment: Environment
    cold_ms: float
    is_provisioned: bool = False
    is_retired: bool = False
    idle_since_s: float = 0.0
    priority: float = 0.0
    entry: int = -1
    is_given_back: bool = False
    calls: int = 1


class Pool:
    """Leases, keeps and evicts environments. Knows sizes and times, not how environments are made."""

    def __init__(self, clock: Clock, budget_mb: int, keep_alive_s: float) -> None:
        self._clock = clock
        self._budget_mb = budget_mb
        self._keep_alive_s = keep_alive_s
        self._sizes = Sizes()
        self._idle: dict[PoolKey, deque[Member]] = {}
        self._shared: dict[PoolKey, list[Member]] = {}
        self._uses: dict[PoolKey, int] = {}
        self._members: dict[str, Member] = {}
        self._heap: list[tuple[float, int, Member]] = []
        self._entries = itertools.count()
        self._dual_clock = 0.0
        self._waiting: deque[tuple[FunctionSpec, asyncio.Future[None]]] = deque()
        self.on_lost: Callable[[Member], None] = lambda member: None

    @property
    def used_mb(self) -> int:
        """What the live environments are counted for."""
        return self._sizes.used_mb

    @property
    def live(self) -> int:
        return len(self._members)

    @property
    def idle(self) -> int:
        return sum(len(stack) for stack in self._idle.values())

    def lease(self, spec: FunctionSpec) -> Member | None:
        """The idle environment used last, None when there is none."""
        self._uses[spec.pool_key] = self._uses.get(spec.pool_key, 0) + 1
        if self._shared and (shared := self._find_shared(spec.pool_key)) is not None:
            shared.calls += 1
            return shared
        stack = self._idle.get(spec.pool_key)
        while stack:
            member = stack.pop()
            member.entry = -1
            if not member.environment.exited.done():
                member.environment.wake()
                self._begin(member)
                return member
        return None

    def _find_shared(self, key: PoolKey) -> Member | None:
        """An environment at work that takes one more call, as a few Python functions ask for."""
        for member in self._shared.get(key, ()):
            is_there = not member.is_retired and not member.environment.exited.done()
            if is_there and member.calls < member.environment.calls_at_once:
                return member
        return None

    def _begin(self, member: Member) -> None:
        """The first call of those that a member has at once."""
        member.calls = 1
        if member.environment.calls_at_once > 1:
            self._shared.setdefault(member.environment.spec.pool_key, []).append(member)

    def _end(self, member: Member) -> bool:
        """One call less; False while there are others."""
        member.calls -= 1
        if member.calls:
            return False
        if member.environment.calls_at_once > 1:
            key = member.environment.spec.pool_key
            self._shared[key].remove(member)
            if not self._shared[key]:
                del self._shared[key]
        return True

    async def make_room(self, spec: FunctionSpec) -> None:
        """Take the environment's memory from the budget, evicting or waiting in line. Raises ServiceUnavailable."""
        if spec.memory_mb > self._budget_mb:
            raise ServiceUnavailable(
                f"the node has {self._budget_mb} MB for environments, and this function wants {spec.memory_mb}"
            )
        if not self._waiting and self._evict_until_fits(spec):
            self._sizes.take(spec)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((spec, turn))
        try:
            await asyncio.wait_for(turn, _MAX_WAIT_S)
        except TimeoutError:
            raise ServiceUnavailable("the node has no memory left for another environment") from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(spec)
            raise

    def give_back(self, spec: FunctionSpec) -> None:
        """Memory of an environment that is gone, or was never made."""
        self._sizes.give_back(spec)
        self._serve_waiting()

    def learn(self, spec: FunctionSpec, peak_mb: int) -> None:
        """An environment of the version has taken so much memory at most."""
        if self._sizes.learn(spec, peak_mb):
            self._serve_waiting()

    def relieve(self, used_mb: int) -> None:
        """The environments really take so much together: when that is near the budget, evict as much as is too much."""
        excess_mb = used_mb - int(self._budget_mb * _FULL)
        while excess_mb > 0 and (victim := self._least_worth()) is not None:
            excess_mb -= self._sizes.of(victim.environment.spec)
            self._evict(victim)

    def _serve_waiting(self) -> None:
        while self._waiting:
            spec, turn = self._waiting[0]
            if turn.done():
                self._waiting.popleft()
                continue
            if not self._evict_until_fits(spec):
                return
            self._waiting.popleft()
            self._sizes.take(spec)
            turn.set_result(None)

    def add(self, environment: Environment, cold_ms: float, *, is_provisioned: bool = False) -> Member:
        """A new environment, leased to whoever made it; its memory was taken by `make_room`."""
        member = Member(environment, cold_ms, is_provisioned)
        self._members[environment.id] = member
        self._begin(member)
        environment.exited.add_done_callback(lambda _: self._forget(member))
        return member

    def release(self, member: Member) -> None:
        """The call is over: the environment is idle, or dies when its version is no longer wanted."""
        if not self._end(member) or member.environment.exited.done():
            return
        if member.is_retired:
            member.environment.kill()
            return
        member.environment.rest()
        spec = member.environment.spec
        member.idle_since_s = self._clock.monotonic_s()
        self._idle.setdefault(spec.pool_key, deque()).append(member)
        if not member.is_provisioned:
            worth = self._uses.get(spec.pool_key, 1) * max(member.cold_ms, 1.0) / self._sizes.of(spec)
            member.priority = self._dual_clock + worth
            member.entry = next(self._entries)
            heapq.heappush(self._heap, (member.priority, member.entry, member))
        if self._waiting:
            self._serve_waiting()

    def retire(self, function_id: str, keep: PoolKey | None = None) -> None:
        """A function changed or is gone: environments of `keep`'s version but of another configuration die when they are idle;
        without `keep` all of the function's do."""
        for member in list(self._members.values()):
            key = member.environment.spec.pool_key
            if key[0] == function_id and key != keep and (keep is None or key[1] == keep[1]):
                member.is_retired = True
                self._kill_if_idle(member)

    def expire(self) -> None:
        """Scale to zero: end what was idle for longer than the keep-alive. Called from time to time."""
        oldest_s = self._clock.monotonic_s() - self._keep_alive_s
        for key, stack in list(self._idle.items()):
            while stack and stack[0].idle_since_s <= oldest_s and not stack[0].is_provisioned:
                member = stack.popleft()
                member.entry = -1
                member.environment.kill()
            if not stack:
                del self._idle[key]
                self._uses.pop(key, None)
        if len(self._heap) > 2 * len(self._members) + 64:
            self._heap = [item for item in self._heap if item[2].entry == item[1]]
            heapq.heapify(self._heap)

    def provisioned(self, key: PoolKey) -> list[Member]:
        return [member for member in self._members.values() if member.is_provisioned and member.environment.spec.pool_key == key]

    def unprovision(self, member: Member) -> None:
        """No longer kept on purpose."""
        member.is_provisioned = False
        member.is_retired = True
        self._kill_if_idle(member)

    def _evict_until_fits(self, spec: FunctionSpec) -> bool:
        """Evict idle environments of the least worth until one of the version fits."""
        while self._sizes.used_mb + self._sizes.of(spec) > self._budget_mb:
            victim = self._least_worth()
            if victim is None:
                return False
            self._evict(victim)
        return True

    def _evict(self, victim: Member) -> None:
        """Being killed, it counts as gone at once."""
        self._dual_clock = victim.priority
        self._idle[victim.environment.spec.pool_key].remove(victim)
        self._sizes.give_back(victim.environment.spec)
        victim.is_given_back = True
        victim.environment.kill()

    def _least_worth(self) -> Member | None:
        while self._heap:
            _, entry, member = heapq.heappop(self._heap)
            if member.entry == entry and not member.environment.exited.done():
                member.entry = -1
                return member
        return None

    def _kill_if_idle(self, member: Member) -> None:
        stack = self._idle.get(member.environment.spec.pool_key)
        if stack and member in stack:
            stack.remove(member)
            member.entry = -1
            member.environment.kill()

    def _forget(self, member: Member) -> None:
        self._members.pop(member.environment.id, None)
        stack = self._idle.get(member.environment.spec.pool_key)
        if stack and member in stack:
            stack.remove(member)
        member.entry = -1
        if not member.is_given_back:
            self.give_back(member.environment.spec)
        self.on_lost(member)
