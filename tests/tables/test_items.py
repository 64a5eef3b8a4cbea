"""Single items: written, read, changed and deleted; what is returned, what it costs, what is refused."""

import base64
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import InProcess, index, refusal, schema


@pytest.fixture
def music(tables: InProcess) -> InProcess:
    tables.call("CreateTable", TableName="music", **schema("S", "N"))
    return tables


def key(pk: str = "a", sk: int = 1) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"N": str(sk)}}


def put(tables: InProcess, item: dict[str, Any], **more: Any) -> dict[str, Any]:
    return tables.call("PutItem", TableName="music", Item=item, **more)


def get(tables: InProcess, wanted: dict[str, Any], **more: Any) -> dict[str, Any] | None:
    return tables.call("GetItem", TableName="music", Key=wanted, **more).get("Item")


def test_every_type_comes_back_as_it_was(music: InProcess) -> None:
    item = key() | {
        "text": {"S": "grüße \x00 \U0001f600"},
        "empty": {"S": ""},
        "number": {"N": "-12345678901234567890123456789012345678"},
        "bytes": {"B": b"\x00\xff"},
        "texts": {"SS": ["b", "a"]},
        "numbers": {"NS": ["1", "2.5"]},
        "blobs": {"BS": [b"1", b"2"]},
        "list": {"L": [{"S": "x"}, {"NULL": True}, {"M": {}}]},
        "map": {"M": {"deep": {"M": {"er": {"BOOL": False}}}}},
    }
    put(music, item)
    assert get(music, key()) == item
    assert get(music, key(sk=2)) is None


def test_numbers_are_one_key_however_they_are_written(music: InProcess) -> None:
    put(music, {"pk": {"S": "a"}, "sk": {"N": "1.50e1"}, "x": {"N": "00.10"}})
    assert get(music, {"pk": {"S": "a"}, "sk": {"N": "15"}}) == {"pk": {"S": "a"}, "sk": {"N": "15"}, "x": {"N": "0.1"}}


def test_a_projection_takes_parts(music: InProcess) -> None:
    put(music, key() | {"m": {"M": {"x": {"S": "1"}, "y": {"L": [{"N": "1"}, {"N": "2"}]}}}, "other": {"S": "z"}})
    found = get(music, key(), ProjectionExpression="#m.y[1], pk", ExpressionAttributeNames={"#m": "m"})
    assert found == {"pk": {"S": "a"}, "m": {"M": {"y": {"L": [{"N": "2"}]}}}}
    assert get(music, key(), AttributesToGet=["other"]) == {"other": {"S": "z"}}


def test_a_condition_decides(music: InProcess) -> None:
    put(music, key() | {"v": {"N": "1"}}, ConditionExpression="attribute_not_exists(pk)")
    again = lambda **more: put(music, key(), ConditionExpression="attribute_not_exists(pk)", **more)  # noqa: E731
    assert refusal(again) == ("ConditionalCheckFailedException", "The conditional request failed")
    with pytest.raises(ClientError) as caught:
        again(ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert caught.value.response["Item"] == key() | {"v": {"N": "1"}}
    values = {":one": {"N": "1"}}
    music.call("DeleteItem", TableName="music", Key=key(), ConditionExpression="v = :one", ExpressionAttributeValues=values)
    assert get(music, key()) is None


def test_what_was_there_is_returned(music: InProcess) -> None:
    assert put(music, key() | {"v": {"N": "1"}}, ReturnValues="ALL_OLD") == {}
    assert put(music, key() | {"v": {"N": "2"}}, ReturnValues="ALL_OLD") == {"Attributes": key() | {"v": {"N": "1"}}}
    gone = music.call("DeleteItem", TableName="music", Key=key(), ReturnValues="ALL_OLD")
    assert gone == {"Attributes": key() | {"v": {"N": "2"}}}
    assert music.call("DeleteItem", TableName="music", Key=key(), ReturnValues="ALL_OLD") == {}


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        ("NONE", None),
        ("ALL_OLD", key() | {"n": {"N": "1"}, "s": {"S": "x"}}),
        ("UPDATED_OLD", {"n": {"N": "1"}}),
        ("ALL_NEW", key() | {"n": {"N": "3"}, "s": {"S": "x"}}),
        ("UPDATED_NEW", {"n": {"N": "3"}}),
    ],
)
def test_an_update_returns_what_was_asked_for(music: InProcess, returns: str, expected: Any) -> None:
    put(music, key() | {"n": {"N": "1"}, "s": {"S": "x"}})
    found = music.call(
        "UpdateItem",
        TableName="music",
        Key=key(),
        UpdateExpression="SET n = n + :two",
        ExpressionAttributeValues={":two": {"N": "2"}},
        ReturnValues=returns,
    )
    assert found.get("Attributes") == expected


def test_an_update_makes_the_item(music: InProcess) -> None:
    music.call("UpdateItem", TableName="music", Key=key())
    assert get(music, key()) == key()
    music.call("UpdateItem", TableName="music", Key=key(sk=2), AttributeUpdates={"n": {"Action": "ADD", "Value": {"N": "2"}}})
    assert get(music, key(sk=2)) == key(sk=2) | {"n": {"N": "2"}}
    music.call("UpdateItem", TableName="music", Key=key(sk=3), AttributeUpdates={"n": {"Action": "DELETE"}})
    assert get(music, key(sk=3)) is None


