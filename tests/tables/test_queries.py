"""Queries and scans of tables and indexes: ranges, order, pages, filters, segments, what is refused."""

from typing import Any

import pytest

from .conftest import InProcess, index, refusal, schema

INVALID = "One or more parameter values were invalid: "


@pytest.fixture
def music(tables: InProcess) -> InProcess:
    definition = schema("S", "N")
    more = [{"AttributeName": "genre", "AttributeType": "S"}, {"AttributeName": "year", "AttributeType": "N"}]
    definition["AttributeDefinitions"] += more
    definition["GlobalSecondaryIndexes"] = [
        index("by-genre", "genre", "year", "INCLUDE", "title"),
        index("by-year", "year", None, "KEYS_ONLY"),
    ]
    definition["LocalSecondaryIndexes"] = [index("by-local-year", "pk", "year", "KEYS_ONLY")]
    tables.call("CreateTable", TableName="music", **definition)
    for number in range(-5, 15):
        item = {"pk": {"S": "a"}, "sk": {"N": str(number)}, "title": {"S": f"t{number}"}, "plays": {"N": str(number % 3)}}
        if number % 2:
            item |= {"genre": {"S": "odd"}, "year": {"N": str(2000 - number)}}
        tables.call("PutItem", TableName="music", Item=item)
    tables.call("PutItem", TableName="music", Item={"pk": {"S": "b"}, "sk": {"N": "0"}})
    return tables


def query(tables: InProcess, condition: str, values: dict[str, Any], **more: Any) -> dict[str, Any]:
    return tables.call("Query", TableName="music", KeyConditionExpression=condition, ExpressionAttributeValues=values, **more)


def numbers(found: dict[str, Any]) -> list[int]:
    return [int(item["sk"]["N"]) for item in found["Items"]]


A = {":a": {"S": "a"}}


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        ("sk < :x", {":x": {"N": "-2"}}, [-5, -4, -3]),
        ("sk <= :x", {":x": {"N": "-2"}}, [-5, -4, -3, -2]),
        ("sk > :x", {":x": {"N": "12.5"}}, [13, 14]),
        ("sk >= :x", {":x": {"N": "13"}}, [13, 14]),
        ("sk = :x", {":x": {"N": "7"}}, [7]),
        ("sk BETWEEN :x AND :y", {":x": {"N": "-1"}, ":y": {"N": "2"}}, [-1, 0, 1, 2]),
        ("sk > :x", {":x": {"N": "100"}}, []),
    ],
)
def test_a_range_is_selected_in_order(music: InProcess, condition: str, values: dict[str, Any], expected: list[int]) -> None:
    found = query(music, f"pk = :a AND {condition}", A | values)
    assert numbers(found) == expected and found["Count"] == found["ScannedCount"] == len(expected)
    assert numbers(query(music, f"{condition} AND pk = :a", A | values, ScanIndexForward=False)) == expected[::-1]


@pytest.mark.parametrize("forward", [True, False])
def test_pages_by_limit_give_everything_once(music: InProcess, forward: bool) -> None:
    seen: list[int] = []
    start: dict[str, Any] = {}
    while True:
        found = query(music, "pk = :a", A, Limit=7, ScanIndexForward=forward, **start)
        seen += numbers(found)
        if "LastEvaluatedKey" not in found:
            break
        assert found["LastEvaluatedKey"] == {"pk": {"S": "a"}, "sk": found["Items"][-1]["sk"]}
        start = {"ExclusiveStartKey": found["LastEvaluatedKey"]}
    assert seen == (list(range(-5, 15)) if forward else list(range(14, -6, -1)))


def test_a_limit_that_is_just_reached_still_tells_where_to_go_on(music: InProcess) -> None:
    found = query(music, "pk = :a", A, Limit=20)
    assert found["Count"] == 20 and "LastEvaluatedKey" in found
    assert query(music, "pk = :a", A, ExclusiveStartKey=found["LastEvaluatedKey"])["Items"] == []


def test_a_page_ends_at_one_megabyte(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema("S", "N"))
    for number in range(4):
        tables.call("PutItem", TableName="music", Item={"pk": {"S": "a"}, "sk": {"N": str(number)}, "x": {"S": "x" * 400_000}})
    found = query(tables, "pk = :a", A)
    assert numbers(found) == [0, 1] and found["LastEvaluatedKey"]["sk"] == {"N": "1"}
    found = tables.call("Scan", TableName="music", FilterExpression="sk > :x", ExpressionAttributeValues={":x": {"N": "9"}})
    assert (found["Count"], found["ScannedCount"]) == (0, 2) and found["LastEvaluatedKey"]["sk"] == {"N": "1"}
    assert found["Items"] == []


