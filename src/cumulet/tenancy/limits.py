"""How often an account may ask, and how much its functions may print: a bucket each, in constant time."""

from cumulet.core.clock import Clock
from cumulet.core.errors import Fault
from cumulet.tenancy.quotas import Quotas

_MOST_KEPT = 10_000
LINE_BYTES = 200
"""What a line costs beside its bytes."""
_REFUSALS_PER_S = 100
_GOLDEN = 0.618034
"""Steps of so much, modulo 1, are spread evenly, however many there are."""
_LOG_BURST_S = 1.0
_LONGEST_PAUSE_S = 1.0


class RateExceeded(Fault):
    """The account asks too often."""

    code = "ThrottlingException"
    query_code = "Throttling"
    status = 429


class RequestRate:
    """Requests of each account: its `request_burst` at once, `requests_per_s` in the long run."""

    def __init__(self, clock: Clock, quotas: Quotas) -> None:
        self._clock = clock
        self._quotas = quotas
        self._buckets: dict[str, tuple[float, float]] = {}
        self._most_kept = _MOST_KEPT
        self.refused = 0

    def take(self, account: str) -> None:
        """Count one request. Raises RateExceeded."""
        now_s = self._clock.monotonic_s()
        quota = self._quotas.of(account)
        tokens, seen_s = self._buckets.get(account, (float(quota.request_burst), now_s))
        tokens = min(float(quota.request_burst), tokens + (now_s - seen_s) * quota.requests_per_s)
        is_refused = tokens < 1
        self._buckets[account] = (tokens if is_refused else tokens - 1, now_s)
        if len(self._buckets) > self._most_kept:
            self._forget_full(now_s)
        if is_refused:
            self.refused += 1
            raise RateExceeded("Rate exceeded", headers={"Retry-After": "1"})

    def _forget_full(self, now_s: float) -> None:
        """Accounts that could ask for all of their burst again need no bucket."""
        for account, (tokens, seen_s) in list(self._buckets.items()):
            quota = self._quotas.of(account)
            if tokens + (now_s - seen_s) * quota.requests_per_s >= quota.request_burst:
                del self._buckets[account]
        self._most_kept = 2 * len(self._buckets) + _MOST_KEPT


class HoldBack:
    """Refusals cost the node as much as small calls. The first of an account's are told at once; when there are many they are told
    later, by half a second to one and a half, so that who asks again and again asks less often. Each is held back for another
    time than the one before: those who were refused together would else come back together, and be in others' way again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spread = 0.0
        self._free_at_s: dict[str, float] = {}

    def delay_s(self, account: str) -> float:
        """Count a refusal; for how long it should be held back, mostly 0."""
        now_s = self._clock.monotonic_s()
        free_at_s = min(now_s + 2.0, max(now_s, self._free_at_s.get(account, 0.0)) + 1 / _REFUSALS_PER_S)
        self._free_at_s[account] = free_at_s
        if len(self._free_at_s) > _MOST_KEPT:
            self._free_at_s = {each: at for each, at in self._free_at_s.items() if at > now_s}
        if free_at_s <= now_s + 1.0:
            return 0.0
        self._spread = (self._spread + _GOLDEN) % 1.0
        return (free_at_s - now_s - 1.0) * (0.5 + self._spread)


class LogRate:
    """What each account's functions print together: its `log_bytes_per_s`, counting for every line what keeping it costs.

    Who prints faster is read more slowly, so that its own writes wait. What comes faster even so is to be dropped.
    """

    def __init__(self, clock: Clock, quotas: Quotas) -> None:
        self._clock = clock
        self._quotas = quotas
        self._free_at_s: dict[str, float] = {}

    def take(self, account: str, size: int, lines: int) -> float | None:
        """Count what was read. For how many seconds no more should be read from there, mostly 0; None: nor should this be kept."""
        now_s = self._clock.monotonic_s()
        free_at_s = max(now_s, self._free_at_s.get(account, 0.0))
        if free_at_s - now_s > _LOG_BURST_S + _LONGEST_PAUSE_S:
            return None
        free_at_s += (size + lines * LINE_BYTES) / max(1, self._quotas.of(account).log_bytes_per_s)
        free_at_s = min(free_at_s, now_s + 2 * (_LOG_BURST_S + _LONGEST_PAUSE_S))
        self._free_at_s[account] = free_at_s
        if len(self._free_at_s) > _MOST_KEPT:
            self._free_at_s = {each: at for each, at in self._free_at_s.items() if at > now_s}
        return min(_LONGEST_PAUSE_S, max(0.0, free_at_s - now_s - _LOG_BURST_S))
