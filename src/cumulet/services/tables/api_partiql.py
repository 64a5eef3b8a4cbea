"""ExecuteStatement, BatchExecuteStatement and ExecuteTransaction: PartiQL on the same reads and writes as the other operations."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from cumulet.core.context import Context
from cumulet.core.errors import Fault
from cumulet.core.operations import operation
from cumulet.services.tables import storage
from cumulet.services.tables.changes import Cost
from cumulet.services.tables.consumption import consumed, consumed_of_all, read_units
from cumulet.services.tables.data import Data, without_none
from cumulet.services.tables.errors import ConditionalCheckFailed, DuplicateItem, TransactionCanceled, ValidationFault
from cumulet.services.tables.item_keys import ItemKeys, keys_of
from cumulet.services.tables.model import Document, Table
from cumulet.services.tables.names import table_name
from cumulet.services.tables.partiql import Exists, Insert, Select
from cumulet.services.tables.plans import WritePlan
from cumulet.services.tables.plans_partiql import Execution, execution_of, planned_read, planned_write
from cumulet.services.tables.selecting import select_page
from cumulet.services.tables.transactions import Token, read_all, write_all
from cumulet.services.tables.writing import Written, returned
from cumulet.store.contract import Reader, Txn

_ONLY_IN_TRANSACTIONS = "EXISTS can only be used in ExecuteTransaction write requests."
_BATCH_CODES = {
    "ValidationException": "ValidationError",
    "SerializationException": "ValidationError",
    "ConditionalCheckFailedException": "ConditionalCheckFailed",
    "DuplicateItemException": "DuplicateItem",
    "ResourceNotFoundException": "ResourceNotFound",
    "ProvisionedThroughputExceededException": "ProvisionedThroughputExceeded",
    "ItemCollectionSizeLimitExceededException": "ItemCollectionSizeLimitExceeded",
    "AccessDeniedException": "AccessDenied",
}


class StatementOperations:
    def __init__(self, data: Data) -> None:
        self.data = data

    @operation("ExecuteStatement")
    async def execute_statement(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        execution = execution_of(req)
        if isinstance(execution.statement, Exists):
            raise ValidationFault(_ONLY_IN_TRANSACTIONS)
        shard, given = self.data.shard_of(ctx), execution.statement.table
        keys = await self.keys_of_table(shard, table_name(ctx, given))
        if execution.is_read:
            return await select_page(self.data, shard, keys, execution, req)
        written, plan = await self.write_one(shard, execution, keys)
        attributes = returned(plan, written)
        told = consumed(req.get("ReturnConsumedCapacity"), written.table, given, written.cost)
        return without_none(Items=[] if attributes is None else [attributes], ConsumedCapacity=told)

    @operation("BatchExecuteStatement")
    async def batch_execute_statement(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        batch = _Batch(self, ctx, [_Member(each) for each in req["Statements"]])
        return await batch.run(req.get("ReturnConsumedCapacity"))

    @operation("ExecuteTransaction")
    async def execute_transaction(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        executions = [execution_of(each) for each in req["TransactStatements"]]
        if len({execution.is_read for execution in executions}) > 1:
            raise ValidationFault("ExecuteTransaction API does not support both read and write operations in the same request.")
        shard = self.data.shard_of(ctx)
        keys = [await self.keys_of_table(shard, table_name(ctx, execution.statement.table)) for execution in executions]
        if executions[0].is_read:
            return await self._read_together(shard, executions, keys, req)
        plans = _planned_together(executions, keys)
        token = Token(req["ClientRequestToken"], _digest(req)) if req.get("ClientRequestToken") is not None else None
        try:
            outcome = await write_all(self.data, shard, plans, token)
        except TransactionCanceled as fault:
            raise _with_duplicates(fault, executions) from None
        told = consumed_of_all(req.get("ReturnConsumedCapacity"), outcome.costs.values(), outcome.split)
        return without_none(Responses=[], ConsumedCapacity=told)

    async def _read_together(
        self, shard: str, executions: list[Execution], keys: list[ItemKeys], req: Mapping[str, Any]
    ) -> dict[str, Any]:
        plans = []
        for at, (execution, item_keys) in enumerate(zip(executions, keys, strict=True)):
            plan = planned_read(execution, item_keys)
            if plan is None:
                raise _failed(at, "Select statements within ExecuteTransaction must specify the primary key in the where clause.")
            plans.append((execution.statement.table, plan))
        found = await read_all(self.data, shard, plans)
        told = consumed_of_all(req.get("ReturnConsumedCapacity"), found.costs.values(), "Read")
        responses = [{} if item is None else {"Item": item} for item in found.items]
        return without_none(Responses=responses, ConsumedCapacity=told)

    async def keys_of_table(self, shard: str, name: str) -> ItemKeys:
        def find(reader: Reader) -> Table:
            return self.data.catalogue_of(shard).get_usable(reader, name)

        return keys_of(await self.data.store.read(shard, find))

    async def write_one(self, shard: str, execution: Execution, keys: ItemKeys) -> tuple[Written, WritePlan]:
        """One write by itself. Raises DuplicateItem and whatever writes raise."""
        plan, data = planned_write(execution, keys), self.data
        writer, now_ms = data.writer_of(shard), data.clock.now_ms()

        def write(txn: Txn) -> Written:
            return writer.write(txn, plan, now_ms)

        try:
            written = await data.store.write(shard, write)
        except ConditionalCheckFailed:
            if isinstance(execution.statement, Insert):
                raise DuplicateItem from None
            raise
        data.written(shard, written.table)
        return written, plan


class _Member:
    """A statement of a batch, and what has become of it."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.execution: Execution | None = None
        self.keys: ItemKeys | None = None
        self.fault: Fault | None = None
        self.item: Any = None
        self.cost: Cost = {}
        try:
            execution = execution_of(request)
            if isinstance(execution.statement, Exists):
                raise ValidationFault(_ONLY_IN_TRANSACTIONS)
            self.execution = execution
        except Fault as fault:
            self.fault = fault

    def described(self) -> Document:
        found: Document = {}
        if self.fault is not None:
            code = _BATCH_CODES.get(self.fault.code, "InternalServerError")
            found["Error"] = {"Code": code, "Message": self.fault.message}
            if self.fault.fields.get("Item") is not None:
                found["Error"]["Item"] = self.fault.fields["Item"]
        if self.execution is not None and self.keys is not None:
            found["TableName"] = self.execution.statement.table
        if self.item is not None:
            found["Item"] = self.item
        return found


