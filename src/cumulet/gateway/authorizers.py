"""What authorizers of all kinds of APIs share: their answers are kept for a while, and a function that fails may say so."""

from collections import OrderedDict
from typing import Generic, TypeVar

import orjson

from cumulet.core.clock import Clock

_MOST = 10_000

Key = tuple[str, ...]
"""(API id, stage, authorizer id, what identifies the caller …)"""
G = TypeVar("G")


class Grants(Generic[G]):
    """Answers by whom they are about. The longest unused go first when there are too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._grants: OrderedDict[Key, tuple[float, G]] = OrderedDict()

    def find(self, key: Key) -> G | None:
        found = self._grants.get(key)
        if found is None or found[0] <= self._clock.monotonic_s():
            return None
        self._grants.move_to_end(key)
        return found[1]

    def keep(self, key: Key, grant: G, ttl_s: float) -> None:
        self._grants[key] = (self._clock.monotonic_s() + ttl_s, grant)
        self._grants.move_to_end(key)
        while len(self._grants) > _MOST:
            self._grants.popitem(last=False)

    def forget(self, api_id: str, stage: str | None = None) -> None:
        """All of a stage, or of all stages."""
        for key in [key for key in self._grants if key[0] == api_id and stage in (None, key[1])]:
            del self._grants[key]


def error_message(payload: bytes) -> str | None:
    """What a function that failed says of it."""
    try:
        message = orjson.loads(payload).get("errorMessage")
    except (ValueError, AttributeError):
        return None
    return message if isinstance(message, str) else None
