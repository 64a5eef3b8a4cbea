"""DynamoDB Streams: what was recorded of changes, read by position with boto3 and, where time matters, in this process."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.session import get_session

from cumulet.core.context import Context, Principal
from cumulet.core.errors import Fault
from cumulet.core.http import Request
from cumulet.services.tables.api_streams import TableStreamsService
from cumulet.wire.service import load_service

from .conftest import ACCOUNT, REGION, InProcess, refusal, schema

HOUR_S = 3600


class Reader:
    """The streams of the tables in this process, as a boto3 client has them."""

    def __init__(self, tables: InProcess) -> None:
        self._tables = tables
        self._service = TableStreamsService(tables.store, tables.clock, tables.service.streams)
        self._wire, self._model = load_service("dynamodbstreams"), get_session().get_service_model("dynamodbstreams")

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        model = self._model.operation_model(operation)
        body = create_serializer("json", include_validation=False).serialize_to_request(request, model)["body"]
        wire = self._wire.operation(operation)
        principal = Principal(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, "AKIATEST")
        context = Context(ACCOUNT, REGION, "the-id", principal, "http://127.0.0.1:4566")
        headers = [("x-amz-target", f"DynamoDBStreams_20120810.{operation}")]
        try:
            decoded = wire.decode(Request("POST", "/", "", headers, bytes(body)))
            result = self._tables.loop.run_until_complete(self._service.handlers[operation](context, decoded))
            response = wire.encode(result, "the-id")
        except Fault as fault:
            response = wire.encode_fault(fault, "the-id")
        raw = {"status_code": response.status, "headers": HeadersDict(response.headers), "body": response.body}
        parsed: dict[str, Any] = create_parser("json").parse(raw, model.output_shape)
        if response.status >= 300:
            raise ClientError(parsed, operation)
        del parsed["ResponseMetadata"]
        return parsed

    def shard(self, arn: str) -> str:
        return str(self.call("DescribeStream", StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"])

    def iterator(self, arn: str, kind: str = "TRIM_HORIZON", **more: Any) -> str:
        found = self.call("GetShardIterator", StreamArn=arn, ShardId=self.shard(arn), ShardIteratorType=kind, **more)
        return str(found["ShardIterator"])

    def records(self, arn: str, kind: str = "TRIM_HORIZON", **more: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GetRecords", ShardIterator=self.iterator(arn, kind, **more))["Records"]
        return found


@pytest.fixture
def reader(tables: InProcess) -> Reader:
    return Reader(tables)


def streamed(tables: InProcess, view: str = "NEW_AND_OLD_IMAGES", name: str = "music") -> str:
    stream = {"StreamEnabled": True, "StreamViewType": view}
    made = tables.call("CreateTable", TableName=name, StreamSpecification=stream, **schema())["TableDescription"]
    return str(made["LatestStreamArn"])


def put(tables: InProcess, key: str, **more: Any) -> None:
    tables.call("PutItem", TableName="music", Item={"pk": {"S": key}, **more})


@pytest.fixture
def remote(node: Any) -> Iterator[tuple[Any, Any, str]]:
    """(dynamodb, dynamodbstreams, table) on a real node; the table has a stream with both images."""
    table = f"t-{uuid.uuid4().hex[:12]}"
    client = node.client("dynamodb")
    client.create_table(
        TableName=table, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}, **schema()
    )
    yield client, node.client("dynamodbstreams"), table
    client.delete_table(TableName=table)


def test_every_change_is_read_once_and_in_order(remote: tuple[Any, Any, str]) -> None:
    client, streams, table = remote
    client.put_item(TableName=table, Item={"pk": {"S": "a"}, "n": {"N": "1"}, "raw": {"B": b"\x00\xff"}})
    client.put_item(TableName=table, Item={"pk": {"S": "a"}, "n": {"N": "1"}, "raw": {"B": b"\x00\xff"}})  # changes nothing
    client.update_item(
        TableName=table,
        Key={"pk": {"S": "a"}},
        UpdateExpression="ADD n :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    client.delete_item(TableName=table, Key={"pk": {"S": "a"}})
    client.delete_item(TableName=table, Key={"pk": {"S": "nobody"}})
    (listed,) = streams.list_streams(TableName=table)["Streams"]
    described = streams.describe_stream(StreamArn=listed["StreamArn"])["StreamDescription"]
    assert (described["StreamStatus"], described["StreamViewType"]) == ("ENABLED", "NEW_AND_OLD_IMAGES")
    assert described["KeySchema"] == [{"AttributeName": "pk", "KeyType": "HASH"}]
    (shard,) = described["Shards"]
    iterator = streams.get_shard_iterator(
        StreamArn=listed["StreamArn"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    answer = streams.get_records(ShardIterator=iterator)
    first, second, third = answer["Records"]
    assert [each["eventName"] for each in answer["Records"]] == ["INSERT", "MODIFY", "REMOVE"]
    assert {each["eventSource"] for each in answer["Records"]} == {"aws:dynamodb"}
    assert first["dynamodb"]["NewImage"] == {"pk": {"S": "a"}, "n": {"N": "1"}, "raw": {"B": b"\x00\xff"}}
    assert "OldImage" not in first["dynamodb"]
    assert (second["dynamodb"]["OldImage"]["n"], second["dynamodb"]["NewImage"]["n"]) == ({"N": "1"}, {"N": "2"})
    assert third["dynamodb"]["Keys"] == {"pk": {"S": "a"}} and "NewImage" not in third["dynamodb"]
    assert first["dynamodb"]["SizeBytes"] == 3 + (3 + 3 + 5)  # the key, and the image
    numbers = [each["dynamodb"]["SequenceNumber"] for each in answer["Records"]]
    assert numbers == sorted(numbers, key=int) and len({each["eventID"] for each in answer["Records"]}) == 3
    assert streams.get_records(ShardIterator=answer["NextShardIterator"])["Records"] == []


@pytest.mark.parametrize(
    ("view", "images"),
    [
        ("KEYS_ONLY", set()),
        ("NEW_IMAGE", {"NewImage"}),
        ("OLD_IMAGE", {"OldImage"}),
        ("NEW_AND_OLD_IMAGES", {"NewImage", "OldImage"}),
    ],
)
def test_a_view_says_what_is_in_a_record(tables: InProcess, reader: Reader, view: str, images: set[str]) -> None:
    arn = streamed(tables, view)
    put(tables, "a", n={"N": "1"})
    put(tables, "a", n={"N": "2"})
    change = reader.records(arn)[1]["dynamodb"]
    assert {name for name in change if name.endswith("Image")} == images
    assert change["StreamViewType"] == view and change["Keys"] == {"pk": {"S": "a"}}


def test_an_iterator_starts_where_it_was_asked_to(tables: InProcess, reader: Reader) -> None:
    arn = streamed(tables)
    for key in "abc":
        put(tables, key)
    numbers = [each["dynamodb"]["SequenceNumber"] for each in reader.records(arn)]
    keys = lambda records: [each["dynamodb"]["Keys"]["pk"]["S"] for each in records]  # noqa: E731
    assert keys(reader.records(arn, "AT_SEQUENCE_NUMBER", SequenceNumber=numbers[1])) == ["b", "c"]
    assert keys(reader.records(arn, "AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[1])) == ["c"]
    latest = reader.iterator(arn, "LATEST")
    assert reader.call("GetRecords", ShardIterator=latest)["Records"] == []
    put(tables, "d")
    assert keys(reader.call("GetRecords", ShardIterator=latest)["Records"]) == ["d"]


def test_pages_end_at_a_limit_and_at_a_megabyte(tables: InProcess, reader: Reader) -> None:
    arn = streamed(tables, "NEW_IMAGE")
    for number in range(5):
        put(tables, f"k{number}", big={"S": "x" * 300_000})
    page = reader.call("GetRecords", ShardIterator=reader.iterator(arn), Limit=2)
    assert len(page["Records"]) == 2
    rest = reader.call("GetRecords", ShardIterator=page["NextShardIterator"])
    assert len(rest["Records"]) == 3
    assert len(reader.records(arn)) == 3  # three of 300 KB fit into a megabyte, four don't


def test_what_is_a_day_old_is_gone(tables: InProcess, reader: Reader) -> None:
    arn = streamed(tables)
    put(tables, "old")
    old = reader.records(arn)[0]["dynamodb"]["SequenceNumber"]
    tables.clock.advance(seconds=25 * HOUR_S)
    put(tables, "new")
    (left,) = reader.records(arn)
    assert left["dynamodb"]["Keys"] == {"pk": {"S": "new"}}
    code, _ = refusal(lambda: reader.iterator(arn, "AT_SEQUENCE_NUMBER", SequenceNumber=old))
    assert code == "TrimmedDataAccessException"


def test_an_iterator_lives_for_a_quarter_of_an_hour(tables: InProcess, reader: Reader) -> None:
    arn = streamed(tables)
    iterator = reader.iterator(arn)
    tables.clock.advance(seconds=16 * 60)
    code, message = refusal(lambda: reader.call("GetRecords", ShardIterator=iterator))
    assert (code, message) == (
        "ExpiredIteratorException",
        "Iterator expired. The iterator was created more than 15 minutes ago.",
    )


def test_a_stream_that_was_switched_off_is_read_to_its_end(tables: InProcess, reader: Reader) -> None:
    arn = streamed(tables)
    put(tables, "a")
    tables.call("UpdateTable", TableName="music", StreamSpecification={"StreamEnabled": False})
    put(tables, "b")
    described = reader.call("DescribeStream", StreamArn=arn)["StreamDescription"]
    assert described["StreamStatus"] == "DISABLED"
    assert "EndingSequenceNumber" in described["Shards"][0]["SequenceNumberRange"]
    answer = reader.call("GetRecords", ShardIterator=reader.iterator(arn))
    assert len(answer["Records"]) == 1 and "NextShardIterator" not in answer


def test_streams_are_listed_in_pages(tables: InProcess, reader: Reader) -> None:
    arns = [streamed(tables, name=f"music{number}") for number in range(3)]
    page = reader.call("ListStreams", Limit=2)
    assert [each["StreamArn"] for each in page["Streams"]] == arns[:2]
    rest = reader.call("ListStreams", ExclusiveStartStreamArn=page["LastEvaluatedStreamArn"])
    assert [each["StreamArn"] for each in rest["Streams"]] == arns[2:] and "LastEvaluatedStreamArn" not in rest
    assert [each["TableName"] for each in reader.call("ListStreams", TableName="music1")["Streams"]] == ["music1"]


@pytest.mark.parametrize("iterator", ["nonsense", "a|1|b", "arn|1|bnVsbA==", "arn|1|WzEsMiwzXQ==", "|1|"])
def test_what_is_no_iterator_is_refused(tables: InProcess, reader: Reader, iterator: str) -> None:
    streamed(tables)
    assert refusal(lambda: reader.call("GetRecords", ShardIterator=iterator))[0] in (
        "ValidationException",
        "ExpiredIteratorException",
    )


def test_what_is_not_there_is_said(tables: InProcess, reader: Reader) -> None:
    arn = streamed(tables)
    missing = arn.rpartition("/")[0] + "/2020-01-01T00:00:00.000"
    assert refusal(lambda: reader.call("DescribeStream", StreamArn=missing)) == (
        "ResourceNotFoundException",
        f"Requested resource not found: Stream: {missing} not found",
    )
    for number in ("x", "", "1"):
        code, _ = refusal(lambda number=number: reader.iterator(arn, "AT_SEQUENCE_NUMBER", SequenceNumber=number))
        assert code == "ValidationException"
    wrong = {"StreamArn": arn, "ShardId": "shardId-00000000000000000000-00000000", "ShardIteratorType": "LATEST"}
    assert refusal(lambda: reader.call("GetShardIterator", **wrong))[0] == "ResourceNotFoundException"
