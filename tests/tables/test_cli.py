"""The AWS CLI, unmodified: a table from its making to its end, with all that a command line reaches."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Node

Aws = Callable[..., Any]


@pytest.fixture
def aws(node: Node, tmp_path: Path) -> Aws:
    """`aws("put-item", "--table-name", …)`: the answer; `fails="Code"`: the error's message. Values that are no text go as JSON."""

    def run(*words: Any, service: str = "dynamodb", fails: str = "") -> Any:
        texts = [word if isinstance(word, str) else json.dumps(word) for word in words]
        command = [sys.executable, "-m", "awscli", service, *texts]
        environment = os.environ | node.environment | {"AWS_MAX_ATTEMPTS": "1"}
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        if fails:
            assert done.returncode in (254, 255) and f"({fails})" in done.stderr, done.stderr
            return done.stderr.strip().partition("operation: ")[2]
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    return run


@pytest.mark.slow
def test_items_pages_and_statements(aws: Aws, name: str, tmp_path: Path) -> None:
    table = ("--table-name", name)
    attributes = [f"AttributeName={each},AttributeType={kind}" for each, kind in (("pk", "S"), ("sk", "N"), ("owner", "S"))]
    index = "IndexName=by-owner,KeySchema=[{AttributeName=owner,KeyType=HASH}],Projection={ProjectionType=KEYS_ONLY}"
    schema = ["AttributeName=pk,KeyType=HASH", "AttributeName=sk,KeyType=RANGE"]
    common = ["--attribute-definitions", *attributes, "--key-schema", *schema, "--billing-mode", "PAY_PER_REQUEST"]
    aws("create-table", *table, *common, "--global-secondary-indexes", index)
    aws("wait", "table-exists", *table)
    assert name in aws("list-tables")["TableNames"]

    aws("put-item", *table, "--item", {"pk": {"S": "a"}, "sk": {"N": "1.50"}, "owner": {"S": "ann"}})
    key = {"pk": {"S": "a"}, "sk": {"N": "1.5"}}
    assert aws("get-item", *table, "--key", key, "--consistent-read")["Item"]["sk"] == {"N": "1.5"}
    update = ("--update-expression", "SET n = if_not_exists(n, :z) + :o", "--expression-attribute-values")
    words = ("update-item", *table, "--key", key, *update, {":z": {"N": "1"}, ":o": {"N": "2"}})
    assert aws(*words, "--return-values", "UPDATED_NEW")["Attributes"] == {"n": {"N": "3"}}
    refused = aws(*words, "--condition-expression", "attribute_not_exists(n)", fails="ConditionalCheckFailedException")
    assert refused == "The conditional request failed"

    writes = [{"PutRequest": {"Item": {"pk": {"S": "many"}, "sk": {"N": str(number)}}}} for number in range(25)]
    (tmp_path / "writes.json").write_text(json.dumps({name: writes}))
    assert aws("batch-write-item", "--request-items", "file://writes.json")["UnprocessedItems"] == {}
    query = ("query", *table, "--key-condition-expression", "pk = :p", "--expression-attribute-values", {":p": {"S": "many"}})
    assert aws(*query, "--page-size", "4")["Count"] == 25
    first = aws(*query, "--max-items", "10")
    second = aws(*query, "--max-items", "10", "--starting-token", first["NextToken"])
    assert [item["sk"]["N"] for item in second["Items"]] == [str(number) for number in range(10, 20)]
    assert aws("query", *table, "--index-name", "by-owner", "--key-condition-expression", "#o = :o",
               "--expression-attribute-names", {"#o": "owner"},
               "--expression-attribute-values", {":o": {"S": "ann"}})["Items"] == [key | {"owner": {"S": "ann"}}]  # fmt: skip
    assert aws("scan", *table, "--select", "COUNT", "--return-consumed-capacity", "TOTAL")["Count"] == 26

    put = {"Put": {"TableName": name, "Item": {"pk": {"S": "t"}, "sk": {"N": "1"}}}}
    check = {"ConditionCheck": {"TableName": name, "Key": key, "ConditionExpression": "n = :three",
                                "ExpressionAttributeValues": {":three": {"N": "3"}}}}  # fmt: skip
    aws("transact-write-items", "--transact-items", [put, check])
    put["Put"]["ConditionExpression"] = "attribute_not_exists(pk)"
    message = aws("transact-write-items", "--transact-items", [check, put], fails="TransactionCanceledException")
    assert message.endswith("[None, ConditionalCheckFailed]")
    found = aws("execute-statement", "--statement", f"SELECT pk FROM \"{name}\" WHERE pk = 't'")
    assert found["Items"] == [{"pk": {"S": "t"}}]
    aws("delete-item", *table, "--key", key)
    assert aws("get-item", *table, "--key", key) is None

    assert aws("put-item", *table, "--item", {"pk": {"S": "a"}}, fails="ValidationException") == (
        "One or more parameter values were invalid: Missing the key sk in the item"
    )
    aws("delete-table", *table)
    aws("wait", "table-not-exists", *table)
    message = aws("describe-table", *table, fails="ResourceNotFoundException")
    assert message == f"Requested resource not found: Table: {name} not found"


