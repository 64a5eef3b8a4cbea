"""Clients as their users have them, unmodified: boto3's resource, PynamoDB, the AWS CLI, and three JavaScript libraries."""

import json
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from pynamodb.attributes import ListAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.connection import Connection
from pynamodb.exceptions import PutError, TransactWriteError
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite
from tests.e2e.conftest import ACCESS_KEY, SECRET

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


def test_the_aws_cli(node: Node, name: str) -> None:
    def aws(*words: str) -> Any:
        command = [sys.executable, "-m", "awscli", "dynamodb", *words]
        done = subprocess.run(command, env=os.environ | node.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    words = ["--attribute-definitions", "AttributeName=pk,AttributeType=S", "--key-schema", "AttributeName=pk,KeyType=HASH"]
    aws("create-table", "--table-name", name, *words, "--billing-mode", "PAY_PER_REQUEST")
    aws("wait", "table-exists", "--table-name", name)
    aws("put-item", "--table-name", name, "--item", '{"pk": {"S": "a"}, "n": {"N": "1.50"}}')
    assert aws("get-item", "--table-name", name, "--key", '{"pk": {"S": "a"}}')["Item"]["n"] == {"N": "1.5"}
    found = aws(
        "scan", "--table-name", name, "--filter-expression", "pk = :p", "--expression-attribute-values", '{":p": {"S": "a"}}'
    )
    assert found["Count"] == 1
    aws("delete-table", "--table-name", name)


@pytest.mark.skipif(
    not shutil.which("node") or not (JS / "node_modules" / "electrodb").is_dir(),
    reason="no Node.js, or the libraries are not installed in tests/tables/js",
)
def test_javascript_libraries(node: Node, name: str) -> None:
    done = subprocess.run(
        ["node", "normal_life.mjs", name], cwd=JS, env=os.environ | node.environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "document": [1.5, [1, "x", None, True], [0, 255], ["x", "y"]],
        "refused": [True, "The conditional request failed", 6],
        "updated": [2.5, "first", 3],
        "paged": [3, 25, "24"],
        "cancelled": [True, ["None", "ConditionalCheckFailed"]],
        "electrodb": ["refused", ["1", "3"], 5, ["x", "y"]],
        "dynamoose": [[["1", 8], ["3", 7]], 2, True],
    }
