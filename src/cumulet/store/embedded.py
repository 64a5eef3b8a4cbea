"""The embedded store: RocksDB, with group commit that never stalls the event loop.

Write bodies run one after the other on the event loop, each on top of everything before it, so they are serialisable by
construction. Their changes are gathered while the previous group is being made durable; then the whole group is written to the
log at once, which hands it to the operating system, and with durability "sync" flushed to the disk in a thread.
(`write(sync=True)` would hold Python's lock for the whole flush; an unsynced write followed by `flush_wal(True)` in a thread
doesn't.) Only then are its callers answered.

Reads are taken from a snapshot of the newest durable group. A failing disk closes the store for good: an fsync that failed once
must never be believed afterwards.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import rocksdict

from cumulet.store.blobs import FileBlobs
from cumulet.store.contract import Reader, StoreClosed, T, Txn
from cumulet.store.keys import pack, unpack
from cumulet.store.overlay import Overlay

_MAX_GROUP = 1000
"""Bodies in one commit: bounds the time between a write and its flush."""
_MAX_GROUP_BYTES = 64 << 20
"""And what waits in memory for it."""


class _View:
    """One shard of a RocksDB database or snapshot."""

    def __init__(self, source: Any, prefix: bytes) -> None:
        self._source = source
        self._prefix = prefix

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes = self._source[self._prefix + key]
        except KeyError:
            return None
        except Exception as error:
            if error.args == ("key not found",):  # how a snapshot of rocksdict says it; a database raises KeyError
                return None
            raise
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        source, prefix = self._source, self._prefix
        values: list[bytes | None] = []
        add = values.append
        for key in keys:
            try:
                add(source[prefix + key])
            except Exception:
                add(self.get(key))  # which tells what is absent from what is broken
        return values

    def scan(
        self, start: bytes, end: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        prefix = self._prefix
        low, high = prefix + start, prefix + end if end is not None else _beyond(prefix)
        cut = len(prefix)
        pairs = self._source.items(backwards=reverse, from_key=high if reverse else low)
        last, left = None, limit if limit is not None else -1
        if left == 0:
            return
        for key, value in pairs:
            if key >= high:
                if reverse:
                    continue
                return
            if key < low:
                return
            yield key[cut:], value
            left -= 1
            if left == 0:
                return
            last = key
        self._check_ended(last if last is not None else high if reverse else low, reverse=reverse)

    def _check_ended(self, key: bytes, *, reverse: bool) -> None:
        """Raises when there is a broken block behind a key: pairs stop there as they do at the end, and only the status of an
        iterator tells the two apart."""
        iterator = self._source.iter()
        if reverse:
            iterator.seek_for_prev(key)
            if iterator.valid():
                iterator.prev()
        else:
            iterator.seek(key)
            if iterator.valid():
                iterator.next()
        iterator.status()


class _Group:
    """Bodies that are committed together, and who waits for them."""

    def __init__(self) -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.size = 0
        self.bytes = 0

    @property
    def is_full(self) -> bool:
        return self.size >= _MAX_GROUP or self.bytes >= _MAX_GROUP_BYTES

    def add(self, prefix: bytes, changes: dict[bytes, bytes | None]) -> None:
        """One body's changes."""
        taken, size = self.changes, 0
        for key, value in changes.items():
            taken[prefix + key] = value
            if value is not None:
                size += len(value)
        self.bytes += size
        self.size += 1


