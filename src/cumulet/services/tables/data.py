"""What all operations on items share: where they are, what they write with, and what they tell of it."""

from collections.abc import Callable
from typing import Any

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.services.tables import keys, storage
from cumulet.services.tables.catalogue import Catalogue
from cumulet.services.tables.changes import Changes
from cumulet.services.tables.item_keys import ItemKeys
from cumulet.services.tables.model import Document, Place, Table
from cumulet.services.tables.streams import Streams
from cumulet.services.tables.throughput import Buckets
from cumulet.services.tables.values import Item
from cumulet.services.tables.writing import Writer
from cumulet.store.contract import Reader, Store

_GB = 1 << 30


class Data:
    """Handed to every class of operations on items."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        catalogue_of: Callable[[str], Catalogue],
        changes: Changes,
        streams: Streams,
        buckets: Buckets,
    ) -> None:
        self.store = store
        self.clock = clock
        self.catalogue_of = catalogue_of
        self.buckets = buckets
        self._changes = changes
        self._streams = streams
        self._writers: dict[str, Writer] = {}
        self._shards: dict[tuple[str, str], str] = {}

    def shard_of(self, ctx: Context) -> str:
        place = (ctx.account, ctx.region)
        shard = self._shards.get(place)
        if shard is None:
            shard = self._shards[place] = storage.shard_of(Place(ctx.account, ctx.region))
        return shard

    def writer_of(self, shard: str) -> Writer:
        writer = self._writers.get(shard)
        if writer is None:
            writer = self._writers[shard] = Writer(shard, self.catalogue_of(shard), self._changes, self.buckets)
        return writer

    def written(self, shard: str, table: Table) -> None:
        """Writes to the table became durable."""
        if table.stream is not None:
            self._streams.added(shard, table)

    def collection_metrics(self, reader: Reader, item_keys: ItemKeys, item: Item) -> Document | None:
        """ItemCollectionMetrics of the item's partition; None for tables without local indexes."""
        table = item_keys.table
        if not table.has_local_indexes:
            return None
        value = item[item_keys.hash_name]
        weight = int.from_bytes(reader.get(storage.collection_key(table.number, keys.encode(value))) or b"", "big")
        return {"ItemCollectionKey": {item_keys.hash_name: value}, "SizeEstimateRangeGB": [weight // _GB, weight // _GB + 1]}


def without_none(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
