"""What tables do on the wire that other services don't: error names, checksums, and no answer but an answer, whatever is sent."""

import json
import random
import zlib
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cumulet.core.clock import ManualClock
from cumulet.services.tables.api import TablesService
from cumulet.store.memory import MemoryStore
from cumulet.wire.models import load_model
from real_node import ACCESS_KEY, SECRET

from .conftest import ACCOUNT, REGION, InProcess, Node, index, schema

_MODEL = load_model("dynamodb")
OPERATIONS_OF_MODEL = [name for name in TablesService(MemoryStore(), ManualClock()).handlers if name in _MODEL.operation_names]


def post(node: Node, operation: str, body: bytes) -> httpx.Response:
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"DynamoDB_20120810.{operation}"}
    request = AWSRequest("POST", node.url + "/", data=body, headers=headers)
    SigV4Auth(Credentials(ACCESS_KEY, SECRET), "dynamodb", "us-east-1").add_auth(request)
    return httpx.post(node.url + "/", content=body, headers=dict(request.headers.items()))


@pytest.mark.parametrize(
    ("operation", "body", "error"),
    [
        ("DescribeTable", b'{"TableName":"nope"}', "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"),
        ("DescribeTable", b"{}", "com.amazon.coral.validate#ValidationException"),
        ("DescribeTable", b"{", "com.amazon.coral.service#SerializationException"),
        ("Nothing", b"{}", "com.amazon.coral.service#UnknownOperationException"),
    ],
)
def test_errors_have_the_names_and_the_checksum_that_clients_know(node: Node, operation: str, body: bytes, error: str) -> None:
    answer = post(node, operation, body)
    assert answer.status_code in (400, 404) and answer.json()["__type"] == error
    assert answer.headers["x-amz-crc32"] == str(zlib.crc32(answer.content))


