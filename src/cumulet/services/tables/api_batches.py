"""BatchGetItem and BatchWriteItem: many items of several tables at once, each on its own.

Made for being fast: nothing is decoded, and nothing done for an item that can be done for the batch.
"""

from collections.abc import Mapping
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.tables import storage
from cumulet.services.tables.changes import Cost
from cumulet.services.tables.consumption import add_cost, consumed_of_all
from cumulet.services.tables.data import Data
from cumulet.services.tables.errors import ProvisionedThroughputExceeded, SerializationFault, ValidationFault
from cumulet.services.tables.expressions import Projection
from cumulet.services.tables.item_keys import ItemKeys, keys_of
from cumulet.services.tables.model import Document, Table
from cumulet.services.tables.names import table_name
from cumulet.services.tables.plans import WritePlan, projection_of
from cumulet.services.tables.values import normalise_item
from cumulet.services.tables.writing import Writer
from cumulet.store.contract import Reader, Txn

MOST_READS, MOST_WRITES = 100, 25
ANSWER_BYTES = 16 << 20
_DUPLICATES = "Provided list of item keys contains duplicates"


class BatchOperations:
    def __init__(self, data: Data) -> None:
        self._data = data

    @operation("BatchGetItem")
    async def batch_get_item(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        asked = _reads(ctx, req["RequestItems"])
        data, shard = self._data, self._data.shard_of(ctx)

        def get(reader: Reader) -> list["_Got"]:
            catalogue = data.catalogue_of(shard)
            located = [_Got(*each, keys_of(catalogue.get_usable(reader, each[1]))) for each in asked]
            room = ANSWER_BYTES
            for got in located:
                got.locate()
            for got in located:
                try:
                    data.buckets.check(shard, got.keys.table)
                except ProvisionedThroughputExceeded:
                    got.taken = 0
                    continue
                room = got.take(reader, room)
            return located

        found = await data.store.read(shard, get)
        if all(got.taken == 0 for got in found):
            raise ProvisionedThroughputExceeded
        for got in found:
            data.buckets.charge(shard, got.keys.table, "", got.units)
        result: Document = {
            "Responses": {got.given: got.items for got in found},
            "UnprocessedKeys": {got.given: got.rest() for got in found if got.taken < len(got.request["Keys"])},
        }
        costs: list[tuple[Table, str, Cost]] = [(got.keys.table, got.given, {"": got.units}) for got in found]
        told = consumed_of_all(req.get("ReturnConsumedCapacity"), costs)
        if told is not None:
            result["ConsumedCapacity"] = told
        return result

    @operation("BatchWriteItem")
    async def batch_write_item(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        plans = _writes(ctx, req["RequestItems"])
        data, shard = self._data, self._data.shard_of(ctx)
        wanted = req.get("ReturnConsumedCapacity", "NONE")
        tells_size = req.get("ReturnItemCollectionMetrics") == "SIZE"
        writer, now_ms = data.writer_of(shard), data.clock.now_ms()

        def write(txn: Txn) -> "_WrittenBatch":
            return _write_all(txn, data, writer, plans, now_ms, tells_cost=wanted != "NONE", tells_size=tells_size)

        batch = await data.store.write(shard, write)
        for table in batch.tables:
            data.written(shard, table)
        result: Document = {"UnprocessedItems": batch.rest}
        told = consumed_of_all(wanted, batch.costs)
        if told is not None:
            result["ConsumedCapacity"] = told
        if batch.metrics:
            result["ItemCollectionMetrics"] = batch.metrics
        return result


class _Got:
    """What a batch asks of one table, and what was found."""

    def __init__(self, given: str, name: str, request: Mapping[str, Any], projection: Projection | None, keys: ItemKeys) -> None:
        self.given = given
        self.request = request
        self.keys = keys
        self.items: Any = []
        self.taken = 0
        self.units = 0.0
        self._projection = projection
        self._located: list[bytes] = []

    def locate(self) -> None:
        self._located = self.keys.of_keys(self.request["Keys"])
        if len(set(self._located)) != len(self._located):
            raise ValidationFault(_DUPLICATES)

    def take(self, reader: Reader, room: int) -> int:
        """Read as many as there is room for, in bytes; the room that is left."""
        values = reader.get_many(self._located)
        found = [value for value in values if value is not None]
        sizes = storage.sizes_of(found)
        halves = len(values) - len(found)
        if sum(sizes) > room:
            found, sizes = found[: _fitting(sizes, room)], sizes[: _fitting(sizes, room)]
            self.taken = _position_of(values, len(found))
            halves = self.taken - len(found)
            room = 0
        else:
            self.taken = len(values)
            room -= sum(sizes)
        halves += sum([(size + 4095) >> 12 or 1 for size in sizes])
        self.units = halves * (1.0 if self.request.get("ConsistentRead") else 0.5)
        if self._projection is None:
            self.items = storage.fragment_of_all([value[storage.SIZE_BYTES :] for value in found])
        else:
            self.items = [self._projection.apply(storage.item_of(value)) for value in found]
        return room

    def rest(self) -> Document:
        """The request for what was not taken."""
        return {**self.request, "Keys": self.request["Keys"][self.taken :]}


def _fitting(sizes: tuple[int, ...], room: int) -> int:
    """How many of the first have room."""
    for position, size in enumerate(sizes):
        if size > room:
            return position
        room -= size
    return len(sizes)


def _position_of(values: list[bytes | None], found: int) -> int:
    """How many values were gone through when `found` items had been taken and the next did not fit."""
    for position, value in enumerate(values):
        if value is not None:
            if found == 0:
                return position
            found -= 1
    return len(values)


def _reads(ctx: Context, requests: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any], Projection | None]]:
    """(the table as it was called, its name, what is asked, the projection) of each table."""
    if not requests:
        raise ValidationFault(
            "1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1"
        )
    if sum(len(request["Keys"]) for request in requests.values()) > MOST_READS:
        raise ValidationFault("Too many items requested for the BatchGetItem call")
    return [(given, table_name(ctx, given), request, projection_of(request)) for given, request in requests.items()]


