"""How often each key was used under each plan: counted in memory on the path of requests, written to the store every second.

A node that is killed forgets the last second of counts: a quota may then let that many more through.
"""

import asyncio
import calendar
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from cumulet.core.clock import Clock
from cumulet.services.rest_apis import storage
from cumulet.services.rest_apis.model import Document, Place
from cumulet.store.contract import Store, Txn

_FLUSH_S = 1.0


@dataclass(slots=True)
class _Use:
    """Requests by day, and what an administrator added to the quota of the running period."""

    days: dict[str, int] = field(default_factory=dict)
    extra: int = 0
    extra_period: str = ""


def period_start(period: str, now_ms: int) -> date:
    """The first day of the quota's running period, UTC: weeks begin on Sunday."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    if period == "MONTH":
        return today.replace(day=1)
    if period == "WEEK":
        return today - timedelta(days=(today.weekday() + 1) % 7)
    return today


class UsageCounts:
    """See the module's text. `run` is the loop that writes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._uses: dict[tuple[Place, str, str], _Use] = {}
        self._changed: set[tuple[Place, str, str]] = set()

    async def open(self) -> None:
        for shard in await self._store.list_shards():
            place = storage.find_place(shard)
            if place is not None:
                for kept in await self._store.read(shard, lambda reader: list(storage.list_all(reader, "usage"))):
                    use = _Use(kept["days"], kept.get("extra", 0), kept.get("extraPeriod", ""))
                    self._uses[place, kept["planId"], kept["keyId"]] = use

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what changed."""
        changed, self._changed = self._changed, set()
        by_place: dict[Place, list[tuple[str, str]]] = {}
        for place, plan_id, key_id in changed:
            by_place.setdefault(place, []).append((plan_id, key_id))
        for place, pairs in by_place.items():
            documents = [self._document(place, *pair) for pair in pairs]

            def write(txn: Txn, documents: list[Document] = documents) -> None:
                for document in documents:
                    storage.put(txn, "usage", document, document["planId"], document["keyId"])

            await self._store.write(storage.shard_of(place), write)

    def take(self, place: Place, plan: Document, key_id: str, now_ms: int) -> bool:
        """Count one request; False, and nothing counted, when the plan's quota is used up."""
        use = self._uses.get((place, plan["id"], key_id))
        if use is None:
            use = self._uses[place, plan["id"], key_id] = _Use()
        if plan.get("quota") and self._remaining(plan, use, now_ms) <= 0:
            return False
        today = _day(now_ms)
        use.days[today] = use.days.get(today, 0) + 1
        self._changed.add((place, plan["id"], key_id))
        return True

    def forget(self, place: Place, plan_id: str, key_id: str | None = None) -> None:
        """A plan, or a key of it, is gone."""
        for key in [key for key in self._uses if key[:2] == (place, plan_id) and key_id in (None, key[2])]:
            self._uses.pop(key, None)
            self._changed.discard(key)

    def extend(self, place: Place, plan: Document, key_id: str, remaining: int) -> None:
        """Give a key `remaining` requests in the running period."""
        use = self._uses.setdefault((place, plan["id"], key_id), _Use())
        now_ms = self._clock.now_ms()
        use.extra_period = period_start(plan["quota"]["period"], now_ms).isoformat()
        use.extra = 0
        use.extra = remaining - self._remaining(plan, use, now_ms)
        self._changed.add((place, plan["id"], key_id))

    def daily(self, place: Place, plan: Document, key_ids: Iterable[str], first: date, last: date) -> dict[str, list[list[int]]]:
        """{key id: [[used, remaining] of each day]}; without a quota all that remains is 0."""
        found: dict[str, list[list[int]]] = {}
        for key_id in key_ids:
            use = self._uses.get((place, plan["id"], key_id))
            if use is None or not use.days:
                continue
            rows: list[list[int]] = []
            for number in range((last - first).days + 1):
                day = first + timedelta(days=number)
                end_ms = (calendar.timegm(day.timetuple()) + 86_399) * 1000
                left = max(0, self._remaining(plan, use, end_ms)) if plan.get("quota") else 0
                rows.append([use.days.get(day.isoformat(), 0), left])
            found[key_id] = rows
        return found

    def _remaining(self, plan: Document, use: _Use, at_ms: int) -> int:
        """What is left at the end of the day of `at_ms`."""
        quota = plan["quota"]
        start = period_start(quota["period"], at_ms).isoformat()
        today = _day(at_ms)
        used = sum(count for day, count in use.days.items() if start <= day <= today)
        extra = use.extra if use.extra_period == start else 0
        is_first = not any(day < start for day in use.days)
        offset = (quota.get("offset") or 0) if is_first else 0
        return int(quota["limit"]) - offset - used + extra

    def _document(self, place: Place, plan_id: str, key_id: str) -> Document:
        use = self._uses[place, plan_id, key_id]
        while len(use.days) > 100:
            del use.days[min(use.days)]
        days = dict(use.days)
        return {"planId": plan_id, "keyId": key_id, "days": days, "extra": use.extra, "extraPeriod": use.extra_period}


def _day(now_ms: int) -> str:
    at = time.gmtime(now_ms // 1000)
    return f"{at[0]:04}-{at[1]:02}-{at[2]:02}"
