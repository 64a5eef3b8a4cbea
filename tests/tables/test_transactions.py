"""Transactions: all or nothing, with a reason for each member; once under one token."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import InProcess, refusal, schema


@pytest.fixture
def bank(tables: InProcess) -> InProcess:
    tables.call("CreateTable", TableName="bank", **schema("S"))
    tables.call("CreateTable", TableName="log", **schema("S"))
    for name in ("a", "b"):
        tables.call("PutItem", TableName="bank", Item={"pk": {"S": name}, "n": {"N": "10"}})
    return tables


def key(pk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}}


def add(pk: str, amount: int, least: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "Update": {
            "TableName": "bank",
            "Key": key(pk),
            "UpdateExpression": "SET n = n + :x",
            "ConditionExpression": "n >= :least",
            "ExpressionAttributeValues": {":x": {"N": str(amount)}, ":least": {"N": str(least)}},
            **more,
        }
    }


def balances(tables: InProcess) -> dict[str, int]:
    return {item["pk"]["S"]: int(item["n"]["N"]) for item in tables.call("Scan", TableName="bank")["Items"]}


def reasons(call: Any) -> list[dict[str, Any]]:
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == "TransactionCanceledException"
    return caught.value.response["CancellationReasons"]


def test_everything_happens_together(bank: InProcess) -> None:
    entry = {"Put": {"TableName": "log", "Item": key("1") | {"what": {"S": "moved"}}}}
    bank.call("TransactWriteItems", TransactItems=[add("a", -4, 4), add("b", 4), entry])
    assert balances(bank) == {"a": 6, "b": 14}
    found = bank.call(
        "TransactGetItems",
        TransactItems=[
            {"Get": {"TableName": "bank", "Key": key("a"), "ProjectionExpression": "n"}},
            {"Get": {"TableName": "log", "Key": key("1")}},
            {"Get": {"TableName": "log", "Key": key("2")}},
        ],
    )
    assert found["Responses"] == [{"Item": {"n": {"N": "6"}}}, {"Item": key("1") | {"what": {"S": "moved"}}}, {}]


def test_nothing_happens_when_one_member_fails(bank: InProcess) -> None:
    found = reasons(
        lambda: bank.call(
            "TransactWriteItems",
            TransactItems=[add("b", 40), add("a", -40, 40, ReturnValuesOnConditionCheckFailure="ALL_OLD")],
        )
    )
    assert found == [
        {"Code": "None"},
        {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", "Item": key("a") | {"n": {"N": "10"}}},
    ]
    assert balances(bank) == {"a": 10, "b": 10}


def test_what_does_not_fit_is_told_for_its_member(bank: InProcess) -> None:
    found = reasons(
        lambda: bank.call(
            "TransactWriteItems",
            TransactItems=[
                {"Put": {"TableName": "bank", "Item": {"pk": {"N": "1"}}}},
                {"ConditionCheck": {"TableName": "bank", "Key": key("a"), "ConditionExpression": "attribute_exists(pk)"}},
            ],
        )
    )
    assert found[0]["Code"] == "ValidationError" and found[1] == {"Code": "None"}
    code, message = refusal(lambda: bank.call("TransactWriteItems", TransactItems=[add("a", 1), add("a", 2)]))
    assert (code, message) == ("ValidationException", "Transaction request cannot include multiple operations on one item")


def test_a_token_makes_it_once(bank: InProcess) -> None:
    request = {"TransactItems": [add("a", 1)], "ClientRequestToken": "t", "ReturnConsumedCapacity": "TOTAL"}
    first = bank.call("TransactWriteItems", **request)["ConsumedCapacity"]
    again = bank.call("TransactWriteItems", **request)["ConsumedCapacity"]
    assert balances(bank)["a"] == 11
    assert first == [{"TableName": "bank", "CapacityUnits": 2.0, "WriteCapacityUnits": 2.0}]
    assert again == [{"TableName": "bank", "CapacityUnits": 2.0, "ReadCapacityUnits": 2.0}]
    other = {**request, "TransactItems": [add("a", 2)]}
    assert refusal(lambda: bank.call("TransactWriteItems", **other))[0] == "IdempotentParameterMismatchException"
    bank.clock.advance(seconds=601)
    bank.call("TransactWriteItems", **other)
    assert balances(bank)["a"] == 13


def test_a_failed_transaction_does_not_use_its_token(bank: InProcess) -> None:
    request = {"TransactItems": [add("a", 1, 20)], "ClientRequestToken": "t"}
    reasons(lambda: bank.call("TransactWriteItems", **request))
    bank.call("PutItem", TableName="bank", Item=key("a") | {"n": {"N": "20"}})
    bank.call("TransactWriteItems", **request)
    assert balances(bank)["a"] == 21


def test_no_more_than_a_hundred_members_and_four_megabytes(bank: InProcess) -> None:
    many = [{"Put": {"TableName": "log", "Item": key(str(number))}} for number in range(101)]
    code, message = refusal(lambda: bank.call("TransactWriteItems", TransactItems=many))
    assert code == "ValidationException" and "Member must have length less than or equal to 100" in message
    large = [{"Put": {"TableName": "log", "Item": key(str(number)) | {"x": {"S": "x" * 400_000}}}} for number in range(11)]
    assert refusal(lambda: bank.call("TransactWriteItems", TransactItems=large))[0] == "ValidationException"
    assert bank.call("Scan", TableName="log")["Count"] == 0
