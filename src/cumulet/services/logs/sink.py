"""The sink that functions' output flows into: takes lines at once, writes them in batches, and never grows without bound.

Log lines are no acknowledged writes: those of the last tenth of a second may be lost when the node is killed.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from cumulet.core.clock import Clock
from cumulet.invoke.contract import LogLines
from cumulet.services.logs import storage
from cumulet.services.logs.model import Group, Stream, grown, size_of
from cumulet.store.contract import Store, Txn

_FLUSH_INTERVAL_S = 0.05
_MAX_BUFFERED_BYTES = 32 * 1024 * 1024
_MAX_STREAM_BYTES_PER_S = 4 * 1024 * 1024
_BATCH_LINES = 1000
_TRANSACTION_BATCHES = 32

Place = tuple[str, str, str, str]
"""(account, region, group, stream)"""
Batch = tuple[str, str, LogLines]
"""(group, stream, lines)"""


class StoreLogSink:
    """`take` is the LogSink of the invoker."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._buffered: dict[Place, LogLines] = {}
        self._buffered_bytes = 0
        self._rates: dict[Place, tuple[float, int]] = {}
        self._dropped: dict[Place, int] = {}
        self._woken = asyncio.Event()
        self._flushing = asyncio.Lock()

    def take(self, account: str, region: str, group: str, stream: str, lines: LogLines) -> None:
        """Keep lines for the next flush; those of a flood are counted, not kept."""
        place = (account, region, group, stream)
        size = size_of(lines)
        if self._is_flood(place, size):
            self._dropped[place] = self._dropped.get(place, 0) + len(lines)
        else:
            self._buffered.setdefault(place, []).extend(lines)
            self._buffered_bytes += size
        self._woken.set()

    async def flush(self) -> None:
        """Write what is buffered now; returns when it can be read."""
        async with self._flushing:
            buffered, dropped = self._buffered, self._dropped
            self._buffered, self._dropped, self._buffered_bytes = {}, {}, 0
            for place, count in dropped.items():
                marker = f"[cumulet] log cut: {count} lines were dropped\n"
                buffered.setdefault(place, []).append((self._clock.now_ms(), marker))
            for (account, region), batches in _by_shard(buffered).items():
                await append(self._store, account, region, batches, self._clock.now_ms())

    async def run(self, stop: asyncio.Event) -> None:
        """Flush soon after lines have come, until told to stop; then a last time."""
        stopped = asyncio.ensure_future(stop.wait())
        while not stop.is_set():
            woken = asyncio.ensure_future(self._woken.wait())
            await asyncio.wait((stopped, woken), return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _FLUSH_INTERVAL_S)
            self._woken.clear()
            await self.flush()
        await self.flush()

    def _is_flood(self, place: Place, size: int) -> bool:
        if self._buffered_bytes + size > _MAX_BUFFERED_BYTES:
            return True
        now_s = self._clock.monotonic_s()
        since_s, taken = self._rates.get(place, (now_s, 0))
        if now_s - since_s >= 1.0:
            since_s, taken = now_s, 0
        if len(self._rates) > 10_000:
            self._rates.clear()
        self._rates[place] = (since_s, taken + size)
        return taken + size > _MAX_STREAM_BYTES_PER_S


def _by_shard(buffered: dict[Place, LogLines]) -> dict[tuple[str, str], list[Batch]]:
    shards: dict[tuple[str, str], list[Batch]] = {}
    for (account, region, group, stream), lines in buffered.items():
        batches = shards.setdefault((account, region), [])
        batches += [(group, stream, lines[at : at + _BATCH_LINES]) for at in range(0, len(lines), _BATCH_LINES)]
    return shards


async def append(store: Store, account: str, region: str, batches: Sequence[Batch], now_ms: int) -> None:
    """Add events to streams, making them and their groups on the way: in few transactions, none of them long."""
    for at in range(0, len(batches), _TRANSACTION_BATCHES):
        some = batches[at : at + _TRANSACTION_BATCHES]
        await store.write(storage.shard_of(account, region), lambda txn, some=some: _add(txn, some, now_ms))  # type: ignore[misc]


def _add(txn: Txn, batches: Sequence[Batch], now_ms: int) -> None:
    groups: dict[str, Group] = {}
    for group_name, stream_name, lines in batches:
        group = groups.get(group_name) or storage.find_group(txn, group_name) or Group(group_name, now_ms)
        stream = storage.find_stream(txn, group_name, stream_name) or Stream(stream_name, now_ms)
        size = size_of(lines)
        storage.put_lines(txn, group_name, stream_name, stream.next_sequence, lines, now_ms)
        storage.put_stream(txn, group_name, grown(stream, lines, size, now_ms))
        groups[group_name] = replace(group, stored_bytes=group.stored_bytes + size)
    for group in groups.values():
        storage.put_group(txn, group)
