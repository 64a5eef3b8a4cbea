"""TransactWriteItems and TransactGetItems: all or nothing, over tables of one account and region.

All of them lie in one shard of the store, whose transactions are serialisable: so a transaction is one transaction, and never
meets another halfway.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.tables import storage
from cumulet.services.tables.changes import Cost
from cumulet.services.tables.consumption import add_cost, consumed_of_all, read_units
from cumulet.services.tables.data import Data
from cumulet.services.tables.errors import (
    ConditionalCheckFailed,
    IdempotentParameterMismatch,
    ProvisionedThroughputExceeded,
    TransactionCanceled,
    ValidationFault,
)
from cumulet.services.tables.item_keys import ItemKeys, keys_of
from cumulet.services.tables.model import Document, Table
from cumulet.services.tables.names import table_name
from cumulet.services.tables.plans import (
    ReadPlan,
    WritePlan,
    planned_check,
    planned_delete,
    planned_get,
    planned_put,
    planned_update,
)
from cumulet.services.tables.writing import Writer, check
from cumulet.store.contract import Reader, Txn

MOST_BYTES = 4 << 20
TOKEN_MS = 10 * 60 * 1000
_FORGOTTEN_AT_ONCE = 2
_FINE: Document = {"Code": "None"}
_KINDS = ("Put", "Delete", "Update", "ConditionCheck")


class TransactionOperations:
    def __init__(self, data: Data) -> None:
        self._data = data

    @operation("TransactGetItems")
    async def transact_get_items(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        data, shard = self._data, self._data.shard_of(ctx)
        plans: list[ReadPlan] = []
        givens: list[str] = []
        for each in req["TransactItems"]:
            givens.append(each["Get"]["TableName"])
            plans.append(planned_get(table_name(ctx, givens[-1]), each["Get"]))

        def get(reader: Reader) -> list[tuple[ItemKeys, bytes, bytes | None]]:
            catalogue = data.catalogue_of(shard)
            found = []
            for plan in plans:
                keys = keys_of(catalogue.get_usable(reader, plan.table))
                data.buckets.check(shard, keys.table)
                key = keys.of_key(plan.key)
                found.append((keys, key, reader.get(key)))
            return found

        found = await data.store.read(shard, get)
        if len({key for _, key, _ in found}) != len(found):
            raise ValidationFault("Transaction request cannot include multiple operations on one item")
        if sum(storage.size_of(value) for _, _, value in found if value is not None) > MOST_BYTES:
            raise _too_large()
        responses: list[Document] = []
        costs: dict[str, tuple[Table, str, Cost]] = {}
        for (keys, _, value), plan, given in zip(found, plans, givens, strict=True):
            units = 2 * read_units(storage.size_of(value) if value is not None else 0, is_consistent=True)
            add_cost(costs.setdefault(given, (keys.table, given, {}))[2], {"": units})
            data.buckets.charge(shard, keys.table, "", units)
            if value is None:
                responses.append({})
            elif plan.projection is None:
                responses.append({"Item": storage.fragment_of(value)})
            else:
                responses.append({"Item": plan.projection.apply(storage.item_of(value))})
        result: Document = {"Responses": responses}
        told = consumed_of_all(req.get("ReturnConsumedCapacity"), costs.values(), "Read")
        if told is not None:
            result["ConsumedCapacity"] = told
        return result

    @operation("TransactWriteItems")
    async def transact_write_items(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        plans = [_plan(ctx, each) for each in req["TransactItems"]]
        data, shard = self._data, self._data.shard_of(ctx)
        writer, now_ms = data.writer_of(shard), data.clock.now_ms()
        token, wanted = req.get("ClientRequestToken"), req.get("ReturnConsumedCapacity", "NONE")
        digest = _digest(req) if token is not None else ""
        tells_size = req.get("ReturnItemCollectionMetrics") == "SIZE"

        def write(txn: Txn) -> _Outcome:
            if token is not None:
                known = _known(txn, token, now_ms)
                if known is not None:
                    if known["digest"] != digest:
                        raise IdempotentParameterMismatch(
                            "The request uses the same client token as a previous, but non-identical request."
                        )
                    return _Outcome(data, writer, plans).repeat(txn)
                _remember(txn, token, digest, now_ms)
            return _Outcome(data, writer, plans).write(txn, now_ms, tells_size=tells_size)

        outcome = await data.store.write(shard, write)
        for table, _, _ in outcome.costs.values():
            data.written(shard, table)
        result: Document = {}
        told = consumed_of_all(wanted, outcome.costs.values(), outcome.split)
        if told is not None:
            result["ConsumedCapacity"] = told
        if outcome.metrics:
            result["ItemCollectionMetrics"] = outcome.metrics
        return result


class _Outcome:
    """A transaction being carried out."""

    def __init__(self, data: Data, writer: Writer, plans: list[tuple[str, WritePlan]]) -> None:
        self._data = data
        self._writer = writer
        self._plans = plans
        self.costs: dict[str, tuple[Table, str, Cost]] = {}
        self.metrics: dict[str, list[Document]] = {}
        self.split = "Write"

    def write(self, txn: Txn, now_ms: int, *, tells_size: bool) -> "_Outcome":
        """Raises TransactionCanceled with a reason for each member."""
        located = self._locate(txn)
        reasons: list[Document] = []
        size = 0
        for (given, plan), (keys, key) in zip(self._plans, located, strict=True):
            try:
                size += self._write_one(txn, given, plan, keys, key, now_ms, tells_size=tells_size)
                reasons.append(_FINE)
            except ConditionalCheckFailed as fault:
                item = {} if fault.item is None else {"Item": fault.item}
                reasons.append({"Code": "ConditionalCheckFailed", "Message": fault.message, **item})
            except ProvisionedThroughputExceeded as fault:
                reasons.append({"Code": "ProvisionedThroughputExceeded", "Message": fault.message})
            except ValidationFault as fault:
                reasons.append({"Code": "ValidationError", "Message": fault.message})
        if any(reason is not _FINE for reason in reasons):
            raise TransactionCanceled(reasons)
        if size > MOST_BYTES:
            raise _too_large()
        return self

    def repeat(self, txn: Txn) -> "_Outcome":
        """The same request came before: nothing is written, and it costs what reading its items costs."""
        self.split = "Read"
        for (given, _), (keys, key) in zip(self._plans, self._locate(txn), strict=True):
            value = txn.get(key)
            units = 2 * read_units(storage.size_of(value) if value is not None else 0, is_consistent=True)
            add_cost(self.costs.setdefault(given, (keys.table, given, {}))[2], {"": units})
        return self

    def _locate(self, txn: Txn) -> list[tuple[ItemKeys, bytes]]:
        located, reasons = [], []
        for _, plan in self._plans:
            try:
                located.append(self._writer.locate(txn, plan))
                reasons.append(_FINE)
            except ValidationFault as fault:
                reasons.append({"Code": "ValidationError", "Message": fault.message})
        if len(located) < len(reasons):
            raise TransactionCanceled(reasons)
        if len({key for _, key in located}) != len(located):
            raise ValidationFault("Transaction request cannot include multiple operations on one item")
        return located

    def _write_one(
        self, txn: Txn, given: str, plan: WritePlan, keys: ItemKeys, key: bytes, now_ms: int, *, tells_size: bool
    ) -> int:
        """The bytes of the item that was written or checked."""
        cost = self.costs.setdefault(given, (keys.table, given, {}))[2]
        if plan.kind == "ConditionCheck":
            old = txn.get(key)
            check(plan, storage.item_of(old) if old is not None else None, old)
            size = storage.size_of(old) if old is not None else 0
            add_cost(cost, {"": 2 * read_units(size, is_consistent=True)})
            return size
        written = self._writer.write_at(txn, plan, keys, key, now_ms, factor=2.0)
        add_cost(cost, written.cost)
        item = written.new_item if written.new_item is not None else written.old_item
        if tells_size and item is not None and (metrics := self._data.collection_metrics(txn, keys, item)) is not None:
            self.metrics.setdefault(given, []).append(metrics)
        return written.new_size or (storage.size_of(written.old) if written.old is not None else 0)


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


def _too_large() -> ValidationFault:
    return ValidationFault("Collection size of all items in the transaction exceeds the limit of 4 MB")


def _digest(req: Mapping[str, Any]) -> str:
    """Of what must be the same under the same token."""
    return hashlib.sha256(orjson.dumps(req["TransactItems"], option=orjson.OPT_SORT_KEYS)).hexdigest()


def _known(txn: Txn, token: str, now_ms: int) -> Document | None:
    known = storage.find_document(txn, "token", token)
    return known if known is not None and known["at_ms"] > now_ms - TOKEN_MS else None


def _remember(txn: Txn, token: str, digest: str, now_ms: int) -> None:
    """Keep a token for ten minutes; whoever comes later clears away what is older."""
    for old in list(storage.list_documents(txn, "token-time", limit=_FORGOTTEN_AT_ONCE)):
        if old["at_ms"] <= now_ms - TOKEN_MS:
            storage.delete_document(txn, "token-time", old["at_ms"], old["token"])
            kept = storage.find_document(txn, "token", old["token"])
            if kept is not None and kept["at_ms"] == old["at_ms"]:
                storage.delete_document(txn, "token", old["token"])
    storage.put_document(txn, {"digest": digest, "at_ms": now_ms}, "token", token)
    storage.put_document(txn, {"token": token, "at_ms": now_ms}, "token-time", now_ms, token)
