"""Time to live: items whose time has come are deleted, by a loop that sleeps until the next one's.

Every item with an expiry has an entry in an index by time, written with it; so the loop knows what is due without looking at
items, and needs no clock of its own but the node's.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Protocol

from cumulet.core.clock import Clock
from cumulet.services.tables import storage
from cumulet.services.tables.model import Table
from cumulet.services.tables.values import Item
from cumulet.store.contract import Reader, Store, Txn

_CHUNK = 100
_LONGEST_SLEEP_S = 3600.0
_TOO_OLD_S = 5 * 365 * 24 * 3600
"""An expiry that lies further back is taken for a mistake: such items stay."""
_LATEST_S = 1 << 62


def expiry_of(item: Item | None, table: Table, now_ms: int) -> int | None:
    """When the item ends, in Unix seconds; None when it doesn't."""
    if item is None or table.expiry is None or table.expiry.status == "DISABLING":
        return None
    text = item.get(table.expiry.attribute, {}).get("N")
    if text is None:
        return None
    whole = int(text.partition(".")[0] or "0")
    return whole if max(0, now_ms // 1000 - _TOO_OLD_S) <= whole < _LATEST_S else None


class DeleteDue(Protocol):
    """Deletes an item because its time has come, with all that follows; the table when there was such an item."""

    def __call__(self, txn: Txn, shard: str, table_number: int, item_key: bytes, expires_s: int) -> Table | None: ...


class Expiries:
    """The loop. `delete` is the service's own way to delete, `deleted` is told of tables that lost items."""

    def __init__(self, store: Store, clock: Clock, delete: DeleteDue, deleted: Callable[[str, Table], None]) -> None:
        self._store = store
        self._clock = clock
        self._delete = delete
        self._deleted = deleted
        self._shards: set[str] = set()
        self._wake = asyncio.Event()
        self._next_s: float = math.inf

    def recover(self, shard: str) -> None:
        self._shards.add(shard)

    def noticed(self, shard: str, expires_s: int) -> None:
        """There is an item that ends then."""
        self._shards.add(shard)
        if expires_s < self._next_s:
            self._next_s = expires_s
            self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                self._wake.clear()
                self._next_s = await self.sweep()
                pause_s = min(max(0.0, self._next_s - self._clock.now_ms() / 1000), _LONGEST_SLEEP_S)
                waking = asyncio.ensure_future(self._wake.wait())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait((stopping, waking), timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
                await asyncio.gather(waking, return_exceptions=True)
        finally:
            stopping.cancel()

    async def sweep(self) -> float:
        """Delete all that is due; when the next will be, in Unix seconds."""
        upcoming = math.inf
        for shard in sorted(self._shards):
            while True:
                now_s = self._clock.now_ms() // 1000
                due, following = await self._store.read(shard, lambda reader, now_s=now_s: _due(reader, now_s))  # type: ignore[misc]
                if not due:
                    upcoming = min(upcoming, following)
                    break
                await self._delete_all(shard, due)
                await asyncio.sleep(0)
        return upcoming

    async def _delete_all(self, shard: str, due: list[bytes]) -> None:
        def delete(txn: Txn) -> list[Table]:
            tables: dict[int, Table] = {}
            for key in due:
                if txn.get(key) is None:
                    continue  # it was put off or deleted since
                txn.delete(key)
                expires_s, number, item_key = storage.split_due(key)
                table = self._delete(txn, shard, number, item_key, expires_s)
                if table is not None:
                    tables[number] = table
            return list(tables.values())

        for table in await self._store.write(shard, delete):
            self._deleted(shard, table)


def _due(reader: Reader, now_s: int) -> tuple[list[bytes], float]:
    """(keys of what is due, when the first of the others is)."""
    due: list[bytes] = []
    for key, _ in reader.scan(storage.DUE, storage.end_of(storage.DUE), limit=_CHUNK):
        expires_s = storage.split_due(key)[0]
        if expires_s > now_s:
            return due, expires_s
        due.append(key)
    return due, math.inf
