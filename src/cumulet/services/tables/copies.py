"""Copies of tables as they were at one moment, made while they go on changing: backups, and restores to a point in time.

First all items are copied, chunk by chunk, whatever happens meanwhile; then every change since the moment is taken back, newest
first, so that each item becomes what it was before the first of them. A table keeps the history that this needs while copies
of it are made, or for as long as recovery to a point in time wants.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from cumulet.core.clock import Clock
from cumulet.services.tables import storage
from cumulet.services.tables.catalogue import Catalogue
from cumulet.services.tables.changes import Changes
from cumulet.services.tables.item_keys import ItemKeys
from cumulet.services.tables.jobs import Job, Step
from cumulet.services.tables.model import Table
from cumulet.store.contract import Reader, Store, Txn

_CHUNK = 200
_PURGE_CHUNK = 1_000
_FORGET_PAUSE_S = 3600.0


class Copies:
    """The steps of the jobs `backup`, `restore`, `unsave` and `trim`; and the loop that forgets what recovery no longer reaches."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        catalogue_of: Callable[[str], Catalogue],
        keys_of: Callable[[Table], ItemKeys],
        changes: Changes,
    ) -> None:
        self._store = store
        self._shards: set[str] = set()
        self._clock = clock
        self._catalogue_of = catalogue_of
        self._keys_of = keys_of
        self._changes = changes
        self.steps: Mapping[str, Step] = {
            "backup": self._backup,
            "restore": self._restore,
            "unsave": self._unsave,
            "trim": self._trim,
        }

    def seen(self, shard: str) -> None:
        """There may be tables in the shard that keep history."""
        self._shards.add(shard)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.forget()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _FORGET_PAUSE_S)

    async def forget(self) -> None:
        """Delete history older than recovery reaches."""
        for shard in sorted(self._shards):
            last: str | None = None
            while True:
                names, recoverable = await self._store.read(shard, partial(self._some_tables, shard, last))
                for name in recoverable:
                    has_more = True
                    while has_more:
                        has_more = await self._store.write(shard, partial(self._forget_some, shard, name))
                if len(names) < _CHUNK:
                    break
                last = names[-1]
                await asyncio.sleep(0)

    def _some_tables(self, shard: str, last: str | None, reader: Reader) -> tuple[list[str], list[str]]:
        """(names of tables after `last`, those of them that keep history for recovery)."""
        catalogue = self._catalogue_of(shard)
        names = storage.list_table_names(reader, last, _CHUNK)
        return names, [name for name in names if (table := catalogue.find(reader, name)) is not None and table.recovery is not None]

    def _forget_some(self, shard: str, name: str, txn: Txn) -> bool:
        table = self._catalogue_of(shard).find(txn, name)
        if table is None or table.recovery is None or table.copies:
            return False
        before_ms = self._clock.now_ms() - int(table.recovery["days"]) * 86_400_000
        prefix = storage.history_prefix(table.number)
        forgotten = 0
        for key, value in list(txn.scan(prefix, storage.end_of(prefix), limit=_PURGE_CHUNK)):
            if storage.split_history(key, value)[1] >= before_ms:
                break
            txn.delete(key)
            forgotten += 1
        return forgotten == _PURGE_CHUNK

    def _backup(self, shard: str, txn: Txn, job: Job) -> Job | None:
        """`state`: the table's name, the backup's id and number, the last change that is part of it."""
        target = storage.saved_prefix(job.state["backup"])

        def keep(tail: bytes, value: bytes | None) -> None:
            if value is None:
                txn.delete(target + tail)
            else:
                txn.put(target + tail, value)

        moved = self._advance(txn, job, storage.items_prefix(job.table), keep)
        if moved is not None:
            return moved
        backup = storage.find_document(txn, "backup", job.state["id"])
        if backup is not None:
            storage.put_document(txn, backup | {"status": "AVAILABLE"}, "backup", job.state["id"])
        return self._let_go(shard, txn, job, job.state["name"])

    def _restore(self, shard: str, txn: Txn, job: Job) -> Job | None:
        """`state`: the new table's name, and either a backup's number or the source table's name, number and moment."""
        catalogue = self._catalogue_of(shard)
        table = catalogue.find(txn, job.state["name"])
        assert table is not None and table.number == job.table  # a table that is being made cannot be dropped
        keys, now_ms = self._keys_of(table), self._clock.now_ms()

        def put(tail: bytes, value: bytes | None) -> None:
            key = keys.prefix + tail
            item = storage.item_of(value) if value is not None else None
            self._changes.write(txn, shard, keys, key, txn.get(key), value, new_item=item, now_ms=now_ms)

        source = job.state.get("source")
        prefix = storage.items_prefix(source) if source is not None else storage.saved_prefix(job.state["backup"])
        moved = self._advance(txn, job, prefix, put)
        if moved is not None:
            return moved
        summary = {**(table.restored or {}), "RestoreInProgress": False}
        storage.put_document(txn, {"name": table.name}, "name", table.number)
        storage.put_table(txn, replace(table, status="ACTIVE", restored=summary))
        if source is not None:
            return self._let_go(shard, txn, job, job.state["source_name"])
        backup = storage.find_document(txn, "backup", job.state["backup_id"])
        if backup is not None:
            storage.put_document(txn, backup | {"restores": max(0, backup.get("restores", 0) - 1)}, "backup", backup["id"])
        return None

    def _unsave(self, shard: str, txn: Txn, job: Job) -> Job | None:
        """Clear away what a backup held."""
        return job if storage.purge(txn, storage.saved_prefix(job.state["backup"]), _PURGE_CHUNK) else None

    def _trim(self, shard: str, txn: Txn, job: Job) -> Job | None:
        """Forget history that nothing needs any more: all of it, or what is older than recovery reaches."""
        table = self._catalogue_of(shard).find(txn, job.state["name"])
        if table is not None and table.number == job.table and table.keeps_history:
            return None  # since then it is needed again
        return job if storage.purge(txn, storage.history_prefix(job.table), _PURGE_CHUNK) else None

    def _advance(self, txn: Txn, job: Job, prefix: bytes, put: Callable[[bytes, bytes | None], None]) -> Job | None:
        """A part of the copying, then of the taking back; None when both are done."""
        if "undo" not in job.state:
            cursor = bytes.fromhex(job.state.get("cursor", "")) or prefix
            pairs = list(txn.scan(cursor, storage.end_of(prefix), limit=_CHUNK))
            for key, value in pairs:
                put(key[len(prefix) :], value)
            if len(pairs) == _CHUNK:
                return job.moved(cursor=(pairs[-1][0] + b"\x00").hex())
            if "since" not in job.state and "since_ms" not in job.state:
                return None
            return job.moved(undo=storage.last_history(txn, job.state["history"]))
        return self._take_back(txn, job, put)

    def _take_back(self, txn: Txn, job: Job, put: Callable[[bytes, bytes | None], None]) -> Job | None:
        prefix = storage.history_prefix(job.state["history"])
        newest = job.state["undo"]
        start = prefix + (job.state.get("since", 0) + 1).to_bytes(8, "big")
        end = prefix + (newest + 1).to_bytes(8, "big")
        pairs = list(txn.scan(start, end, reverse=True, limit=_CHUNK)) if start < end else []
        for key, value in pairs:
            number, at_ms, tail, old = storage.split_history(key, value)
            if at_ms <= job.state.get("since_ms", -1):
                return None
            put(tail, old)
            newest = number - 1
        return job.moved(undo=newest) if len(pairs) == _CHUNK else None

    def _let_go(self, shard: str, txn: Txn, job: Job, source_name: str) -> Job | None:
        """The source is done with: its history goes on only if something else needs it."""
        source = self._catalogue_of(shard).find(txn, source_name)
        if source is None or source.number != job.state["history"]:
            return None
        source = replace(source, copies=max(0, source.copies - 1))
        storage.put_table(txn, source)
        if source.keeps_history:
            return None
        return Job(job.id, "trim", source.number, {"name": source.name})
