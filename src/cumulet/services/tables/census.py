"""How many items and bytes tables and indexes hold: counted when somebody asks, and not again at once where that takes long.

The service whose API this is tells figures that are up to six hours old.
"""

import asyncio

from cumulet.core.clock import Clock
from cumulet.services.tables import storage
from cumulet.services.tables.model import Table
from cumulet.store.contract import Reader, Store

_CHUNK = 2_000
_FRESH_S = 60.0
_SOON = 20_000
"""What is counted while the caller waits; the rest of a larger table is counted after the answer."""


class Census:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._counted: dict[tuple[str, bytes], tuple[int, int, float]] = {}
        self._counting: dict[tuple[str, bytes], asyncio.Task[None]] = {}

    async def sizes(self, shard: str, table: Table) -> dict[str, tuple[int, int]]:
        """(items, bytes) by index name, "" for the table."""
        found = {"": await self._size(shard, storage.items_prefix(table.number))}
        for index in table.indexes:
            found[index.name] = await self._size(shard, storage.entries_prefix(table.number, index.number))
        return found

    def forget(self, shard: str, table_number: int) -> None:
        for key in [key for key in self._counted if key[0] == shard and key[1][1:5] == table_number.to_bytes(4, "big")]:
            del self._counted[key]

    async def close(self) -> None:
        tasks = list(self._counting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _size(self, shard: str, prefix: bytes) -> tuple[int, int]:
        key = (shard, prefix)
        count, size, at_s = self._counted.get(key, (0, 0, 0.0))
        if count > _SOON and self._clock.monotonic_s() < at_s + _FRESH_S:
            return count, size
        counting = self._counting.get(key)
        if counting is None:
            counting = self._counting[key] = asyncio.get_running_loop().create_task(self._count(shard, prefix))
            counting.add_done_callback(lambda _: self._counting.pop(key, None))
        if count <= _SOON:
            await asyncio.wait([counting], timeout=0.25)
        count, size, _ = self._counted.get(key, (count, size, 0.0))
        return count, size

    async def _count(self, shard: str, prefix: bytes) -> None:
        end, start = storage.end_of(prefix), prefix
        count = size = 0
        while True:

            def chunk(reader: Reader, start: bytes = start) -> tuple[int, int, bytes]:
                pairs = list(reader.scan(start, end, limit=_CHUNK))
                last = pairs[-1][0] if pairs else start
                return len(pairs), sum(storage.size_of(value) for _, value in pairs), last

            counted, summed, last = await self._store.read(shard, chunk)
            count, size = count + counted, size + summed
            if counted < _CHUNK:
                self._counted[shard, prefix] = (count, size, self._clock.monotonic_s())
                return
            start = last + b"\x00"
            await asyncio.sleep(0)
