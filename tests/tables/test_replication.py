"""Global tables: replicas are made and go, writes reach every region, the later one wins, and nothing is lost on the way."""

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from cumulet.core.clock import ManualClock
from cumulet.services.tables import storage
from cumulet.services.tables.model import Place
from cumulet.store.memory import MemoryStore

from .conftest import ACCOUNT, REGION, InProcess, Node, index, refusal, schema

HOME, AWAY, THIRD = REGION, "us-west-2", "ap-south-1"
ON = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


def update(tables: InProcess, region: str = HOME, **changes: str) -> dict[str, Any]:
    """`update(tables, Create="us-west-2")`"""
    updates = [{kind: {"RegionName": other}} for kind, other in changes.items()]
    found: dict[str, Any] = tables.call_in(region, "UpdateTable", TableName="music", ReplicaUpdates=updates)["TableDescription"]
    return found


def settled(tables: InProcess, region: str = HOME, name: str = "music") -> dict[str, Any]:
    """The table when nothing is being done to it."""
    for _ in range(100):
        tables.settle()
        found: dict[str, Any] = tables.call_in(region, "DescribeTable", TableName=name)["Table"]
        if found["TableStatus"] == "ACTIVE" and all(each["ReplicaStatus"] == "ACTIVE" for each in found.get("Replicas", ())):
            return found
    raise AssertionError(found)


def items(tables: InProcess, region: str) -> dict[str, str]:
    """What `v` is, by `pk`."""
    found = tables.call_in(region, "Scan", TableName="music")["Items"]
    return {item["pk"]["S"]: item.get("v", {}).get("S", "") for item in found}


def put(tables: InProcess, region: str, key: str, value: str = "x", **more: Any) -> None:
    tables.call_in(region, "PutItem", TableName="music", Item={"pk": {"S": key}, "v": {"S": value}, **more})


def delete(tables: InProcess, region: str, key: str) -> None:
    tables.call_in(region, "DeleteItem", TableName="music", Key={"pk": {"S": key}})


def records(tables: InProcess, region: str) -> list[tuple[str, str]]:
    """(event, key) of what a region's stream tells."""
    streams, shard = tables.service.streams, storage.shard_of(Place(ACCOUNT, region))

    def read(reader: Any) -> list[tuple[str, str]]:
        found = [record for stream in streams.all(reader, "music") for _, record in streams.read(reader, stream, 0, 10_000)]
        return [(record["event"], record["keys"]["pk"]["S"]) for record in found]

    return tables.loop.run_until_complete(tables.store.read(shard, read))


@pytest.fixture
def pair(tables: InProcess) -> InProcess:
    """`music` in two regions."""
    tables.call("CreateTable", TableName="music", StreamSpecification=ON, **schema())
    update(tables, Create=AWAY)
    settled(tables)
    return tables


