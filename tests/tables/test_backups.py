"""Backups, restores and recovery to a point in time: copies of one moment, however the table goes on."""

from datetime import UTC, datetime
from typing import Any

from .conftest import InProcess, index, refusal, schema
from .test_upkeep import attributes, fill, keys_left


def items(tables: InProcess, name: str) -> dict[str, str]:
    found, start = {}, {}
    while True:
        page = tables.call("Scan", TableName=name, **start)
        found |= {item["pk"]["S"]: item.get("v", {"S": ""})["S"] for item in page["Items"]}
        if "LastEvaluatedKey" not in page:
            return found
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def put(tables: InProcess, pk: str, v: str) -> None:
    tables.call("PutItem", TableName="music", Item={"pk": {"S": pk}, "v": {"S": v}, "g": {"S": "x"}})


def active(tables: InProcess, name: str) -> dict[str, Any]:
    for _ in range(100):
        found = tables.call("DescribeTable", TableName=name)["Table"]
        if found["TableStatus"] == "ACTIVE":
            return found
    raise AssertionError(f"{name} does not become active")


def test_a_backup_is_of_the_moment_it_was_asked_for(tables: InProcess) -> None:
    definition = schema()
    definition["AttributeDefinitions"] += attributes(g="S")
    definition["GlobalSecondaryIndexes"] = [index("by-g", "g")]
    tables.call("CreateTable", TableName="music", **definition)
    fill(tables, 1000, v={"S": "old"}, g={"S": "x"})
    before = items(tables, "music")
    made = tables.call("CreateBackup", TableName="music", BackupName="first")["BackupDetails"]
    assert made["BackupStatus"] == "CREATING"
    for number in range(0, 1000, 7):  # while it is being made
        put(tables, f"p{number}", "new")
        put(tables, f"p{number}", "newer")
        tables.call("DeleteItem", TableName="music", Key={"pk": {"S": f"p{number + 1}"}})
        put(tables, f"q{number}", "added")
    for _ in range(50):
        told = tables.call("DescribeBackup", BackupArn=made["BackupArn"])["BackupDescription"]
        if told["BackupDetails"]["BackupStatus"] == "AVAILABLE":
            break
    assert told["SourceTableDetails"]["ItemCount"] == 1000
    assert told["SourceTableFeatureDetails"]["GlobalSecondaryIndexes"][0]["IndexName"] == "by-g"
    restored = tables.call("RestoreTableFromBackup", TargetTableName="again", BackupArn=made["BackupArn"])["TableDescription"]
    assert restored["TableStatus"] == "CREATING" and restored["RestoreSummary"]["RestoreInProgress"]
    found = active(tables, "again")
    assert not found["RestoreSummary"]["RestoreInProgress"] and found["TableId"] != restored["TableArn"]
    assert items(tables, "again") == before
    by_index = tables.call("Scan", TableName="again", IndexName="by-g", Select="COUNT")
    assert by_index["Count"] == 1000
    assert [each["BackupName"] for each in tables.call("ListBackups", TableName="music")["BackupSummaries"]] == ["first"]
    gone = tables.call("DeleteBackup", BackupArn=made["BackupArn"])["BackupDescription"]
    assert gone["BackupDetails"]["BackupStatus"] == "DELETED"
    assert refusal(lambda: tables.call("DescribeBackup", BackupArn=made["BackupArn"]))[0] == "BackupNotFoundException"
    tables.settle()
    assert {key[:1] for key in keys_left(tables)} == {b"\x10", b"\x11", b"\x18"}  # neither what was saved nor history is left


def test_a_table_comes_back_as_it_was_at_any_time(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema())
    fill(tables, 300, v={"S": "0"})
    describe = lambda: tables.call("DescribeContinuousBackups", TableName="music")["ContinuousBackupsDescription"]  # noqa: E731
    assert describe()["PointInTimeRecoveryDescription"] == {"PointInTimeRecoveryStatus": "DISABLED"}
    latest = {"SourceTableName": "music", "UseLatestRestorableTime": True}
    code, _ = refusal(lambda: tables.call("RestoreTableToPointInTime", TargetTableName="again", **latest))
    assert code == "PointInTimeRecoveryUnavailableException"
    tables.call("UpdateContinuousBackups", TableName="music", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    assert describe()["PointInTimeRecoveryDescription"]["RecoveryPeriodInDays"] == 35
    moments = []
    for version in range(4):
        tables.clock.advance(seconds=60)
        put(tables, "p1", f"v{version}")
        put(tables, f"new{version}", "x")
        tables.call("DeleteItem", TableName="music", Key={"pk": {"S": f"p{10 + version}"}})
        moments.append((tables.clock.now_ms(), items(tables, "music")))
        tables.clock.advance(seconds=60)
    for number, (at_ms, expected) in enumerate(moments):
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        tables.call("RestoreTableToPointInTime", TargetTableName=f"again-{number}", SourceTableName="music", RestoreDateTime=at)
        put(tables, "p1", "while it is restored")
        active(tables, f"again-{number}")
        assert items(tables, f"again-{number}") == expected
    now = items(tables, "music")
    tables.call("RestoreTableToPointInTime", TargetTableName="latest", **latest)
    put(tables, "p1", "later")
    active(tables, "latest")
    assert items(tables, "latest") == now
    early = datetime.fromtimestamp(1_600_000_000, UTC)
    request = {"TargetTableName": "early", "SourceTableName": "music", "RestoreDateTime": early}
    assert refusal(lambda: tables.call("RestoreTableToPointInTime", **request))[0] == "InvalidRestoreTimeException"


def test_history_goes_when_recovery_does(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema())
    on = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 1}
    tables.call("UpdateContinuousBackups", TableName="music", PointInTimeRecoverySpecification=on)
    fill(tables, 10)
    tables.clock.advance(seconds=86_000)
    fill(tables, 5, v={"S": "new"})
    tables.clock.advance(seconds=1_000)
    count = lambda: sum(key[:1] == b"\x17" for key in keys_left(tables))  # noqa: E731
    assert count() == 15
    tables.loop.run_until_complete(tables.service._copies.forget())
    assert count() == 5
    tables.call(
        "UpdateContinuousBackups", TableName="music", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )
    tables.settle()
    assert count() == 0


def test_a_table_is_not_dropped_while_it_is_copied(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema())
    fill(tables, 3000)
    tables.call("CreateBackup", TableName="music", BackupName="first")
    assert refusal(lambda: tables.call("DeleteTable", TableName="music"))[0] == "ResourceInUseException"
    assert refusal(lambda: tables.call("CreateBackup", TableName="nope", BackupName="first"))[0] == "TableNotFoundException"
