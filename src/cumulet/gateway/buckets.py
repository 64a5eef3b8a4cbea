"""Token buckets: how often something may happen. In memory, per node."""

from dataclasses import dataclass

from cumulet.core.clock import Clock

_BUCKETS = 100_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    seen_s: float


class Buckets:
    """Token buckets by name: `burst` at once, `rate_per_s` in the long run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, ...], _Bucket] = {}

    def take(self, name: tuple[str, ...], rate_per_s: float, burst: float) -> bool:
        now_s = self._clock.monotonic_s()
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= _BUCKETS:
                self._buckets.clear()
            bucket = self._buckets[name] = _Bucket(burst, now_s)
        bucket.tokens = min(burst, bucket.tokens + (now_s - bucket.seen_s) * rate_per_s)
        bucket.seen_s = now_s
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True
