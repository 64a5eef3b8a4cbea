"""Clients as their users have them, unmodified: boto3's resource, PynamoDB, and JavaScript libraries."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from pynamodb.attributes import (
    BinaryAttribute,
    JSONAttribute,
    ListAttribute,
    NumberAttribute,
    TTLAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
    UTCDateTimeAttribute,
    VersionAttribute,
)
from pynamodb.connection import Connection
from pynamodb.exceptions import DoesNotExist, PutError, TableError, TransactWriteError
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex
from pynamodb.models import Model
from pynamodb.transactions import TransactGet, TransactWrite

from real_node import ACCESS_KEY, SECRET

from .conftest import Node, index, schema

JS = Path(__file__).parent / "js"
KEYS = {"region_name": "us-east-1", "aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET}


def test_the_boto3_resource(node: Node, name: str) -> None:
    dynamodb = boto3.resource("dynamodb", endpoint_url=node.url, **KEYS)
    definition = schema("S", "N")
    definition["AttributeDefinitions"].append({"AttributeName": "genre", "AttributeType": "S"})
    table = dynamodb.create_table(TableName=name, GlobalSecondaryIndexes=[index("by-genre", "genre", "sk")], **definition)
    table.wait_until_exists()
    with table.batch_writer() as batch:
        for number in range(60):
            item = {"pk": "a", "sk": number, "genre": "rock" if number % 3 else "pop", "price": Decimal("9.90"), "raw": b"\x00"}
            batch.put_item(Item=item)
    found = table.query(
        IndexName="by-genre",
        KeyConditionExpression=Key("genre").eq("pop") & Key("sk").gte(30),
        FilterExpression=Attr("price").between(Decimal(5), Decimal(10)) & ~Attr("gone").exists(),
        ScanIndexForward=False,
    )
    assert [int(item["sk"]) for item in found["Items"]] == list(range(57, 29, -3))
    assert found["Items"][0]["price"] == Decimal("9.90") and found["Items"][0]["raw"] == b"\x00"
    answer = table.update_item(
        Key={"pk": "a", "sk": 1},
        UpdateExpression="SET tags = list_append(if_not_exists(tags, :none), :tag)",
        ExpressionAttributeValues={":none": [], ":tag": ["new"]},
        ReturnValues="ALL_NEW",
    )
    assert answer["Attributes"]["tags"] == ["new"]
    assert sum(1 for _ in dynamodb.tables.filter(ExclusiveStartTableName=name[:-1], Limit=1)) == 1
    keys = [{"pk": "a", "sk": number} for number in range(3)]
    assert len(dynamodb.batch_get_item(RequestItems={name: {"Keys": keys}})["Responses"][name]) == 3
    table.reload()
    assert table.item_count == 60
    table.delete()
    table.wait_until_not_exists()


def test_pynamodb(node: Node, name: str) -> None:
    class ByAuthor(GlobalSecondaryIndex[Any]):
        class Meta:
            index_name = "by-author"
            projection = AllProjection()
            read_capacity_units = write_capacity_units = 5

        author = UnicodeAttribute(hash_key=True)
        year = NumberAttribute(range_key=True)

    class Book(Model):
        class Meta:
            table_name = name
            host = node.url
            region = "us-east-1"
            aws_access_key_id = ACCESS_KEY
            aws_secret_access_key = SECRET
            read_capacity_units = write_capacity_units = 50

        isbn = UnicodeAttribute(hash_key=True)
        author = UnicodeAttribute()
        year = NumberAttribute()
        tags = UnicodeSetAttribute(null=True)
        notes = ListAttribute(null=True)
        by_author = ByAuthor()

    Book.create_table(wait=True)
    assert Book.exists()
    Book("1", author="Le Guin", year=1969, tags={"sf"}, notes=["x", 1]).save()
    with pytest.raises(PutError):
        Book("1", author="other", year=1).save(Book.isbn.does_not_exist())
    with Book.batch_write() as batch:
        for number in range(2, 40):
            batch.save(Book(str(number), author="Le Guin" if number % 2 else "Lem", year=1950 + number))
    assert [book.isbn for book in Book.by_author.query("Le Guin", Book.year > 1980, limit=3)] == ["31", "33", "35"]
    book = Book.get("1")
    book.update(actions=[Book.year.add(1), Book.tags.add({"classic"}), Book.notes.set(Book.notes.append(["y"]))])
    assert (book.year, book.tags, book.notes) == (1970, {"sf", "classic"}, ["x", 1, "y"])
    assert len(list(Book.scan(Book.author.startswith("Lem")))) == 19
    assert {found.isbn for found in Book.batch_get(["1", "2", "nope"])} == {"1", "2"}
    connection = Connection(host=node.url, region="us-east-1")
    connection.session.set_credentials(ACCESS_KEY, SECRET)
    with pytest.raises(TransactWriteError), TransactWrite(connection=connection) as transaction:
        transaction.save(Book("t", author="x", year=1))
        transaction.condition_check(Book, "nope", condition=Book.isbn.exists())
    with pytest.raises(Book.DoesNotExist):
        Book.get("t")
    Book.delete_table()


def test_pynamodb_settings_versions_and_transactions(node: Node, name: str) -> None:
    class Account(Model):
        class Meta:
            table_name = name
            host = node.url
            region = "us-east-1"
            aws_access_key_id = ACCESS_KEY
            aws_secret_access_key = SECRET
            billing_mode = "PAY_PER_REQUEST"
            stream_view_type = "NEW_IMAGE"
            tags: ClassVar = {"team": "clouds"}

        owner = UnicodeAttribute(hash_key=True)
        balance = NumberAttribute(default=0)
        opened = UTCDateTimeAttribute(null=True)
        details = JSONAttribute(null=True)
        key = BinaryAttribute(null=True, legacy_encoding=False)
        ends = TTLAttribute(null=True)
        version = VersionAttribute()

    Account.create_table(wait=True)
    with pytest.raises(TableError, match="TimeToLive is already enabled"):  # since creating did that
        Account.update_ttl(ignore_update_ttl_errors=False)
    opened = datetime(2030, 1, 2, tzinfo=UTC)
    Account("a", balance=10, opened=opened, details={"x": [1, None]}, key=b"\x00\xff", ends=timedelta(days=1)).save()
    mine, theirs = Account.get("a", consistent_read=True), Account.get("a")
    assert (mine.opened, mine.details, mine.key, mine.version) == (opened, {"x": [1, None]}, b"\x00\xff", 1)
    mine.update(actions=[Account.balance.set(Account.balance + 5), Account.details.remove()])
    with pytest.raises(PutError, match="ConditionalCheckFailed"):
        theirs.save()
    theirs.refresh()
    assert (theirs.balance, theirs.details, theirs.version) == (15, None, 2)

    connection = Connection(host=node.url, region="us-east-1")
    connection.session.set_credentials(ACCESS_KEY, SECRET)
    with TransactWrite(connection=connection, client_request_token=name) as writing:
        writing.update(theirs, actions=[Account.balance.set(Account.balance - 5)])
        writing.save(Account("b", balance=5))
    with TransactGet(connection=connection) as reading:
        found = [reading.get(Account, "a"), reading.get(Account, "b")]
    assert [future.get().balance for future in found] == [10, 5]
    scanned = Account.scan(Account.balance.between(1, 9) | Account.owner.is_in("a"), limit=10, page_size=1)
    assert sorted(account.owner for account in scanned) == ["a", "b"]
    assert Account.count("a") == 1
    found[1].get().delete(condition=Account.version == 1)
    with pytest.raises(DoesNotExist):
        Account.get("b")
    Account.delete_table()
    assert not Account.exists()


needs_javascript = pytest.mark.skipif(
    not shutil.which("node") or not (JS / "node_modules" / "@aws-sdk" / "client-dynamodb-streams").is_dir(),
    reason="no Node.js, or the libraries are not installed in tests/tables/js",
)


def run_javascript(node: Node, script: str, name: str) -> Any:
    done = subprocess.run(
        ["node", script, name], cwd=JS, env=os.environ | node.environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_javascript
def test_javascript_libraries(node: Node, name: str) -> None:
    assert run_javascript(node, "normal_life.mjs", name) == {
        "document": [1.5, [1, "x", None, True], [0, 255], ["x", "y"]],
        "refused": [True, "The conditional request failed", 6],
        "updated": [2.5, "first", 3],
        "paged": [3, 25, "24"],
        "cancelled": [True, ["None", "ConditionalCheckFailed"]],
        "electrodb": ["refused", ["1", "3"], 5, ["x", "y"]],
        "dynamoose": [[["1", 8], ["3", 7]], 2, True],
    }


@needs_javascript
def test_javascript_statements_settings_copies_and_streams(node: Node, name: str) -> None:
    told = run_javascript(node, "whole_life.mjs", name)
    errors = told.pop("errors")
    assert told == {
        "statement": [{"n": 42}],
        "statements": [len(name), "DuplicateItem"],
        "transaction": ["a", "t", None],
        "read": [50, True, 63, ["159", "158"], {"pk": "many", "sk": "158"}, [{"sk": "100"}]],
        "ttl": {"TimeToLiveStatus": "ENABLED", "AttributeName": "ends"},
        "tags": [{"Key": "stage", "Value": "test"}],
        "capacity": 60,
        "created": True,
        "restored": 43,
        "recovery": "ENABLED",
        "stream": [["INSERT", "1"], ["MODIFY", "42"], ["INSERT", None], ["MODIFY", "43"]],
        "electrodb": [True, 1, "l", 2, ["4", "5"]],
        "dynamoose": [7, "ConditionalCheckFailedException", "ConditionalCheckFailedException", 1],
    }
    assert [status for _, _, status in errors] == [400] * 7
    assert [(kind, message) for kind, message, _ in errors] == [
        ("ResourceNotFoundException", f"Requested resource not found: Table: {name}-none not found"),
        ("DynamoDBServiceException", "One or more parameter values were invalid: Missing the key pk in the item"),
        (
            "DynamoDBServiceException",
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string "
            "value. Key: pk",
        ),
        ("DynamoDBServiceException", "Item size has exceeded the maximum allowed size"),
        ("DynamoDBServiceException", "Query condition missed key schema element: pk"),
        (
            "DynamoDBServiceException",
            "Invalid UpdateExpression: Attribute name is a reserved keyword; reserved keyword: size",
        ),
        ("ResourceInUseException", f"Table already exists: {name}"),
    ]
