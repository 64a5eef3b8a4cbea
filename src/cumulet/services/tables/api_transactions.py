"""TransactWriteItems and TransactGetItems: all or nothing, over tables of one account and region."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.tables.consumption import consumed_of_all
from cumulet.services.tables.data import Data
from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.model import Document
from cumulet.services.tables.names import table_name
from cumulet.services.tables.plans import (
    WritePlan,
    planned_check,
    planned_delete,
    planned_get,
    planned_put,
    planned_update,
)
from cumulet.services.tables.transactions import Token, read_all, write_all

_KINDS = ("Put", "Delete", "Update", "ConditionCheck")


class TransactionOperations:
    def __init__(self, data: Data) -> None:
        self._data = data

    @operation("TransactGetItems")
    async def transact_get_items(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        members = [each["Get"] for each in req["TransactItems"]]
        plans = [(each["TableName"], planned_get(table_name(ctx, each["TableName"]), each)) for each in members]
        found = await read_all(self._data, self._data.shard_of(ctx), plans)
        result: Document = {"Responses": [{} if item is None else {"Item": item} for item in found.items]}
        told = consumed_of_all(req.get("ReturnConsumedCapacity"), found.costs.values(), "Read")
        if told is not None:
            result["ConsumedCapacity"] = told
        return result

    @operation("TransactWriteItems")
    async def transact_write_items(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        plans = [_plan(ctx, each) for each in req["TransactItems"]]
        token = Token(req["ClientRequestToken"], _digest(req)) if req.get("ClientRequestToken") is not None else None
        tells_size = req.get("ReturnItemCollectionMetrics") == "SIZE"
        outcome = await write_all(self._data, self._data.shard_of(ctx), plans, token, tells_size=tells_size)
        result: Document = {}
        told = consumed_of_all(req.get("ReturnConsumedCapacity", "NONE"), outcome.costs.values(), outcome.split)
        if told is not None:
            result["ConsumedCapacity"] = told
        if outcome.metrics:
            result["ItemCollectionMetrics"] = outcome.metrics
        return result


def _plan(ctx: Context, member: Mapping[str, Any]) -> tuple[str, WritePlan]:
    """(the table as it was called, the plan) of a member, of which exactly one kind is there."""
    given = [(kind, member[kind]) for kind in _KINDS if member.get(kind) is not None]
    if len(given) != 1:
        raise ValidationFault(
            "TransactItems can only contain one of Check, Put, Update or Delete"
            if given
            else "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request"
        )
    kind, request = given[0]
    name = table_name(ctx, request["TableName"])
    if kind == "Put":
        return request["TableName"], planned_put(name, request, is_single=False)
    if kind == "Delete":
        return request["TableName"], planned_delete(name, request, is_single=False)
    if kind == "Update":
        return request["TableName"], planned_update(name, request, is_single=False)
    return request["TableName"], planned_check(name, request)


def _digest(req: Mapping[str, Any]) -> str:
    """Of what must be the same under the same token."""
    return hashlib.sha256(orjson.dumps(req["TransactItems"], option=orjson.OPT_SORT_KEYS)).hexdigest()
