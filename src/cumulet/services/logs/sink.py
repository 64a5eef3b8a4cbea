"""The sink that functions' output flows into: takes lines at once, writes them in batches, and never grows without bound.

Log lines are no acknowledged writes: those of the last twentieth of a second may be lost when the node is killed.
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
_MOST_OF_ONE = _MAX_BUFFERED_BYTES // 2
"""Of these, how many may be one account's: while the store is slow, others' lines are to find room too."""
_MAX_STREAM_BYTES_PER_S = 4 * 1024 * 1024
_BATCH_LINES = 1000
_TRANSACTION_BATCHES = 32

_RATES_REMEMBERED = 10_000

Place = tuple[str, str, str, str]
"""(account, region, group, stream)"""
Batch = tuple[str, str, LogLines]
"""(group, stream, lines)"""


class _Buffer:
    """What one stream has got since the last flush. `taken` are its bytes since `since_s`, some time in the last second."""

    __slots__ = ("dropped", "lines", "since_s", "taken")

    def __init__(self, since_s: float, taken: int) -> None:
        self.lines: LogLines = []
        self.dropped = 0
        self.since_s = since_s
        self.taken = taken


class StoreLogSink:
    """`take` is the LogSink of the invoker."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._buffers: dict[Place, _Buffer] = {}
        self._buffered_bytes = 0
        self._buffered_of: dict[str, int] = {}
        self._rates: dict[Place, tuple[float, int]] = {}
        self._woken = asyncio.Event()
        self._flushing = asyncio.Lock()

    def take(self, account: str, region: str, group: str, stream: str, lines: LogLines) -> None:
        """Keep lines for the next flush; those of a flood are counted, not kept."""
        place = (account, region, group, stream)
        buffer = self._buffers.get(place)
        if buffer is None:
            buffer = self._open_buffer(place)
        size = size_of(lines)
        buffer.taken += size
        accounts = self._buffered_of.get(account, 0) + size
        is_flood = buffer.taken > _MAX_STREAM_BYTES_PER_S or accounts > _MOST_OF_ONE
        if is_flood or self._buffered_bytes + size > _MAX_BUFFERED_BYTES:
            buffer.dropped += len(lines)
        else:
            buffer.lines += lines
            self._buffered_bytes += size
            self._buffered_of[account] = accounts

    def _open_buffer(self, place: Place) -> _Buffer:
        """For the stream's first lines since the last flush, so that the time is asked for once a flush."""
        now_s = self._clock.monotonic_s()
        since_s, taken = self._rates.get(place, (now_s, 0))
        if now_s - since_s >= 1.0:
            since_s, taken = now_s, 0
        buffer = self._buffers[place] = _Buffer(since_s, taken)
        self._woken.set()
        return buffer

    async def flush(self) -> None:
        """Write what is buffered now; returns when it can be read."""
        async with self._flushing:
            buffers, self._buffers, self._buffered_bytes, self._buffered_of = self._buffers, {}, 0, {}
            if len(self._rates) > _RATES_REMEMBERED:
                self._rates.clear()
            for place, buffer in buffers.items():
                self._rates[place] = (buffer.since_s, buffer.taken)
                if buffer.dropped:
                    marker = f"[cumulet] log cut: {buffer.dropped} lines were dropped\n"
                    buffer.lines.append((self._clock.now_ms(), marker))
            for (account, region), batches in _by_shard(buffers).items():
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


def _by_shard(buffers: dict[Place, _Buffer]) -> dict[tuple[str, str], list[Batch]]:
    shards: dict[tuple[str, str], list[Batch]] = {}
    for (account, region, group, stream), buffer in buffers.items():
        batches, lines = shards.setdefault((account, region), []), buffer.lines
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