def test_answers_have_their_checksum(node: Node) -> None:
    answer = post(node, "ListTables", b"{}")
    assert answer.status_code == 200 and answer.headers["x-amz-crc32"] == str(zlib.crc32(answer.content))
    assert answer.headers["content-type"] == "application/x-amz-json-1.0"


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.text(max_size=4)
    | st.sampled_from(["pk", "sk", "a", ":a", "#a", "1", "AA=="]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["S", "N", "B", "L", "M", "SS", "NS", "pk"]), inner, max_size=3)
    ),
    max_leaves=8,
)
values = junk | st.builds(lambda kind, value: {kind: value}, st.sampled_from(["S", "N", "B", "SS", "BOOL", "M", "L"]), junk)
items = st.dictionaries(st.sampled_from(["pk", "sk", "g", "a", "b"]), values, max_size=4) | junk
WORDS = """pk sk g a.b a[0] #a :a = <> < <= AND OR NOT ( ) , BETWEEN IN SET REMOVE ADD DELETE + - size( contains( begins_with(
attribute_exists( if_not_exists( list_append( a[99999999999999999999]"""
words = st.lists(st.sampled_from(WORDS.split()), max_size=9).map(" ".join)
maps = st.dictionaries(st.sampled_from([":a", "#a", ":b", "bad"]), values, max_size=2)
MEMBERS = {
    "Item": items,
    "Key": items,
    "Keys": junk,
    "ExclusiveStartKey": items,
    "ConditionExpression": words,
    "FilterExpression": words,
    "KeyConditionExpression": words | st.just("pk = :a"),
    "UpdateExpression": words,
    "ProjectionExpression": words,
    "ExpressionAttributeNames": maps,
    "ExpressionAttributeValues": maps,
    "Expected": junk,
    "AttributeUpdates": junk,
    "KeyConditions": junk,
    "ScanFilter": junk,
    "IndexName": st.sampled_from(["by-g", "nope", "local"]),
    "Limit": st.integers(-1, 3) | junk,
    "Segment": st.integers(-1, 3),
    "TotalSegments": st.integers(0, 3),
    "Select": st.sampled_from(["COUNT", "ALL_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "x"]),
    "ReturnValues": st.sampled_from(["ALL_OLD", "UPDATED_NEW", "ALL_NEW", "x"]),
    "ReturnConsumedCapacity": st.sampled_from(["TOTAL", "INDEXES", "x"]),
}
OPERATIONS = ("PutItem", "GetItem", "UpdateItem", "DeleteItem", "Query", "Scan")
requests = st.fixed_dictionaries({"TableName": st.just("music")}, optional=MEMBERS)
writes = st.lists(st.dictionaries(st.sampled_from(["PutRequest", "DeleteRequest"]), requests, max_size=2) | junk, max_size=3)
members = st.lists(
    st.dictionaries(st.sampled_from(["Put", "Update", "Delete", "ConditionCheck", "Get"]), requests, max_size=1), max_size=3
)


@pytest.fixture(scope="module")
def fuzzed() -> Any:
    tables = InProcess()
    definition = schema("S", "N")
    definition["AttributeDefinitions"].append({"AttributeName": "g", "AttributeType": "S"})
    definition["GlobalSecondaryIndexes"] = [index("by-g", "g", "sk", "KEYS_ONLY")]
    definition["LocalSecondaryIndexes"] = [index("local", "pk", "g", "KEYS_ONLY")]
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    tables.call("CreateTable", TableName="music", StreamSpecification=stream, **definition)
    tables.call("UpdateTimeToLive", TableName="music", TimeToLiveSpecification={"Enabled": True, "AttributeName": "b"})
    tables.call("PutItem", TableName="music", Item={"pk": {"S": "a"}, "sk": {"N": "1"}, "a": {"M": {"b": {"L": []}}}})
    yield tables
    tables.close()


def _ask(tables: InProcess, operation: str, request: Any) -> None:
    """Whatever is asked, it is answered or refused; anything else than a ClientError breaks the test."""
    try:
        tables.loop.run_until_complete(tables.answer_raw(operation, json.dumps(request).encode()))
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 501), error
        assert error.response["Error"]["Code"].endswith(("Exception", "NotImplemented")), error


FUZZ = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@FUZZ
@given(operation=st.sampled_from(OPERATIONS), request=requests)
def test_nothing_that_is_sent_breaks_an_operation_on_items(fuzzed: InProcess, operation: str, request: Any) -> None:
    _ask(fuzzed, operation, request)


@FUZZ
@given(
    tables_=st.dictionaries(st.sampled_from(["music", "nope", "x"]), writes | junk, max_size=2),
    gets=junk | st.dictionaries(st.just("music"), requests),
)
def test_nothing_that_is_sent_breaks_a_batch(fuzzed: InProcess, tables_: Any, gets: Any) -> None:
    _ask(fuzzed, "BatchWriteItem", {"RequestItems": tables_})
    _ask(fuzzed, "BatchGetItem", {"RequestItems": gets})


@FUZZ
@given(items_=members | junk, token=st.none() | st.text(max_size=3))
def test_nothing_that_is_sent_breaks_a_transaction(fuzzed: InProcess, items_: Any, token: Any) -> None:
    _ask(fuzzed, "TransactWriteItems", {"TransactItems": items_, "ClientRequestToken": token})
    _ask(fuzzed, "TransactGetItems", {"TransactItems": items_})


@pytest.mark.parametrize("operation", sorted(OPERATIONS_OF_MODEL))
def test_whatever_the_model_allows_is_answered(fuzzed: InProcess, operation: str) -> None:
    """Random values of the operation's own shape, names now and then those of what is there."""
    chance = random.Random(operation)
    for _ in range(60):
        _ask(fuzzed, "CreateTable", {"TableName": "music", **schema("S")})
        request = _example(_MODEL.operation_model(operation).input_shape, chance)
        _ask(fuzzed, operation, request)


def _example(shape: Any, chance: random.Random, depth: int = 0) -> Any:
    kind = shape.type_name
    if kind == "structure":
        names = [name for name in shape.members if name in shape.required_members or (depth < 5 and chance.random() < 0.5)]
        return {name: _example(shape.members[name], chance, depth + 1) for name in names}
    if kind == "list":
        return [_example(shape.member, chance, depth + 1) for _ in range(chance.randint(0, 2))]
    if kind == "map":
        return {
            _example(shape.key, chance, depth + 1): _example(shape.value, chance, depth + 1) for _ in range(chance.randint(0, 2))
        }
    if kind in ("integer", "long"):
        return chance.choice([1, 1, 2, 5, 100, 0])
    if kind in ("float", "double", "timestamp"):
        return 1_700_000_000
    if kind == "boolean":
        return chance.random() < 0.5
    if kind == "blob":
        return "AA=="
    if enum := shape.metadata.get("enum"):
        return chance.choice(enum)
    arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/music"
    return chance.choice(
        ["music", "music", "pk", "sk", "g", "by-g", "other", "1", "", "a = :a", ":a", "#a", arn, f"{arn}/backup/x"]
    )
