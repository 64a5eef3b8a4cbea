"""Operations on what goes with a table: time to live, tags, its policy; and on the account's limits and endpoints."""

import urllib.parse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.tables import storage
from cumulet.services.tables.catalogue import Catalogue
from cumulet.services.tables.errors import PolicyNotFound, ResourceInUse, ResourceNotFound, ValidationFault
from cumulet.services.tables.jobs import Job, Jobs
from cumulet.services.tables.mirroring import expiry_change
from cumulet.services.tables.model import Document, Expiry, Place, Table
from cumulet.services.tables.model_definition import invalid, merged_tags
from cumulet.services.tables.model_replicas import with_pending
from cumulet.services.tables.names import resource_of, table_name
from cumulet.store.contract import Reader, Store, Txn

_SOON_S = 1.0
_POLICY_BYTES = 20 * 1024
_LIMITS: Document = {
    "AccountMaxReadCapacityUnits": 80_000,
    "AccountMaxWriteCapacityUnits": 80_000,
    "TableMaxReadCapacityUnits": 40_000,
    "TableMaxWriteCapacityUnits": 40_000,
}


class SettingOperations:
    def __init__(
        self, store: Store, clock: Clock, catalogue_of: Callable[[str], Catalogue], jobs: Jobs, notice: Callable[[str, str], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._catalogue_of = catalogue_of
        self._jobs = jobs
        self._notice = notice

    @operation("UpdateTimeToLive")
    async def update_time_to_live(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name, shard = table_name(ctx, req["TableName"]), storage.shard_of(Place(ctx.account, ctx.region))
        specification = req["TimeToLiveSpecification"]
        attribute, is_on = specification["AttributeName"], specification["Enabled"]

        def update(txn: Txn) -> Job:
            table = self._catalogue_of(shard).get(txn, name)
            if not table.is_usable:
                raise ResourceInUse(f"Attempt to change a resource which is still in use: Table: {name}")
            _check_expiry(table, attribute, is_on=is_on)
            expiry = Expiry(attribute, "ENABLING" if is_on else "DISABLING")
            table = with_pending(replace(table, expiry=expiry), expiry_change(attribute, is_on=is_on))
            storage.put_table(txn, table)
            return self._jobs.add(txn, "expiry", table.number, name=name, cursor="")

        job = await self._store.write(shard, update)
        self._jobs.start(shard, job)
        self._notice(shard, name)
        return {"TimeToLiveSpecification": {"Enabled": is_on, "AttributeName": attribute}}

    @operation("DescribeTimeToLive")
    async def describe_time_to_live(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        table = await self._read(ctx, table_name(ctx, req["TableName"]))
        if table.expiry is not None and table.expiry.status != "ENABLED":
            await self._jobs.settled(storage.shard_of(Place(ctx.account, ctx.region)), table.number, _SOON_S)
            table = await self._read(ctx, table.name)
        if table.expiry is None:
            return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
        return {"TimeToLiveDescription": {"TimeToLiveStatus": table.expiry.status, "AttributeName": table.expiry.attribute}}

    @operation("TagResource")
    async def tag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._change(ctx, req, lambda table: replace(table, tags=merged_tags(table.tags, req["Tags"])))
        return {}

    @operation("UntagResource")
    async def untag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        gone = set(req["TagKeys"])

        def without(table: Table) -> Table:
            return replace(table, tags={key: value for key, value in table.tags.items() if key not in gone})

        await self._change(ctx, req, without)
        return {}

    @operation("ListTagsOfResource")
    async def list_tags(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        table = await self._read_resource(ctx, req)
        return {"Tags": [{"Key": key, "Value": value} for key, value in table.tags.items()]}

    @operation("PutResourcePolicy")
    async def put_resource_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        check_policy(req["Policy"])
        revision = str(self._clock.now_ms())

        def change(table: Table) -> Table:
            expected = req.get("ExpectedRevisionId")
            if expected == "NO_POLICY":
                if table.policy is not None:
                    raise PolicyNotFound("Resource-based policy revision does not match")
            elif expected is not None and expected != table.policy_revision:
                raise PolicyNotFound("Resource-based policy revision does not match")
            is_same = table.policy is not None and orjson.loads(table.policy) == orjson.loads(req["Policy"])
            return table if is_same else replace(table, policy=req["Policy"], policy_revision=revision)

        return {"RevisionId": (await self._change(ctx, req, change)).policy_revision}

    @operation("GetResourcePolicy")
    async def get_resource_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        table = await self._read_resource(ctx, req)
        if table.policy is None:
            raise PolicyNotFound(f"Resource-based policy not found for the provided ResourceArn: {req['ResourceArn']}")
        return {"Policy": table.policy, "RevisionId": table.policy_revision}

    @operation("DeleteResourcePolicy")
    async def delete_resource_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def change(table: Table) -> Table:
            expected = req.get("ExpectedRevisionId")
            if expected is not None and expected != table.policy_revision:
                raise PolicyNotFound("Resource-based policy revision does not match")
            return replace(table, policy=None, policy_revision="")

        before = await self._read_resource(ctx, req)
        await self._change(ctx, req, change)
        return {"RevisionId": before.policy_revision} if before.policy is not None else {}

    @operation("DescribeLimits")
    async def describe_limits(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return _LIMITS

    @operation("DescribeEndpoints")
    async def describe_endpoints(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return {"Endpoints": [{"Address": urllib.parse.urlsplit(ctx.endpoint).netloc, "CachePeriodInMinutes": 1440}]}

    async def _read(self, ctx: Context, name: str) -> Table:
        shard = storage.shard_of(Place(ctx.account, ctx.region))
        return await self._store.read(shard, lambda reader: self._catalogue_of(shard).get(reader, name))

    async def _read_resource(self, ctx: Context, req: dict[str, Any]) -> Table:
        name, shard = _resource_name(ctx, req), storage.shard_of(Place(ctx.account, ctx.region))

        def find(reader: Reader) -> Table:
            table = self._catalogue_of(shard).find(reader, name)
            if table is None:
                raise ResourceNotFound(f"Requested resource not found: ResourcArn: {req['ResourceArn']} not found")
            return table

        return await self._store.read(shard, find)

    async def _change(self, ctx: Context, req: dict[str, Any], change: Callable[[Table], Table]) -> Table:
        """Change the table that `ResourceArn` names; the table as it is now."""
        name, shard = _resource_name(ctx, req), storage.shard_of(Place(ctx.account, ctx.region))

        def update(txn: Txn) -> Table:
            table = self._catalogue_of(shard).find(txn, name)
            if table is None:
                raise ResourceNotFound(f"Requested resource not found: ResourcArn: {req['ResourceArn']} not found")
            if table.status == "DELETING":
                raise ResourceInUse(f"Attempt to change a resource which is still in use: Table is being deleted: {name}")
            changed = change(table)
            storage.put_table(txn, changed)
            return changed

        return await self._store.write(shard, update)


def check_policy(text: str) -> None:
    """Raises ValidationFault for what is no policy document."""
    if len(text.encode()) > _POLICY_BYTES:
        raise ValidationFault(f"Policy document exceeds the maximum size of {_POLICY_BYTES} bytes")
    try:
        document = orjson.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not document.get("Statement"):
        raise ValidationFault("Invalid policy document: the policy is not a JSON document with statements")


def _check_expiry(table: Table, attribute: str, *, is_on: bool) -> None:
    expiry = table.expiry
    if expiry is not None and expiry.status != "ENABLED":
        raise ValidationFault("Time to live has been modified multiple times within a fixed interval")
    if is_on:
        if expiry is not None and expiry.attribute == attribute:
            raise ValidationFault("TimeToLive is already enabled")
        if expiry is not None:
            raise ValidationFault(f"TimeToLive is active on a different AttributeName: current AttributeName is {expiry.attribute}")
        return
    if expiry is None:
        raise ValidationFault("TimeToLive is already disabled")
    if expiry.attribute != attribute:
        raise ValidationFault(f"TimeToLive is active on a different AttributeName: current AttributeName is {expiry.attribute}")


def _resource_name(ctx: Context, req: dict[str, Any]) -> str:
    name, rest = resource_of(ctx, req["ResourceArn"])
    if rest:
        raise invalid(f"ResourceArn does not name a table: {req['ResourceArn']}")
    return name