def test_a_replica_has_what_was_there_and_gets_what_comes(tables: InProcess) -> None:
    definition = schema()
    definition["AttributeDefinitions"].append({"AttributeName": "g", "AttributeType": "S"})
    tables.call("CreateTable", TableName="music", GlobalSecondaryIndexes=[index("by-g", "g")], **definition)
    tables.call("UpdateTimeToLive", TableName="music", TimeToLiveSpecification={"Enabled": True, "AttributeName": "ends"})
    for number in range(450):
        put(tables, HOME, f"old{number}", g={"S": "x"})
    told = update(tables, Create=AWAY)
    assert (told["TableStatus"], told["GlobalTableVersion"]) == ("UPDATING", "2019.11.21")
    assert told["Replicas"][0] == {
        "RegionName": AWAY,
        "ReplicaStatus": "CREATING",
        "ReplicaArn": f"arn:aws:dynamodb:{AWAY}:{ACCOUNT}:table/music",
    }
    put(tables, HOME, "new", "while it is made")
    delete(tables, HOME, "old0")
    home = settled(tables)
    away = settled(tables, AWAY)
    assert home["StreamSpecification"] == away["StreamSpecification"] == ON
    assert [each["RegionName"] for each in away["Replicas"]] == [HOME]
    assert home["TableId"] != away["TableId"] and away["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert items(tables, AWAY) == items(tables, HOME) and len(items(tables, AWAY)) == 450
    found = tables.call_in(
        AWAY, "Query", TableName="music", IndexName="by-g", Select="COUNT",
        KeyConditionExpression="g = :g", ExpressionAttributeValues={":g": {"S": "x"}},
    )  # fmt: skip
    assert found["Count"] == 449
    expiry = tables.call_in(AWAY, "DescribeTimeToLive", TableName="music")["TimeToLiveDescription"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ends"}
    put(tables, AWAY, "theirs")
    tables.settle()
    assert items(tables, HOME)["theirs"] == "x"


def test_each_change_is_told_once_in_each_region(pair: InProcess) -> None:
    update(pair, Create=THIRD)
    settled(pair)
    put(pair, AWAY, "a", "1")
    put(pair, THIRD, "b", "1")
    pair.settle()
    put(pair, HOME, "a", "2")
    pair.settle()
    delete(pair, AWAY, "b")
    pair.settle()
    for region in (HOME, AWAY, THIRD):
        assert items(pair, region) == {"a": "2"}
        told = records(pair, region)
        assert sorted(told) == [("INSERT", "a"), ("INSERT", "b"), ("MODIFY", "a"), ("REMOVE", "b")], region


def test_the_later_write_wins_wherever_it_was_made(pair: InProcess) -> None:
    async def both() -> None:  # in one turn of the loop, so that neither has seen the other
        for region, value in ((HOME, "first"), (AWAY, "second")):
            await pair.answer("PutItem", {"TableName": "music", "Item": {"pk": {"S": "a"}, "v": {"S": value}}}, region)
            pair.clock.advance(seconds=1)

    pair.loop.run_until_complete(both())
    pair.settle()
    assert items(pair, HOME) == items(pair, AWAY) == {"a": "second"}
    pair.clock.advance(seconds=-100)  # a clock that goes back takes nothing back
    put(pair, HOME, "a", "third")
    pair.settle()
    assert items(pair, HOME) == items(pair, AWAY) == {"a": "third"}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False))
def test_regions_converge(chance: random.Random) -> None:
    """Whatever is written where, also while a replica is being made and after the node died, all regions become the same."""
    store, clock = MemoryStore(), ManualClock()
    tables = InProcess(store, clock)
    tables.call("CreateTable", TableName="music", **schema())
    regions = [HOME]
    try:
        for step in range(40):
            region = chance.choice(regions)
            match chance.choice(["put", "put", "put", "delete", "settle", "time", "replica", "die"]):
                case "put":
                    put(tables, region, chance.choice("abc"), str(step))
                case "delete":
                    delete(tables, region, chance.choice("abc"))
                case "settle":
                    tables.settle()
                case "time":
                    clock.advance(seconds=chance.choice([-2, 0.001, 5]))
                case "replica" if len(regions) < 3 and all(settled(tables, each) for each in regions):
                    update(tables, region, Create=(new := [HOME, AWAY, THIRD][len(regions)]))
                    if chance.random() < 0.5:
                        tables.close()
                        tables = InProcess(store, clock)
                    put(tables, region, chance.choice("abc"), str(step))
                    settled(tables, region)
                    settled(tables, new)
                    regions.append(new)
                case "die":
                    tables.close()
                    tables = InProcess(store, clock)
        for _ in range(3):
            tables.settle()
        assert len({tuple(sorted(items(tables, region).items())) for region in regions}) == 1
    finally:
        tables.close()