class EmbeddedStore:
    """See the module's text. Made by `open_store`; `release` gives the folder's lock back."""

    def __init__(self, folder: Path, durability: Literal["sync", "os"], release: Callable[[], None] = lambda: None) -> None:
        self._release = release
        self.blobs = FileBlobs(folder / "blobs", is_synced=durability == "sync")
        self._is_synced = durability == "sync"
        self._db = rocksdict.Rdict(str(folder / "db"), _options())
        self._snapshot = self._db.snapshot()
        self._unwritten: dict[str, dict[bytes, bytes | None]] = {}
        self._group: _Group | None = None
        self._committing: _Group | None = None
        self._committer: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._is_closed = False

    async def read(self, shard: str, body: Callable[[Reader], T]) -> T:
        self._check_open()
        return body(_View(self._snapshot, pack(shard)))

    async def write(self, shard: str, body: Callable[[Txn], T]) -> T:
        self._check_open()
        while self._group is not None and self._group.is_full:
            await asyncio.shield(self._group.done)
            self._check_open()
        prefix = pack(shard)
        base = Overlay(_View(self._db, prefix))
        base.changes = self._unwritten.setdefault(shard, {})
        transaction = Overlay(base)
        try:
            result = body(transaction)
        except Exception:
            await self._all_durable()  # what made it raise may not be: a reader would not see it yet
            raise
        base.changes.update(transaction.changes)
        group = self._group
        if group is None:
            group = self._group = _Group()
        group.add(prefix, transaction.changes)
        if self._committer is None:
            self._committer = asyncio.get_running_loop().create_task(self._commit_groups())
        # Also a body that changed nothing waits: it may have seen what is not durable yet.
        await asyncio.shield(group.done)
        return result

    async def list_shards(self) -> list[str]:
        self._check_open()
        found: list[str] = []
        iterator = self._snapshot.iter()
        iterator.seek_to_first()
        while iterator.valid():
            key: bytes = iterator.key()
            name = unpack(key[: key.index(b"\x00\x01") + 2])[0]
            found.append(str(name))
            iterator.seek(_beyond(pack(name)))
        iterator.status()
        return found

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._committer is not None:
            await asyncio.wait([self._committer])
        del self._snapshot
        self._db.close()
        self._release()

    def _check_open(self) -> None:
        if self._failure is not None:
            raise StoreClosed(f"the disk failed, nothing more is acknowledged: {self._failure}")
        if self._is_closed:
            raise StoreClosed("the store is closed")

    async def _commit_groups(self) -> None:
        try:
            while self._group is not None:
                await asyncio.sleep(0)  # one turn of the loop: whoever is ready to write joins the group
                group, self._group = self._group, None
                self._committing = group
                await self._commit(group)
        finally:
            self._committer = self._committing = None

    async def _all_durable(self) -> None:
        """Wait for every change that a body can see now."""
        newest = self._group or self._committing
        if newest is not None:
            await asyncio.shield(newest.done)

    async def _commit(self, group: _Group) -> None:
        try:
            if group.changes:
                self._db.write(_batch(group.changes))
                self._unwritten.clear()  # what was pending can now be read from the database itself
                if self._is_synced:
                    await asyncio.to_thread(self._db.flush_wal, True)
                self._snapshot = self._db.snapshot()
        except BaseException as error:
            self._failure = error
            for waiting in (group, self._group):
                if waiting is not None and not waiting.done.done():
                    waiting.done.set_exception(StoreClosed(f"the disk failed, nothing more is acknowledged: {error}"))
                    waiting.done.exception()  # whoever awaits it sees it; nobody awaiting is no news
            self._group = None
            if not isinstance(error, Exception):
                raise
            return
        group.done.set_result(None)


def _beyond(shard: bytes) -> bytes:
    """The end of a shard's keys, whatever bytes they begin with: its prefix ends with 0x00 0x01, and nothing sorts at 0x00 0x02."""
    return shard[:-1] + b"\x02"


def _batch(changes: dict[bytes, bytes | None]) -> rocksdict.WriteBatch:
    batch = rocksdict.WriteBatch(raw_mode=True)
    for key, value in changes.items():
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    return batch


def _options() -> rocksdict.Options:
    """A small footprint and a quick start; checksums and paranoid checks are on by default."""
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(32 << 20)
    options.set_max_write_buffer_number(3)
    options.set_max_total_wal_size(128 << 20)
    options.set_max_background_jobs(2)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(1 << 20)
    options.set_skip_stats_update_on_db_open(True)
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    options.set_wal_recovery_mode(rocksdict.DBRecoveryMode.point_in_time())
    table = rocksdict.BlockBasedOptions()
    table.set_block_cache(rocksdict.Cache(64 << 20))
    table.set_bloom_filter(10, False)
    options.set_block_based_table_factory(table)
    return options