@pytest.mark.slow
def test_settings_copies_and_streams(aws: Aws, name: str) -> None:
    table = ("--table-name", name)
    common = ["--attribute-definitions", "AttributeName=pk,AttributeType=S", "--key-schema", "AttributeName=pk,KeyType=HASH"]
    made = aws(
        "create-table", *table, *common, "--provisioned-throughput", "ReadCapacityUnits=5,WriteCapacityUnits=5",
        "--stream-specification", "StreamEnabled=true,StreamViewType=NEW_IMAGE", "--tags", "Key=team,Value=clouds",
    )["TableDescription"]  # fmt: skip
    aws("wait", "table-exists", *table)
    resource = ("--resource-arn", made["TableArn"])
    aws("update-time-to-live", *table, "--time-to-live-specification", "Enabled=true,AttributeName=ends")
    assert aws("describe-time-to-live", *table)["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
    aws("tag-resource", *resource, "--tags", "Key=stage,Value=test")
    aws("untag-resource", *resource, "--tag-keys", "team")
    assert aws("list-tags-of-resource", *resource)["Tags"] == [{"Key": "stage", "Value": "test"}]
    aws("update-table", *table, "--billing-mode", "PAY_PER_REQUEST")
    aws("wait", "table-exists", *table)
    assert aws("describe-table", *table)["Table"]["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"

    aws("put-item", *table, "--item", {"pk": {"S": "a"}})
    backup = aws("create-backup", *table, "--backup-name", "friday")["BackupDetails"]["BackupArn"]
    assert [each["BackupArn"] for each in aws("list-backups", *table)["BackupSummaries"]] == [backup]
    aws("restore-table-from-backup", "--target-table-name", f"{name}-again", "--backup-arn", backup)
    aws("wait", "table-exists", "--table-name", f"{name}-again")
    assert aws("scan", "--table-name", f"{name}-again")["Items"] == [{"pk": {"S": "a"}}]
    aws("delete-backup", "--backup-arn", backup)
    aws("update-continuous-backups", *table, "--point-in-time-recovery-specification", "PointInTimeRecoveryEnabled=true")
    said = aws("describe-continuous-backups", *table)["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert said["PointInTimeRecoveryStatus"] == "ENABLED"
    export = ("export-table-to-point-in-time", "--table-arn", made["TableArn"], "--s3-bucket", "somewhere")
    assert "ExportTableToPointInTime" in aws(*export, fails="NotImplemented")

    def streams(*words: str) -> Any:
        return aws(*words, service="dynamodbstreams")

    stream = ("--stream-arn", made["LatestStreamArn"])
    assert [each["StreamArn"] for each in streams("list-streams", *table)["Streams"]] == [made["LatestStreamArn"]]
    shard = streams("describe-stream", *stream)["StreamDescription"]["Shards"][0]["ShardId"]
    place = streams("get-shard-iterator", *stream, "--shard-id", shard, "--shard-iterator-type", "TRIM_HORIZON")
    (record,) = streams("get-records", "--shard-iterator", place["ShardIterator"])["Records"]
    assert record["dynamodb"]["NewImage"] == {"pk": {"S": "a"}}
    for each in (name, f"{name}-again"):
        aws("delete-table", "--table-name", each)