def test_expiry_is_told_the_others(pair: InProcess) -> None:
    pair.call_in(AWAY, "UpdateTimeToLive", TableName="music", TimeToLiveSpecification={"Enabled": True, "AttributeName": "ends"})
    pair.settle()
    assert pair.call("DescribeTimeToLive", TableName="music")["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
    put(pair, HOME, "a", ends={"N": str(pair.clock.now_ms() // 1000 + 60)})
    pair.settle()
    pair.clock.advance(seconds=61)
    pair.loop.run_until_complete(pair.service._expiries.sweep())  # the loop sleeps by the machine's clock
    pair.settle()
    assert items(pair, HOME) == items(pair, AWAY) == {}
    put(pair, AWAY, "a")
    pair.settle()
    assert items(pair, HOME) == {"a": "x"}


def test_global_indexes_are_made_in_all_regions(pair: InProcess) -> None:
    put(pair, HOME, "a", g={"S": "x"})
    definitions = [{"AttributeName": "g", "AttributeType": "S"}, {"AttributeName": "pk", "AttributeType": "S"}]
    pair.call(
        "UpdateTable", TableName="music", AttributeDefinitions=definitions,
        GlobalSecondaryIndexUpdates=[{"Create": index("by-g", "g")}],
    )  # fmt: skip
    settled(pair)
    away = settled(pair, AWAY)
    assert [each["IndexStatus"] for each in away["GlobalSecondaryIndexes"]] == ["ACTIVE"] and away["ItemCount"] == 1
    assert away["GlobalSecondaryIndexes"][0]["ItemCount"] == 1
    pair.call_in(AWAY, "UpdateTable", TableName="music", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-g"}}])
    settled(pair, AWAY)
    assert "GlobalSecondaryIndexes" not in settled(pair)


def test_a_replica_that_goes_leaves_what_it_had(pair: InProcess) -> None:
    update(pair, Create=THIRD)
    settled(pair)

    async def write_and_remove() -> None:
        await pair.answer("PutItem", {"TableName": "music", "Item": {"pk": {"S": "last"}}}, AWAY)
        updates = [{"Delete": {"RegionName": AWAY}}]
        told = await pair.answer("UpdateTable", {"TableName": "music", "ReplicaUpdates": updates})
        assert told["TableDescription"]["Replicas"][0]["ReplicaStatus"] == "DELETING"

    pair.loop.run_until_complete(write_and_remove())
    assert [each["RegionName"] for each in settled(pair)["Replicas"]] == [THIRD]
    assert items(pair, HOME) == items(pair, THIRD) == {"last": ""}
    assert refusal(lambda: pair.call_in(AWAY, "DescribeTable", TableName="music"))[0] == "ResourceNotFoundException"
    put(pair, THIRD, "more")
    pair.settle()
    assert items(pair, HOME) == {"last": "", "more": "x"}
    update(pair, Delete=THIRD)
    alone = settled(pair)
    assert "Replicas" not in alone and "GlobalTableVersion" not in alone and alone["StreamSpecification"] == ON
    pair.call("DeleteTable", TableName="music")
    pair.settle()
    for region in (HOME, AWAY, THIRD):
        shard = storage.shard_of(Place(ACCOUNT, region))
        left = pair.loop.run_until_complete(pair.store.read(shard, lambda reader: [key[:1] for key, _ in reader.scan(b"")]))
        kinds = {storage.ITEM, storage.ENTRY, storage.VERSION, storage.GONE}
        assert not kinds.intersection(left), region


def test_deleting_a_replica_in_its_own_region(pair: InProcess) -> None:
    source = refusal(lambda: pair.call("DeleteTable", TableName="music"))
    assert source[0] == "ValidationException" and "acted as a source region" in source[1]
    pair.call_in(AWAY, "UpdateTable", TableName="music", DeletionProtectionEnabled=True)
    settled(pair, AWAY)
    assert "protected against deletion" in refusal(lambda: update(pair, Delete=AWAY))[1]
    pair.call_in(AWAY, "UpdateTable", TableName="music", DeletionProtectionEnabled=False)
    settled(pair, AWAY)
    put(pair, AWAY, "a")
    pair.call_in(AWAY, "DeleteTable", TableName="music")
    assert "Replicas" not in settled(pair) and items(pair, HOME) == {"a": "x"}
    update(pair, Create=AWAY)
    settled(pair)
    assert items(pair, AWAY) == {"a": "x"}
    pair.clock.advance(seconds=86_401)
    pair.call("DeleteTable", TableName="music")
    assert "Replicas" not in settled(pair, AWAY) and items(pair, AWAY) == {"a": "x"}


def test_what_is_refused(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", StreamSpecification=ON | {"StreamViewType": "KEYS_ONLY"}, **schema())
    assert "NEW_AND_OLD_IMAGES" in refusal(lambda: update(tables, Create=AWAY))[1]
    tables.call("UpdateTable", TableName="music", StreamSpecification={"StreamEnabled": False})
    settled(tables)
    assert refusal(lambda: update(tables, Create=HOME))[1].startswith("Cannot add, delete, or update the local region")
    assert refusal(lambda: update(tables, Create="nowhere"))[0] == "ValidationException"
    assert "not part of the global table" in refusal(lambda: update(tables, Delete=AWAY))[1]
    assert refusal(lambda: update(tables, Update=AWAY))[0] == "NotImplemented"
    tables.call_in(AWAY, "CreateTable", TableName="music", **schema())
    assert "already existed as tables" in refusal(lambda: update(tables, Create=AWAY))[1]
    assert "Replicas" not in settled(tables)
    update(tables, Create=THIRD)
    settled(tables)
    disable = lambda: tables.call("UpdateTable", TableName="music", StreamSpecification={"StreamEnabled": False})  # noqa: E731
    assert "cannot be disabled" in refusal(disable)[1]
    capacity = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}
    words = "Table write capacity should either be Pay-Per-Request or AutoScaled."
    assert refusal(lambda: tables.call("UpdateTable", TableName="music", **capacity))[1] == words
    tables.call("CreateTable", TableName="slow", **schema() | capacity)
    updates = [{"Create": {"RegionName": AWAY}}]
    assert refusal(lambda: tables.call("UpdateTable", TableName="slow", ReplicaUpdates=updates))[1] == words


def test_records_that_a_replica_has_not_got_are_kept(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema())
    update(tables, Create=AWAY)
    settled(tables)
    put(tables, HOME, "got")
    tables.settle()
    store = tables.store
    tables.running.cancel()  # the node stops sending
    tables.settle()
    put(tables, HOME, "kept")
    tables.clock.advance(seconds=3 * 86_400)
    tables.loop.run_until_complete(tables.service.streams.trim())
    assert records(tables, HOME) == [("INSERT", "kept")]
    again = InProcess(store, tables.clock)
    again.settle()
    assert items(again, AWAY) == {"got": "x", "kept": "x"}
    again.loop.run_until_complete(again.service.streams.trim())
    assert records(again, HOME) == []
    again.close()
    tables.running = tables.loop.create_task(_nothing())


async def _nothing() -> None:
    return None


# On a real node


def _eventually(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_nothing_is_lost_when_the_node_dies(start_node: Callable[..., Node], name: str) -> None:
    node = start_node("--durability", "os")
    home, away = node.client("dynamodb", HOME), node.client("dynamodb", AWAY)
    home.create_table(TableName=name, **schema())
    home.get_waiter("table_exists").wait(TableName=name)
    acknowledged: list[str] = []

    def write(client: Any, prefix: str, count: int) -> None:
        for number in range(count):
            client.put_item(TableName=name, Item={"pk": {"S": f"{prefix}{number}"}})
            acknowledged.append(f"{prefix}{number}")

    def found(client: Any) -> set[str]:
        pages = client.get_paginator("scan").paginate(TableName=name, ProjectionExpression="pk")
        return {item["pk"]["S"] for page in pages for item in page["Items"]}

    for first in range(0, 300, 25):
        batch = [f"before{number}" for number in range(first, first + 25)]
        home.batch_write_item(RequestItems={name: [{"PutRequest": {"Item": {"pk": {"S": key}}}} for key in batch]})
        acknowledged += batch
    home.update_table(TableName=name, ReplicaUpdates=[{"Create": {"RegionName": AWAY}}])
    for round_ in range(2):
        write(home, f"round{round_}-", 25)
        node.kill()
        node.start()
        home, away = node.client("dynamodb", HOME), node.client("dynamodb", AWAY)
    _eventually(lambda: home.describe_table(TableName=name)["Table"]["Replicas"][0]["ReplicaStatus"] == "ACTIVE")
    write(away, "away", 20)
    node.kill()
    node.start()
    home, away = node.client("dynamodb", HOME), node.client("dynamodb", AWAY)
    _eventually(lambda: found(away) == found(home) == set(acknowledged))
    home.update_table(TableName=name, ReplicaUpdates=[{"Delete": {"RegionName": AWAY}}])
    node.kill()
    node.start()
    home, away = node.client("dynamodb", HOME), node.client("dynamodb", AWAY)
    _eventually(lambda: not home.describe_table(TableName=name)["Table"].get("Replicas"))
    _eventually(lambda: name not in away.list_tables()["TableNames"])
    with pytest.raises(ClientError, match="ResourceNotFound"):
        away.describe_table(TableName=name)
