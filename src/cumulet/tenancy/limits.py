"""How often an account may ask: a token bucket each, in constant time."""

from cumulet.core.clock import Clock
from cumulet.core.errors import Fault

DEFAULT_RATE_PER_S = 50_000.0
DEFAULT_BURST = 50_000.0


class RateExceeded(Fault):
    """The account asks too often."""

    code = "ThrottlingException"
    query_code = "Throttling"
    status = 429


class RequestRate:
    """Requests of each account: `burst` at once, `rate_per_s` in the long run."""

    def __init__(self, clock: Clock, rate_per_s: float = DEFAULT_RATE_PER_S, burst: float = DEFAULT_BURST) -> None:
        self._clock = clock
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, account: str) -> None:
        """Count one request. Raises RateExceeded."""
        now_s = self._clock.monotonic_s()
        tokens, seen_s = self._buckets.get(account, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - seen_s) * self._rate_per_s)
        if tokens < 1:
            self._buckets[account] = (tokens, now_s)
            raise RateExceeded("Rate exceeded", headers={"Retry-After": "1"})
        self._buckets[account] = (tokens - 1, now_s)
