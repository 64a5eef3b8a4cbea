"""PartiQL: statements one by one, in batches and in transactions."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import InProcess, index, refusal, schema


@pytest.fixture
def music(tables: InProcess) -> InProcess:
    definition = schema("S", "N")
    definition["AttributeDefinitions"].append({"AttributeName": "genre", "AttributeType": "S"})
    tables.call(
        "CreateTable",
        TableName="music",
        GlobalSecondaryIndexes=[index("by-genre", "genre", "sk")],
        **definition,
    )
    for number in range(6):
        insert(tables, "a" if number < 4 else "b", number, genre=f"g{number % 2}", n=number * 10)
    return tables


def insert(tables: InProcess, pk: str, sk: int, **more: Any) -> None:
    parameters = [{"N": str(value)} if isinstance(value, int) else {"S": value} for value in (pk, sk, *more.values())]
    members = ", ".join(f"'{name}': ?" for name in ("pk", "sk", *more))
    tables.call("ExecuteStatement", Statement=f"INSERT INTO music VALUE {{{members}}}", Parameters=parameters)


def run(tables: InProcess, statement: str, *parameters: Any, **more: Any) -> dict[str, Any]:
    given = {"Parameters": list(parameters)} if parameters else {}
    return tables.call("ExecuteStatement", Statement=statement, **given, **more)


def numbers(result: dict[str, Any]) -> list[int]:
    return [int(item["n"]["N"]) for item in result["Items"]]


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("", [0, 10, 20, 30, 40, 50]),
        ("WHERE pk = 'a'", [0, 10, 20, 30]),
        ("WHERE pk = 'a' AND sk BETWEEN 1 AND 2", [10, 20]),
        ("WHERE pk = 'a' AND n > 5 AND sk < 3", [10, 20]),
        ("WHERE pk = 'a' ORDER BY sk DESC", [30, 20, 10, 0]),
        ("WHERE pk IN ['b', 'a']", [40, 50, 0, 10, 20, 30]),
        ("WHERE pk IN ['a', 'b'] AND sk IN [0, 4, 5] ORDER BY pk DESC", [50, 40, 0]),
        ("WHERE n = 20 OR n = 40", [20, 40]),
        ("WHERE sk >= 4", [40, 50]),
        ("WHERE pk = 'zz'", []),
    ],
)
def test_select(music: InProcess, clause: str, expected: list[int]) -> None:
    found = numbers(run(music, f"SELECT n FROM music {clause}"))
    assert found == expected if "pk" in clause else sorted(found) == expected


def test_select_from_an_index_reads_what_lies_there(music: InProcess) -> None:
    found = run(music, 'SELECT * FROM "music"."by-genre" WHERE genre = ? AND sk > 1', {"S": "g1"}, ReturnConsumedCapacity="INDEXES")
    assert numbers(found) == [30, 50]
    assert found["ConsumedCapacity"]["GlobalSecondaryIndexes"]["by-genre"]["CapacityUnits"] == 0.5
    code, message = refusal(lambda: run(music, 'SELECT * FROM music."nope"'))
    assert (code, message) == ("ValidationException", "The table does not have the specified index: nope")


def test_a_query_costs_what_it_reads_and_a_scan_costs_all(music: InProcess) -> None:
    for number in range(100, 140):
        insert(music, "c", number, n=number, text="x" * 1000)
    queried = run(music, "SELECT n FROM music WHERE pk = 'a' AND n >= 0", ReturnConsumedCapacity="TOTAL")
    scanned = run(music, "SELECT n FROM music WHERE n < 40", ReturnConsumedCapacity="TOTAL")
    assert numbers(queried) == [0, 10, 20, 30] == sorted(numbers(scanned))
    assert queried["ConsumedCapacity"]["CapacityUnits"] == 0.5
    assert scanned["ConsumedCapacity"]["CapacityUnits"] > 4


@pytest.mark.parametrize(
    "statement",
    ["SELECT n FROM music", "SELECT n FROM music WHERE pk IN ['b', 'a']", "SELECT n FROM music WHERE pk = 'a' ORDER BY sk DESC"],
)
def test_pages_join_to_the_whole(music: InProcess, statement: str) -> None:
    whole = numbers(run(music, statement))
    for limit in (1, 2, 3, 4, 7):
        found: list[int] = []
        token: dict[str, Any] = {}
        for _ in range(20):
            page = run(music, statement, Limit=limit, **token)
            assert len(page["Items"]) <= limit
            found += numbers(page)
            if "NextToken" not in page:
                break
            assert page.get("LastEvaluatedKey", {"pk": {}}).keys() >= {"pk"}
            token = {"NextToken": page["NextToken"]}
        assert found == whole


def test_a_token_is_of_its_statement(music: InProcess) -> None:
    token = run(music, "SELECT n FROM music WHERE pk = 'a'", Limit=1)["NextToken"]
    for statement, given in (
        ("SELECT n FROM music WHERE pk = 'a' AND n > 5", token),
        ("SELECT n FROM music WHERE pk = 'b'", token),
        ("SELECT n FROM music", "abc"),
        ("SELECT n FROM music", "WzFd"),
    ):
        assert refusal(lambda: run(music, statement, NextToken=given)) == ("ValidationException", "Invalid NextToken")  # noqa: B023


def test_writes(music: InProcess) -> None:
    assert refusal(lambda: insert(music, "a", 0)) == ("DuplicateItemException", "Duplicate primary key exists in table")
    updated = run(
        music,
        "UPDATE music SET n = n + ? SET tags = <<'x'>> REMOVE genre WHERE pk = 'a' AND sk = 1 RETURNING MODIFIED NEW *",
        {"N": "5"},
    )
    assert updated["Items"] == [{"n": {"N": "15"}, "tags": {"SS": ["x"]}}]
    assert numbers(run(music, "SELECT n FROM music.\"by-genre\" WHERE genre = 'g1'")) == [30, 50]
    assert run(music, "DELETE FROM music WHERE pk = 'a' AND sk = 1 AND n = 15 RETURNING ALL OLD *")["Items"][0]["n"] == {"N": "15"}
    assert run(music, "DELETE FROM music WHERE pk = 'a' AND sk = 1 RETURNING ALL OLD *")["Items"] == []
    assert sorted(numbers(run(music, "SELECT n FROM music"))) == [0, 20, 30, 40, 50]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE music SET n = 1 WHERE pk = 'a' AND sk = 0 AND n = 5",
        "UPDATE music SET n = 1 WHERE pk = 'zz' AND sk = 0",
        "UPDATE music SET n = 1 WHERE pk = 'zz' AND sk = 0 AND n IS MISSING",
        "DELETE FROM music WHERE pk = 'a' AND sk = 0 AND n IS MISSING",
    ],
)
def test_what_does_not_hold_is_not_written(music: InProcess, statement: str) -> None:
    assert refusal(lambda: run(music, statement)) == ("ConditionalCheckFailedException", "The conditional request failed")
    assert sorted(numbers(run(music, "SELECT n FROM music"))) == [0, 10, 20, 30, 40, 50]


def test_the_item_that_failed_is_told_where_that_is_asked_for(music: InProcess) -> None:
    with pytest.raises(ClientError) as caught:
        run(music, "DELETE FROM music WHERE pk = 'a' AND sk = 0 AND n = 7", ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert caught.value.response["Item"] == {"pk": {"S": "a"}, "sk": {"N": "0"}, "genre": {"S": "g0"}, "n": {"N": "0"}}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT n FROM music WHERE pk = 1", "Key attribute's data type should match its data type in table's schema: Key pk"),
        (
            "SELECT n FROM music WHERE pk IN [1]",
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
        (
            "SELECT n FROM music WHERE pk = ''",
            "One or more parameter values are not valid. "
            "The AttributeValue for a key attribute cannot contain an empty string value. Key: pk",
        ),
        (
            "SELECT n FROM music WHERE pk.x = 1",
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: pk",
        ),
        (
            "SELECT n FROM music WHERE n < [1]",
            "Incorrect operand type for operator or function; operator or function: <, operand type: L",
        ),
        (
            "UPDATE music SET pk = 'x' WHERE pk = 'a' AND sk = 0",
            "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key",
        ),
        (
            "UPDATE music SET n = zz WHERE pk = 'a' AND sk = 0",
            "The provided expression refers to an attribute that does not exist in the item",
        ),
        ("INSERT INTO music VALUE {'pk': 'q'}", "Key attribute should be present in the item: Key sk"),
        ("EXISTS(SELECT * FROM music WHERE pk = 'a')", "EXISTS can only be used in ExecuteTransaction write requests."),
        ("SELEC", "Statement wasn't well formed, can't be processed: SELEC"),
    ],
)
def test_what_is_wrong_is_told_in_the_services_words(music: InProcess, statement: str, message: str) -> None:
    assert refusal(lambda: run(music, statement)) == ("ValidationException", message)


def test_an_absent_table_is_not_found(tables: InProcess) -> None:
    for statement in ("SELECT * FROM nowhere", "DELETE FROM nowhere WHERE pk = 'a'", "INSERT INTO nowhere VALUE {'pk': 'a'}"):
        assert refusal(lambda: run(tables, statement))[0] == "ResourceNotFoundException"  # noqa: B023


def batch(tables: InProcess, *statements: Any, **more: Any) -> list[dict[str, Any]]:
    members = [each if isinstance(each, dict) else {"Statement": each} for each in statements]
    answer = tables.call("BatchExecuteStatement", Statements=members, **more)
    return answer["Responses"]


AT = "WHERE pk = 'a' AND sk = "


def test_a_batch_of_reads(music: InProcess) -> None:
    found = batch(
        music,
        f"SELECT n FROM music {AT} 1",
        {
            "Statement": "SELECT n FROM music WHERE pk = ? AND sk = ?",
            "Parameters": [{"S": "b"}, {"N": "4"}],
            "ConsistentRead": True,
        },
        f"SELECT n FROM music {AT} 99",
        "SELECT n FROM music WHERE pk = 'a'",
        f"SELECT n FROM nowhere {AT} 1",
        "SELEC",
    )
    assert found[:4] == [
        {"TableName": "music", "Item": {"n": {"N": "10"}}},
        {"TableName": "music", "Item": {"n": {"N": "40"}}},
        {"TableName": "music"},
        {"Error": {"Code": "ValidationError", "Message": "Only single item select is supported"}},
    ]
    assert [each["Error"]["Code"] for each in found[4:]] == ["ResourceNotFound", "ValidationError"]


def test_a_batch_of_writes_of_which_each_stands_alone(music: InProcess) -> None:
    found = batch(
        music,
        f"UPDATE music SET n = 11 {AT} 1 RETURNING ALL NEW *",
        "INSERT INTO music VALUE {'pk': 'a', 'sk': 2}",
        {"Statement": f"DELETE FROM music {AT} 3 AND n = 0", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"},
        "INSERT INTO music VALUE {'pk': 'a'}",
        "INSERT INTO music VALUE {'pk': 'c', 'sk': 1, 'n': 60}",
    )
    assert found[0]["Item"]["n"] == {"N": "11"}
    assert [each.get("Error", {}).get("Code") for each in found] == [
        None,
        "DuplicateItem",
        "ConditionalCheckFailed",
        "ValidationError",
        None,
    ]
    assert found[2]["Error"]["Item"]["n"] == {"N": "30"}
    assert sorted(numbers(run(music, "SELECT n FROM music"))) == [0, 11, 20, 30, 40, 50, 60]


def test_batches_that_are_wrong_as_a_whole(music: InProcess) -> None:
    read, write = f"SELECT n FROM music {AT} 1", f"DELETE FROM music {AT} 1"
    assert refusal(lambda: batch(music, read, write))[1] == "Read and write requests together in the same batch is not supported."
    assert refusal(lambda: batch(music, write, write))[1] == "Provided list of item keys contains duplicates"
    assert refusal(lambda: batch(music, *[read] * 26))[0] == "ValidationException"


def transact(tables: InProcess, *statements: Any, **more: Any) -> dict[str, Any]:
    members = [each if isinstance(each, dict) else {"Statement": each} for each in statements]
    return tables.call("ExecuteTransaction", TransactStatements=members, **more)


def reasons(call: Any) -> list[tuple[str, str | None]]:
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == "TransactionCanceledException"
    return [(reason["Code"], reason.get("Message")) for reason in caught.value.response["CancellationReasons"]]


def test_a_transaction_of_reads(music: InProcess) -> None:
    found = transact(music, f"SELECT n FROM music {AT} 1", f"SELECT n FROM music {AT} 99", ReturnConsumedCapacity="TOTAL")
    assert found["Responses"] == [{"Item": {"n": {"N": "10"}}}, {}]
    assert found["ConsumedCapacity"][0]["ReadCapacityUnits"] == 4.0
    assert refusal(lambda: transact(music, "SELECT n FROM music WHERE pk = 'a'"))[1] == (
        "Validation failed in TransactStatements[0]: "
        "Select statements within ExecuteTransaction must specify the primary key in the where clause."
    )


def test_a_transaction_of_writes_happens_whole_or_not_at_all(music: InProcess) -> None:
    exists = f"EXISTS(SELECT * FROM music {AT} 2 AND n = 20)"
    update, delete = f"UPDATE music SET n = n + 1 {AT} 1", f"DELETE FROM music {AT} 3"
    assert transact(music, exists, update, delete)["Responses"] == []
    assert sorted(numbers(run(music, "SELECT n FROM music"))) == [0, 11, 20, 40, 50]
    failed = f"EXISTS(SELECT * FROM music {AT} 2 AND n = 21)"
    assert reasons(lambda: transact(music, update, failed)) == [
        ("None", None),
        ("ConditionalCheckFailed", "The conditional request failed"),
    ]
    duplicate = "INSERT INTO music VALUE {'pk': 'a', 'sk': 0}"
    assert reasons(lambda: transact(music, update, duplicate)) == [
        ("None", None),
        ("DuplicateItem", "Duplicate primary key exists in table"),
    ]
    assert reasons(lambda: transact(music, update, "INSERT INTO music VALUE {'pk': 'a'}"))[1] == (
        "ValidationError",
        "Key attribute should be present in the item: Key sk",
    )
    assert sorted(numbers(run(music, "SELECT n FROM music"))) == [0, 11, 20, 40, 50]


def test_a_transaction_happens_once_under_one_token(music: InProcess) -> None:
    update = f"UPDATE music SET n = n + 1 {AT} 1"
    for _ in range(3):
        transact(music, update, ClientRequestToken="token-1")
    assert numbers(run(music, f"SELECT n FROM music {AT} 1")) == [11]
    code, _ = refusal(lambda: transact(music, f"DELETE FROM music {AT} 1", ClientRequestToken="token-1"))
    assert code == "IdempotentParameterMismatchException"


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (
            [f"SELECT n FROM music {AT} 1", f"DELETE FROM music {AT} 1"],
            "ExecuteTransaction API does not support both read and write operations in the same request.",
        ),
        (
            [f"DELETE FROM music {AT} 1", f"DELETE FROM music {AT} 1"],
            "Transaction request cannot include multiple operations on one item",
        ),
        (
            [f"EXISTS(SELECT * FROM music {AT} 1)"],
            "Validation failed in TransactStatements[0]: EXISTS() must contain a single item read with additional condition",
        ),
        (
            [f"DELETE FROM music {AT} 1 RETURNING ALL OLD *"],
            "Validation failed in TransactStatements[0]: RETURNING clause is not supported in ExecuteTransaction.",
        ),
    ],
)
def test_transactions_that_are_wrong(music: InProcess, statements: list[str], message: str) -> None:
    assert refusal(lambda: transact(music, *statements)) == ("ValidationException", message)


def test_on_a_node_with_boto3_and_the_aws_cli(node: Any, name: str) -> None:
    client = node.client("dynamodb")
    client.create_table(TableName=name, **schema("S", "N"))
    client.get_waiter("table_exists").wait(TableName=name)
    for number in range(3):
        client.execute_statement(
            Statement=f"INSERT INTO \"{name}\" VALUE {{'pk': ?, 'sk': ?, 'tags': <<'x', 'y'>>, 'raw': ?}}",
            Parameters=[{"S": "a"}, {"N": str(number)}, {"B": b"\x00\xff"}],
        )
    pages = client.execute_statement(Statement=f"SELECT sk, raw FROM \"{name}\" WHERE pk = 'a' ORDER BY sk DESC", Limit=2)
    assert [item["sk"]["N"] for item in pages["Items"]] == ["2", "1"]
    assert pages["Items"][0]["raw"] == {"B": b"\x00\xff"}
    statement = f"SELECT sk FROM \"{name}\" WHERE pk = 'a' AND contains(tags, 'x') AND sk IN [0, 2]"
    arguments = ["dynamodb", "execute-statement", "--statement", statement, "--output", "json"]
    answer = subprocess.run(
        [Path(sys.executable).with_name("aws"), *arguments],
        env=os.environ | node.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(answer.stdout)["Items"] == [{"sk": {"N": "0"}}, {"sk": {"N": "2"}}]
    with pytest.raises(client.exceptions.DuplicateItemException):
        client.execute_statement(Statement=f"INSERT INTO \"{name}\" VALUE {{'pk': 'a', 'sk': 1}}")
