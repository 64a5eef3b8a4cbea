"""A control group for each account, between the node's and those of its environments: what all of them may take together.

An environment is made below its account's group and never moves: moving a process costs milliseconds when the kernel has to wait
for all processors.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass

from cumulet.runtimes.process import JailFailed
from cumulet.sandbox import cgroup
from cumulet.sandbox.jail import Limits
from cumulet.tenancy.quotas import Quotas

_PREFIX = "account-"
_MOST_KEPT = 1000
_AN_ENVIRONMENT = 2
"""Processes of one that does nothing."""
_FRESH_S = 60.0
"""So long at most a start takes from being named to standing in its group."""


@dataclass(slots=True)
class _Made:
    group: "asyncio.Task[cgroup.Group]"
    used_at_s: float


class AccountGroups:
    """Makes them when they are first needed; those used least lately go when there are many."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._node: cgroup.Group = ()
        self._made: OrderedDict[str, _Made] = OrderedDict()

    def open(self, node: cgroup.Group) -> None:
        """`node` is empty where there are no control groups: then no account has one either."""
        self._node = node

    async def below(self, account: str, name: str) -> cgroup.Group:
        """The group of one environment of the account's, which its first process is to make. Raises JailFailed."""
        if not self._node:
            return ()
        made = self._made.get(account)
        if made is None or (made.group.done() and made.group.exception() is not None):
            made = self._made[account] = _Made(asyncio.create_task(self._make(account)), time.monotonic())
            await self._make_room()
        made.used_at_s = time.monotonic()
        self._made.move_to_end(account)
        return cgroup.below(await asyncio.shield(made.group), name)

    def is_full(self, account: str) -> bool:
        """Whether the account's processes are used up: whatever is started for it then fails."""
        made = self._made.get(account)
        if made is None or not made.group.done() or made.group.exception() is not None:
            return False
        return not cgroup.has_room_for(made.group.result(), _AN_ENVIRONMENT)

    async def _make(self, account: str) -> cgroup.Group:
        quota = self._quotas.of(account)
        limits = Limits(memory_bytes=quota.memory_mb << 20, pids=quota.processes, cpu_share=quota.weight)
        try:
            return await asyncio.to_thread(cgroup.open_between, self._node, _PREFIX + account, limits)
        except OSError as error:
            raise JailFailed(f"cgroup: {error}") from error

    async def _make_room(self) -> None:
        """Remove groups that nothing has been named in for a while, and in which there is nothing."""
        for _ in range(len(self._made) - _MOST_KEPT):
            account, oldest = next(iter(self._made.items()))
            if time.monotonic() - oldest.used_at_s < _FRESH_S or not oldest.group.done():
                return
            del self._made[account]
            is_failed = oldest.group.exception() is not None
            if not is_failed and not await asyncio.to_thread(cgroup.remove, oldest.group.result(), 0.0):
                self._made[account] = _Made(oldest.group, time.monotonic())
