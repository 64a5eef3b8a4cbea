"""What happens beside requests: indexes that fill, items that end, capacity that runs out, records of what changed."""

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cumulet.core.clock import ManualClock
from cumulet.services.tables import storage
from cumulet.services.tables.model import Place
from cumulet.store.memory import MemoryStore

from .conftest import ACCOUNT, REGION, InProcess, index, refusal, schema

SHARD = storage.shard_of(Place(ACCOUNT, REGION))


def attributes(**types: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def fill(tables: InProcess, count: int, name: str = "music", **more: Any) -> None:
    for first in range(0, count, 25):
        items = [{"pk": {"S": f"p{number}"}, **more} for number in range(first, min(count, first + 25))]
        tables.call("BatchWriteItem", RequestItems={name: [{"PutRequest": {"Item": item}} for item in items]})


def records(tables: InProcess, name: str = "music") -> list[dict[str, Any]]:
    streams = tables.service.streams

    def read(reader: Any) -> list[dict[str, Any]]:
        return [record for stream in streams.all(reader, name) for _, record in streams.read(reader, stream, 0, 10_000)]

    return tables.loop.run_until_complete(tables.store.read(SHARD, read))


def keys_left(tables: InProcess) -> list[bytes]:
    """All that is not a document."""
    return tables.loop.run_until_complete(
        tables.store.read(SHARD, lambda reader: [key for key, _ in reader.scan(b"") if key[:1] >= storage.ITEM])
    )


def test_an_index_fills_with_what_is_there_and_with_what_comes(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema())
    fill(tables, 3000, genre={"S": "rock"})
    tables.call("PutItem", TableName="music", Item={"pk": {"S": "odd"}, "genre": {"N": "1"}})  # no key of the index to come
    created = tables.call(
        "UpdateTable",
        TableName="music",
        AttributeDefinitions=attributes(pk="S", genre="S"),
        GlobalSecondaryIndexUpdates=[{"Create": index("by-genre", "genre", None, "KEYS_ONLY")}],
    )["TableDescription"]
    assert created["TableStatus"] == "UPDATING" and created["GlobalSecondaryIndexes"][0]["IndexStatus"] == "CREATING"
    ask = lambda: tables.call(  # noqa: E731
        "Query", TableName="music", IndexName="by-genre", KeyConditionExpression="genre = :g", Select="COUNT",
        ExpressionAttributeValues={":g": {"S": "rock"}})  # fmt: skip
    assert refusal(ask) == ("ValidationException", "Cannot read from backfilling global secondary index: by-genre")
    tables.call("DeleteItem", TableName="music", Key={"pk": {"S": "p2999"}})
    tables.call("PutItem", TableName="music", Item={"pk": {"S": "new"}, "genre": {"S": "rock"}})
    tables.call("UpdateItem", TableName="music", Key={"pk": {"S": "p5"}}, UpdateExpression="REMOVE genre")
    found = tables.call("DescribeTable", TableName="music")["Table"]
    assert found["TableStatus"] == "ACTIVE" and found["GlobalSecondaryIndexes"][0]["IndexStatus"] == "ACTIVE"
    assert ask()["Count"] == 2999
    tables.call("UpdateTable", TableName="music", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-genre"}}])
    found = tables.call("DescribeTable", TableName="music")["Table"]
    assert "GlobalSecondaryIndexes" not in found and found["AttributeDefinitions"] == attributes(pk="S")
    assert {key[:1] for key in keys_left(tables)} == {storage.ITEM}


def test_work_goes_on_where_a_node_stopped() -> None:
    store = MemoryStore()
    first = InProcess(store)
    first.call("CreateTable", TableName="music", **schema())
    fill(first, 3000, genre={"S": "rock"})
    first.call(
        "UpdateTable",
        TableName="music",
        AttributeDefinitions=attributes(pk="S", genre="S"),
        GlobalSecondaryIndexUpdates=[{"Create": index("by-genre", "genre")}],
    )
    first.loop.run_until_complete(asyncio.sleep(0))  # a chunk or two, not all
    first.close()
    second = InProcess(store)
    found = second.call("DescribeTable", TableName="music")["Table"]
    assert found["GlobalSecondaryIndexes"][0]["IndexStatus"] == "ACTIVE"
    assert second.call("Scan", TableName="music", IndexName="by-genre", Select="COUNT")["Count"] == 3000
    second.close()


def test_a_dropped_table_leaves_nothing(tables: InProcess) -> None:
    definition = schema("S", "N")
    definition["AttributeDefinitions"] += attributes(g="S")
    definition["LocalSecondaryIndexes"] = [index("local", "pk", "g")]
    definition["GlobalSecondaryIndexes"] = [index("by-g", "g")]
    tables.call("CreateTable", TableName="music", **definition)
    for number in range(50):
        tables.call("PutItem", TableName="music", Item={"pk": {"S": "a"}, "sk": {"N": str(number)}, "g": {"S": "x"}})
    assert len(keys_left(tables)) == 151
    tables.call("DeleteTable", TableName="music")
    tables.call("CreateTable", TableName="music", **schema())
    tables.settle()
    assert keys_left(tables) == []
    assert tables.call("Scan", TableName="music")["Items"] == []


def test_an_item_ends_when_its_time_has_come(tables: InProcess) -> None:
    stream = {"StreamEnabled": True, "StreamViewType": "OLD_IMAGE"}
    tables.call("CreateTable", TableName="music", StreamSpecification=stream, **schema())
    now_s = tables.clock.now_ms() // 1000
    put = lambda name, ends: tables.call(  # noqa: E731
        "PutItem", TableName="music", Item={"pk": {"S": name}, "ends": ends} if ends else {"pk": {"S": name}})  # fmt: skip
    put("before", {"N": str(now_s + 5)})
    tables.call("UpdateTimeToLive", TableName="music", TimeToLiveSpecification={"Enabled": True, "AttributeName": "ends"})
    tables.call("DescribeTimeToLive", TableName="music")
    put("soon", {"N": str(now_s + 10)})
    put("put off", {"N": str(now_s + 10)})
    put("put off", {"N": str(now_s + 99)})
    put("ancient", {"N": "5"})
    put("text", {"S": str(now_s + 10)})
    put("never", None)
    names = lambda: sorted(item["pk"]["S"] for item in tables.call("Scan", TableName="music")["Items"])  # noqa: E731
    sweep = lambda: tables.loop.run_until_complete(tables.service._expiries.sweep())  # noqa: E731
    assert sweep() == now_s + 5 and len(names()) == 6
    tables.clock.advance(seconds=11)
    assert sweep() == now_s + 99
    assert names() == ["ancient", "never", "put off", "text"]
    gone = [record for record in records(tables) if record["event"] == "REMOVE"]
    assert [(record["keys"]["pk"]["S"], record["user"]["principalId"]) for record in gone] == [
        ("before", "dynamodb.amazonaws.com"),
        ("soon", "dynamodb.amazonaws.com"),
    ]


def test_the_loop_wakes_for_what_ends_first() -> None:
    class Soon(ManualClock):
        """Time that passes as the loop's does, from a fixed day on."""

        def now_ms(self) -> int:
            return 1_700_000_000_000 + int(self.started() * 1000)

        def started(self) -> float:
            return 0.0

    loop_time = Soon()
    tables = InProcess(clock=loop_time)
    began = tables.loop.time()
    loop_time.started = lambda: tables.loop.time() - began  # type: ignore[method-assign]
    tables.call("CreateTable", TableName="music", **schema())
    tables.call("UpdateTimeToLive", TableName="music", TimeToLiveSpecification={"Enabled": True, "AttributeName": "ends"})
    tables.call("DescribeTimeToLive", TableName="music")
    ends = loop_time.now_ms() // 1000 + 1
    tables.call("PutItem", TableName="music", Item={"pk": {"S": "late"}, "ends": {"N": str(ends + 500)}})
    tables.call("PutItem", TableName="music", Item={"pk": {"S": "soon"}, "ends": {"N": str(ends)}})

    async def gone() -> None:
        while (await tables.answer("Scan", {"TableName": "music"}))["Count"] > 1:
            await asyncio.sleep(0.02)

    tables.loop.run_until_complete(asyncio.wait_for(gone(), 10))
    assert loop_time.now_ms() >= ends * 1000
    tables.close()


@pytest.mark.parametrize(
    ("view", "members"),
    [
        ("KEYS_ONLY", set()),
        ("NEW_IMAGE", {"new"}),
        ("OLD_IMAGE", {"old"}),
        ("NEW_AND_OLD_IMAGES", {"new", "old"}),
    ],
)
def test_exactly_one_record_for_each_change(tables: InProcess, view: str, members: set[str]) -> None:
    tables.call("CreateTable", TableName="music", StreamSpecification={"StreamEnabled": True, "StreamViewType": view}, **schema())
    key = {"pk": {"S": "a"}}
    item = key | {"set": {"SS": ["x", "y"]}}
    tables.call("PutItem", TableName="music", Item=item)
    tables.call("PutItem", TableName="music", Item=item)
    tables.call("PutItem", TableName="music", Item=key | {"set": {"SS": ["y", "x"]}})  # the same set
    tables.call("UpdateItem", TableName="music", Key=key, UpdateExpression="REMOVE nothing")
    tables.call("UpdateItem", TableName="music", Key=key, UpdateExpression="REMOVE #s", ExpressionAttributeNames={"#s": "set"})
    tables.call("TransactWriteItems", TransactItems=[{"Delete": {"TableName": "music", "Key": key}}])
    tables.call("DeleteItem", TableName="music", Key=key)
    with pytest.raises(ClientError):
        tables.call("PutItem", TableName="music", Item=item, ConditionExpression="attribute_exists(pk)")
    found = records(tables)
    assert [record["event"] for record in found] == ["INSERT", "MODIFY", "REMOVE"]
    assert all(record["keys"] == key for record in found)
    assert {name for record in found for name in record} - {"event", "at_ms", "keys"} == members
    if view == "NEW_AND_OLD_IMAGES":
        assert found[1]["new"] == key and found[2]["old"] == key and "old" not in found[0]


def test_records_are_kept_for_a_day(tables: InProcess) -> None:
    on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    tables.call("CreateTable", TableName="music", StreamSpecification=on, **schema())
    fill(tables, 1)
    tables.clock.advance(seconds=86_400 - 10)
    fill(tables, 3)
    tables.call("PutItem", TableName="music", Item={"pk": {"S": "new"}})
    tables.clock.advance(seconds=11)
    trim = lambda: tables.loop.run_until_complete(tables.service.streams.trim())  # noqa: E731
    trim()
    assert len(records(tables)) == 3
    tables.call("UpdateTable", TableName="music", StreamSpecification={"StreamEnabled": False})
    tables.clock.advance(seconds=86_400)
    trim()
    assert records(tables) == [] and {key[:1] for key in keys_left(tables)} == {storage.ITEM}


def test_a_stream_wakes_its_readers(tables: InProcess) -> None:
    on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    tables.call("CreateTable", TableName="music", StreamSpecification=on, **schema())
    woken: list[int] = []
    end = tables.service.streams.subscribe(SHARD, "music", lambda: woken.append(1))
    fill(tables, 1)
    end()
    fill(tables, 2)
    assert len(woken) == 1


TABLE_LEVEL = "The level of configured provisioned throughput for the table was exceeded."


def test_provisioned_capacity_runs_out_and_comes_back(tables: InProcess) -> None:
    capacity = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2}}
    tables.call("CreateTable", TableName="music", **schema() | capacity)
    large = {"pk": {"S": "a"}, "x": {"S": "x" * 100_000}}  # 98 units
    put = lambda: tables.call("PutItem", TableName="music", Item=large)  # noqa: E731
    for _ in range(6):
        put()  # 588 of the 600 saved up
    for _ in range(6):
        tables.call("PutItem", TableName="music", Item={"pk": {"S": "b"}, "x": {"S": "x" * 1100}})
    code, message = refusal(put)
    assert code == "ProvisionedThroughputExceededException" and message.startswith(TABLE_LEVEL)
    tables.clock.advance(seconds=1)
    put()
    refusal(put)
    get = lambda: tables.call("GetItem", TableName="music", Key={"pk": {"S": "a"}}, ConsistentRead=True)  # noqa: E731
    for _ in range(12):
        get()
    assert refusal(get)[0] == "ProvisionedThroughputExceededException"