class _WrittenBatch:
    """What a batch did. `rest` is what it did not, as it was asked."""

    def __init__(self) -> None:
        self.tables: list[Table] = []
        self.costs: list[tuple[Table, str, Cost]] = []
        self.rest: dict[str, list[Any]] = {}
        self.metrics: dict[str, list[Document]] = {}


_Planned = list[tuple[str, list[tuple[Mapping[str, Any], WritePlan]]]]


def _write_all(
    txn: Txn, data: Data, writer: Writer, plans: _Planned, now_ms: int, *, tells_cost: bool, tells_size: bool
) -> _WrittenBatch:
    batch = _WrittenBatch()
    written_any = False
    for given, each in plans:
        located = [writer.locate(txn, each[0][1])]
        keys = located[0][0]
        located += [(keys, keys.of_item(plan.item) if plan.item is not None else keys.of_key(plan.key)) for _, plan in each[1:]]
        if len({key for _, key in located}) != len(located):
            raise ValidationFault(_DUPLICATES)
        batch.tables.append(keys.table)
        if keys.table.is_plain and not tells_cost:
            for (_, plan), (_, key) in zip(each, located, strict=True):
                if plan.item is not None:
                    txn.put(key, storage.pack_item(plan.item, plan.size))
                else:
                    txn.delete(key)
            written_any = True
            continue
        cost: Cost = {}
        for (request, plan), (_, key) in zip(each, located, strict=True):
            try:
                data.buckets.admit(writer.shard, keys.table)
            except ProvisionedThroughputExceeded:
                batch.rest.setdefault(given, []).append(request)
                continue
            written = writer.write_at(txn, plan, keys, key, now_ms, is_admitted=True)
            written_any = True
            add_cost(cost, written.cost)
            item = written.new_item if written.new_item is not None else written.old_item
            if tells_size and item is not None and (metrics := data.collection_metrics(txn, keys, item)) is not None:
                batch.metrics.setdefault(given, []).append(metrics)
        batch.costs.append((keys.table, given, cost))
    if not written_any:
        raise ProvisionedThroughputExceeded
    return batch


def _writes(ctx: Context, requests: Mapping[str, Any]) -> _Planned:
    """(the table as it was called, [(request, plan)]) of each table, judged as far as that goes without tables."""
    if not requests:
        raise ValidationFault(
            "1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1"
        )
    plans: _Planned = []
    count = 0
    for given, writes in requests.items():
        if not isinstance(writes, list):
            raise SerializationFault(f"RequestItems.{given} must be a list")
        count += len(writes)
        if not writes or len(writes) > MOST_WRITES:
            least = "greater than or equal to 1" if not writes else f"less than or equal to {MOST_WRITES}"
            raise ValidationFault(
                f"1 validation error detected: Value at 'requestItems.{given}.member' failed to satisfy constraint: "
                f"Member must have length {least}"
            )
        name = table_name(ctx, given)
        plans.append((given, [(write, _plan(name, write)) for write in writes]))
    if count > MOST_WRITES:
        raise ValidationFault("Too many items requested for the BatchWriteItem call")
    return plans


def _plan(table: str, write: Any) -> WritePlan:
    if type(write) is not dict:
        raise SerializationFault("A WriteRequest must be an object")
    put, delete = write.get("PutRequest"), write.get("DeleteRequest")
    if (put is None) == (delete is None):
        raise ValidationFault(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
            if put is not None
            else "Supplied WriteRequest is empty, must contain exactly one of PutRequest and DeleteRequest"
        )
    if put is not None:
        item = put.get("Item") if type(put) is dict else None
        if type(item) is not dict:
            raise _missing("putRequest.item") if item is None else SerializationFault("Item must be an object")
        return WritePlan("Put", table, *normalise_item(item))
    key = delete.get("Key") if type(delete) is dict else None
    if type(key) is not dict:
        raise _missing("deleteRequest.key") if key is None else SerializationFault("Key must be an object")
    return WritePlan("Delete", table, key=key)


def _missing(what: str) -> ValidationFault:
    return ValidationFault(
        f"1 validation error detected: Value null at 'requestItems.member.{what}' failed to satisfy constraint: "
        "Member must not be null"
    )