def test_capacity_is_counted_by_the_rules(tables: InProcess) -> None:
    tables.call(
        "CreateTable",
        TableName="music",
        **schema("S", "N")
        | {
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": kind} for name, kind in (("pk", "S"), ("sk", "N"), ("g", "S"))
            ],
            "GlobalSecondaryIndexes": [index("by-g", "g", None, "KEYS_ONLY")],
        },
    )
    large = key() | {"data": {"S": "x" * 5000}}
    told = put(tables, large, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]
    assert told == {"TableName": "music", "CapacityUnits": 5.0}
    told = put(tables, large | {"g": {"S": "1"}}, ReturnConsumedCapacity="INDEXES")["ConsumedCapacity"]
    assert told["Table"] == {"CapacityUnits": 5.0} and told["GlobalSecondaryIndexes"] == {"by-g": {"CapacityUnits": 1.0}}
    told = put(tables, large | {"g": {"S": "2"}}, ReturnConsumedCapacity="INDEXES")["ConsumedCapacity"]
    assert told["GlobalSecondaryIndexes"] == {"by-g": {"CapacityUnits": 2.0}}  # one entry goes, one comes
    told = put(tables, key(), ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]
    assert told["CapacityUnits"] == 6.0  # the larger of old and new, and the entry that goes
    put(tables, large)
    read = tables.call("GetItem", TableName="music", Key=key(), ReturnConsumedCapacity="TOTAL", ConsistentRead=True)
    assert read["ConsumedCapacity"]["CapacityUnits"] == 2.0
    read = tables.call("GetItem", TableName="music", Key=key(sk=9), ReturnConsumedCapacity="TOTAL")
    assert read["ConsumedCapacity"]["CapacityUnits"] == 0.5


MISSING = "Requested resource not found"
SCHEMA = "The provided key element does not match the schema"
INVALID = "One or more parameter values were invalid: "


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("GetItem", {"Key": {"pk": {"S": "a"}}}, SCHEMA),
        ("GetItem", {"Key": {"pk": {"S": "a"}, "sk": {"S": "1"}}}, SCHEMA),
        ("GetItem", {"Key": key() | {"more": {"S": ""}}}, SCHEMA),
        (
            "GetItem",
            {"Key": {"pk": {"S": ""}, "sk": {"N": "1"}}},
            f"{INVALID}The AttributeValue for a key attribute cannot contain an empty string value. Key: pk",
        ),
        ("PutItem", {"Item": {"pk": {"S": "a"}}}, f"{INVALID}Missing the key sk in the item"),
        ("PutItem", {"Item": {"pk": {"N": "1"}, "sk": {"N": "1"}}}, f"{INVALID}Type mismatch for key pk expected: S actual: N"),
        (
            "PutItem",
            {"Item": {"pk": {"S": "x" * 2049}, "sk": {"N": "1"}}},
            f"{INVALID}Size of hashkey has exceeded the maximum size limit of2048 bytes",
        ),
        ("PutItem", {"Item": key() | {"x": {"S": "x" * 409_600}}}, "Item size has exceeded the maximum allowed size"),
        (
            "PutItem",
            {"Item": key() | {"x": {}}},
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
        ),
        ("PutItem", {"Item": key(), "ReturnValues": "ALL_NEW"}, "ReturnValues can only be ALL_OLD or NONE"),
        (
            "PutItem",
            {"Item": key(), "ConditionExpression": "a = :a", "Expected": {"a": {"Exists": False}}},
            "Can not use both expression and non-expression parameters in the same request: "
            "Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}",
        ),
        (
            "PutItem",
            {"Item": key(), "ExpressionAttributeValues": {":a": {"S": ""}}},
            "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
        ),
        (
            "UpdateItem",
            {"Key": key(), "UpdateExpression": "SET pk = :a", "ExpressionAttributeValues": {":a": {"S": "1"}}},
            f"{INVALID}Cannot update attribute pk. This attribute is part of the key",
        ),
        (
            "UpdateItem",
            {"Key": key(), "UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "x" * 409_600}}},
            "Item size to update has exceeded the maximum allowed size",
        ),
    ],
)
def test_what_is_refused(music: InProcess, operation: str, request_: dict[str, Any], message: str) -> None:
    assert refusal(lambda: music.call(operation, TableName="music", **request_)) == ("ValidationException", message)


@pytest.mark.parametrize("operation", ["GetItem", "PutItem", "UpdateItem", "DeleteItem"])
def test_no_such_table(tables: InProcess, operation: str) -> None:
    request = {"Item": key()} if operation == "PutItem" else {"Key": key()}
    assert refusal(lambda: tables.call(operation, TableName="music", **request)) == ("ResourceNotFoundException", MISSING)


@pytest.mark.parametrize(
    "body",
    [
        b'{"TableName":"music","Item":[1]}',
        b'{"TableName":"music","Item":{"pk":1}}',
        b'{"TableName":"music","Item":{"pk":{"S":1}}}',
        b'{"TableName":"music","Item":{"pk":{"B":"not base64!"}}}',
        b'{"TableName":["music"],"Item":{}}',
        b"[]",
        b"{",
        b'{"TableName":"music","Item":' + b'{"L":[' * 2000,
    ],
)
def test_what_is_not_even_a_request(music: InProcess, body: bytes) -> None:
    code, _ = refusal(lambda: music.loop.run_until_complete(music.answer_raw("PutItem", body)))
    assert code == "SerializationException"


def test_binary_keys_sort_by_bytes(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="blobs", **schema("B", "B"))
    names = [b"", b"\x00", b"\x00\x01", b"\x01", b"\xff", b"\xff\x00"][1:]
    for each in reversed(names):
        tables.call("PutItem", TableName="blobs", Item={"pk": {"B": b"p"}, "sk": {"B": each}})
    found = tables.call("Query", TableName="blobs", KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": {"B": b"p"}})
    assert [item["sk"]["B"] for item in found["Items"]] == names
    assert base64.b64encode(names[0]) == b"AA=="