def test_a_batch_tells_what_it_had_no_capacity_for(tables: InProcess) -> None:
    capacity = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}
    tables.call("CreateTable", TableName="music", **schema() | capacity)
    fill(tables, 290)
    writes = [{"PutRequest": {"Item": {"pk": {"S": f"q{number}"}}}} for number in range(25)]
    left = tables.call("BatchWriteItem", RequestItems={"music": writes})["UnprocessedItems"]["music"]
    assert left == writes[10:]
    assert (
        refusal(lambda: tables.call("BatchWriteItem", RequestItems={"music": left}))[0] == "ProvisionedThroughputExceededException"
    )
    assert tables.call("Scan", TableName="music", Select="COUNT")["Count"] == 300


def test_an_index_that_runs_out_stops_its_table(tables: InProcess) -> None:
    small, large = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}, {"ReadCapacityUnits": 100, "WriteCapacityUnits": 1000}
    definition = schema() | {"BillingMode": "PROVISIONED", "ProvisionedThroughput": large}
    definition["AttributeDefinitions"] += attributes(g="S")
    definition["GlobalSecondaryIndexes"] = [index("by-g", "g") | {"ProvisionedThroughput": small}]
    tables.call("CreateTable", TableName="music", **definition)
    fill(tables, 300, g={"S": "x"})
    code, message = refusal(lambda: tables.call("PutItem", TableName="music", Item={"pk": {"S": "n"}, "g": {"S": "x"}}))
    assert code == "ProvisionedThroughputExceededException" and "global secondary indexes" in message
    tables.call("PutItem", TableName="music", Item={"pk": {"S": "n"}})


