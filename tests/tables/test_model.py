"""Random operations on a table with indexes and a stream, against a dict: whatever happens, both tell the same."""

from typing import Any

from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cumulet.services.tables import storage
from cumulet.services.tables.model import Place

from .conftest import ACCOUNT, REGION, InProcess, index, schema

SHARD = storage.shard_of(Place(ACCOUNT, REGION))
Key = tuple[str, int]
Item = dict[str, Any]

hashes = st.sampled_from(["a", "b", "ü"])
ranges = st.integers(-3, 3)
numbers = st.integers(-5, 5)
groups = st.sampled_from(["x", "y"])
attributes = st.fixed_dictionaries(
    {}, optional={"n": numbers, "g": groups, "t": st.text(max_size=3), "s": st.sets(groups, min_size=1)}
)


def wire(value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"N": str(value)}
    return {"S": value} if isinstance(value, str) else {"SS": sorted(value)}


def plain(value: dict[str, Any]) -> Any:
    if "N" in value:
        return int(value["N"])
    return value["S"] if "S" in value else frozenset(value["SS"])


def wire_item(key: Key, item: Item) -> Item:
    return {"pk": wire(key[0]), "sk": wire(key[1])} | {name: wire(value) for name, value in item.items()}


def plain_item(item: Item) -> tuple[Key, Item]:
    found = {name: plain(value) for name, value in item.items()}
    return (found.pop("pk"), found.pop("sk")), found


