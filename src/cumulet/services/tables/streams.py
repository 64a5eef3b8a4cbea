"""The write side of streams: what is recorded of a change, in which order, and for how long.

A record is written in the transaction that changes the item, with the next sequence number of its shard: so there is exactly one
for every change, in the order of the changes. Reading is by stream, shard and sequence number.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import orjson

from cumulet.core.clock import Clock
from cumulet.services.tables import storage
from cumulet.services.tables.model import Document, Place, Table
from cumulet.store.contract import Reader, Store, Txn

RETENTION_MS = 24 * 3600 * 1000
_TRIM_PAUSE_S = 600.0
_TRIM_CHUNK = 500
EXPIRED: Document = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
"""The identity behind deletions by time to live."""

Wake = Callable[[], None]
FindNeeded = Callable[[str, Document], Awaitable[int | None]]
"""(shard, stream) -> the oldest sequence number that must be kept, however old its record is; None: there is none."""


class Streams:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._shards: set[str] = set()
        self._wakes: dict[tuple[str, str], list[Wake]] = {}
        self.find_needed: FindNeeded | None = None

    # In the transactions of others

    def opened(self, txn: Txn, place: Place, table: Table) -> None:
        """The table has a new stream, or none."""
        if table.stream is None:
            return
        self._shards.add(storage.shard_of(place))
        document = {
            "table": table.name,
            "number": table.number,
            "stream": table.stream.number,
            "label": table.stream.label,
            "view": table.stream.view,
            "created_ms": table.stream.created_ms,
            "ended_ms": None,
            "key": table.key.described(),
        }
        storage.put_document(txn, document, "stream", table.name, table.stream.label)

    def closed(self, txn: Txn, place: Place, table: Table, now_ms: int) -> None:
        """The table's stream ends here; what it recorded can be read for a day."""
        if table.stream is None:
            return
        document = storage.find_document(txn, "stream", table.name, table.stream.label)
        if document is not None:
            storage.put_document(txn, document | {"ended_ms": now_ms}, "stream", table.name, table.stream.label)

    def record(
        self,
        txn: Txn,
        table: Table,
        key: Document,
        old: Document | None,
        new: Document | None,
        now_ms: int,
        user: Document | None,
        version: storage.Version | None = None,
    ) -> None:
        """Write what happened to an item; `old` and `new` are not the same. `version` is of items of global tables."""
        stream = table.stream
        assert stream is not None
        last_key = storage.last_record_key(table.number, stream.number)
        sequence = int.from_bytes(txn.get(last_key) or b"", "big") + 1
        txn.put(last_key, sequence.to_bytes(8, "big"))
        record: Document = {
            "event": "INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
            "at_ms": now_ms,
            "keys": key,
        }
        if new is not None and stream.view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
            record["new"] = new
        if old is not None and stream.view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
            record["old"] = old
        if user is not None:
            record["user"] = user
        if version is not None:
            record["version"] = version
        txn.put(storage.record_key(storage.stream_prefix(table.number, stream.number), sequence), orjson.dumps(record))

    # Reading

    def find(self, reader: Reader, table_name: str, label: str) -> Document | None:
        """A stream's document, also when it has ended."""
        return storage.find_document(reader, "stream", table_name, label)

    def all(self, reader: Reader, table_name: str | None = None) -> Iterator[Document]:
        return storage.list_documents(reader, "stream", *([table_name] if table_name is not None else []))

    def read(self, reader: Reader, stream: Document, after: int, limit: int) -> list[tuple[int, Document]]:
        """(sequence number, record) of those after a sequence number, oldest first."""
        prefix = storage.stream_prefix(stream["number"], stream["stream"])
        pairs = reader.scan(storage.record_key(prefix, after + 1), storage.end_of(prefix), limit=limit)
        return [(int.from_bytes(key[-8:], "big"), orjson.loads(value)) for key, value in pairs]

    def oldest(self, reader: Reader, stream: Document) -> int | None:
        """The sequence number of the oldest record that is kept."""
        return self._first(reader, stream, is_newest=False)

    def newest(self, reader: Reader, stream: Document) -> int | None:
        return self._first(reader, stream, is_newest=True)

    def last(self, reader: Reader, stream: Document) -> int:
        """The newest sequence number that was given, also when its record is gone; 0 for none."""
        return int.from_bytes(reader.get(storage.last_record_key(stream["number"], stream["stream"])) or b"", "big")

    def last_of(self, reader: Reader, table: Table) -> int:
        """The same of a table's own stream, if it has one."""
        return self.last(reader, {"number": table.number, "stream": table.stream.number}) if table.stream is not None else 0

    def oldest_after(self, reader: Reader, stream: Document, now_ms: int) -> int:
        """The oldest sequence number that may still be read, or will be the first to be: trimming comes later than a day."""
        prefix, limit_ms = storage.stream_prefix(stream["number"], stream["stream"]), now_ms - RETENTION_MS
        low, high = self.oldest(reader, stream), self.last(reader, stream) + 1
        if low is None:
            return high
        while low < high:  # numbers have no gaps, and times only grow along them
            middle = (low + high) // 2
            record = reader.get(storage.record_key(prefix, middle))
            if record is not None and orjson.loads(record)["at_ms"] > limit_ms:
                high = middle
            else:
                low = middle + 1
        return low

    def subscribe(self, shard: str, table_name: str, wake: Wake) -> Callable[[], None]:
        """Call `wake` after records of a table became durable; returns what ends it."""
        wakes = self._wakes.setdefault((shard, table_name), [])
        wakes.append(wake)

        def end() -> None:
            with contextlib.suppress(ValueError):
                wakes.remove(wake)

        return end

    def added(self, shard: str, table: Table) -> None:
        """Records of the table became durable."""
        for wake in self._wakes.get((shard, table.name), ()):
            wake()

    # Trimming

    def recover(self, shard: str) -> None:
        """There are tables in the shard."""
        self._shards.add(shard)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.trim()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _TRIM_PAUSE_S)

    async def trim(self) -> None:
        """Delete records older than a day, and streams that ended longer ago."""
        for shard in sorted(self._shards):
            for stream in await self._store.read(shard, lambda reader: list(self.all(reader))):
                needed = await self.find_needed(shard, stream) if self.find_needed is not None else None
                while await self._store.write(shard, partial(self._trim_some, stream, needed)):
                    pass

    def _trim_some(self, stream: Document, needed: int | None, txn: Txn) -> bool:
        """Whether there may be more to delete."""
        before_ms = self._clock.now_ms() - RETENTION_MS
        prefix = storage.stream_prefix(stream["number"], stream["stream"])
        trimmed = 0
        for key, value in list(txn.scan(prefix, storage.end_of(prefix), limit=_TRIM_CHUNK)):
            if orjson.loads(value)["at_ms"] > before_ms or (needed is not None and int.from_bytes(key[-8:], "big") >= needed):
                break
            txn.delete(key)
            trimmed += 1
        if trimmed == _TRIM_CHUNK:
            return True
        ended_ms = stream["ended_ms"]
        if ended_ms is not None and ended_ms <= before_ms:
            storage.delete_document(txn, "stream", stream["table"], stream["label"])
            txn.delete(storage.last_record_key(stream["number"], stream["stream"]))
        return False

    def _first(self, reader: Reader, stream: Document, *, is_newest: bool) -> int | None:
        prefix = storage.stream_prefix(stream["number"], stream["stream"])
        for key, _ in reader.scan(prefix, storage.end_of(prefix), limit=1, reverse=is_newest):
            return int.from_bytes(key[-8:], "big")
        return None


def sequence_number(sequence: int) -> str:
    """As clients see it: at least 21 digits, growing."""
    return str(100_000_000_000_000_000_000 + sequence)


def parse_sequence_number(text: str) -> int:
    """Raises ValueError."""
    return int(text) - 100_000_000_000_000_000_000
