"""Operations on backups, restores, and recovery to a point in time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.tables import model, model_backups, storage
from cumulet.services.tables.catalogue import Catalogue
from cumulet.services.tables.census import Census
from cumulet.services.tables.errors import (
    BackupInUse,
    BackupNotFound,
    InvalidRestoreTime,
    PointInTimeRecoveryUnavailable,
    TableAlreadyExists,
    TableInUse,
    TableNotFound,
    ValidationFault,
)
from cumulet.services.tables.jobs import Job, Jobs
from cumulet.services.tables.model import Document, Place, Table
from cumulet.services.tables.names import resource_of, table_name
from cumulet.store.contract import Reader, Store, Txn

_SOON_S = 1.0


class BackupOperations:
    """`seen` is told of shards whose tables keep history."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        catalogue_of: Callable[[str], Catalogue],
        jobs: Jobs,
        census: Census,
        seen: Callable[[str], None],
    ) -> None:
        self._store = store
        self._seen = seen
        self._clock = clock
        self._catalogue_of = catalogue_of
        self._jobs = jobs
        self._census = census

    @operation("CreateBackup")
    async def create_backup(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name, place, shard = table_name(ctx, req["TableName"]), *_place(ctx)
        counted = await self._store.read(shard, lambda reader: self._get(shard, reader, name))
        sizes = await self._census.sizes(shard, counted)

        def create(txn: Txn) -> tuple[Document, Job]:
            table = self._get(shard, txn, name)
            if table.status != "ACTIVE":
                raise TableInUse(f"Table is being updated: {name}")
            number = storage.new_number(txn)
            backup = model_backups.new_backup(table, place, req["BackupName"], number, sizes[""], self._clock.now_ms())
            storage.put_document(txn, backup, "backup", backup["id"])
            storage.put_table(txn, replace(table, copies=table.copies + 1))
            since = storage.last_history(txn, table.number)
            job = self._jobs.add(
                txn, "backup", table.number, name=name, id=backup["id"], backup=number, history=table.number, since=since
            )
            return backup, job

        backup, job = await self._store.write(shard, create)
        self._jobs.start(shard, job)
        return {"BackupDetails": model_backups.details(backup)}

    @operation("DescribeBackup")
    async def describe_backup(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        _, shard = _place(ctx)
        backup = await self._store.read(shard, lambda reader: _backup(ctx, reader, req["BackupArn"]))
        if backup["status"] == "CREATING":
            await self._jobs.settled(shard, backup["table"]["number"], _SOON_S)
            backup = await self._store.read(shard, lambda reader: _backup(ctx, reader, req["BackupArn"]))
        return {"BackupDescription": model_backups.description(backup)}

    @operation("DeleteBackup")
    async def delete_backup(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        _, shard = _place(ctx)

        def delete(txn: Txn) -> tuple[Document, Job]:
            backup = _backup(ctx, txn, req["BackupArn"])
            if backup["status"] != "AVAILABLE" or backup.get("restores"):
                raise BackupInUse(f"Backup is in use: {req['BackupArn']}")
            storage.delete_document(txn, "backup", backup["id"])
            return backup, self._jobs.add(txn, "unsave", backup["number"], backup=backup["number"])

        backup, job = await self._store.write(shard, delete)
        self._jobs.start(shard, job)
        return {"BackupDescription": model_backups.description(backup | {"status": "DELETED"})}

    @operation("ListBackups")
    async def list_backups(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        _, shard = _place(ctx)
        found = await self._store.read(shard, lambda reader: list(storage.list_documents(reader, "backup")))
        wanted = table_name(ctx, req["TableName"]) if req.get("TableName") else None
        low, high = _ms(req.get("TimeRangeLowerBound"), 0), _ms(req.get("TimeRangeUpperBound"), 1 << 62)
        summaries = [
            model_backups.summary(backup)
            for backup in found
            if wanted in (None, backup["table"]["name"]) and low <= backup["created_ms"] < high
        ]
        if req.get("BackupType", "USER") not in ("USER", "ALL"):
            summaries = []
        start = req.get("ExclusiveStartBackupArn")
        if start is not None:
            position = next((at for at, each in enumerate(summaries) if each["BackupArn"] == start), -1)
            summaries = summaries[position + 1 :]
        limit = req.get("Limit", 100)
        result: Document = {"BackupSummaries": summaries[:limit]}
        if len(summaries) > limit:
            result["LastEvaluatedBackupArn"] = summaries[limit - 1]["BackupArn"]
        return result

    @operation("RestoreTableFromBackup")
    async def restore_from_backup(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, shard = _place(ctx)

        def restore(txn: Txn) -> tuple[Table, Job]:
            backup = _backup(ctx, txn, req["BackupArn"])
            if backup["status"] != "AVAILABLE":
                raise BackupInUse(f"Backup is in use: {req['BackupArn']}")
            source = Table.from_document(backup["table"])
            summary = {"SourceBackupArn": req["BackupArn"], "SourceTableArn": backup["table_arn"]}
            table = self._new_table(shard, txn, place, source, req, summary)
            storage.put_document(txn, backup | {"restores": backup.get("restores", 0) + 1}, "backup", backup["id"])
            return table, self._jobs.add(
                txn, "restore", table.number, name=table.name, backup=backup["number"], backup_id=backup["id"]
            )

        table, job = await self._store.write(shard, restore)
        self._jobs.start(shard, job)
        return {"TableDescription": model.describe(table, place, {})}

    @operation("RestoreTableToPointInTime")
    async def restore_to_point_in_time(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, shard = _place(ctx)
        name = _source_name(ctx, req)
        now_ms = self._clock.now_ms()

        def restore(txn: Txn) -> tuple[Table, Job]:
            source = self._get(shard, txn, name)
            if source.recovery is None:
                raise PointInTimeRecoveryUnavailable(f"Point in time recovery is not enabled for table '{name}'")
            moment: Document = {"since": storage.last_history(txn, source.number)}
            if req.get("RestoreDateTime") is not None:
                at_ms = _ms(req["RestoreDateTime"], 0)
                if not _earliest_ms(source, now_ms) <= at_ms <= now_ms:
                    raise InvalidRestoreTime("The specified restore time is not within the range of restorable times")
                moment = {"since_ms": at_ms}
            table = self._new_table(shard, txn, place, source, req, {"SourceTableArn": place.table_arn(name)})
            storage.put_table(txn, replace(source, copies=source.copies + 1))
            job = self._jobs.add(
                txn,
                "restore",
                table.number,
                name=table.name,
                source=source.number,
                source_name=name,
                history=source.number,
                **moment,
            )
            return table, job

        table, job = await self._store.write(shard, restore)
        self._jobs.start(shard, job)
        return {"TableDescription": model.describe(table, place, {})}

    @operation("DescribeContinuousBackups")
    async def describe_continuous_backups(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name, (_, shard) = table_name(ctx, req["TableName"]), _place(ctx)
        return self._described(await self._store.read(shard, lambda reader: self._get(shard, reader, name)))

    @operation("UpdateContinuousBackups")
    async def update_continuous_backups(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name, (_, shard) = table_name(ctx, req["TableName"]), _place(ctx)
        specification = req["PointInTimeRecoverySpecification"]
        days = specification.get("RecoveryPeriodInDays")

        def update(txn: Txn) -> tuple[Table, list[Job]]:
            table = self._get(shard, txn, name)
            recovery = None
            if specification["PointInTimeRecoveryEnabled"]:
                since_ms = table.recovery["since_ms"] if table.recovery is not None else self._clock.now_ms()
                recovery = {"since_ms": since_ms, "days": days or model_backups.DEFAULT_RECOVERY_DAYS}
            elif days is not None:
                raise ValidationFault("RecoveryPeriodInDays can only be specified when point in time recovery is enabled")
            changed = replace(table, recovery=recovery)
            storage.put_table(txn, changed)
            is_needless = table.keeps_history and not changed.keeps_history
            return changed, [self._jobs.add(txn, "trim", table.number, name=name)] if is_needless else []

        table, jobs = await self._store.write(shard, update)
        self._seen(shard)
        self._jobs.start(shard, *jobs)
        return self._described(table)

    def _described(self, table: Table) -> Document:
        recovery: Document = {"PointInTimeRecoveryStatus": "DISABLED"}
        if table.recovery is not None:
            now_ms = self._clock.now_ms()
            recovery = {
                "PointInTimeRecoveryStatus": "ENABLED",
                "RecoveryPeriodInDays": table.recovery["days"],
                "EarliestRestorableDateTime": _earliest_ms(table, now_ms) / 1000,
                "LatestRestorableDateTime": now_ms / 1000,
            }
        return {"ContinuousBackupsDescription": {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery}}

    def _get(self, shard: str, reader: Reader, name: str) -> Table:
        table = self._catalogue_of(shard).find(reader, name)
        if table is None or not table.is_usable:
            raise TableNotFound(f"Table not found: {name}")
        return table

    def _new_table(self, shard: str, txn: Txn, place: Place, source: Table, req: dict[str, Any], summary: Document) -> Table:
        if self._catalogue_of(shard).find(txn, req["TargetTableName"]) is not None:
            raise TableAlreadyExists(f"Table already exists: {req['TargetTableName']}")
        key_arn = f"arn:aws:kms:{place.region}:{place.account}:alias/aws/dynamodb"
        table = model_backups.restored(source, req, storage.new_number(txn), self._clock.now_ms(), summary, key_arn)
        storage.put_table(txn, table)
        return table


def _place(ctx: Context) -> tuple[Place, str]:
    place = Place(ctx.account, ctx.region)
    return place, storage.shard_of(place)


def _backup(ctx: Context, reader: Reader, arn: str) -> Document:
    """Raises BackupNotFound."""
    _, rest = resource_of(ctx, arn)
    backup = storage.find_document(reader, "backup", rest.rpartition("/")[2]) if rest.startswith("/backup/") else None
    if backup is None or model_backups.backup_arn(backup) != arn:
        raise BackupNotFound(f"Backup not found: {arn}")
    return backup


def _source_name(ctx: Context, req: dict[str, Any]) -> str:
    given = req.get("SourceTableName") or req.get("SourceTableArn")
    if not given:
        raise ValidationFault("Either SourceTableName or SourceTableArn must be specified")
    if bool(req.get("UseLatestRestorableTime")) == (req.get("RestoreDateTime") is not None):
        raise ValidationFault("Either UseLatestRestorableTime or RestoreDateTime must be specified, and not both")
    return table_name(ctx, given)


def _earliest_ms(table: Table, now_ms: int) -> int:
    assert table.recovery is not None
    return max(int(table.recovery["since_ms"]), now_ms - int(table.recovery["days"]) * model_backups.DAY_MS)


def _ms(moment: datetime | None, default: int) -> int:
    return default if moment is None else round(moment.timestamp() * 1000)