class TableMachine(RuleBasedStateMachine):
    """`model` is {key: item}, `changes` what the stream should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = InProcess()
        self.model: dict[Key, Item] = {}
        self.changes: list[tuple[str, Key, Item | None, Item | None]] = []

    @initialize()
    def create(self) -> None:
        definition = schema("S", "N")
        definition["AttributeDefinitions"] += [
            {"AttributeName": "g", "AttributeType": "S"},
            {"AttributeName": "n", "AttributeType": "N"},
        ]
        definition["GlobalSecondaryIndexes"] = [index("by-g", "g", "n"), index("by-n", "n", None, "INCLUDE", "t")]
        definition["LocalSecondaryIndexes"] = [index("local", "pk", "n", "KEYS_ONLY")]
        definition["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        self.call("CreateTable", **definition)
        self.call("DescribeTable")

    def teardown(self) -> None:
        self.tables.close()

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        return self.tables.call(operation, TableName="t-1", **request)

    def note(self, key: Key, new: Item | None) -> None:
        """What a write does to the model."""
        old = self.model.get(key)
        if new is None:
            self.model.pop(key, None)
        else:
            self.model[key] = new
        if old != new:
            event = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
            self.changes.append((event, key, old, new))

    @rule(hash_=hashes, range_=ranges, item=attributes)
    def put(self, hash_: str, range_: int, item: Item) -> None:
        key = (hash_, range_)
        answer = self.call("PutItem", Item=wire_item(key, item), ReturnValues="ALL_OLD")
        assert (plain_item(answer["Attributes"])[1] if answer else None) == self.model.get(key)
        self.note(key, {name: frozenset(value) if isinstance(value, set) else value for name, value in item.items()})

    @rule(hash_=hashes, range_=ranges, item=attributes)
    def put_if_absent(self, hash_: str, range_: int, item: Item) -> None:
        key = (hash_, range_)
        try:
            self.call("PutItem", Item=wire_item(key, item), ConditionExpression="attribute_not_exists(pk)")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ConditionalCheckFailedException" and key in self.model
            return
        assert key not in self.model
        self.note(key, {name: frozenset(value) if isinstance(value, set) else value for name, value in item.items()})

    @rule(hash_=hashes, range_=ranges)
    def delete(self, hash_: str, range_: int) -> None:
        self.call("DeleteItem", Key=wire_item((hash_, range_), {}))
        self.note((hash_, range_), None)

    @rule(hash_=hashes, range_=ranges, amount=numbers)
    def add(self, hash_: str, range_: int, amount: int) -> None:
        key = (hash_, range_)
        answer = self.call(
            "UpdateItem",
            Key=wire_item(key, {}),
            UpdateExpression="ADD n :n",
            ExpressionAttributeValues={":n": wire(amount)},
            ReturnValues="ALL_NEW",
        )
        old = self.model.get(key, {})
        self.note(key, old | {"n": old.get("n", 0) + amount})
        assert plain_item(answer["Attributes"]) == (key, self.model[key])

    @rule(hash_=hashes, range_=ranges, name=st.sampled_from(["n", "g", "t", "s"]))
    def remove(self, hash_: str, range_: int, name: str) -> None:
        key = (hash_, range_)
        names = {"#x": name}
        self.call("UpdateItem", Key=wire_item(key, {}), UpdateExpression="REMOVE #x", ExpressionAttributeNames=names)
        self.note(key, {other: value for other, value in self.model.get(key, {}).items() if other != name})

    @rule(keys=st.lists(st.tuples(hashes, ranges), min_size=1, max_size=8, unique=True), item=attributes, deletes=st.booleans())
    def batch(self, keys: list[Key], item: Item, deletes: bool) -> None:
        writes = [
            {"DeleteRequest": {"Key": wire_item(key, {})}} if deletes else {"PutRequest": {"Item": wire_item(key, item)}}
            for key in keys
        ]
        assert self.tables.call("BatchWriteItem", RequestItems={"t-1": writes}) == {"UnprocessedItems": {}}
        new = {name: frozenset(value) if isinstance(value, set) else value for name, value in item.items()}
        for key in keys:
            self.note(key, None if deletes else new)

    @rule(source=st.tuples(hashes, ranges), receiver=st.tuples(hashes, ranges), amount=st.integers(1, 5))
    def move(self, source: Key, receiver: Key, amount: int) -> None:
        """A transaction over two items: `n` of one goes to the other, unless there is not enough."""
        if source == receiver:
            return
        update = lambda key, sign, **more: {  # noqa: E731
            "Update": {"TableName": "t-1", "Key": wire_item(key, {}), "UpdateExpression": "ADD n :n"} | more
            | {"ExpressionAttributeValues": {":n": wire(sign * amount)} | more.get("ExpressionAttributeValues", {})}}  # fmt: skip
        least = {"ConditionExpression": "n >= :m", "ExpressionAttributeValues": {":m": wire(amount)}}
        try:
            self.tables.call("TransactWriteItems", TransactItems=[update(receiver, 1), update(source, -1, **least)])
        except ClientError as error:
            assert error.response["Error"]["Code"] == "TransactionCanceledException"
            assert self.model.get(source, {}).get("n", -9) < amount
            return
        for key, sign in ((receiver, 1), (source, -1)):
            old = self.model.get(key, {})
            self.note(key, old | {"n": old.get("n", 0) + sign * amount})

    @rule(hash_=hashes, forward=st.booleans(), limit=st.integers(1, 4), low=ranges)
    def query(self, hash_: str, forward: bool, limit: int, low: int) -> None:
        expected = sorted(key for key in self.model if key[0] == hash_ and key[1] >= low)
        found = self.pages(
            "Query",
            KeyConditionExpression="pk = :p AND sk >= :s",
            ExpressionAttributeValues={":p": wire(hash_), ":s": wire(low)},
            ScanIndexForward=forward,
            Limit=limit,
        )
        assert [key for key, _ in found] == (expected if forward else expected[::-1])
        assert all(self.model[key] == item for key, item in found)

    @rule(group=groups, limit=st.integers(1, 4), least=numbers, forward=st.booleans())
    def query_index(self, group: str, limit: int, least: int, forward: bool) -> None:
        found = self.pages(
            "Query",
            IndexName="by-g",
            KeyConditionExpression="g = :g AND n > :n",
            ExpressionAttributeValues={":g": wire(group), ":n": wire(least)},
            Limit=limit,
            ScanIndexForward=forward,
        )
        expected = {key: item for key, item in self.model.items() if item.get("g") == group and item.get("n", -99) > least}
        assert dict(found) == expected and len(found) == len(expected)
        order = [item["n"] for _, item in found]
        assert order == sorted(order, reverse=not forward)

    @rule(segments=st.integers(1, 5), limit=st.integers(1, 9))
    def scan(self, segments: int, limit: int) -> None:
        found = []
        for segment in range(segments):
            found += self.pages("Scan", Segment=segment, TotalSegments=segments, Limit=limit)
        assert len(found) == len(self.model) and dict(found) == self.model

    @invariant()
    def indexes_hold_what_they_should(self) -> None:
        if not self.tables.call("ListTables")["TableNames"]:
            return
        by_n = {(key, item["n"], item.get("t")) for key, item in self.model.items() if "n" in item}
        found = self.pages("Scan", IndexName="by-n")
        assert {(key, item["n"], item.get("t")) for key, item in found} == by_n and len(found) == len(by_n)
        local = self.pages("Scan", IndexName="local")
        assert {(key, item["n"]) for key, item in local} == {(key, n) for key, n, _ in by_n}

    @invariant()
    def the_stream_tells_every_change_once(self) -> None:
        streams = self.tables.service.streams

        def read(reader: Any) -> list[dict[str, Any]]:
            return [record for stream in streams.all(reader) for _, record in streams.read(reader, stream, 0, 10_000)]

        found = self.tables.loop.run_until_complete(self.tables.store.read(SHARD, read))
        image = lambda record, name: plain_item(record[name])[1] if name in record else None  # noqa: E731
        told = [(each["event"], plain_item(each["keys"])[0], image(each, "old"), image(each, "new")) for each in found]
        assert told == self.changes

    def pages(self, operation: str, **request: Any) -> list[tuple[Key, Item]]:
        found, start = [], {}
        for _ in range(100):
            page = self.call(operation, **request, **start)
            found += [plain_item(item) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return found
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        raise AssertionError("pages without end")


TestTable = TableMachine.TestCase
TestTable.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
