"""Batches: many items at once, each on its own; and their limits."""

from typing import Any

import pytest

from .conftest import InProcess, refusal, schema


@pytest.fixture
def music(tables: InProcess) -> InProcess:
    tables.call("CreateTable", TableName="music", **schema("S"))
    tables.call("CreateTable", TableName="films", **schema("S", "N"))
    return tables


def puts(count: int, first: int = 0, **more: Any) -> list[Any]:
    return [{"PutRequest": {"Item": {"pk": {"S": f"p{number}"}, **more}}} for number in range(first, first + count)]


def keys(count: int) -> list[Any]:
    return [{"pk": {"S": f"p{number}"}} for number in range(count)]


def test_items_of_several_tables(music: InProcess) -> None:
    film = {"pk": {"S": "f"}, "sk": {"N": "1"}}
    answer = music.call("BatchWriteItem", RequestItems={"music": puts(20), "films": [{"PutRequest": {"Item": film}}]})
    assert answer == {"UnprocessedItems": {}}
    found = music.call("BatchGetItem", RequestItems={"music": {"Keys": keys(25)}, "films": {"Keys": [film]}})
    assert sorted(item["pk"]["S"] for item in found["Responses"]["music"]) == sorted(f"p{number}" for number in range(20))
    assert found["Responses"]["films"] == [film] and found["UnprocessedKeys"] == {}
    music.call("BatchWriteItem", RequestItems={"music": [{"DeleteRequest": {"Key": key}} for key in keys(19)]})
    assert music.call("Scan", TableName="music")["Items"] == [{"pk": {"S": "p19"}}]


def test_a_projection_for_each_table(music: InProcess) -> None:
    music.call("BatchWriteItem", RequestItems={"music": puts(2, x={"S": "1"}, y={"S": "2"})})
    asked = {"Keys": keys(2), "ProjectionExpression": "#x", "ExpressionAttributeNames": {"#x": "x"}}
    assert music.call("BatchGetItem", RequestItems={"music": asked})["Responses"]["music"] == [{"x": {"S": "1"}}] * 2


def test_what_an_answer_has_no_room_for_is_left_to_ask_again(music: InProcess) -> None:
    for first in range(0, 60, 10):
        music.call("BatchWriteItem", RequestItems={"music": puts(10, first, x={"S": "x" * 390_000})})
    left, seen = {"music": {"Keys": keys(60)}}, []
    rounds = 0
    while left:
        found = music.call("BatchGetItem", RequestItems=left)
        seen += [item["pk"]["S"] for item in found["Responses"]["music"]]
        left, rounds = found["UnprocessedKeys"], rounds + 1
    assert rounds == 2 and sorted(seen) == sorted(f"p{number}" for number in range(60))


def test_capacity_of_each_table(music: InProcess) -> None:
    told = music.call("BatchWriteItem", RequestItems={"music": puts(3)}, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]
    assert told == [{"TableName": "music", "CapacityUnits": 3.0}]
    told = music.call("BatchGetItem", RequestItems={"music": {"Keys": keys(5)}}, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]
    assert told == [{"TableName": "music", "CapacityUnits": 2.5}]


DUPLICATES = "Provided list of item keys contains duplicates"


@pytest.mark.parametrize(
    ("operation", "items", "message"),
    [
        ("BatchWriteItem", {"music": puts(1) + puts(1)}, DUPLICATES),
        ("BatchWriteItem", {"music": [*puts(1), {"DeleteRequest": {"Key": keys(1)[0]}}]}, DUPLICATES),
        ("BatchGetItem", {"music": {"Keys": keys(1) * 2}}, DUPLICATES),
        ("BatchWriteItem", {"music": puts(13), "films": puts(13)}, "Too many items requested for the BatchWriteItem call"),
        (
            "BatchGetItem",
            {"music": {"Keys": keys(99)}, "films": {"Keys": keys(2)}},
            "Too many items requested for the BatchGetItem call",
        ),
        ("BatchGetItem", {"films": {"Keys": keys(1)}}, "The provided key element does not match the schema"),
        ("BatchWriteItem", {"films": puts(1)}, "One or more parameter values were invalid: Missing the key sk in the item"),
    ],
)
def test_what_is_refused(music: InProcess, operation: str, items: dict[str, Any], message: str) -> None:
    assert refusal(lambda: music.call(operation, RequestItems=items)) == ("ValidationException", message)


def test_a_batch_that_is_refused_writes_nothing(music: InProcess) -> None:
    refusal(lambda: music.call("BatchWriteItem", RequestItems={"music": puts(2), "nope": puts(1)}))
    assert music.call("Scan", TableName="music")["Count"] == 0


@pytest.mark.parametrize("write", [5, {}, {"PutRequest": 5}, {"PutRequest": {}}, {"DeleteRequest": {"Key": []}}, None])
def test_what_is_no_write(music: InProcess, write: Any) -> None:
    import json

    body = json.dumps({"RequestItems": {"music": [write]}}).encode()
    code, _ = refusal(lambda: music.loop.run_until_complete(music.answer_raw("BatchWriteItem", body)))
    assert code in ("ValidationException", "SerializationException")
