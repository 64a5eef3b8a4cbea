"""Operations on one item."""

from typing import Any

import orjson

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.tables import storage
from cumulet.services.tables.consumption import consumed, read_units
from cumulet.services.tables.data import Data, without_none
from cumulet.services.tables.item_keys import ItemKeys, keys_of
from cumulet.services.tables.model import Document
from cumulet.services.tables.names import table_name
from cumulet.services.tables.plans import WritePlan, planned_delete, planned_get, planned_put, planned_update
from cumulet.services.tables.writing import Written, returned
from cumulet.store.contract import Reader, Txn


class ItemOperations:
    def __init__(self, data: Data) -> None:
        self._data = data

    @operation("GetItem")
    async def get_item(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        plan = planned_get(table_name(ctx, req["TableName"]), req)
        shard, data = self._data.shard_of(ctx), self._data

        def get(reader: Reader) -> tuple[ItemKeys, bytes | None]:
            keys = keys_of(data.catalogue_of(shard).get_usable(reader, plan.table))
            data.buckets.check(shard, keys.table)
            return keys, reader.get(keys.of_key(plan.key))

        keys, value = await data.store.read(shard, get)
        wanted = req.get("ReturnConsumedCapacity")
        result: dict[str, Any] = {}
        if value is not None:
            if plan.projection is None:
                result["Item"] = orjson.Fragment(value[storage.SIZE_BYTES :])
            else:
                result["Item"] = plan.projection.apply(storage.item_of(value))
        units = read_units(storage.size_of(value) if value is not None else 0, is_consistent=plan.is_consistent)
        data.buckets.charge(shard, keys.table, "", units)
        if wanted is not None and (told := consumed(wanted, keys.table, req["TableName"], {"": units})) is not None:
            result["ConsumedCapacity"] = told
        return result

    @operation("PutItem")
    async def put_item(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._write(ctx, req, planned_put(table_name(ctx, req["TableName"]), req))

    @operation("DeleteItem")
    async def delete_item(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._write(ctx, req, planned_delete(table_name(ctx, req["TableName"]), req))

    @operation("UpdateItem")
    async def update_item(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._write(ctx, req, planned_update(table_name(ctx, req["TableName"]), req))

    async def _write(self, ctx: Context, req: dict[str, Any], plan: WritePlan) -> dict[str, Any]:
        data, shard = self._data, self._data.shard_of(ctx)
        wanted = req.get("ReturnConsumedCapacity", "NONE")
        tells_size = req.get("ReturnItemCollectionMetrics") == "SIZE"
        writer, now_ms = data.writer_of(shard), data.clock.now_ms()

        def write(txn: Txn) -> tuple[Written, Document | None]:
            written = writer.write(txn, plan, now_ms, tells_cost=wanted != "NONE")
            item = written.new_item if written.new_item is not None else written.old_item
            is_told = tells_size and item is not None
            return written, data.collection_metrics(txn, keys_of(written.table), item) if is_told and item is not None else None

        written, metrics = await data.store.write(shard, write)
        data.written(shard, written.table)
        if wanted == "NONE" and metrics is None and plan.returns == "NONE":
            return {}
        return without_none(
            Attributes=returned(plan, written),
            ConsumedCapacity=consumed(wanted, written.table, req["TableName"], written.cost),
            ItemCollectionMetrics=metrics,
        )