def test_a_filter_counts_what_it_leaves_out(music: InProcess) -> None:
    found = query(music, "pk = :a", A | {":p": {"N": "1"}}, FilterExpression="plays = :p", ProjectionExpression="sk", Limit=9)
    assert found["ScannedCount"] == 9 and found["Count"] == len(found["Items"]) == 3
    assert all(set(item) == {"sk"} for item in found["Items"])
    assert query(music, "pk = :a", A, Select="COUNT")["Count"] == 20
    assert "Items" not in query(music, "pk = :a", A, Select="COUNT")


def test_global_indexes_hold_what_has_their_keys(music: InProcess) -> None:
    found = query(music, "genre = :g AND #y >= :y", {":g": {"S": "odd"}, ":y": {"N": "1995"}}, IndexName="by-genre",
                  ExpressionAttributeNames={"#y": "year"})  # fmt: skip
    assert numbers(found) == [5, 3, 1, -1, -3, -5]
    assert set(found["Items"][0]) == {"pk", "sk", "genre", "year", "title"}
    scanned = music.call("Scan", TableName="music", IndexName="by-year")
    assert scanned["Count"] == 10 and set(scanned["Items"][0]) == {"pk", "sk", "year"}
    page = music.call("Scan", TableName="music", IndexName="by-genre", Limit=4)
    rest = music.call("Scan", TableName="music", IndexName="by-genre", ExclusiveStartKey=page["LastEvaluatedKey"])
    assert set(page["LastEvaluatedKey"]) == {"pk", "sk", "genre", "year"} and rest["Count"] == 6


def test_entries_follow_their_items(music: InProcess) -> None:
    def titles() -> list[str]:
        found = query(music, "genre = :g", {":g": {"S": "new"}}, IndexName="by-genre")
        return [item["title"]["S"] for item in found["Items"]]

    change = lambda expression, **values: music.call(  # noqa: E731
        "UpdateItem", TableName="music", Key={"pk": {"S": "a"}, "sk": {"N": "0"}}, UpdateExpression=expression,
        **({"ExpressionAttributeValues": values} if values else {}),
        **({"ExpressionAttributeNames": {"#y": "year"}} if "#y" in expression else {}))  # fmt: skip
    change("SET genre = :g, #y = :y", **{":g": {"S": "new"}, ":y": {"N": "1"}})
    assert titles() == ["t0"]
    change("SET title = :t", **{":t": {"S": "other"}})
    assert titles() == ["other"]
    change("REMOVE genre")
    assert titles() == []


def test_a_local_index_leads_to_whole_items_where_asked(music: InProcess) -> None:
    values = A | {":y": {"N": "1998"}}
    names = {"ExpressionAttributeNames": {"#y": "year"}}
    ask = lambda **more: query(music, "pk = :a AND #y > :y", values, IndexName="by-local-year", **names, **more)  # noqa: E731
    found = ask()
    assert numbers(found) == [1, -1, -3, -5] and set(found["Items"][0]) == {"pk", "sk", "year"}
    assert ask(Select="ALL_ATTRIBUTES")["Items"][0]["title"] == {"S": "t1"}
    names["ExpressionAttributeNames"] |= {"#t": "title"}
    told = ask(ProjectionExpression="#t", ReturnConsumedCapacity="INDEXES")
    assert [item["title"]["S"] for item in told["Items"]] == ["t1", "t-1", "t-3", "t-5"]
    assert told["ConsumedCapacity"]["Table"]["CapacityUnits"] == 2.0
    assert told["ConsumedCapacity"]["LocalSecondaryIndexes"] == {"by-local-year": {"CapacityUnits": 0.5}}


def test_segments_are_a_partition_of_the_table(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema("S"))
    for number in range(200):
        tables.call("PutItem", TableName="music", Item={"pk": {"S": f"p{number}"}})
    parts = [
        [item["pk"]["S"] for item in tables.call("Scan", TableName="music", Segment=each, TotalSegments=7)["Items"]]
        for each in range(7)
    ]
    assert all(10 < len(part) < 60 for part in parts)
    assert sorted(name for part in parts for name in part) == sorted(f"p{number}" for number in range(200))


