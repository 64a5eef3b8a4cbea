"""Requests of every operation in the shape that its model gives it, with values that no client should send: answered or refused,
never a failure of the node."""

import json
import random
from collections.abc import Iterator
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
from cumulet.services.tables.api_streams import TableStreamsService
from cumulet.store.memory import MemoryStore
from cumulet.wire.models import load_model
from real_node import ACCESS_KEY, SECRET

from .conftest import ACCOUNT, REGION, InProcess, Node, index, schema

MODELS = {"dynamodb": load_model("dynamodb"), "dynamodbstreams": load_model("dynamodbstreams")}
ARN = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/music"


def nested(depth: int, kind: str = "L") -> Any:
    value: Any = {"S": "x"}
    for _ in range(depth):
        value = {"L": [value]} if kind == "L" else {"M": {"a": value}}
    return value


VALUES = [
    {"S": "a"}, {"S": ""}, {"S": "\x00"}, {"S": "\ud800"}, {"S": "x" * 3000}, {"S": 1}, {"N": "1"}, {"N": "1e125"},
    {"N": "1e126"},
    {"N": "-0"}, {"N": ""}, {"N": "NaN"}, {"N": "0x1"}, {"N": "9" * 39}, {"N": "1" * 5000}, {"N": 1}, {"B": "AA=="}, {"B": "A"},
    {"B": "\u00e9"}, {"SS": []}, {"SS": ["a", "a"]}, {"SS": [None]}, {"NS": ["1", "1.0"]}, {"BS": ["AA==", "!"]}, {"NULL": False},
    {"NULL": None}, {"BOOL": "true"}, {"M": {"": {"S": ""}}}, {"M": []}, {"L": {}}, {"L": [None]}, {"M": {"a": None}}, {}, {"X": 1},
    {"S": "a", "N": "1"}, nested(31), nested(33), nested(200), nested(40, "M"), None, [], "S",
]  # fmt: skip
TEXTS = [
    "music", "music", "music", "pk", "sk", "g", "by-g", "a", ":a", "#a", "", "x", "\x00", "\ud800", "é", "x" * 256, "y" * 5000,
    ARN, ARN + "/index/by-g", ARN + "/stream/x", ARN + "/backup/0", "arn:aws:dynamodb", "arn:" + ":" * 9, "us-west-2", "0", "-1",
    "1e9", "NaN", "9" * 400,
    "{}", "{", "null", "pk = :a", "a = :a", "SET a = :a", "SET a[0].b = if_not_exists(a, :a)", "REMOVE a[99999999999]",
    "ADD a :a", "(" * 300, "size(a) > :a", "#a.#b[0]", "SELECT * FROM music WHERE pk = 'a'", "SELECT * FROM \"music\".\"by-g\"",
    "INSERT INTO music VALUE {'pk': 'a', 'sk': ?}", "UPDATE music SET a = ? WHERE pk = 'a' AND sk = 1",
    "DELETE FROM music WHERE pk = ?",
    "SELECT " + "[" * 200,
]  # fmt: skip
NUMBERS = [0, 1, 1, 2, 25, 100, -1, 1001, 2**31, 2**63, 2**64, 10**30, 1.5, 1e308, float("nan"), float("inf"), "1", True]
JUNK = [None, True, 0, -1, 1.5, "", "x", [], {}, [[]], [None], {"a": 1}, {"": {}}, [{"S": "x"}], {"S": "x"}]


def hostile(shape: Any, chance: random.Random, depth: int = 0) -> Any:
    """A value of the shape, or something else where one of it is expected."""
    if chance.random() < (0.03 if depth else 0):
        return chance.choice(JUNK)
    if shape.name == "AttributeValue":
        return chance.choice(VALUES)
    kind = shape.type_name
    if kind == "structure":
        likely = 0.35 if depth < 5 else 0.0
        names = [
            name for name in shape.members if chance.random() < (0.95 if name in shape.required_members and depth < 9 else likely)
        ]
        return {name: hostile(shape.members[name], chance, depth + 1) for name in names}
    if kind == "list":
        return [hostile(shape.member, chance, depth + 1) for _ in range(chance.choice([0, 1, 1, 1, 2, 3]))]
    if kind == "map":
        return {chance.choice(TEXTS): hostile(shape.value, chance, depth + 1) for _ in range(chance.choice([0, 1, 1, 2]))}
    if kind in ("integer", "long", "float", "double", "timestamp"):
        return chance.choice(NUMBERS)
    if kind == "boolean":
        return chance.choice([True, False, "true", 1])
    if kind == "blob":
        return chance.choice(["AA==", "!", "", 1])
    enum = shape.metadata.get("enum")
    return chance.choice(enum) if enum and chance.random() < 0.9 else chance.choice(TEXTS)