class _Batch:
    """Statements of which each succeeds or fails by itself; all of them read or all of them write."""

    def __init__(self, operations: StatementOperations, ctx: Context, members: list[_Member]) -> None:
        self._operations = operations
        self._data = operations.data
        self._shard = self._data.shard_of(ctx)
        self._ctx = ctx
        self._members = members

    async def run(self, wanted: str | None) -> dict[str, Any]:
        sound = [member for member in self._members if member.execution is not None]
        if len({member.execution.is_read for member in sound if member.execution is not None}) > 1:
            raise ValidationFault("Read and write requests together in the same batch is not supported.")
        located = [await self._located(member) for member in sound]
        keys = [key for key in located if key is not None]
        if len(set(keys)) < len(keys):
            raise ValidationFault("Provided list of item keys contains duplicates")
        await asyncio.gather(
            *[self._run(member, key) for member, key in zip(sound, located, strict=True) if key is not None and not member.fault]
        )
        costs = [
            (member.keys.table, member.execution.statement.table, member.cost)
            for member in sound
            if member.keys is not None and member.execution is not None and member.cost
        ]
        told = consumed_of_all(wanted, costs)
        return without_none(Responses=[member.described() for member in self._members], ConsumedCapacity=told)

    async def _located(self, member: _Member) -> bytes | None:
        """The stored key of the member's item; None, and a fault, where it names none."""
        execution = member.execution
        assert execution is not None
        try:
            keys = await self._operations.keys_of_table(self._shard, table_name(self._ctx, execution.statement.table))
            if not execution.is_read:
                plan = planned_write(execution, keys)
                member.keys = keys
                return keys.of_item(plan.item) if plan.item is not None else keys.of_key(plan.key)
            read = planned_read(execution, keys)
            if read is None:
                raise ValidationFault("Only single item select is supported")
            member.keys = keys
            return keys.of_key(read.key)
        except Fault as fault:
            member.fault = fault
            return None

    async def _run(self, member: _Member, key: bytes) -> None:
        execution, keys = member.execution, member.keys
        assert execution is not None and keys is not None
        try:
            if execution.is_read:
                await self._read(member, execution, keys, key)
            else:
                written, plan = await self._operations.write_one(self._shard, execution, keys)
                member.item, member.cost = returned(plan, written), written.cost
        except Fault as fault:
            member.fault = fault

    async def _read(self, member: _Member, execution: Execution, keys: ItemKeys, key: bytes) -> None:
        self._data.buckets.check(self._shard, keys.table)
        value = await self._data.store.read(self._shard, lambda reader: reader.get(key))
        units = read_units(storage.size_of(value) if value is not None else 0, is_consistent=execution.is_consistent)
        self._data.buckets.charge(self._shard, keys.table, "", units)
        member.cost = {"": units}
        if value is not None:
            assert isinstance(execution.statement, Select)
            projection = execution.statement.projection()
            member.item = storage.fragment_of(value) if projection is None else projection.apply(storage.item_of(value))


def _planned_together(executions: list[Execution], keys: list[ItemKeys]) -> list[tuple[str, WritePlan]]:
    """Raises TransactionCanceled where a statement does not fit its table, ValidationFault for what no transaction takes."""
    plans: list[tuple[str, WritePlan]] = []
    reasons: list[Document] = []
    for at, (execution, item_keys) in enumerate(zip(executions, keys, strict=True)):
        if getattr(execution.statement, "returns", "NONE") != "NONE":
            raise _failed(at, "RETURNING clause is not supported in ExecuteTransaction.")
        try:
            plans.append((execution.statement.table, planned_write(execution, item_keys)))
            reasons.append({"Code": "None"})
        except ValidationFault as fault:
            if isinstance(execution.statement, Exists):
                raise _failed(at, "EXISTS() must contain a single item read with additional condition") from None
            reasons.append({"Code": "ValidationError", "Message": fault.message})
    if len(plans) < len(reasons):
        raise TransactionCanceled(reasons)
    return plans


def _with_duplicates(fault: TransactionCanceled, executions: list[Execution]) -> TransactionCanceled:
    """An INSERT's condition is not one that its caller wrote."""
    reasons = []
    for reason, execution in zip(fault.reasons, executions, strict=True):
        is_duplicate = reason["Code"] == "ConditionalCheckFailed" and isinstance(execution.statement, Insert)
        duplicate = {"Code": "DuplicateItem", "Message": DuplicateItem().message}
        reasons.append(duplicate if is_duplicate else reason)
    return TransactionCanceled(reasons)


def _failed(at: int, message: str) -> ValidationFault:
    return ValidationFault(f"Validation failed in TransactStatements[{at}]: {message}")


def _digest(req: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(req["TransactStatements"], option=orjson.OPT_SORT_KEYS)).hexdigest()
