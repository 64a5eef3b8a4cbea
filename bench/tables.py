"""Tables over the wire: single items, batches and queries; how cost grows with the table; how soon a full node is back.

    python bench/tables.py [--bytes 100] [--seconds 3] [--runs 3] [--durability os,sync]     # a table of 4,000 items
    python bench/tables.py --peers DIR [--only dynalite,moto]                       # beside others, from tables_peers.sh
    python bench/tables.py --cells "GetItem 16,Query 4"                              # only what begins so
    python bench/tables.py --url http://127.0.0.1:8000                                  # the same with another server
    python bench/tables.py --grow 10000,100000,1000000                                  # the same as it grows
    python bench/tables.py --many 10000                                                 # one table among many
    python bench/tables.py --restart 1000                                               # MB of items, then start to first read

Prints JSON lines. `server_us` is the processor time that the server took for a request, which a busy machine changes least.
Servers take turns, cell by cell; `ratio` is to the strongest of the others. `of_fsync` is a share of what one fdatasync for all
waiting requests allows, as fast as that was in the same run, and as fast as requests are without. Compare figures of one run only.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from http_client import HERE, Key, Load, Node, build, call_once, emit, load, median_of, percentile, run
from tables_peers import PEERS, Peer

KEY = Key("AKIABENCHBENCHBENCH1", "bench-secret-bench-secret-bench-secret-1")
PARTITIONS = 40
FILL_CONCURRENCY = 8
FILL_S = 600.0


class Tables:
    """The few operations that are needed, by hand. `pid` is the server's, where it is known."""

    def __init__(self, url: str, item_bytes: int, pid: int | None = None, title: str = "cumulet"):
        self.url, self.pid, self.item_bytes, self.title = url, pid, item_bytes, title
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
        length = max(1, self.item_bytes - 22)
        noise = base64.b64encode(random.Random(number).randbytes(length * 3 // 4 + 1)).decode()  # nothing that a disk could shorten
        return self.key(number) | {"n": {"N": "42"}, "data": {"S": noise[:length]}}

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
        if not requests:
            return
        outcome = await load(self.url, requests, 1, FILL_S, reopens=True, is_once=True)
        if outcome.errors or len(outcome.took_s) < len(requests):
            raise SystemExit(f"filling answered {outcome.last_error or 'nothing'}")

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


@dataclass
class Cell:
    """One operation at one concurrency. `requests` are made for each server."""

    what: str
    concurrency: int
    requests: Callable[[Tables], list[bytes]]
    items: int = 1

    @property
    def is_write(self) -> bool:
        return self.what in ("PutItem", "BatchWriteItem")


COUNT = 4000
UNSYNCED, SYNCED = "cumulet os", "cumulet sync"


def cells() -> list[Cell]:
    def put(tables: Tables) -> list[bytes]:
        return [tables.request("PutItem", TableName=tables.name, Item=tables.item(number)) for number in range(COUNT)]

    def get(tables: Tables) -> list[bytes]:
        return [tables.request("GetItem", TableName=tables.name, Key=tables.key(number)) for number in range(COUNT)]

    def batch_write(tables: Tables) -> list[bytes]:
        return [tables.batch_write(range(at, at + 25)) for at in range(0, COUNT, 25)]

    def batch_get(tables: Tables) -> list[bytes]:
        return [tables.batch_get(range(at, at + 100)) for at in range(0, COUNT, 100)]

    def query_all(tables: Tables) -> list[bytes]:
        return [query(tables, number) for number in range(PARTITIONS)]

    singles = [Cell(what, at, make) for at in (1, 16, 256) for what, make in (("PutItem", put), ("GetItem", get))]
    batches = [Cell("BatchWriteItem", at, batch_write, 25) for at in (4, 16)]
    return [*singles, *batches, Cell("BatchGetItem", 4, batch_get, 100), Cell("Query", 4, query_all, 100)]


async def measure_operations(options, servers: list[Tables], folder: str) -> None:
    """Each cell with each server in turn, as many rounds as `--runs` says."""
    filled = []
    for tables in servers:
        try:
            await tables.create(tables.name)
            await tables.fill(0, COUNT)
            filled.append(tables)
        except (SystemExit, OSError, asyncio.IncompleteReadError) as error:
            emit(what="left out", server=tables.title, error=str(error))
    chosen = [each.strip() for each in options.cells.split(",")]
    for cell in cells():
        if any(f"{cell.what} {cell.concurrency}".startswith(each) for each in chosen):
            await measure_cell(options, cell, filled, folder)
    for tables in filled:
        if tables.pid is not None:
            emit(what="memory", server=tables.title, mb=tables.memory_mb())


async def measure_cell(options, cell: Cell, servers: list[Tables], folder: str) -> None:
    requests = {tables.title: cell.requests(tables) for tables in servers}
    runs: dict[str, list[Load]] = {tables.title: [] for tables in servers}
    spent_s = dict.fromkeys(runs, 0.0)
    for tables in servers:
        await load(tables.url, requests[tables.title], cell.concurrency, 0.3, reopens=True)
    synced_s: list[float] = []
    for _ in range(options.runs):
        if cell.is_write and SYNCED in runs:
            synced_s += fdatasync_s(folder)
        for tables in servers:
            before = tables.cpu_s()
            runs[tables.title].append(
                await load(tables.url, requests[tables.title], cell.concurrency, options.seconds, reopens=True)
            )
            spent_s[tables.title] += (tables.cpu_s() or 0.0) - (before or 0.0)
    reached = {}
    for tables in servers:
        told = sorted((each.told() for each in runs[tables.title]), key=lambda found: found["per_s"])
        found = told[len(told) // 2] | {"spread": [told[0]["per_s"], told[-1]["per_s"]]}
        reached[tables.title] = found["per_s"]
        answered = sum(len(each.took_s) for each in runs[tables.title])
        if tables.pid is not None and answered:
            found["server_us"] = round(spent_s[tables.title] / answered * 1e6, 1)
        if cell.items > 1:
            found["items_per_s"] = found["per_s"] * cell.items
        if tables.title == SYNCED and synced_s:
            found |= of_fsync(found["per_s"], cell.concurrency, synced_s, reached.get(UNSYNCED))
        emit(what=cell.what, concurrency=cell.concurrency, server=tables.title, **found)
    ours = {title: per_s for title, per_s in reached.items() if title.startswith("cumulet")}
    others = {title: per_s for title, per_s in reached.items() if title not in ours}
    if ours and others:
        strongest = max(others, key=lambda title: others[title])
        ratios = {title: round(per_s / (others[strongest] or 1), 2) for title, per_s in ours.items()}
        emit(what="ratio", cell=f"{cell.what} {cell.concurrency}", strongest=strongest, **ratios)


def of_fsync(per_s: float, concurrency: int, synced_s: list[float], unsynced_per_s: float | None) -> dict:
    """The share of what one fdatasync for all waiting requests allows: a round takes that, and what requests take without."""
    mean_s = sum(synced_s) / len(synced_s)
    round_s = mean_s + (concurrency / unsynced_per_s if unsynced_per_s else 0.0)
    told = {"p50_ms": percentile(synced_s, 50), "p99_ms": percentile(synced_s, 99), "per_s": round(1 / mean_s)}
    return {"of_fsync": round(per_s * round_s / concurrency, 2), "fdatasync": told}


def fdatasync_s(folder: str) -> list[float]:
    """How long it takes to make a kilobyte more durable here, each time for 0.3 s."""
    took_s: list[float] = []
    with open(Path(folder) / "fdatasync", "wb", buffering=0) as file:
        while sum(took_s) < 0.3:
            started = time.perf_counter()
            file.write(b"x" * 1024)
            os.fdatasync(file.fileno())
            took_s.append(time.perf_counter() - started)
    return took_s


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


def _node(folder: str, options, durability: str = "") -> Node:
    key = f"{KEY.access_key_id}:{KEY.secret}"
    chosen = durability or options.durability.split(",")[0]
    settings = ["--port", "0", "--data", folder, "--root-key", key, "--durability", chosen, "--quiet"]
    return Node("-m", "cumulet.cli", "up", *settings)


def emit_run(options) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout.strip()
    where = options.url or f"cumulet, durability {options.durability}"
    load_1 = round(os.getloadavg()[0], 1)
    emit(what="run", commit=commit, server=where, item_bytes=options.bytes, python=sys.version.split()[0], load_average=load_1)


async def main(options) -> None:
    if options.restart:
        await measure_restart(options)
        return
    with ExitStack() as closing:
        folder = closing.enter_context(tempfile.TemporaryDirectory())
        servers = []
        if options.url:
            servers.append(Tables(options.url, options.bytes, title=options.url))
        else:
            for durability in options.durability.split(","):
                node = closing.enter_context(_node(f"{folder}/{durability}", options, durability))
                servers.append(Tables(node.url, options.bytes, node.process.pid, f"cumulet {durability}"))
        if options.grow:
            await measure_growth(options, servers[0])
        elif options.many:
            await measure_many(options, servers[0])
        else:
            for name in PEERS if options.peers else ():
                if not options.only or name in options.only.split(","):
                    peer = closing.enter_context(Peer(name, Path(options.peers)))
                    servers.append(Tables(peer.url, options.bytes, peer.process.pid, name))
            await measure_operations(options, servers, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="")
    parser.add_argument("--bytes", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--durability", choices=["sync", "os", "os,sync"], default="os")
    parser.add_argument("--peers", default="", help="the folder that they are in")
    parser.add_argument("--only", default="", help="of the peers")
    parser.add_argument("--cells", default="", help="what is measured, all of it if nothing is said")
    parser.add_argument("--grow", default="")
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("--restart", type=int, default=0)
    chosen = parser.parse_args()
    emit_run(chosen)
    run(main(chosen))
