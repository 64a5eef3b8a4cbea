"""Event source mappings from a table's stream to a function, and the example of clicks counted per ad, on a real node."""

import io
import json
import os
import subprocess
import sys
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest

from .conftest import schema

EXAMPLE = Path(__file__).parents[2] / "examples" / "ad-clicks"
PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"
STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
TELLS = """
import json
def handler(event, context):
    print("GOT " + json.dumps(event))
"""
REFUSES = """
import json
def handler(event, context):
    keys = [record["dynamodb"]["Keys"]["pk"]["S"] for record in event["Records"]]
    print("GOT " + json.dumps(keys))
    bad = [record for record in event["Records"] if record["dynamodb"]["Keys"]["pk"]["S"] == "bad"]
    return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]} for record in bad]}
"""


class Pipe:
    """A table whose stream calls a function; `got` is what the function was called with."""

    def __init__(self, node: Any, code: str, **mapping: Any) -> None:
        self.node, self.name = node, f"t-{uuid.uuid4().hex[:12]}"
        self.tables, self.lambdas = node.client("dynamodb"), node.client("lambda")
        made = self.tables.create_table(TableName=self.name, StreamSpecification=STREAM, **schema())["TableDescription"]
        self.stream = made["LatestStreamArn"]
        self.lambdas.create_function(FunctionName=self.name, Runtime=PYTHON, Handler="index.handler", Role=ROLE, Code=_code(code))
        mapping = {"StartingPosition": "TRIM_HORIZON", **mapping}
        self.mapping = self.lambdas.create_event_source_mapping(EventSourceArn=self.stream, FunctionName=self.name, **mapping)[
            "UUID"
        ]

    def put(self, *keys: str, **more: Any) -> None:
        for key in keys:
            self.tables.put_item(TableName=self.name, Item={"pk": {"S": key}, **more})

    def got(self, is_enough: Any) -> list[Any]:
        """What the function printed, as soon as that is enough."""
        logs, found = self.node.client("logs"), []
        for _ in range(600):
            try:
                events = logs.filter_log_events(logGroupName=f"/aws/lambda/{self.name}", filterPattern='"GOT"')["events"]
            except logs.exceptions.ResourceNotFoundException:
                events = []
            found = [json.loads(event["message"].removeprefix("GOT ")) for event in events]
            if is_enough(found):
                return found
            time.sleep(0.05)
        raise AssertionError(f"the function was called with {found}")

    def close(self) -> None:
        self.lambdas.delete_event_source_mapping(UUID=self.mapping)
        self.tables.delete_table(TableName=self.name)


@pytest.fixture
def make_pipe(node: Any) -> Any:
    made: list[Pipe] = []

    def make(code: str = TELLS, **mapping: Any) -> Pipe:
        made.append(Pipe(node, code, **mapping))
        return made[-1]

    yield make
    for pipe in made:
        pipe.close()


def keys_of(batches: list[Any]) -> list[str]:
    return [record["dynamodb"]["Keys"]["pk"]["S"] for batch in batches for record in batch["Records"]]


def test_a_function_gets_every_change_in_order(make_pipe: Any) -> None:
    pipe = make_pipe()
    pipe.put("a", "b", "c", raw={"B": b"\x00\xff"})
    pipe.tables.delete_item(TableName=pipe.name, Key={"pk": {"S": "a"}})
    batches = pipe.got(lambda batches: len(keys_of(batches)) >= 4)
    assert keys_of(batches) == ["a", "b", "c", "a"]
    first = batches[0]["Records"][0]
    assert first["eventSourceARN"] == pipe.stream and first["awsRegion"] == "us-east-1"
    assert first["dynamodb"]["NewImage"] == {"pk": {"S": "a"}, "raw": {"B": "AP8="}}
    assert (first["eventName"], first["eventVersion"], first["eventSource"]) == ("INSERT", "1.1", "aws:dynamodb")


def test_latest_leaves_out_what_was_there_before(make_pipe: Any) -> None:
    pipe = make_pipe()
    pipe.put("before")
    later = pipe.lambdas.create_function(
        FunctionName=f"{pipe.name}-later", Runtime=PYTHON, Handler="index.handler", Role=ROLE,
        Code=_code(TELLS),
    )  # fmt: skip
    pipe.lambdas.create_event_source_mapping(
        EventSourceArn=pipe.stream, FunctionName=later["FunctionName"], StartingPosition="LATEST"
    )
    pipe.put("after")
    pipe.name, name = f"{pipe.name}-later", pipe.name
    assert keys_of(pipe.got(lambda batches: "after" in keys_of(batches))) == ["after"]
    pipe.name = name


def test_a_filter_lets_only_what_matches_through(make_pipe: Any) -> None:
    pattern = json.dumps({"eventName": ["INSERT"], "dynamodb": {"NewImage": {"kind": {"S": ["wanted"]}}}})
    pipe = make_pipe(FilterCriteria={"Filters": [{"Pattern": pattern}]})
    pipe.put("a", kind={"S": "other"})
    pipe.put("b", kind={"S": "wanted"})
    assert keys_of(pipe.got(lambda batches: batches)) == ["b"]


def test_a_batch_goes_on_behind_what_failed(make_pipe: Any) -> None:
    pipe = make_pipe(
        REFUSES, FunctionResponseTypes=["ReportBatchItemFailures"], MaximumRetryAttempts=1, BatchSize=10,
        MaximumBatchingWindowInSeconds=1,
    )  # fmt: skip
    pipe.put("a", "bad", "b")
    batches = pipe.got(lambda batches: any("b" in keys for keys in batches[1:]))
    assert batches[0] == ["a", "bad", "b"]
    assert all("a" not in keys for keys in batches[1:])


def test_a_mapping_on_a_stream_that_is_not_there_is_refused(make_pipe: Any) -> None:
    pipe = make_pipe()
    missing = pipe.stream.rpartition("/")[0] + "/2020-01-01T00:00:00.000"
    with pytest.raises(pipe.lambdas.exceptions.InvalidParameterValueException):
        pipe.lambdas.create_event_source_mapping(EventSourceArn=missing, FunctionName=pipe.name, StartingPosition="LATEST")


def test_clicks_are_counted_once_also_when_the_node_is_killed(start_node: Any) -> None:
    node = start_node("--durability", "os")
    deploy = lambda: subprocess.run(  # noqa: E731
        [sys.executable, EXAMPLE / "deploy.py"], env=os.environ | node.environment, check=True, capture_output=True, text=True
    )
    assert "counted in counts" in deploy().stdout
    deploy()  # changes nothing
    clicks = [("shoes", number) for number in range(30)] + [("hats", number) for number in range(12)]
    for at, (ad, number) in enumerate(clicks):
        click = {"click": {"S": f"{ad}-{number}"}, "ad": {"S": ad}}
        node.client("dynamodb").put_item(TableName="clicks", Item=click)
        if at in (10, 25):
            node.kill()
            node.start()
    expected = {"shoes": 30, "hats": 12}
    for _ in range(600):
        items = node.client("dynamodb").scan(TableName="counts", ConsistentRead=True)["Items"]
        counted = {item["ad"]["S"]: int(item["clicks"]["N"]) for item in items}
        assert all(counted[ad] <= expected[ad] for ad in counted), counted
        if counted == expected:
            return
        time.sleep(0.1)
    raise AssertionError(f"counted {counted}")


def _code(text: str) -> dict[str, bytes]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("index.py"), text)
    return {"ZipFile": archive.getvalue()}
