"""A program for test_crash: pollers over the embedded store and a stream that is there before it starts. Prints each batch that its
function gets; the function answers a batch only after a line on stdin."""

import asyncio
import json
import sys
from pathlib import Path

from cumulet.core.clock import SystemClock
from cumulet.delivery.targets import Targets
from cumulet.invoke.contract import AsyncSettings, InvocationResult
from cumulet.pollers.contract import Shard, SourceMapping, Sources, StreamRecord
from cumulet.pollers.family import Pollers
from cumulet.runtimes.contract import FunctionSpec
from cumulet.store.open import open_store

SPEC = FunctionSpec("000000000000", "r", "f", "id", "$LATEST", "c", "python3.11", "h", "code", "arn:aws:iam::000000000000:role/r")


class Given:
    retention_ms = 24 * 3600 * 1000

    def __init__(self, count):
        now_ms = SystemClock().now_ms()
        self.records = [StreamRecord(str(n + 1), now_ms, b"%d" % (n % 5), {"n": n}, 10) for n in range(count)]

    async def shards(self, arn):
        return [Shard("s")]

    async def read(self, arn, shard_id, after, limit):
        return self.records[int(after or 0) :][:limit]

    async def newest(self, arn, shard_id):
        return self.records[-1].sequence

    def subscribe(self, arn, wake):
        return lambda: None


class Asking:
    async def invoke(self, spec, invocation):
        print(json.dumps([record["n"] for record in json.loads(invocation.payload)["Records"]]), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        return InvocationResult(b"null", "$LATEST")


async def main(folder, count):
    store = await open_store("embedded", Path(folder), "os")
    sources = Sources()
    arn = "arn:aws:dynamodb:r:000000000000:table/t/stream/x"
    sources.register("dynamodb", Given(count))

    async def resolve(account, region, name, qualifier):
        return SPEC, AsyncSettings()

    pollers = Pollers(store, SystemClock(), Asking(), resolve, Targets(), sources)
    settings = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 3}
    await pollers.open([SourceMapping("u", "000000000000", "r", arn, "f", None, True, settings)])
    await pollers.run(asyncio.Event())


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
