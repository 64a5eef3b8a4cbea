"""Work on tables that outlives the request that asked for it: making, dropping, filling and clearing.

A job is a document, written in the transaction that makes it necessary and deleted in the one that completes it; its cursor moves
in the transactions that do its steps. So a node that dies takes up where it was, and nothing is done twice or left out.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cumulet.services.tables import storage
from cumulet.services.tables.model import Document
from cumulet.store.contract import Reader, Store, StoreClosed, Txn

log = logging.getLogger("cumulet.tables")


@dataclass(frozen=True, slots=True)
class Job:
    """`kind` says what to do, `table` is the table's number; `state` is the kind's own, of values that JSON has."""

    id: int
    kind: str
    table: int
    state: Document

    def save(self, txn: Txn) -> None:
        storage.put_document(txn, {"id": self.id, "kind": self.kind, "table": self.table, "state": self.state}, "job", self.id)

    def moved(self, **state: Any) -> "Job":
        return Job(self.id, self.kind, self.table, self.state | state)


Step = Callable[[str, Txn, Job], Job | None]
"""(shard, transaction, job) -> the job as it goes on, perhaps as one of another kind; None: it is done."""


class Announce(Protocol):
    """Told of every job that ends."""

    def __call__(self, shard: str, job: Job) -> None: ...


class Jobs:
    """See the module's text. `steps` are by kind; `run` is the loop."""

    def __init__(self, store: Store, steps: Mapping[str, Step]) -> None:
        self._store = store
        self._steps = steps
        self._waiting: list[tuple[str, Job]] = []
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[asyncio.Task[None], tuple[str, int]] = {}

    def add(self, txn: Txn, kind: str, table: int, **state: Any) -> Job:
        """Write a job in the caller's transaction; `start` it once that is committed."""
        job = Job(storage.new_number(txn), kind, table, state)
        job.save(txn)
        return job

    def start(self, shard: str, *jobs: Job) -> None:
        for job in jobs:
            if self._group is None:
                self._waiting.append((shard, job))
            else:
                task = self._group.create_task(self._work(shard, job))
                self._tasks[task] = (shard, job.table)
                task.add_done_callback(lambda ended: self._tasks.pop(ended, None))

    async def recover(self, shard: str) -> None:
        """Take up what an earlier run of the node left."""

        def left(reader: Reader) -> list[Job]:
            return [Job(each["id"], each["kind"], each["table"], each["state"]) for each in storage.list_documents(reader, "job")]

        self.start(shard, *await self._store.read(shard, left))

    async def settled(self, shard: str, table: int, wait_s: float) -> None:
        """Return when the table's running jobs have ended, or after `wait_s`."""
        tasks = [task for task, place in self._tasks.items() if place == (shard, table)]
        if tasks:
            await asyncio.wait(tasks, timeout=wait_s)

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            waiting, self._waiting = self._waiting, []
            for shard, job in waiting:
                self.start(shard, job)
            await stop.wait()
            self._group = None
            for task in self._tasks:
                task.cancel()

    async def _work(self, shard: str, job: Job | None) -> None:
        def advance(txn: Txn, job: Job) -> Job | None:
            moved = self._steps[job.kind](shard, txn, job)
            if moved is None:
                storage.delete_document(txn, "job", job.id)
            else:
                moved.save(txn)
            return moved

        try:
            while job is not None:
                current = job
                job = await self._store.write(shard, lambda txn, current=current: advance(txn, current))  # type: ignore[misc]
                await asyncio.sleep(0)  # others come first
        except StoreClosed:
            log.info("work on a table waits for the next start of the node")
