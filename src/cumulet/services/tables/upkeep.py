"""The steps of jobs on tables: each is a part of one transaction, small enough not to hold up others."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cumulet.core.clock import Clock
from cumulet.services.tables import storage
from cumulet.services.tables.catalogue import Catalogue
from cumulet.services.tables.census import Census
from cumulet.services.tables.changes import Changes
from cumulet.services.tables.item_keys import ItemKeys
from cumulet.services.tables.jobs import Job, Step
from cumulet.services.tables.model import Expiry, Table
from cumulet.services.tables.streams import EXPIRED
from cumulet.services.tables.ttl import expiry_of
from cumulet.store.contract import Txn

_CHUNK = 200
_PURGE_CHUNK = 1_000


class Upkeep:
    def __init__(
        self,
        clock: Clock,
        catalogue_of: Callable[[str], Catalogue],
        keys_of: Callable[[Table], ItemKeys],
        changes: Changes,
        census: Census,
        notice: Callable[[str, int], None],
    ) -> None:
        self._clock = clock
        self._catalogue_of = catalogue_of
        self._keys_of = keys_of
        self._changes = changes
        self._census = census
        self._notice = notice
        self.steps: Mapping[str, Step] = {
            "settle": self._settle,
            "drop": self._drop,
            "backfill": self._backfill,
            "unindex": self._unindex,
            "expiry": self._expiry,
            "unversion": self._unversion,
        }

    def delete_due(self, txn: Txn, shard: str, table_number: int, item_key: bytes, expires_s: int) -> Table | None:
        """Delete an item whose time has come; the table when it was there and is still meant."""
        name = self._name_of(txn, table_number)
        table = self._catalogue_of(shard).find(txn, name) if name is not None else None
        if table is None or not table.is_usable:
            return None
        old, now_ms = txn.get(item_key), self._clock.now_ms()
        if old is None:
            return None
        item = storage.item_of(old)
        if expiry_of(item, table, now_ms) != expires_s:
            return None
        self._changes.write(
            txn, shard, self._keys_of(table), item_key, old, None, new_item=None, old_item=item, now_ms=now_ms, user=EXPIRED
        )
        return table

    def _settle(self, shard: str, txn: Txn, job: Job) -> Job | None:
        """What was asked for is done: the table is ACTIVE, if nothing else is being done to it."""
        table = self._find(shard, txn, job)
        if table is not None:
            storage.put_document(txn, {"name": table.name}, "name", table.number)
            self._put_settled(txn, table)
        return None

    def _drop(self, shard: str, txn: Txn, job: Job) -> Job | None:
        """First the name, so that it is free at once; then, chunk by chunk, what was in the table."""
        if not job.state.get("is_gone"):
            table = self._find(shard, txn, job)
            if table is not None:
                storage.delete_table(txn, table.name)
            storage.delete_document(txn, "name", job.table)
            return job.moved(is_gone=True)
        for prefix in storage.table_prefixes(job.table):
            if storage.purge(txn, prefix, _PURGE_CHUNK):
                return job
        self._census.forget(shard, job.table)
        return None

    def _backfill(self, shard: str, txn: Txn, job: Job) -> Job | None:
        """Entries for items that were there before the index: writes since then keep it themselves."""
        table = self._find(shard, txn, job)
        index = next((each for each in table.indexes if each.number == job.state["index"]), None) if table is not None else None
        if table is None or index is None or index.status != "CREATING":
            return None
        keys = self._keys_of(table)
        cursor = bytes.fromhex(job.state["cursor"]) or keys.prefix
        pairs = list(txn.scan(cursor, storage.end_of(keys.prefix), limit=_CHUNK))
        for _, value in pairs:
            self._changes.fill(txn, keys.indexes[index.name], storage.item_of(value))
        if len(pairs) == _CHUNK:
            return job.moved(cursor=(pairs[-1][0] + b"\x00").hex())
        self._put_settled(txn, table.with_index(index.name, status="ACTIVE", is_backfilling=False))
        return None

    def _unindex(self, shard: str, txn: Txn, job: Job) -> Job | None:
        table = self._find(shard, txn, job)
        if table is None or storage.purge(txn, storage.entries_prefix(job.table, job.state["index"]), _PURGE_CHUNK):
            return job if table is not None else None
        name = next((each.name for each in table.indexes if each.number == job.state["index"]), None)
        self._put_settled(txn, table.without_index(name) if name is not None else table)
        return None

    def _expiry(self, shard: str, txn: Txn, job: Job) -> Job | None:
        """Switch time to live on or off; on: with a look at every item that is there."""
        table = self._find(shard, txn, job)
        if table is None or table.expiry is None:
            return None
        if table.expiry.status == "DISABLING":
            storage.put_table(txn, replace(table, expiry=None))  # what is left in the index by time is found to mean nothing
            return None
        prefix, now_ms = storage.items_prefix(table.number), self._clock.now_ms()
        cursor = bytes.fromhex(job.state["cursor"]) or prefix
        pairs = list(txn.scan(cursor, storage.end_of(prefix), limit=_CHUNK))
        for key, value in pairs:
            expires_s = expiry_of(storage.item_of(value), table, now_ms)
            if expires_s is not None:
                txn.put(storage.due_key(expires_s, table.number, key), b"")
                self._notice(shard, expires_s)
        if len(pairs) == _CHUNK:
            return job.moved(cursor=(pairs[-1][0] + b"\x00").hex())
        storage.put_table(txn, replace(table, expiry=Expiry(table.expiry.attribute, "ENABLED")))
        return None

    def _unversion(self, shard: str, txn: Txn, job: Job) -> Job | None:
        """Forget the versions of items of a table that is no global one any more."""
        table = self._find(shard, txn, job)
        if table is None or table.replicas:
            return None
        number = job.table.to_bytes(4, "big")
        return job if any(storage.purge(txn, kind + number, _PURGE_CHUNK) for kind in (storage.VERSION, storage.GONE)) else None

    def _find(self, shard: str, txn: Txn, job: Job) -> Table | None:
        """The job's table, unless it is gone and another one has its name."""
        table = self._catalogue_of(shard).find(txn, job.state["name"])
        return table if table is not None and table.number == job.table else None

    def _name_of(self, txn: Txn, table_number: int) -> str | None:
        document: dict[str, Any] | None = storage.find_document(txn, "name", table_number)
        return document["name"] if document is not None else None

    def _put_settled(self, txn: Txn, table: Table) -> None:
        storage.put_table(txn, table if table.is_busy else replace(table, status="ACTIVE"))
