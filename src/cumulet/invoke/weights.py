"""What share of the processor an environment has when there is too little of it: an even one for every account. Pure.

As on Lambda the memory size says how much of a core a function gets, and between the functions of one account it does. But all that
an account has at work weighs as much together as all that another has: every environment's share is divided by what its account has
at work, rounded up to a power of two. So a share is changed when that has doubled, or has fallen to a quarter, and else never.
"""

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from cumulet.tenancy.fair_queue import WeightOf

ACCOUNT_SHARE = 32.0
"""What an account of weight 1 weighs, in cores: enough that a thousandth of it is still a number that a kernel takes."""
_MOST_KEPT = 4096


class Share(NamedTuple):
    """A share of the processor, in cores, and the scale that it was worked out for."""

    cores: float
    scale: int


class Weighed(Protocol):
    """What has a size, and remembers the `scale` that its share was set for; 0: none yet."""

    size_mb: int
    scale: int


W = TypeVar("W", bound=Weighed)


@dataclass(slots=True)
class _Account(Generic[W]):
    busy_mb: int = 0
    scale: int = 1
    scale_at_work: int = 1
    starting: int = 0
    at_work: dict[W, None] = field(default_factory=dict)


class Weights(Generic[W]):
    """What every account has at work. Of those without any only some are remembered."""

    def __init__(self, weight_of: WeightOf) -> None:
        self._weight_of = weight_of
        self._accounts: dict[str, _Account[W]] = {}
        self._most_kept = _MOST_KEPT

    def begin_start(self, account: str, size_mb: int) -> Share:
        """An environment is being started: its share."""
        found = self._accounts.get(account) or self._add(account)
        found.starting += 1
        _grow(found, size_mb)
        return Share(self._share(account, size_mb, found.scale), found.scale)

    def end_start(self, account: str, size_mb: int) -> None:
        """It was started, or could not be: `begin` counts it from then on."""
        found = self._accounts[account]
        found.starting -= 1
        found.busy_mb -= size_mb

    def begin(self, account: str, member: W) -> list[tuple[W, float]]:
        """It is at work now. Whose share has to be set, and to what: mostly nobody's."""
        found = self._accounts.get(account) or self._add(account)
        _grow(found, member.size_mb)
        found.at_work[member] = None
        if found.scale == found.scale_at_work:
            if member.scale == found.scale:
                return []
            member.scale = found.scale
            return [(member, self._share(account, member.size_mb, found.scale))]
        found.scale_at_work = found.scale
        changed = []
        for each in found.at_work:
            if each.scale != found.scale:
                each.scale = found.scale
                changed.append((each, self._share(account, each.size_mb, each.scale)))
        return changed

    def end(self, account: str, member: W) -> None:
        """It is idle, or gone."""
        found = self._accounts.get(account)
        if found is not None and member in found.at_work:
            del found.at_work[member]
            found.busy_mb -= member.size_mb

    def _add(self, account: str) -> _Account[W]:
        if len(self._accounts) >= self._most_kept:
            self._accounts = {name: each for name, each in self._accounts.items() if each.busy_mb}
            self._most_kept = 2 * len(self._accounts) + _MOST_KEPT
        found: _Account[W] = _Account()
        self._accounts[account] = found
        return found

    def _share(self, account: str, size_mb: int, scale: int) -> float:
        return ACCOUNT_SHARE * self._weight_of(account) * size_mb / scale


def _grow(found: _Account[W], size_mb: int) -> None:
    found.busy_mb += size_mb
    if found.busy_mb > found.scale or found.busy_mb * 4 <= found.scale:
        found.scale = 1 << (found.busy_mb - 1).bit_length()
