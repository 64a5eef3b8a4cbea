"""What must still be delivered: written in the transaction that caused it, deleted when it has arrived.

A delivery that fails is tried again with growing pauses; one that nobody takes, or that its target refuses for good, is given up
and told in the node's log.
"""

import asyncio
import base64
import logging
from collections.abc import Iterable

import orjson

from cumulet.core import ids
from cumulet.core.errors import Fault
from cumulet.delivery.targets import NoTarget, Targets
from cumulet.store.contract import Reader, Store, Txn
from cumulet.store.keys import pack, prefix_range

log = logging.getLogger("cumulet.delivery")

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0


class Outbox:
    """The deliveries of one kind of work; `prefix` is where they lie in each shard."""

    def __init__(self, store: Store, targets: Targets, prefix: str = "outbox") -> None:
        self._store = store
        self._targets = targets
        self._prefix = prefix
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, txn: Txn, deliveries: Iterable[tuple[str, bytes]]) -> list[bytes]:
        """Write (ARN, document) pairs in the caller's transaction; `send` their keys once it is committed."""
        keys = []
        for arn, document in deliveries:
            key = pack(self._prefix, ids.request_id())
            txn.put(key, orjson.dumps({"arn": arn, "document": base64.b64encode(document).decode()}))
            keys.append(key)
        return keys

    def send(self, shard: str, keys: Iterable[bytes]) -> None:
        """Deliver in the background."""
        for key in keys:
            task = asyncio.get_running_loop().create_task(self._deliver(shard, key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def recover(self, shard: str) -> None:
        """Take up what an earlier run of the node left."""

        def waiting(reader: Reader) -> list[bytes]:
            return [key for key, _ in reader.scan(*prefix_range(self._prefix))]

        self.send(shard, await self._store.read(shard, waiting))

    async def close(self) -> None:
        """Stop delivering; what has not arrived stays in the store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, shard: str, key: bytes) -> None:
        value = await self._store.read(shard, lambda reader: reader.get(key))
        if value is None:
            return
        record = orjson.loads(value)
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._targets.deliver(record["arn"], base64.b64decode(record["document"]))
                break
            except NoTarget as error:
                log.warning("a delivery was given up: %s", error)
                break
            except Fault as fault:
                if fault.status < 500 and fault.status != 429:
                    log.warning("a delivery to %s was given up: %s: %s", record["arn"], fault.code, fault.message)
                    break
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        await self._store.write(shard, lambda txn: txn.delete(key))
