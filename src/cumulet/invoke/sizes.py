"""How much memory environments take, learned from what they took: pure, and bounded in what it remembers.

A function's memory size is a limit, and most stay far below it. What an environment is counted for is the most that any
environment of its version ever took, and a quarter more; before one has run, a guess.
"""

from collections import OrderedDict

from cumulet.runtimes.contract import FunctionSpec

Key = tuple[str, str, str]
FIRST_GUESS_MB = 64
_LEAST_MB = 4
_MARGIN = 1.25
_MAXIMUM_REMEMBERED = 20_000


class Sizes:
    """The memory that live environments are counted for, together, each and by account. `large` has the accounts that hold at least
    `much_mb`, and `large_mb` what these hold together."""

    def __init__(self, much_mb: float = float("inf")) -> None:
        self._much_mb = much_mb
        self._learned: OrderedDict[Key, int] = OrderedDict()
        self._live: dict[Key, int] = {}
        self._guesses: dict[Key, int] = {}
        self._held: dict[str, int] = {}
        self.large: dict[str, int] = {}
        self.large_mb = 0
        self.used_mb = 0

    def held_mb(self, account: str) -> int:
        """What the account's live environments are counted for together."""
        return self._held.get(account, 0)

    def of(self, spec: FunctionSpec) -> int:
        """What one environment of that version is counted for, now."""
        return self._learned.get(spec.pool_key) or min(spec.memory_mb, FIRST_GUESS_MB)

    def take(self, spec: FunctionSpec) -> None:
        """One environment more."""
        key = spec.pool_key
        self._live[key] = self._live.get(key, 0) + 1
        self._count(spec.account, self._guesses.setdefault(key, self.of(spec)))

    def give_back(self, spec: FunctionSpec) -> None:
        """One less."""
        key = spec.pool_key
        self._count(spec.account, -self._guesses[key])
        self._live[key] -= 1
        if not self._live[key]:
            del self._live[key], self._guesses[key]

    def learn(self, spec: FunctionSpec, peak_mb: int) -> bool:
        """An environment has taken so much at most; whether others are counted for less now."""
        key = spec.pool_key
        known = self._learned.get(key)
        size = min(spec.memory_mb, max(_LEAST_MB, int(peak_mb * _MARGIN) + 1))
        if known is not None and size <= known:
            return False
        self._learned[key] = size
        if len(self._learned) > _MAXIMUM_REMEMBERED:
            self._learned.popitem(last=False)
        before = self._guesses.get(key)
        if before is None:
            return False
        self._guesses[key] = size
        self._count(spec.account, (size - before) * self._live[key])
        return size < before

    def _count(self, account: str, more_mb: int) -> None:
        self.used_mb += more_mb
        held_mb = self._held.get(account, 0) + more_mb
        if held_mb:
            self._held[account] = held_mb
        else:
            self._held.pop(account, None)
        self.large_mb -= self.large.pop(account, 0)
        if held_mb >= self._much_mb:
            self.large[account] = held_mb
            self.large_mb += held_mb
