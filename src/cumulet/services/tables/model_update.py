"""What UpdateTable makes of a table. Pure: the changed table, and the jobs that the change needs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cumulet.services.tables.errors import LimitExceeded, ResourceInUse, ResourceNotFound, ValidationFault
from cumulet.services.tables.model import NO_THROUGHPUT, ON_DEMAND, Stream, Table, stream_label
from cumulet.services.tables.model_definition import (
    MOST_GLOBAL_INDEXES,
    capacity,
    check_distinct_names,
    check_projections,
    encryption,
    global_index,
    invalid,
    stream_view,
)

JobRequest = tuple[str, dict[str, Any]]
"""(kind, state)"""
_CHANGES = (
    "ProvisionedThroughput",
    "BillingMode",
    "StreamSpecification",
    "GlobalSecondaryIndexUpdates",
    "SSESpecification",
    "ReplicaUpdates",
    "TableClass",
    "DeletionProtectionEnabled",
    "OnDemandThroughput",
    "WarmThroughput",
)


def updated(table: Table, request: Mapping[str, Any], now_ms: int, key_arn: str) -> tuple[Table, list[JobRequest]]:
    """The table after the request, UPDATING where jobs follow. Raises ValidationFault, ResourceInUse, LimitExceeded."""
    if not any(name in request for name in _CHANGES):
        raise ValidationFault(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or "
            "SSESpecification or ReplicaUpdates is required"
        )
    check_idle(table)
    is_only_protection = set(request) <= {"TableName", "DeletionProtectionEnabled"}
    changed = _with_settings(table, request, now_ms, key_arn)
    changed = _with_billing(changed, request, now_ms)
    changed = _with_stream(changed, request, now_ms)
    changed, jobs = _with_indexes(changed, request, now_ms)
    if is_only_protection:
        return changed, []
    is_settled_later = bool(jobs or request.get("ReplicaUpdates"))
    return replace(changed, status="UPDATING"), jobs if is_settled_later else [("settle", {"name": table.name})]


def check_idle(table: Table) -> None:
    if table.status == "ACTIVE":
        return
    doing = {"CREATING": "created", "UPDATING": "updated", "DELETING": "deleted"}[table.status]
    raise ResourceInUse(
        f"Attempt to change a resource which is still in use: Table is being {doing}: {table.name}"
        if table.status != "DELETING"
        else f"Attempt to change a resource which is still in use: Table is being deleted: {table.name}"
    )


def _with_settings(table: Table, request: Mapping[str, Any], now_ms: int, key_arn: str) -> Table:
    if "DeletionProtectionEnabled" in request:
        table = replace(table, is_protected=request["DeletionProtectionEnabled"])
    if "TableClass" in request:
        table = replace(table, table_class=request["TableClass"], class_changed_ms=now_ms)
    if "SSESpecification" in request:
        table = replace(table, encryption=encryption(request["SSESpecification"], key_arn))
    if "OnDemandThroughput" in request:
        table = replace(table, on_demand=request["OnDemandThroughput"])
    if "WarmThroughput" in request:
        table = replace(table, warm=request["WarmThroughput"])
    return table


def _with_billing(table: Table, request: Mapping[str, Any], now_ms: int) -> Table:
    billing = request.get("BillingMode", table.billing)
    asked = request.get("ProvisionedThroughput")
    updates = {
        each["Update"]["IndexName"]: each["Update"] for each in request.get("GlobalSecondaryIndexUpdates") or () if "Update" in each
    }
    if billing == ON_DEMAND:
        if asked:
            capacity(asked, billing)
        if table.billing != ON_DEMAND:
            indexes = tuple(replace(index, throughput=NO_THROUGHPUT) for index in table.indexes)
            return replace(table, billing=billing, throughput=NO_THROUGHPUT, on_demand_since_ms=now_ms, indexes=indexes)
        return table
    if table.billing == ON_DEMAND:
        throughput = capacity(asked, billing)
        indexes = tuple(
            replace(index, throughput=capacity(updates.get(index.name, {}).get("ProvisionedThroughput"), billing, index.name))
            if index.is_global
            else index
            for index in table.indexes
        )
        return replace(table, billing="PROVISIONED", throughput=throughput, indexes=indexes)
    if not asked:
        return table
    wanted = capacity(asked, billing)
    if (wanted.reads, wanted.writes) == (table.throughput.reads, table.throughput.writes):
        raise ValidationFault(
            "The provisioned throughput for the table will not change. The requested value equals the current value. "
            f"Current ReadCapacityUnits provisioned for the table: {table.throughput.reads}. "
            f"Requested ReadCapacityUnits: {wanted.reads}. "
            f"Current WriteCapacityUnits provisioned for the table: {table.throughput.writes}. "
            f"Requested WriteCapacityUnits: {wanted.writes}. "
            "Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
        )
    return replace(table, throughput=table.throughput.changed(wanted.reads, wanted.writes, now_ms))


def _with_stream(table: Table, request: Mapping[str, Any], now_ms: int) -> Table:
    given = request.get("StreamSpecification")
    if given is None:
        return table
    view = stream_view(given)
    if view is None:
        if table.stream is None:
            raise ValidationFault(f"Table has no stream to disable: TableName: {table.name}")
        return replace(table, stream=None)
    if table.stream is not None:
        raise ValidationFault(f"Table already has an enabled stream: TableName: {table.name}")
    return with_new_stream(table, view, now_ms)


def with_new_stream(table: Table, view: str, now_ms: int) -> Table:
    number = table.streams_made + 1
    return replace(table, stream=Stream(number, stream_label(now_ms), view, now_ms), streams_made=number)  # type: ignore[arg-type]


def _with_indexes(table: Table, request: Mapping[str, Any], now_ms: int) -> tuple[Table, list[JobRequest]]:
    updates = request.get("GlobalSecondaryIndexUpdates") or ()
    jobs: list[JobRequest] = []
    changed: set[str] = set()
    for each in updates:
        if len([part for part in each.values() if part is not None]) != 1:
            raise invalid("One of GlobalSecondaryIndexUpdate's Update, Create or Delete must be given, and only one")
        ((kind, action),) = each.items()
        name = action["IndexName"]
        if name in changed:
            raise invalid(f"Only one global secondary index update per index is allowed simultaneously. Index: {name}")
        changed.add(name)
        if kind == "Create":
            table = _with_created(table, action, request)
            jobs.append(("backfill", {"name": table.name, "index": table.indexes[-1].number, "cursor": ""}))
        elif kind == "Delete":
            jobs.append(("unindex", {"name": table.name, "index": _global(table, name).number}))
            table = table.with_index(name, status="DELETING")
        else:
            table = _with_changed(table, action, now_ms)
    if sum(job[0] != "settle" for job in jobs) > 1:
        raise LimitExceeded("Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table")
    return table, jobs


def _with_created(table: Table, action: Mapping[str, Any], request: Mapping[str, Any]) -> Table:
    if action["IndexName"] in table.by_index_name:
        raise ValidationFault("Attempting to create an index which already exists")
    types = dict(table.types)
    for each in request.get("AttributeDefinitions") or ():
        if types.setdefault(each["AttributeName"], each["AttributeType"]) != each["AttributeType"]:
            raise invalid(f"Attribute '{each['AttributeName']}' is already defined with another type than {each['AttributeType']}")
    index = global_index(action, types, table.billing, table.indexes_made)
    if sum(each.is_global for each in table.indexes) >= MOST_GLOBAL_INDEXES:
        raise LimitExceeded(f"GlobalSecondaryIndex count exceeds the per-table limit of {MOST_GLOBAL_INDEXES}")
    indexes = (*table.indexes, replace(index, status="CREATING", is_backfilling=True))
    check_distinct_names(indexes)
    check_projections(indexes)
    return replace(table, types=types, indexes=indexes, indexes_made=table.indexes_made + 1).with_used_types()


def _with_changed(table: Table, action: Mapping[str, Any], now_ms: int) -> Table:
    index = _global(table, action["IndexName"])
    changes: dict[str, Any] = {}
    if action.get("ProvisionedThroughput"):
        wanted = capacity(action["ProvisionedThroughput"], table.billing, index.name)
        changes["throughput"] = index.throughput.changed(wanted.reads, wanted.writes, now_ms)
    if action.get("OnDemandThroughput"):
        changes["on_demand"] = action["OnDemandThroughput"]
    if action.get("WarmThroughput"):
        changes["warm"] = action["WarmThroughput"]
    return table.with_index(index.name, **changes)


def _global(table: Table, name: str) -> Any:
    index = table.by_index_name.get(name)
    if index is None or not index.is_global:
        raise ResourceNotFound("Requested resource not found")
    return index
