"""Backups as records, what they tell of themselves, and the tables that are restored from them. Pure."""

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cumulet.services.tables.model import ON_DEMAND, Document, Place, Table
from cumulet.services.tables.model_definition import capacity, encryption, invalid

DEFAULT_RECOVERY_DAYS = 35
DAY_MS = 86_400_000


def new_backup(table: Table, place: Place, name: str, number: int, size: tuple[int, int], now_ms: int) -> Document:
    """A backup that is about to be made. `size` is (items, bytes)."""
    return {
        "id": f"{now_ms:017d}-{secrets.token_hex(4)}",
        "name": name,
        "number": number,
        "status": "CREATING",
        "created_ms": now_ms,
        "table_arn": place.table_arn(table.name),
        "items": size[0],
        "bytes": size[1],
        "table": table.to_document(),
    }


def backup_arn(backup: Mapping[str, Any]) -> str:
    return f"{backup['table_arn']}/backup/{backup['id']}"


def details(backup: Mapping[str, Any]) -> Document:
    return {
        "BackupArn": backup_arn(backup),
        "BackupName": backup["name"],
        "BackupSizeBytes": backup["bytes"],
        "BackupStatus": backup["status"],
        "BackupType": "USER",
        "BackupCreationDateTime": backup["created_ms"] / 1000,
    }


def summary(backup: Mapping[str, Any]) -> Document:
    table = backup["table"]
    return {"TableName": table["name"], "TableId": table["id"], "TableArn": backup["table_arn"], **details(backup)}


def description(backup: Mapping[str, Any]) -> Document:
    table = Table.from_document(backup["table"])
    features: Document = {}
    for kind, is_global in (("LocalSecondaryIndexes", False), ("GlobalSecondaryIndexes", True)):
        found = [index for index in table.indexes if index.is_global == is_global]
        if found:
            features[kind] = [
                {
                    "IndexName": index.name,
                    "KeySchema": index.key.described(),
                    "Projection": {"ProjectionType": index.projection, "NonKeyAttributes": list(index.attributes) or None},
                }
                for index in found
            ]
    if table.stream is not None:
        features["StreamDescription"] = {"StreamEnabled": True, "StreamViewType": table.stream.view}
    if table.expiry is not None:
        features["TimeToLiveDescription"] = {"TimeToLiveStatus": table.expiry.status, "AttributeName": table.expiry.attribute}
    if table.encryption is not None:
        features["SSEDescription"] = table.encryption
    source: Document = {
        "TableName": table.name,
        "TableId": table.id,
        "TableArn": backup["table_arn"],
        "TableSizeBytes": backup["bytes"],
        "KeySchema": table.key.described(),
        "TableCreationDateTime": table.created_ms / 1000,
        "ProvisionedThroughput": {"ReadCapacityUnits": table.throughput.reads, "WriteCapacityUnits": table.throughput.writes},
        "ItemCount": backup["items"],
        "BillingMode": table.billing,
    }
    return {"BackupDetails": details(backup), "SourceTableDetails": source, "SourceTableFeatureDetails": features}


def restored(source: Table, request: Mapping[str, Any], number: int, now_ms: int, summary: Document, key_arn: str) -> Table:
    """The table that a restore makes, CREATING: without streams, expiry, tags and policy, with what the request overrides."""
    billing = request.get("BillingModeOverride", source.billing)
    throughput = source.throughput
    if billing == ON_DEMAND or request.get("ProvisionedThroughputOverride") or source.billing == ON_DEMAND:
        throughput = capacity(request.get("ProvisionedThroughputOverride"), billing)
    table = Table(
        request["TargetTableName"], str(uuid.uuid4()), number, now_ms, "CREATING", source.types, source.key, (), billing, throughput
    )
    indexes = _kept(source, request, billing)
    return replace(
        table,
        indexes=indexes,
        indexes_made=source.indexes_made,
        on_demand_since_ms=now_ms if billing == ON_DEMAND else 0,
        encryption=encryption(request["SSESpecificationOverride"], key_arn)
        if request.get("SSESpecificationOverride") is not None
        else source.encryption,
        restored={**summary, "RestoreDateTime": now_ms / 1000, "RestoreInProgress": True},
    ).with_used_types()


def _kept(source: Table, request: Mapping[str, Any], billing: str) -> tuple[Any, ...]:
    """The indexes of the restored table: overrides may leave some out, and change their capacity."""
    overrides = {
        is_global: {each["IndexName"]: each for each in request[name]} if request.get(name) is not None else None
        for is_global, name in ((True, "GlobalSecondaryIndexOverride"), (False, "LocalSecondaryIndexOverride"))
    }
    for chosen in overrides.values():
        for name in chosen or ():
            if name not in source.by_index_name:
                raise invalid(f"The index {name} is not part of the source table")
    kept = []
    for index in source.indexes:
        chosen = overrides[index.is_global]
        if index.status == "DELETING" or (chosen is not None and index.name not in chosen):
            continue
        throughput = index.throughput
        if index.is_global and (billing == ON_DEMAND or not throughput.reads or chosen is not None):
            given = (chosen or {}).get(index.name, {}).get("ProvisionedThroughput")
            throughput = (
                capacity(given, billing, index.name) if given or billing == ON_DEMAND or not throughput.reads else throughput
            )
        kept.append(replace(index, status="ACTIVE", is_backfilling=False, throughput=throughput))
    return tuple(kept)
