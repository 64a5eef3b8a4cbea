"""What only a store on disk can be asked: reopening, refusing, failing, and being killed."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cumulet.store.contract import StoreClosed
from cumulet.store.memory import MemoryStore
from cumulet.store.open import StoreRefused, open_store

KILLS = 25  # for each durability


async def test_a_second_node_is_refused_and_told_who_holds_the_folder(tmp_path):
    store = await open_store("embedded", tmp_path, "os")
    with pytest.raises(StoreRefused, match=rf"{tmp_path}.*pid {os.getpid()}"):
        await open_store("embedded", tmp_path, "os")
    await store.close()
    await (await open_store("embedded", tmp_path, "os")).close()


async def test_a_newer_format_is_refused(tmp_path):
    await (await open_store("embedded", tmp_path, "os")).close()
    (tmp_path / "FORMAT").write_text("999\n")
    with pytest.raises(StoreRefused, match="format 999"):
        await open_store("embedded", tmp_path, "os")


async def test_a_broken_block_is_an_error_and_not_the_end_of_a_scan(tmp_path):
    store = await open_store("embedded", tmp_path, "os")

    def fill(txn):
        for number in range(2000):
            txn.put(b"%04d" % number, random.Random(number).randbytes(500))

    await store.write("s", fill)
    await store.close()
    await (await open_store("embedded", tmp_path, "os")).close()  # what was in the log is in files now
    largest = max(tmp_path.rglob("*.sst"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 100] = bytes(100)
    largest.write_bytes(data)
    store = await open_store("embedded", tmp_path, "os")
    for reverse in (False, True):
        with pytest.raises(Exception, match="Corruption"):
            await store.read("s", lambda reader, reverse=reverse: list(reader.scan(b"", reverse=reverse)))
    await store.close()


async def test_a_failing_flush_closes_the_store_for_good(tmp_path):
    class FullDisk:
        def __init__(self, db):
            self._db = db

        def __getattr__(self, name):
            return getattr(self._db, name)

        def flush_wal(self, sync):
            raise OSError(28, "No space left on device")

    store = await open_store("embedded", tmp_path, "sync")
    await store.write("s", lambda txn: txn.put(b"kept", b""))
    store._db = FullDisk(store._db)
    results = await asyncio.gather(*(store.write("s", lambda txn: txn.put(b"k", b"")) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, StoreClosed) for result in results)
    with pytest.raises(StoreClosed, match="No space left"):
        await store.write("s", lambda txn: None)
    await store.close()


async def test_no_reader_sees_what_is_not_durable_yet(tmp_path):
    store = await open_store("embedded", tmp_path, "sync")
    writing = asyncio.create_task(store.write("s", lambda txn: txn.put(b"k", b"v")))
    while not writing.done():
        before = writing.done()
        seen = await store.read("s", lambda reader: reader.get(b"k"))
        # Seen only once it is durable, which is when its writer may be told.
        assert seen is None or store._group is None
        assert before is False
        await asyncio.sleep(0)
    assert await store.read("s", lambda reader: reader.get(b"k")) == b"v"
    await store.close()


KEYS = st.binary(max_size=3)
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=3)), max_size=5)


class StoreMachine(RuleBasedStateMachine):
    """Random transactions, scans and reopenings against a dict."""

    is_embedded = True

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.model: dict[str, dict[bytes, bytes]] = {"a": {}, "b": {}}
        self.open()

    def open(self):
        if self.is_embedded:
            self.store = self.loop.run_until_complete(open_store("embedded", Path(self.folder.name), "os"))
        else:
            self.store = MemoryStore()

    @rule(shard=st.sampled_from("ab"), changes=CHANGES, fails=st.booleans())
    def transact(self, shard, changes, fails):
        def body(txn):
            for key, value in changes:
                if value is None:
                    txn.delete(key)
                else:
                    txn.put(key, value)
            if fails:
                raise InterruptedError
            return list(txn.scan(b""))

        try:
            seen = self.loop.run_until_complete(self.store.write(shard, body))
        except InterruptedError:
            return
        model = self.model[shard]
        for key, value in changes:
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        assert seen == sorted(model.items())

    @rule(shard=st.sampled_from("ab"), start=KEYS, end=st.none() | KEYS, reverse=st.booleans(), limit=st.none() | st.integers(0, 3))
    def scan(self, shard, start, end, reverse, limit):
        seen = self.loop.run_until_complete(
            self.store.read(shard, lambda reader: list(reader.scan(start, end, reverse=reverse, limit=limit)))
        )
        expected = sorted((k, v) for k, v in self.model[shard].items() if start <= k and (end is None or k < end))
        assert seen == (expected[::-1] if reverse else expected)[:limit]

    @rule()
    def reopen(self):
        if self.is_embedded:
            self.loop.run_until_complete(self.store.close())
            self.open()

    @invariant()
    def shards_are_listed(self):
        assert self.loop.run_until_complete(self.store.list_shards()) == [name for name in "ab" if self.model[name]]

    def teardown(self):
        self.loop.run_until_complete(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()


class MemoryMachine(StoreMachine):
    is_embedded = False


TestEmbeddedMachine = StoreMachine.TestCase
TestEmbeddedMachine.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

WRITER = """
import asyncio, os, sys
from pathlib import Path
from cumulet.store.open import open_store

async def main(folder, durability, first):
    store = await open_store("embedded", Path(folder), durability)
    async def write(lane):
        number = first
        while True:
            key = b"%d-%d" % (lane, number)
            await store.write("s", lambda txn: (txn.put(b"one/" + key, key), txn.put(b"two/" + key, key)))
            os.write(1, key + b"\\n")
            number += 1
    os.write(1, b"open\\n")
    await asyncio.gather(*(write(lane) for lane in range(4)))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["os", "sync"])
async def test_every_acknowledged_write_survives_kill_9_and_none_is_half_applied(tmp_path, durability):
    acknowledged: set[bytes] = set()
    chance = random.Random(durability)
    for round_number in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), durability, str(round_number * 1_000_000)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        await asyncio.sleep(chance.uniform(0.0, 0.12))
        writer.send_signal(signal.SIGKILL)
        said = writer.stdout.read()
        writer.stdout.close()
        writer.wait()
        acknowledged.update(said[: said.rfind(b"\n") + 1].split())

        store = await open_store("embedded", tmp_path, "os")
        found = await store.read("s", lambda reader: dict(reader.scan(b"")))
        await store.close()
        ones = {key[4:] for key in found if key.startswith(b"one/")}
        twos = {key[4:] for key in found if key.startswith(b"two/")}
        assert ones == twos, "a transaction was half applied"
        assert acknowledged <= ones, "an acknowledged write is gone"
    assert len(acknowledged) > KILLS
