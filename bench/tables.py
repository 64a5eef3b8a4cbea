"""Tables over the wire: single items, batches and queries; how cost grows with the table; how soon a full node is back.

    python bench/tables.py [--bytes 100] [--seconds 3] [--runs 3] [--durability os]     # a table of 4,000 items
    python bench/tables.py --url http://127.0.0.1:8000                                  # the same with another server
    python bench/tables.py --grow 10000,100000,1000000                                  # the same as it grows
    python bench/tables.py --many 10000                                                 # one table among many
    python bench/tables.py --restart 1000                                               # MB of items, then start to first read

Prints JSON lines. `server_us` is the processor time that the server took for a request, which a busy machine changes least.
Compare figures of one run only.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack

from http_client import HERE, Key, Load, Node, build, call_once, emit, load, median_of, run

KEY = Key("AKIABENCHBENCHBENCH1", "bench-secret-bench-secret-bench-secret-1")
PARTITIONS = 40
FILL_CONCURRENCY = 8


class Tables:
    """The few operations that are needed, by hand. `pid` is the server's, where it is known."""

    def __init__(self, url: str, item_bytes: int, pid: int | None = None):
        self.url, self.pid, self.item_bytes = url, pid, item_bytes
        self.name = f"bench{int(time.time())}"

    def request(self, operation: str, **body) -> bytes:
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"DynamoDB_20120810.{operation}"}
        return build(self.url + "/", "POST", json.dumps(body).encode(), headers, (KEY, "dynamodb"))

    async def call(self, operation: str, **body) -> dict:
        status, answer, _ = await call_once(self.url, self.request(operation, **body))
        if status != 200:
            raise SystemExit(f"{operation} answered {status} {answer[:300].decode()}")
        return json.loads(answer)

    async def create(self, name: str) -> None:
        names = [("pk", "HASH"), ("sk", "RANGE")]
        await self.call(
            "CreateTable",
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each, _ in names],
            KeySchema=[{"AttributeName": each, "KeyType": kind} for each, kind in names],
        )
        for _ in range(100):
            if (await self.call("DescribeTable", TableName=name))["Table"]["TableStatus"] == "ACTIVE":
                return
            await asyncio.sleep(0.05)
        raise SystemExit(f"{name} did not become ACTIVE")

    def key(self, number: int) -> dict:
        return {"pk": {"S": f"p{number % PARTITIONS}"}, "sk": {"S": f"s{number:08}"}}

    def item(self, number: int) -> dict:
        """`item_bytes` of names and values, as DynamoDB counts."""
        return self.key(number) | {"n": {"N": "42"}, "data": {"S": "x" * max(1, self.item_bytes - 22)}}

    def batch_write(self, numbers) -> bytes:
        return self.request(
            "BatchWriteItem", RequestItems={self.name: [{"PutRequest": {"Item": self.item(number)}} for number in numbers]}
        )

    def batch_get(self, numbers) -> bytes:
        return self.request("BatchGetItem", RequestItems={self.name: {"Keys": [self.key(number) for number in numbers]}})

    async def fill(self, first: int, count: int) -> None:
        """Write items first … count - 1 in batches, each once."""
        for start in range(first, count, 25 * FILL_CONCURRENCY * 50):
            end = min(count, start + 25 * FILL_CONCURRENCY * 50)
            requests = [self.batch_write(range(at, min(end, at + 25))) for at in range(start, end, 25)]
            share = -(-len(requests) // FILL_CONCURRENCY)

            await asyncio.gather(*(self._send(requests[at : at + share]) for at in range(0, len(requests), share)))

    async def _send(self, requests: list[bytes]) -> None:
        for request in requests:
            status, answer, _ = await call_once(self.url, request)
            if status != 200:
                raise SystemExit(f"filling answered {status} {answer[:300].decode()}")

    def cpu_s(self) -> float | None:
        """Processor time of the server's process."""
        if self.pid is None:
            return None
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> int | None:
        if self.pid is None:
            return None
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

    async def measure(self, options, what: str, requests: list[bytes], concurrency: int, items: int = 1, **fields) -> None:
        await load(self.url, requests, concurrency, 0.3)
        before, answered = self.cpu_s(), 0

        async def once() -> Load:
            nonlocal answered
            outcome = await load(self.url, requests, concurrency, options.seconds)
            answered += len(outcome.took_s)
            return outcome

        told = await median_of(options.runs, once)
        after = self.cpu_s()
        if before is not None and after is not None and answered:
            told["server_us"] = round((after - before) / answered * 1e6, 1)
        if items > 1:
            told["items_per_s"] = told["per_s"] * items
        emit(what=what, concurrency=concurrency, **fields, **told)


async def measure_operations(options, tables: Tables) -> None:
    await tables.create(tables.name)
    count = 4000
    await tables.fill(0, count)
    put = [tables.request("PutItem", TableName=tables.name, Item=tables.item(number)) for number in range(count)]
    get = [tables.request("GetItem", TableName=tables.name, Key=tables.key(number)) for number in range(count)]
    for concurrency in (1, 16, 256):
        await tables.measure(options, "PutItem", put, concurrency)
        await tables.measure(options, "GetItem", get, concurrency)
    writes = [tables.batch_write(range(at, at + 25)) for at in range(0, count, 25)]
    await tables.measure(options, "BatchWriteItem(25)", writes, 4, 25)
    await tables.measure(options, "BatchWriteItem(25)", writes, 16, 25)
    reads = [tables.batch_get(range(at, at + 100)) for at in range(0, count, 100)]
    await tables.measure(options, "BatchGetItem(100)", reads, 4, 100)
    await tables.measure(options, "Query of 100", [query(tables, number) for number in range(PARTITIONS)], 4)
    emit(what="memory", mb=tables.memory_mb())


def query(tables: Tables, partition: int) -> bytes:
    values = {":p": {"S": f"p{partition}"}}
    return tables.request(
        "Query", TableName=tables.name, KeyConditionExpression="pk = :p", Limit=100, ExpressionAttributeValues=values
    )


async def measure_growth(options, tables: Tables) -> None:
    await tables.create(tables.name)
    filled = 0
    for count in map(int, options.grow.split(",")):
        await tables.fill(filled, count)
        filled = count
        step = max(1, count // 4000)
        numbers = [number * step for number in range(4000)]
        get = [tables.request("GetItem", TableName=tables.name, Key=tables.key(number)) for number in numbers]
        put = [tables.request("PutItem", TableName=tables.name, Item=tables.item(number)) for number in numbers]
        reads = [tables.batch_get(numbers[at : at + 100]) for at in range(0, 4000, 100)]
        await tables.measure(options, "GetItem", get, 16, items_in_table=count)
        await tables.measure(options, "PutItem", put, 16, items_in_table=count)
        await tables.measure(options, "BatchGetItem(100)", reads, 4, 100, items_in_table=count)
        await tables.measure(
            options, "Query of 100", [query(tables, number) for number in range(PARTITIONS)], 4, items_in_table=count
        )
        emit(what="memory", mb=tables.memory_mb(), items_in_table=count)


async def measure_many(options, tables: Tables) -> None:
    await tables.create(tables.name)
    await tables.fill(0, 4000)
    get = [tables.request("GetItem", TableName=tables.name, Key=tables.key(number)) for number in range(4000)]
    await tables.measure(options, "GetItem", get, 16, tables=1)
    for number in range(options.many - 1):
        await tables.create(f"{tables.name}-{number}")
    await tables.measure(options, "GetItem", get, 16, tables=options.many)
    spread = [
        tables.request("GetItem", TableName=f"{tables.name}-{number}", Key=tables.key(number)) for number in range(options.many - 1)
    ]
    await tables.measure(options, "GetItem, each of another table", spread, 16, tables=options.many)
    emit(what="memory", mb=tables.memory_mb(), tables=options.many)


async def measure_restart(options) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with _node(folder, options) as node:
            tables = Tables(node.url, 1000, node.process.pid)
            await tables.create(tables.name)
            await tables.fill(0, options.restart * 1000)
            emit(what="filled", mb=options.restart, memory_mb=tables.memory_mb())
        with _node(folder, options) as node:
            again = Tables(node.url, 1000, node.process.pid)
            again.name = tables.name
            found = await again.call("GetItem", TableName=again.name, Key=again.key(0))
            took_s = time.perf_counter() - node.started
            assert found["Item"] == again.item(0)
            emit(what="start to first read", mb=options.restart, seconds=round(took_s, 2), memory_mb=again.memory_mb())


def _node(folder: str, options) -> Node:
    key = f"{KEY.access_key_id}:{KEY.secret}"
    settings = ["--port", "0", "--data", folder, "--root-key", key, "--durability", options.durability, "--quiet"]
    return Node("-m", "cumulet.cli", "up", *settings)


def emit_run(options) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout.strip()
    where = options.url or f"cumulet, durability {options.durability}"
    emit(what="run", commit=commit, server=where, item_bytes=options.bytes, python=sys.version.split()[0])


async def main(options) -> None:
    if options.restart:
        await measure_restart(options)
        return
    with ExitStack() as closing:
        if options.url:
            tables = Tables(options.url, options.bytes)
        else:
            node = closing.enter_context(_node(closing.enter_context(tempfile.TemporaryDirectory()), options))
            tables = Tables(node.url, options.bytes, node.process.pid)
        measure = measure_growth if options.grow else measure_many if options.many else measure_operations
        await measure(options, tables)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="")
    parser.add_argument("--bytes", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--durability", choices=["sync", "os"], default="os")
    parser.add_argument("--grow", default="")
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("--restart", type=int, default=0)
    chosen = parser.parse_args()
    emit_run(chosen)
    run(main(chosen))
