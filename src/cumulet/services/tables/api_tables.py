"""Operations on tables: make, describe, change, drop, list."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.errors import NotImplementedFault
from cumulet.core.operations import operation
from cumulet.services.tables import model, storage
from cumulet.services.tables.catalogue import Catalogue
from cumulet.services.tables.census import Census
from cumulet.services.tables.errors import ResourceInUse, ValidationFault
from cumulet.services.tables.jobs import Job, Jobs
from cumulet.services.tables.mirroring import shared_change
from cumulet.services.tables.model import Document, Place, Table
from cumulet.services.tables.model_definition import defined_table, encryption, invalid, merged_tags, stream_view
from cumulet.services.tables.model_replicas import (
    EXISTS,
    check_droppable,
    check_global,
    wanted_replicas,
    with_pending,
    with_replicas,
)
from cumulet.services.tables.model_update import check_idle, updated, with_new_stream
from cumulet.services.tables.names import check_name, table_name
from cumulet.services.tables.streams import Streams
from cumulet.store.contract import Reader, Store, Txn

SOON_S = 1.0
"""How long a request waits for what is about to be done: clients look again after 20 s, and should see it at their first look."""
_UNSUPPORTED = ("GlobalTableSourceArn", "GlobalTableSettingsReplicationMode", "VectorIndexes", "MultiRegionConsistency",
                "GlobalTableWitnessUpdates", "VectorIndexUpdates", "DisassociationProtectionEnabled")  # fmt: skip


class TableOperations:
    def __init__(
        self,
        store: Store,
        clock: Clock,
        catalogue_of: Callable[[str], Catalogue],
        jobs: Jobs,
        census: Census,
        streams: Streams,
        notice: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._catalogue_of = catalogue_of
        self._jobs = jobs
        self._census = census
        self._streams = streams
        self._notice = notice

    @operation("CreateTable")
    async def create_table(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        _check_supported(req)
        if req["TableName"].startswith("arn:"):
            name = table_name(ctx, req["TableName"])
        else:
            check_name(name := req["TableName"], "TableName")
        place, table_id, now_ms = Place(ctx.account, ctx.region), str(uuid.uuid4()), self._clock.now_ms()
        shard = storage.shard_of(place)
        drafted = _drafted(req, name, table_id, now_ms, place)

        def create(txn: Txn) -> tuple[Table, Job]:
            if self._catalogue_of(shard).find(txn, name) is not None:
                raise ResourceInUse(f"Table already exists: {name}")
            table = replace(drafted, number=storage.new_number(txn))
            storage.put_table(txn, table)
            self._streams.opened(txn, place, table)
            return table, self._jobs.add(txn, "settle", table.number, name=name)

        table, job = await self._store.write(shard, create)
        self._jobs.start(shard, job)
        return {"TableDescription": model.describe(table, place, {})}

    @operation("DescribeTable")
    async def describe_table(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name, place = table_name(ctx, req["TableName"]), Place(ctx.account, ctx.region)
        table = await self._settled(place, name)
        return {"Table": model.describe(table, place, await self._census.sizes(storage.shard_of(place), table))}

    @operation("UpdateTable")
    async def update_table(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        _check_supported(req)
        name, place = table_name(ctx, req["TableName"]), Place(ctx.account, ctx.region)
        await self._settled(place, name)
        created, deleted = wanted_replicas(req, place.region)
        await self._check_others(place, name, created, deleted)
        shard, now_ms = storage.shard_of(place), self._clock.now_ms()

        def update(txn: Txn) -> tuple[Table, list[Job]]:
            table = self._catalogue_of(shard).get(txn, name)
            check_global(table, req)
            changed, wanted = updated(table, req, now_ms, _key_arn(place))
            if (change := shared_change(req)) is not None:
                changed = with_pending(changed, change)
            if created or deleted:
                last = self._streams.last_of(txn, table)
                changed = with_replicas(changed, created, deleted, now_ms, last)
                storage.put_document(txn, {"name": name}, "global", name)
            storage.put_table(txn, changed)
            if changed.stream != table.stream:
                self._streams.closed(txn, place, table, now_ms)
                self._streams.opened(txn, place, changed)
            return changed, [self._jobs.add(txn, kind, table.number, **state) for kind, state in wanted]

        table, jobs = await self._store.write(shard, update)
        sizes = await self._census.sizes(shard, table)
        self._jobs.start(shard, *jobs)
        if table.replicas:
            self._notice(shard, name)
        return {"TableDescription": model.describe(table, place, sizes)}

    @operation("DeleteTable")
    async def delete_table(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name, place = table_name(ctx, req["TableName"]), Place(ctx.account, ctx.region)
        shard, now_ms = storage.shard_of(place), self._clock.now_ms()
        await self._settled(place, name)

        def delete(txn: Txn) -> tuple[Table, Job | None]:
            table = self._catalogue_of(shard).get(txn, name)
            check_idle(table)
            check_droppable(table, now_ms)
            _check_droppable_copy(table)
            dropped = replace(table, status="DELETING")
            storage.put_table(txn, dropped)
            self._streams.closed(txn, place, table, now_ms)
            if table.replicas:
                return dropped, None  # once the others have what it has
            return dropped, self._jobs.add(txn, "drop", table.number, name=name)

        table, job = await self._store.write(shard, delete)
        if job is not None:
            self._jobs.start(shard, job)
        else:
            self._notice(shard, name)
        return {"TableDescription": _of_dropped(model.describe(table, place, {}))}

    @operation("ListTables")
    async def list_tables(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        limit = req.get("Limit", 100)

        def names(reader: Reader) -> list[str]:
            return storage.list_table_names(reader, req.get("ExclusiveStartTableName"), limit + 1)

        found = await self._store.read(storage.shard_of(Place(ctx.account, ctx.region)), names)
        result: Document = {"TableNames": found[:limit]}
        if len(found) > limit:
            result["LastEvaluatedTableName"] = found[limit - 1]
        return result

    async def _check_others(self, place: Place, name: str, created: list[Document], deleted: list[str]) -> None:
        """What other regions have against a change of replicas. Raises ValidationFault, ResourceInUse."""
        for region in [*(each["RegionName"] for each in created), *deleted]:
            shard = storage.shard_of(Place(place.account, region))
            table = await self._store.read(shard, lambda reader, shard=shard: self._catalogue_of(shard).find(reader, name))  # type: ignore[misc]
            if table is None:
                continue
            if region not in deleted:
                raise ValidationFault(EXISTS.format(name))
            if table.replicas:
                _check_droppable_copy(table)

    async def _settled(self, place: Place, name: str) -> Table:
        """The table, after what is being done to it if that is done soon."""
        shard = storage.shard_of(place)

        def find(reader: Reader) -> Table:
            return self._catalogue_of(shard).get(reader, name)

        table = await self._store.read(shard, find)
        if table.status == "ACTIVE":
            return table
        await self._jobs.settled(shard, table.number, SOON_S)
        return await self._store.read(shard, find)


def _drafted(req: dict[str, Any], name: str, table_id: str, now_ms: int, place: Place) -> Table:
    """The table that the request asks for, without its number."""
    table = defined_table(req, name=name, table_id=table_id, number=0, now_ms=now_ms)
    view = stream_view(req.get("StreamSpecification"))
    table = replace(
        table,
        indexes_made=len(table.indexes),
        on_demand_since_ms=now_ms if table.billing == model.ON_DEMAND else 0,
        on_demand=req.get("OnDemandThroughput"),
        warm=req.get("WarmThroughput"),
        is_protected=req.get("DeletionProtectionEnabled", False),
        table_class=req.get("TableClass"),
        encryption=encryption(req.get("SSESpecification"), _key_arn(place)),
        tags=merged_tags({}, req.get("Tags") or ()),
        policy=req.get("ResourcePolicy"),
        policy_revision=str(now_ms) if req.get("ResourcePolicy") else "",
    )
    return with_new_stream(table, view, now_ms) if view else table


def _check_droppable_copy(table: Table) -> None:
    if table.is_protected:
        raise ValidationFault(
            "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
        )
    if table.copies:
        raise ResourceInUse(f"Attempt to change a resource which is still in use: Table is being backed up: {table.name}")


def _check_supported(req: dict[str, Any]) -> None:
    for name in _UNSUPPORTED:
        if req.get(name):
            raise NotImplementedFault(f"This node does not implement {name} of tables")
    if req.get("BillingMode") == model.ON_DEMAND and req.get("ProvisionedThroughput"):
        raise invalid("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")


def _key_arn(place: Place) -> str:
    return f"arn:aws:kms:{place.region}:{place.account}:alias/aws/dynamodb"


def _of_dropped(description: Document) -> Document:
    """What the service still tells of a table that goes."""
    for name in ("AttributeDefinitions", "KeySchema", "CreationDateTime", "LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        description.pop(name, None)
    return description
