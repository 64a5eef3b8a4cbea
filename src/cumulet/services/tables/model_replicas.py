"""The rules of global tables (version 2019.11.21): which replicas a table may get and lose, and what a new one is like. Pure.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables-CoreConcepts.html
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cumulet.core.errors import NotImplementedFault
from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.model import ON_DEMAND, Document, Expiry, Place, Replica, Table
from cumulet.services.tables.model_definition import encryption, invalid
from cumulet.services.tables.model_update import with_new_stream

_REGION = re.compile(r"[a-z]{2}(-[a-z]+){1,3}-\d\Z")
_OPTIONS = ("RegionName", "KMSMasterKeyId", "TableClassOverride")
VIEW = "NEW_AND_OLD_IMAGES"
SOURCE_MS = 24 * 3600 * 1000
"""How long a table that a replica was made from cannot be dropped."""
EXISTS = "Failed to create a the new replica of table with name: '{}' because one or more replicas already existed as tables."


def wanted_replicas(request: Mapping[str, Any], region: str) -> tuple[list[Document], list[str]]:
    """(what is asked for new replicas, regions of those that go) of an UpdateTable. Raises ValidationFault, NotImplementedFault."""
    created: list[Document] = []
    deleted: list[str] = []
    for each in request.get("ReplicaUpdates") or ():
        if len([part for part in each.values() if part is not None]) != 1:
            raise invalid("One of ReplicationGroupUpdate's Create, Update or Delete must be given, and only one")
        ((kind, action),) = each.items()
        name = action["RegionName"]
        if kind not in ("Create", "Delete"):
            raise NotImplementedFault(f"This node does not implement ReplicaUpdates.{kind} of tables")
        for option in action:
            if option not in _OPTIONS:
                raise NotImplementedFault(f"This node does not implement ReplicaUpdates.Create.{option} of tables")
        if name == region:
            raise ValidationFault(
                "Cannot add, delete, or update the local region through ReplicaUpdates. "
                "Use CreateTable, DeleteTable, or UpdateTable as required."
            )
        if not _REGION.match(name):
            raise ValidationFault(f"Invalid region name: {name}")
        if name in deleted or any(name == other["RegionName"] for other in created):
            raise invalid(f"Only one replica update per region is allowed simultaneously. Region: {name}")
        if kind == "Create":
            created.append(action)
        else:
            deleted.append(name)
    return created, deleted


def with_replicas(table: Table, created: Sequence[Document], deleted: Sequence[str], now_ms: int, after: int) -> Table:
    """The table after such an update; `after` is the last sequence number of its stream. Raises ValidationFault."""
    for region in deleted:
        if table.find_replica(region) is None:
            raise ValidationFault(
                "Update global table operation failed because one or more replicas were not part of the global table."
            )
        table = table.with_replica(region, status="DELETING", is_ours=True, pending=())
    if not created:
        return table
    if table.billing != ON_DEMAND:
        raise ValidationFault("Table write capacity should either be Pay-Per-Request or AutoScaled.")
    if table.stream is None:
        table = with_new_stream(table, VIEW, now_ms)
    elif table.stream.view != VIEW:
        raise invalid(f"The stream of a global table must have the view type {VIEW}: TableName: {table.name}")
    for action in created:
        if table.find_replica(action["RegionName"]) is not None:
            raise ValidationFault(EXISTS.format(table.name))
        options = {name: value for name, value in action.items() if name != "RegionName"}
        replica = Replica(action["RegionName"], "CREATING", True, now_ms, after, options)
        table = replace(table, replicas=(*table.replicas, replica), group=table.group or str(uuid.uuid4()))
    return table


def check_global(table: Table, request: Mapping[str, Any]) -> None:
    """What a global table cannot become. Raises ValidationFault."""
    if not table.replicas:
        return
    if request.get("BillingMode", ON_DEMAND) != ON_DEMAND:
        raise ValidationFault("Table write capacity should either be Pay-Per-Request or AutoScaled.")
    if request.get("StreamSpecification") is not None and not request["StreamSpecification"].get("StreamEnabled"):
        raise invalid(f"The stream of a global table cannot be disabled: TableName: {table.name}")


def check_droppable(table: Table, now_ms: int) -> None:
    """Raises ValidationFault for a table that replicas were made from lately."""
    if any(replica.is_ours and replica.created_ms > now_ms - SOURCE_MS for replica in table.replicas):
        raise ValidationFault(
            "Replica cannot be deleted because it has acted as a source region for new replica(s) being added to the table "
            "in the last 24 hours."
        )


def with_pending(table: Table, change: Document) -> Table:
    """The table with a change of settings that its replicas are to be told."""
    replicas = tuple(
        replace(replica, pending=(*replica.pending, change)) if replica.status in ("ACTIVE", "CREATING") else replica
        for replica in table.replicas
    )
    return replace(table, replicas=replicas)


def new_replica(table: Table, place: Place, asked: Replica, number: int, now_ms: int) -> Table:
    """The table in the region of `asked`, CREATING: with the keys, indexes and expiry of the one in `place`."""
    others = tuple(
        Replica(each.region, "ACTIVE")
        for each in table.replicas
        if each.region != asked.region and each.status in ("ACTIVE", "CREATING")
    )
    key = asked.options.get("KMSMasterKeyId")
    is_expiring = table.expiry is not None and table.expiry.status != "DISABLING"
    made = Table(
        table.name, str(uuid.uuid4()), number, now_ms, "CREATING", table.types, table.key, billing=table.billing,
        indexes=tuple(replace(each, status="ACTIVE", is_backfilling=False) for each in table.indexes if each.status != "DELETING"),
        indexes_made=table.indexes_made,
        on_demand_since_ms=now_ms,
        on_demand=table.on_demand,
        expiry=Expiry(table.expiry.attribute, "ENABLED") if is_expiring and table.expiry is not None else None,
        table_class=asked.options.get("TableClassOverride") or table.table_class,
        encryption=encryption({"Enabled": True, "KMSMasterKeyId": key}, key) if key else table.encryption,
        group=table.group,
        replicas=(Replica(place.region, "ACTIVE"), *others),
    )  # fmt: skip
    return with_new_stream(made.with_used_types(), VIEW, now_ms)


def settled(table: Table) -> Table:
    """The table, ACTIVE when nothing is being done to it any more."""
    return replace(table, status="ACTIVE") if table.status == "UPDATING" and not table.is_busy else table