def test_an_index_with_several_attributes_in_its_key(tables: InProcess) -> None:
    kinds = {"pk": "S", "country": "S", "city": "S", "year": "N", "name": "S"}
    several = {
        "IndexName": "by-place",
        "KeySchema": [
            {"AttributeName": "country", "KeyType": "HASH"},
            {"AttributeName": "city", "KeyType": "HASH"},
            {"AttributeName": "year", "KeyType": "RANGE"},
            {"AttributeName": "name", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "ALL"},
    }
    definition = schema() | {
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in kinds.items()],
        "GlobalSecondaryIndexes": [several],
    }
    tables.call("CreateTable", TableName="people", **definition)
    for number, (year, person) in enumerate([(2001, "b"), (2000, "z"), (2001, "a"), (1999, "c")]):
        item = {
            "pk": {"S": str(number)},
            "country": {"S": "de"},
            "city": {"S": "ulm"},
            "year": {"N": str(year)},
            "name": {"S": person},
        }
        tables.call("PutItem", TableName="people", Item=item)
    tables.call("PutItem", TableName="people", Item={"pk": {"S": "x"}, "country": {"S": "de"}, "city": {"S": "ulm"}})

    known = {"#y": "year", "#n": "name"}

    def ask(condition: str, **values: Any) -> list[str]:
        names = {name: attribute for name, attribute in known.items() if name in condition}
        found = tables.call(
            "Query",
            TableName="people",
            IndexName="by-place",
            KeyConditionExpression=f"country = :c AND city = :t{condition}",
            ExpressionAttributeValues={":c": {"S": "de"}, ":t": {"S": "ulm"}} | values,
            **({"ExpressionAttributeNames": names} if names else {}),
        )
        return [item["name"]["S"] for item in found["Items"]]

    assert ask("") == ["c", "z", "a", "b"]
    assert ask(" AND #y > :y", **{":y": {"N": "1999"}}) == ["z", "a", "b"]
    assert ask(" AND #y = :y AND begins_with(#n, :n)", **{":y": {"N": "2001"}, ":n": {"S": "b"}}) == ["b"]


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("Query", {}, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."),
        ("Query", {"IndexName": "nope", **{}}, "The table does not have the specified index: nope"),
        (
            "Query",
            {"IndexName": "by-year", "ConsistentRead": True},
            "Consistent reads are not supported on global secondary indexes",
        ),
        (
            "Query",
            {"IndexName": "by-genre", "Select": "ALL_ATTRIBUTES"},
            f"{INVALID}Select type ALL_ATTRIBUTES is not supported for global secondary index by-genre "
            "because its projection type is not ALL",
        ),
        (
            "Query",
            {"IndexName": "by-genre", "ProjectionExpression": "plays"},
            f"{INVALID}Global secondary index by-genre does not project [plays]",
        ),
        (
            "Query",
            {"Select": "ALL_PROJECTED_ATTRIBUTES"},
            "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
        ),
        (
            "Query",
            {"FilterExpression": "sk = :a"},
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: sk",
        ),
        (
            "Query",
            {"ExclusiveStartKey": {"pk": {"S": "b"}, "sk": {"N": "1"}}},
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
        ("Query", {"ExclusiveStartKey": {"pk": {"S": "b"}}}, "Exclusive Start Key must have same size as table's key schema"),
        (
            "Query",
            {"ExclusiveStartKey": {"pk": {"S": "b"}, "sk": {"S": "1"}}},
            "The provided starting key is invalid: The provided key element does not match the schema",
        ),
        (
            "Scan",
            {"Segment": 1},
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
        ),
        (
            "Scan",
            {"TotalSegments": 1},
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
        ),
        (
            "Scan",
            {"Segment": 3, "TotalSegments": 3},
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            "Segment: 3 is not less than TotalSegments: 3",
        ),
    ],
)
def test_what_is_refused(music: InProcess, operation: str, request_: dict[str, Any], message: str) -> None:
    request: dict[str, Any] = {"TableName": "music"} | request_
    if operation == "Query" and request_:
        names = {"by-genre": "genre", "by-year": "year"}
        name = names.get(request_.get("IndexName", ""), "pk")
        request |= {"KeyConditionExpression": "#k = :a", "ExpressionAttributeNames": {"#k": name}}
        request["ExpressionAttributeValues"] = {":a": {"N": "1"} if name == "year" else {"S": "a"}}
    assert refusal(lambda: music.call(operation, **request)) == ("ValidationException", message)
