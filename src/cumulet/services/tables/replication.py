"""Global tables between regions of the node: each replica is a table of its region, and sends the others what was written to it.

What it sends are the records of its stream, in their order; how far they came is kept where they go, in the transaction that writes
them. So nothing is sent twice or left out, whenever the node dies. Every item has a version, the time and region of its last write:
the later one wins, in whichever order they come; a deletion keeps its version for a day. A record tells its version, and only the
region that made it sends it on.

Regions are shards, and no transaction spans two: what changes several tables goes step by step, each of which can be repeated.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from cumulet.core.clock import Clock
from cumulet.services.tables import model_replicas, storage
from cumulet.services.tables.catalogue import Catalogue
from cumulet.services.tables.changes import Changes
from cumulet.services.tables.item_keys import ItemKeys
from cumulet.services.tables.jobs import Job, Jobs
from cumulet.services.tables.mirroring import mirrored
from cumulet.services.tables.model import Document, Place, Replica, Table
from cumulet.services.tables.sizes import item_size
from cumulet.services.tables.streams import Streams
from cumulet.store.contract import Reader, Store, StoreClosed, Txn

log = logging.getLogger("cumulet.tables")
_CHUNK = 200
_FORGET_CHUNK = 1_000
_FORGET_PAUSE_S = 3600.0
_BUSY_PAUSE_S = 0.5
GONE_MS = 24 * 3600 * 1000
_Key = tuple[str, str]


class Replication:
    """One task a replica: it makes and removes others where that was asked here, and sends them what it has."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        catalogue_of: Callable[[str], Catalogue],
        keys_of: Callable[[Table], ItemKeys],
        changes: Changes,
        streams: Streams,
        jobs: Jobs,
    ) -> None:
        self._store = store
        self._clock = clock
        self._catalogue_of = catalogue_of
        self._keys_of = keys_of
        self._changes = changes
        self._streams = streams
        self._jobs = jobs
        self._wakes: dict[_Key, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None

    def noticed(self, shard: str, name: str) -> None:
        """There is a global table, or something about it that its replicas must know."""
        key = (shard, name)
        if key in self._wakes:
            self._wakes[key].set()
            return
        self._wakes[key] = asyncio.Event()
        if self._group is not None:
            self._start(key)

    async def recover(self, shard: str) -> None:
        def names(reader: Reader) -> list[str]:
            return [each["name"] for each in storage.list_documents(reader, "global")]

        for name in await self._store.read(shard, names):
            self.noticed(shard, name)

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            for key in list(self._wakes):
                self._start(key)
            await stop.wait()
            self._group = None
            for task in self._tasks:
                task.cancel()

    async def find_needed(self, shard: str, stream: Document) -> int | None:
        """The oldest record that some replica has not got."""
        place, name = storage.find_place(shard), stream["table"]
        table = await self._find(shard, name)
        if place is None or table is None or table.number != stream["number"]:
            return None
        needed = []
        for replica in table.replicas:
            position = await self._position(place, name, replica.region)
            if position is not None:
                needed.append(position["after"] + 1)
            elif replica.is_ours and replica.status == "CREATING":
                needed.append(replica.after + 1)
        return min(needed, default=None)

    # A replica's task

    def _start(self, key: _Key) -> None:
        assert self._group is not None
        task = self._group.create_task(self._serve(*key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, shard: str, name: str) -> None:
        wake, place = self._wakes[shard, name], storage.find_place(shard)
        assert place is not None
        end = self._streams.subscribe(shard, name, wake.set)
        forget_at_s = self._clock.monotonic_s() + _FORGET_PAUSE_S  # not at once: what is on its way has come by then
        try:
            while self._group is not None:
                wake.clear()
                table = await self._find(shard, name)
                if table is None or not table.replicas:
                    if not wake.is_set():
                        del self._wakes[shard, name]
                        return
                    continue
                if table.status == "DELETING":
                    await self._leave(place, table)
                    continue
                is_settled = [await self._attend(place, table, replica) for replica in table.replicas]
                if self._clock.monotonic_s() >= forget_at_s:
                    await self._forget_gone(shard, table)
                    forget_at_s = self._clock.monotonic_s() + _FORGET_PAUSE_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_FORGET_PAUSE_S if all(is_settled) else _BUSY_PAUSE_S):
                        await wake.wait()
        except StoreClosed:
            log.info("replication of a table waits for the next start of the node")
        finally:
            end()

    async def _attend(self, place: Place, table: Table, replica: Replica) -> bool:
        """Do what is to be done about a replica; whether it is done."""
        if replica.is_ours and replica.status == "CREATING":
            await self._create(place, table, replica)
            self.noticed(storage.shard_of(place), table.name)
        elif replica.is_ours and replica.status == "DELETING":
            await self._remove(place, table, replica.region)
        elif replica.status in ("ACTIVE", "CREATING"):
            await self._send(place, table, replica.region)
            return await self._tell(place, table, replica)
        return True

    # Making and removing replicas

    async def _create(self, place: Place, table: Table, replica: Replica) -> None:
        shard, name, target = storage.shard_of(place), table.name, _shard(place, replica.region)
        others = [each.region for each in table.replicas if each.region != replica.region]

        def seen(reader: Reader) -> dict[str, int]:
            found = {region: storage.find_document(reader, "received", name, region) for region in others}
            return {region: position["after"] for region, position in found.items() if position is not None}

        # What the others wrote up to there is part of what is copied from here; what came later they send themselves.
        positions = await self._store.read(shard, seen) | {place.region: replica.after}
        if not await self._store.write(target, partial(self._make, target, place, table, replica, positions)):
            await self._change(shard, table, lambda now: now.with_replica(replica.region, status="CREATION_FAILED"))
            return
        for region in [place.region, *others]:
            member = _shard(place, region)
            await self._store.write(member, partial(self._introduce, member, table, replica.region))
            self.noticed(member, name)
        await self._copy(shard, target, table, place.region)
        await self._store.write(target, partial(self._open, target, table))
        for region in [*others, place.region]:
            await self._change(
                _shard(place, region), table, lambda now: now.with_replica(replica.region, status="ACTIVE"), is_member=True
            )
        self.noticed(target, name)

    def _make(self, shard: str, place: Place, table: Table, asked: Replica, positions: dict[str, int], txn: Txn) -> bool:
        """The table in its new region; False when another one has its name."""
        found = self._catalogue_of(shard).find(txn, table.name)
        if found is not None:
            return found.group == table.group
        made = model_replicas.new_replica(table, place, asked, storage.new_number(txn), self._clock.now_ms())
        storage.put_table(txn, made)
        self._streams.opened(txn, Place(place.account, asked.region), made)
        storage.put_document(txn, {"name": made.name}, "global", made.name)
        for each in made.replicas:
            position: Document = {"after": positions.get(each.region, 0)}
            if each.region == place.region:
                position["cursor"] = ""
            storage.put_document(txn, position, "received", made.name, each.region)
        return True

    def _introduce(self, shard: str, table: Table, region: str, txn: Txn) -> None:
        """A member of the group gets to know a new one."""
        found = self._catalogue_of(shard).find(txn, table.name)
        if found is None or found.group != table.group or found.status == "DELETING":
            return
        if found.find_replica(region) is None:
            storage.put_table(txn, replace(found, replicas=(*found.replicas, Replica(region, "CREATING"))))
        storage.put_document(txn, {"name": table.name}, "global", table.name)
        if storage.find_document(txn, "received", table.name, region) is None:
            storage.put_document(txn, {"after": 0}, "received", table.name, region)

    async def _copy(self, shard: str, target: str, table: Table, region: str) -> None:
        """All items and deletions as they are found here; what changes meanwhile is sent afterwards."""
        while True:
            position = await self._store.read(target, lambda reader: storage.find_document(reader, "received", table.name, region))
            if position is None or "cursor" not in position:
                return
            cursor = bytes.fromhex(position["cursor"])
            some = partial(storage.some_written, table_number=table.number, cursor=cursor, limit=_CHUNK)
            rows, next_cursor = await self._store.read(shard, some)
            following: Document = {"after": position["after"]}
            if next_cursor is not None:
                following["cursor"] = next_cursor.hex()
            await self._store.write(target, partial(self._fill, target, table, region, rows, following))
            await asyncio.sleep(0)

    def _fill(self, shard: str, table: Table, region: str, rows: list[storage.WrittenRow], following: Document, txn: Txn) -> None:
        found = self._catalogue_of(shard).find(txn, table.name)
        if found is None or found.group != table.group:
            return
        keys = self._keys_of(replace(found, stream=None))  # what was there before is no change
        for tail, value, version in rows:
            item = storage.item_of(value) if value is not None else None
            self._put(txn, shard, keys, keys.prefix + tail, value, item, version)
        storage.put_document(txn, following, "received", table.name, region)

    def _open(self, shard: str, table: Table, txn: Txn) -> None:
        found = self._catalogue_of(shard).find(txn, table.name)
        if found is not None and found.group == table.group and found.status == "CREATING":
            storage.put_document(txn, {"name": found.name}, "name", found.number)
            storage.put_table(txn, replace(found, status="ACTIVE"))

    async def _remove(self, place: Place, table: Table, region: str) -> None:
        """The replica sends what it has, tells the others, and goes."""
        target = _shard(place, region)

        def close(txn: Txn) -> Table | None:
            found = self._catalogue_of(target).find(txn, table.name)
            if found is None or found.group != table.group:
                return None
            if found.status != "DELETING":
                self._streams.closed(txn, Place(place.account, region), found, self._clock.now_ms())
                found = replace(found, status="DELETING")
                storage.put_table(txn, found)
            return found

        found = await self._store.write(target, close)
        if found is not None:
            await self._leave(Place(place.account, region), found)
        await self._part(storage.shard_of(place), table, region)

    async def _leave(self, place: Place, table: Table) -> None:
        """A table that is being dropped sends what it has, and is no member any more; then it is dropped."""
        shard = storage.shard_of(place)
        for replica in table.replicas:
            await self._send(place, table, replica.region)
        for replica in table.replicas:
            await self._part(_shard(place, replica.region), table, place.region)

        def drop(txn: Txn) -> Job | None:
            found = self._catalogue_of(shard).find(txn, table.name)
            if found is None or found.number != table.number or not found.replicas:
                return None
            storage.put_table(txn, replace(found, replicas=(), group=""))
            _forget(txn, table.name, [replica.region for replica in table.replicas])
            return self._jobs.add(txn, "drop", table.number, name=table.name)

        job = await self._store.write(shard, drop)
        if job is not None:
            self._jobs.start(shard, job)

    async def _part(self, shard: str, table: Table, region: str) -> None:
        """A member of the group forgets another one."""

        def part(txn: Txn) -> Job | None:
            found = self._catalogue_of(shard).find(txn, table.name)
            if found is None or found.group != table.group or found.find_replica(region) is None:
                return None
            left = model_replicas.settled(found.without_replica(region))
            storage.put_table(txn, left)
            storage.delete_document(txn, "received", table.name, region)
            if left.replicas:
                return None
            _forget(txn, table.name, [])
            return self._jobs.add(txn, "unversion", left.number, name=left.name)

        job = await self._store.write(shard, part)
        if job is not None:
            self._jobs.start(shard, job)

    async def _change(self, shard: str, table: Table, change: Callable[[Table], Table], *, is_member: bool = False) -> None:
        """Change the table as it is now, and settle it; `is_member`: unless it is being dropped."""

        def write(txn: Txn) -> None:
            found = self._catalogue_of(shard).find(txn, table.name)
            if found is not None and found.group == table.group and not (is_member and found.status == "DELETING"):
                storage.put_table(txn, model_replicas.settled(change(found)))

        await self._store.write(shard, write)

    # Sending

    async def _send(self, place: Place, table: Table, region: str) -> None:
        """Send a replica all records that it has not got."""
        assert table.stream is not None
        shard, target = storage.shard_of(place), _shard(place, region)
        stream = {"number": table.number, "stream": table.stream.number}
        while True:
            position = await self._position(place, table.name, region)
            if position is None or "cursor" in position:
                return  # it is yet to be made
            after = position["after"]
            records = await self._store.read(shard, lambda reader, after=after: self._streams.read(reader, stream, after, _CHUNK))  # type: ignore[misc]
            if not records:
                return
            changed = await self._store.write(target, partial(self._receive, target, place.region, table.group, position, records))
            if changed is not None:
                self._streams.added(target, changed)
            await asyncio.sleep(0)

    def _receive(
        self, shard: str, region: str, group: str, position: Document, records: list[tuple[int, Document]], txn: Txn
    ) -> Table | None:
        """The table, when its stream has new records."""
        name = position["name"]
        table = self._catalogue_of(shard).find(txn, name)
        now = storage.find_document(txn, "received", name, region)
        if table is None or table.group != group or now is None or now["after"] != position["after"]:
            return None
        keys, is_changed = self._keys_of(table), False
        for _, record in records:
            version = record.get("version")
            if version is None or version[1] != region:
                continue  # it came from elsewhere, and is sent from there
            item = record.get("new")
            value = storage.pack_item(item, item_size(item)) if item is not None else None
            key = keys.of_key(record["keys"])
            is_changed |= self._put(txn, shard, keys, key, value, item, (version[0], version[1]))
        storage.put_document(txn, {"after": records[-1][0]}, "received", name, region)
        return table if is_changed else None

    def _put(
        self,
        txn: Txn,
        shard: str,
        keys: ItemKeys,
        key: bytes,
        value: bytes | None,
        item: dict[str, Any] | None,
        version: storage.Version,
    ) -> bool:
        """Write what another region wrote, if that was later than what is here."""
        known, old = storage.find_version(txn, key), txn.get(key)
        if known is not None and version <= known:
            return False
        if version == storage.UNVERSIONED:
            if old is not None:
                return False
        else:
            storage.put_version(txn, key, version, is_gone=value is None)
        self._changes.write(txn, shard, keys, key, old, value, new_item=item, now_ms=self._clock.now_ms(), version=version)
        return old != value

    async def _tell(self, place: Place, table: Table, replica: Replica) -> bool:
        """Make a replica's settings those that this table was given; False when it has no time."""
        target, shard = _shard(place, replica.region), storage.shard_of(place)
        for change in replica.pending:

            def apply(txn: Txn, change: Document = change) -> list[Job] | None:
                found = self._catalogue_of(target).find(txn, table.name)
                if found is None or found.group != table.group:
                    return []
                outcome = mirrored(found, change, self._clock.now_ms())
                if outcome is None:
                    return None
                storage.put_table(txn, outcome[0])
                return [self._jobs.add(txn, kind, found.number, **state) for kind, state in outcome[1]]

            jobs = await self._store.write(target, apply)
            if jobs is None:
                return False
            self._jobs.start(target, *jobs)
            await self._change(shard, table, lambda now, change=change: _told(now, replica.region, change))  # type: ignore[misc]
        return True

    async def _forget_gone(self, shard: str, table: Table) -> None:
        before_ms = self._clock.now_ms() - GONE_MS
        has_more = True
        while has_more:
            has_more = await self._store.write(shard, lambda txn: storage.forget_gone(txn, table.number, before_ms, _FORGET_CHUNK))

    async def _find(self, shard: str, name: str) -> Table | None:
        return await self._store.read(shard, lambda reader: self._catalogue_of(shard).find(reader, name))

    async def _position(self, place: Place, name: str, region: str) -> Document | None:
        """How far a replica has got what is here; with a `cursor` while it is being filled."""
        target = _shard(place, region)
        found = await self._store.read(target, lambda reader: storage.find_document(reader, "received", name, place.region))
        return found | {"name": name} if found is not None else None


def _shard(place: Place, region: str) -> str:
    return storage.shard_of(Place(place.account, region))


def _told(table: Table, region: str, change: Document) -> Table:
    replica = table.find_replica(region)
    if replica is None or not replica.pending or replica.pending[0] != change:
        return table
    return table.with_replica(region, pending=replica.pending[1:])


def _forget(txn: Txn, name: str, regions: list[str]) -> None:
    """The table is no global one any more."""
    storage.delete_document(txn, "global", name)
    for region in regions:
        storage.delete_document(txn, "received", name, region)