def test_item_collections_are_weighed(tables: InProcess) -> None:
    definition = schema("S", "N")
    definition["AttributeDefinitions"] += attributes(g="S")
    definition["LocalSecondaryIndexes"] = [index("local", "pk", "g")]
    tables.call("CreateTable", TableName="music", **definition)
    item = {"pk": {"S": "a"}, "sk": {"N": "1"}}
    told = tables.call("PutItem", TableName="music", Item=item, ReturnItemCollectionMetrics="SIZE")
    assert told["ItemCollectionMetrics"] == {"ItemCollectionKey": {"pk": {"S": "a"}}, "SizeEstimateRangeGB": [0.0, 1.0]}


def test_an_item_collection_of_10_gb_takes_no_more(tables: InProcess) -> None:
    definition = schema("S", "N")
    definition["AttributeDefinitions"] += attributes(g="S")
    definition["LocalSecondaryIndexes"] = [index("local", "pk", "g")]
    tables.call("CreateTable", TableName="music", **definition)
    item = {"pk": {"S": "a"}, "sk": {"N": "1"}, "g": {"S": "x"}}
    tables.call("PutItem", TableName="music", Item=item)

    def weigh(txn: Any) -> None:  # as if there were much more
        ((key, _),) = txn.scan(storage.COLLECTION, storage.end_of(storage.COLLECTION))
        txn.put(key, (10 << 30).to_bytes(8, "big"))

    tables.loop.run_until_complete(tables.store.write(SHARD, weigh))
    more = item | {"sk": {"N": "2"}}
    full = ("ItemCollectionSizeLimitExceededException", "Collection size exceeded.")
    assert refusal(lambda: tables.call("PutItem", TableName="music", Item=more)) == full
    assert refusal(lambda: tables.call("BatchWriteItem", RequestItems={"music": [{"PutRequest": {"Item": more}}]})) == full
    with pytest.raises(ClientError) as caught:
        tables.call("TransactWriteItems", TransactItems=[{"Put": {"TableName": "music", "Item": more}}])
    assert caught.value.response["CancellationReasons"][0]["Code"] == "ItemCollectionSizeLimitExceeded"
    tables.call("PutItem", TableName="music", Item=more | {"pk": {"S": "b"}})
    tables.call("DeleteItem", TableName="music", Key={"pk": {"S": "a"}, "sk": {"N": "1"}})
    tables.call("PutItem", TableName="music", Item=more)


def test_figures_of_a_table_are_counted(tables: InProcess) -> None:
    tables.call("CreateTable", TableName="music", **schema())
    fill(tables, 100)
    found = tables.call("DescribeTable", TableName="music")["Table"]
    assert found["ItemCount"] == 100 and found["TableSizeBytes"] == sum(len(f"pkp{number}") for number in range(100))
