"""What every store promises, claimed of each."""

import asyncio

import pytest

from cumulet.store.contract import StoreClosed


async def _pairs(store, shard="s", start=b"", end=None, **how):
    return await store.read(shard, lambda reader: list(reader.scan(start, end, **how)))


async def test_a_write_is_read_back_and_deleted(store):
    await store.write("s", lambda txn: txn.put(b"k", b"v"))
    assert await store.read("s", lambda reader: reader.get(b"k")) == b"v"
    await store.write("s", lambda txn: txn.delete(b"k"))
    assert await store.read("s", lambda reader: reader.get(b"k")) is None


async def test_several_keys_are_read_in_their_order(store):
    await store.write("s", lambda txn: [txn.put(b"%d" % i, b"v%d" % i) for i in range(3)])
    assert await store.read("s", lambda reader: reader.get_many([b"2", b"x", b"0", b"2"])) == [b"v2", None, b"v0", b"v2"]
    assert await store.read("s", lambda reader: reader.get_many([])) == []

    def body(txn):
        txn.put(b"0", b"new")
        txn.delete(b"1")
        return txn.get_many([b"0", b"1", b"2"])

    assert await store.write("s", body) == [b"new", None, b"v2"]


async def test_scans_go_both_ways_within_their_bounds(store):
    await store.write("s", lambda txn: [txn.put(b"%d" % i, b"v%d" % i) for i in range(5)])
    assert [k for k, _ in await _pairs(store, start=b"1", end=b"4")] == [b"1", b"2", b"3"]
    assert [k for k, _ in await _pairs(store, start=b"1", end=b"4", reverse=True)] == [b"3", b"2", b"1"]
    assert [k for k, _ in await _pairs(store, start=b"1", limit=2)] == [b"1", b"2"]
    assert [k for k, _ in await _pairs(store, start=b"0", reverse=True, limit=2)] == [b"4", b"3"]
    assert await _pairs(store, start=b"4", end=b"1") == []


async def test_shards_do_not_see_each_other(store):
    for shard in ("a", "a\x00", "ab", "b"):
        await store.write(shard, lambda txn, shard=shard: txn.put(b"k", shard.encode()))
    for shard in ("a", "a\x00", "ab", "b"):
        assert await _pairs(store, shard) == [(b"k", shard.encode())]
        assert await _pairs(store, shard, reverse=True) == [(b"k", shard.encode())]
    assert await store.list_shards() == ["a", "a\x00", "ab", "b"]


async def test_keys_may_be_any_bytes(store):
    keys = [b"", b"\x00", b"\x00\x01", b"\xff", b"\xff\xff\xff"]
    await store.write("s", lambda txn: [txn.put(key, b"v") for key in keys])
    await store.write("t", lambda txn: txn.put(b"", b"v"))
    assert [k for k, _ in await _pairs(store)] == keys
    assert [k for k, _ in await _pairs(store, reverse=True)] == keys[::-1]
    assert await store.list_shards() == ["s", "t"]


async def test_a_transaction_sees_its_own_changes_in_scans(store):
    await store.write("s", lambda txn: [txn.put(k, b"old") for k in (b"a", b"b", b"c")])

    def body(txn):
        txn.put(b"bb", b"new")
        txn.delete(b"a")
        txn.put(b"c", b"new")
        return list(txn.scan(b"")), list(txn.scan(b"", reverse=True)), list(txn.scan(b"", limit=1))

    forward, backward, first = await store.write("s", body)
    assert forward == [(b"b", b"old"), (b"bb", b"new"), (b"c", b"new")]
    assert backward == forward[::-1]
    assert first == forward[:1]


async def test_an_exception_of_the_body_changes_nothing_and_is_raised(store):
    def body(txn):
        txn.put(b"k", b"v")
        raise LookupError("no")

    others = [store.write("s", lambda txn, i=i: txn.put(b"o%d" % i, b"")) for i in range(3)]
    results = await asyncio.gather(store.write("s", body), *others, return_exceptions=True)
    assert isinstance(results[0], LookupError)
    assert [k for k, _ in await _pairs(store)] == [b"o0", b"o1", b"o2"]


async def test_who_is_refused_for_what_another_wrote_can_read_it(store):
    def claim(txn):
        if txn.get(b"k") is not None:
            raise LookupError("taken")
        txn.put(b"k", b"v")

    async def refused(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        with pytest.raises(LookupError):
            await store.write("s", claim)
        return await store.read("s", lambda reader: reader.get(b"k"))

    _, *seen = await asyncio.gather(store.write("s", claim), *(refused(turns) for turns in range(4)))
    assert seen == [b"v"] * 4


async def test_concurrent_increments_lose_nothing(store):
    def increment(txn):
        value = int(txn.get(b"n") or b"0") + 1
        txn.put(b"n", b"%d" % value)
        return value

    seen = await asyncio.gather(*(store.write("s", increment) for _ in range(300)))
    assert sorted(seen) == list(range(1, 301))
    assert await store.read("s", lambda reader: reader.get(b"n")) == b"300"


async def test_more_writers_than_a_group_holds(store):
    await asyncio.gather(*(store.write("s", lambda txn, i=i: txn.put(b"%05d" % i, b"")) for i in range(2500)))
    assert len(await _pairs(store)) == 2500


async def test_a_cancelled_writer_takes_nobody_with_it(store):
    tasks = [asyncio.create_task(store.write("s", lambda txn, i=i: txn.put(b"%d" % i, b""))) for i in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[3], asyncio.CancelledError) or results[3] is None
    assert {b"%d" % i for i in range(10) if i != 3} <= {k for k, _ in await _pairs(store)}


async def test_a_closed_store_refuses(store):
    await store.close()
    with pytest.raises(StoreClosed):
        await store.write("s", lambda txn: None)
    with pytest.raises(StoreClosed):
        await store.read("s", lambda reader: None)


async def test_blobs_are_named_by_their_hash(store):
    name = await store.blobs.put(b"bytes")
    assert name == await store.blobs.put(b"bytes")
    assert await store.blobs.get(name) == b"bytes"
    assert [found async for found in store.blobs.list()] == [name]
    await store.blobs.delete(name)
    for absent in (name, "0" * 64, "../../etc/passwd"):
        with pytest.raises(KeyError):
            await store.blobs.get(absent)
