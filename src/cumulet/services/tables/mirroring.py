"""Settings that all replicas of a global table share, global indexes and expiry: changed in one region, then in each. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cumulet.services.tables.errors import TablesFault
from cumulet.services.tables.model import Document, Expiry, Table
from cumulet.services.tables.model_update import JobRequest, updated

_SHARED = ("GlobalSecondaryIndexUpdates", "AttributeDefinitions")


def shared_change(request: Mapping[str, Any]) -> Document | None:
    """What replicas must be told of an UpdateTable."""
    if not request.get("GlobalSecondaryIndexUpdates"):
        return None
    return {name: request[name] for name in _SHARED if request.get(name)}


def expiry_change(attribute: str, *, is_on: bool) -> Document:
    return {"expiry": {"attribute": attribute, "is_on": is_on}}


def mirrored(table: Table, change: Mapping[str, Any], now_ms: int) -> tuple[Table, list[JobRequest]] | None:
    """The replica after the change, and the jobs that it needs; None while the replica is busy. One that has the change already, or
    cannot have it, stays as it is."""
    if "expiry" in change:
        return _with_expiry(table, change["expiry"]["attribute"], is_on=change["expiry"]["is_on"])
    if table.status in ("CREATING", "UPDATING"):
        return None
    try:
        return updated(table, change, now_ms, "")
    except TablesFault:
        return table, []


def _with_expiry(table: Table, attribute: str, *, is_on: bool) -> tuple[Table, list[JobRequest]] | None:
    expiry = table.expiry
    if expiry is not None and expiry.status != "ENABLED":
        return None
    if is_on == (expiry is not None):
        return table, []
    changed = replace(table, expiry=Expiry(attribute, "ENABLING" if is_on else "DISABLING"))
    return changed, [("expiry", {"name": table.name, "cursor": ""})]