@pytest.fixture(scope="module")
def tables() -> Iterator[InProcess]:
    running = InProcess()
    yield running
    running.close()


def prepare(tables: InProcess) -> None:
    """A table is there, whatever happened to the last one."""
    definition = schema("S", "N")
    definition["AttributeDefinitions"].append({"AttributeName": "g", "AttributeType": "S"})
    definition["GlobalSecondaryIndexes"] = [index("by-g", "g", "sk", "KEYS_ONLY")]
    definition["LocalSecondaryIndexes"] = [index("local", "pk", "g", "KEYS_ONLY")]
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    ask(tables, "CreateTable", {"TableName": "music", "StreamSpecification": stream, **definition})
    ask(tables, "PutItem", {"TableName": "music", "Item": {"pk": {"S": "a"}, "sk": {"N": "1"}, "a": {"M": {"b": {"L": []}}}}})


def ask(tables: InProcess, operation: str, request: Any) -> None:
    """Anything else than an answer or a refusal breaks the test."""
    try:
        tables.loop.run_until_complete(tables.answer_raw(operation, json.dumps(request).encode()))
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 501), error
        assert error.response["Error"]["Code"].endswith(("Exception", "NotImplemented")), error
        assert error.response["Error"]["Message"] or error.response["Error"]["Code"] == "SerializationException", error


SERVICE = TablesService(MemoryStore(), ManualClock())
ANSWERED = {*SERVICE.handlers, *TableStreamsService(MemoryStore(), ManualClock(), SERVICE.streams).handlers}
OPERATIONS = [(api, name) for api, model in MODELS.items() for name in model.operation_names if name in ANSWERED]


@pytest.mark.parametrize(("api", "operation"), OPERATIONS)
def test_whatever_is_sent_is_answered_or_refused(tables: InProcess, api: str, operation: str) -> None:
    shape = MODELS[api].operation_model(operation).input_shape

    @settings(
        max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
    )
    @given(st.randoms(use_true_random=False))
    def send(chance: random.Random) -> None:
        prepare(tables)
        request = hostile(shape, chance)
        if "TableName" in request and chance.random() < 0.7:
            request["TableName"] = "music"
        ask(tables, operation, request)

    send()
    tables.settle()


def test_what_is_not_done_says_so(node: Node) -> None:
    for name in MODELS["dynamodb"].operation_names:
        if name in ANSWERED:
            continue
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"DynamoDB_20120810.{name}"}
        shape = MODELS["dynamodb"].operation_model(name).input_shape
        body = json.dumps({member: _plain(shape.members[member]) for member in shape.required_members}).encode()
        request = AWSRequest("POST", node.url + "/", data=body, headers=headers)
        SigV4Auth(Credentials(ACCESS_KEY, SECRET), "dynamodb", "us-east-1").add_auth(request)
        answer = httpx.post(node.url + "/", content=body, headers=dict(request.headers.items()))
        assert answer.status_code == 501 and name in answer.json()["message"], (name, answer.text)


def _plain(shape: Any) -> Any:
    """The least value of a shape."""
    if shape.type_name == "structure":
        return {name: _plain(shape.members[name]) for name in shape.required_members}
    enum = shape.metadata.get("enum")
    text = ARN if shape.metadata.get("min", 0) > 5 else "music"
    members = [_plain(shape.member)] if shape.type_name == "list" and shape.metadata.get("min") else []
    return {"string": enum[0] if enum else text, "list": members, "map": {}, "boolean": True, "timestamp": 1}.get(
        shape.type_name, 1
    )
