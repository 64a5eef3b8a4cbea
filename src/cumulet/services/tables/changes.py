"""What follows from writing an item: its index entries, its stream record, when it ends, what its partition weighs, what it costs.

All in the caller's transaction, so that none of it is ever seen without the rest.
"""

from collections.abc import Callable
from typing import Protocol

from cumulet.services.tables import storage
from cumulet.services.tables.errors import ItemCollectionSizeLimitExceeded
from cumulet.services.tables.item_keys import IndexKeys, ItemKeys
from cumulet.services.tables.model import Document, Table
from cumulet.services.tables.sizes import item_size
from cumulet.services.tables.streams import Streams
from cumulet.services.tables.ttl import expiry_of
from cumulet.services.tables.values import Item, equals
from cumulet.store.contract import Txn

Cost = dict[str, float]
"""Capacity units by index name, "" for the table."""
_WRITE_UNIT_BYTES = 1024
MOST_COLLECTION_BYTES = 10 << 30
"""Of a partition's items and their entries in local indexes, where a table has such."""


class NoticeExpiry(Protocol):
    def __call__(self, shard: str, expires_s: int) -> None: ...


class Changes:
    """`notice` is told of items that will end."""

    def __init__(self, streams: Streams, notice: Callable[[str, int], None]) -> None:
        self._streams = streams
        self._notice = notice

    def write(
        self,
        txn: Txn,
        shard: str,
        keys: ItemKeys,
        key: bytes,
        old: bytes | None,
        new: bytes | None,
        *,
        new_item: Item | None,
        now_ms: int,
        old_item: Item | None = None,
        user: Document | None = None,
        is_limited: bool = False,
        version: storage.Version | None = None,
    ) -> Cost:
        """Make `new` of what is `old` at an item's key, both as they are stored; None: no item. `old_item` may be given by who
        has decoded it. `is_limited`: an item collection may not grow without end. Raises ItemCollectionSizeLimitExceeded then.
        `version`: the change was made in another region."""
        table = keys.table
        old_size = storage.size_of(old) if old is not None else 0
        cost = {"": write_units(max(old_size, storage.size_of(new) if new is not None else 0))}
        if new is not None:
            txn.put(key, new)
        elif old is not None:
            txn.delete(key)
        if table.keeps_history and old != new:
            storage.put_history(txn, table.number, key, old, now_ms)
        if (table.stream is None and table.expiry is None and not keys.written) or (old is None and new is None) or old == new:
            return cost
        if old is not None and old_item is None:
            old_item = storage.item_of(old)
        grown = 0
        for index in keys.written:
            grown += self._write_entry(txn, index, old_item, new_item, cost)
        if table.has_local_indexes:
            grown += (storage.size_of(new) if new is not None else 0) - old_size
            item = new_item if new_item is not None else old_item
            assert item is not None
            self._weigh(txn, keys, item, grown, is_limited=is_limited)
        if table.expiry is not None:
            self._put_off(txn, shard, table, key, old_item, new_item, now_ms)
        if table.stream is not None and not is_same(old_item, new_item):
            item = new_item if new_item is not None else old_item
            assert item is not None
            if table.replicas and version is None:
                version = self._versioned(txn, shard, key, now_ms, is_gone=new is None)
            self._streams.record(txn, table, keys.key_of(item), old_item, new_item, now_ms, user, version)
        return cost

    def fill(self, txn: Txn, index: IndexKeys, item: Item) -> None:
        """The entry of an item that was there before its index."""
        key = index.of_item(item)
        if key is not None:
            txn.put(key, _entry(index.projected(item)))

    def _write_entry(self, txn: Txn, index: IndexKeys, old_item: Item | None, new_item: Item | None, cost: Cost) -> int:
        """The bytes that the index grew by, where it is local."""
        old_key = index.of_item(old_item) if old_item is not None else None
        new_key = index.of_item(new_item) if new_item is not None else None
        if old_key is None and new_key is None:
            return 0
        old = _entry(index.projected(old_item)) if old_key is not None and old_item is not None else None
        new = _entry(index.projected(new_item)) if new_key is not None and new_item is not None else None
        if old_key == new_key and old == new:
            return 0
        old_size = storage.size_of(old) if old is not None else 0
        new_size = storage.size_of(new) if new is not None else 0
        units = 0.0
        if old_key is not None and old_key != new_key:
            txn.delete(old_key)
            units += write_units(old_size)
        if new_key is not None and new is not None:
            txn.put(new_key, new)
            units += write_units(max(new_size, old_size if old_key == new_key else 0))
        cost[index.index.name] = units
        return 0 if index.index.is_global else new_size - old_size

    def _versioned(self, txn: Txn, shard: str, key: bytes, now_ms: int, *, is_gone: bool) -> storage.Version:
        """The version of a write that is made here: later than the one it writes over, whatever the clocks say."""
        known, place = storage.find_version(txn, key), storage.find_place(shard)
        assert place is not None
        version = (max(now_ms, known[0] + 1) if known is not None else now_ms, place.region)
        storage.put_version(txn, key, version, is_gone=is_gone)
        return version

    def _weigh(self, txn: Txn, keys: ItemKeys, item: Item, grown: int, *, is_limited: bool) -> None:
        key = storage.collection_key(keys.table.number, keys.hash_of(item))
        weight = int.from_bytes(txn.get(key) or b"", "big") + grown
        if is_limited and grown > 0 and weight > MOST_COLLECTION_BYTES:
            raise ItemCollectionSizeLimitExceeded
        if weight > 0:
            txn.put(key, weight.to_bytes(8, "big"))
        else:
            txn.delete(key)

    def _put_off(
        self, txn: Txn, shard: str, table: Table, key: bytes, old_item: Item | None, new_item: Item | None, now_ms: int
    ) -> None:
        before, after = expiry_of(old_item, table, now_ms), expiry_of(new_item, table, now_ms)
        if before == after:
            return
        if before is not None:
            txn.delete(storage.due_key(before, table.number, key))
        if after is not None:
            txn.put(storage.due_key(after, table.number, key), b"")
            self._notice(shard, after)


def is_same(old: Item | None, new: Item | None) -> bool:
    if old is None or new is None:
        return old is new
    return old == new or equals({"M": old}, {"M": new})


def write_units(size: int) -> float:
    return float(-(-size // _WRITE_UNIT_BYTES) or 1)


def _entry(item: Item) -> bytes:
    return storage.pack_item(item, item_size(item))
