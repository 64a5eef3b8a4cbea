"""The embedded store: durable writes by concurrency beside the disk's own flushes, reads, and how long the event loop was held.

    python bench/store.py [--seconds 2] [--folder /a/disk]

Prints JSON lines. `of_flushes` is the rate of writes as a share of fdatasyncs a second, measured in the same run, times the
writers: what one flush for everybody who waits allows at most.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import uvloop

from cumulet.store.contract import Store
from cumulet.store.open import open_store

VALUE = os.urandom(1000)


def emit(**figures: object) -> None:
    print(json.dumps(figures), flush=True)


def flushes_per_s(folder: Path, seconds: float) -> float:
    """fdatasyncs a second after appending 1 KB each."""
    with open(folder / "flushes", "wb", buffering=0) as file:
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            file.write(VALUE)
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.perf_counter() - started)


async def writes_per_s(store: Store, writers: int, seconds: float) -> float:
    end, done = time.perf_counter() + seconds, 0

    async def write(number: int) -> None:
        nonlocal done
        while time.perf_counter() < end:
            key = os.urandom(16)
            await store.write("bench", lambda txn, key=key: txn.put(key, VALUE))
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(write(number) for number in range(writers)))
    return done / (time.perf_counter() - started)


async def longest_hold_ms(store: Store, seconds: float) -> float:
    """The longest time for which the loop was not free while 64 writers write."""
    worst, end = 0.0, time.perf_counter() + seconds
    writing = asyncio.ensure_future(writes_per_s(store, 64, seconds))
    while time.perf_counter() < end:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        worst = max(worst, time.perf_counter() - before - 0.001)
    await writing
    return round(worst * 1000, 2)


async def reads_per_s(store: Store, seconds: float) -> float:
    keys = [key for key, _ in await store.read("bench", lambda reader: list(reader.scan(b"", limit=10_000)))]
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for key in keys[:100]:
            await store.read("bench", lambda reader, key=key: reader.get(key))
        done += 100
    return done / (time.perf_counter() - started)


async def main(seconds: float, parent: str | None) -> None:
    for durability in ("os", "sync"):
        with tempfile.TemporaryDirectory(dir=parent) as name:
            folder = Path(name)
            store = await open_store("embedded", folder, durability)
            for writers in (1, 16, 256):
                flushes = flushes_per_s(folder, seconds / 2) if durability == "sync" else None
                told = await writes_per_s(store, writers, seconds)
                share = {"of_flushes": round(told / (flushes * writers), 2), "flushes_per_s": round(flushes)} if flushes else {}
                emit(what="write 1 KB", durability=durability, writers=writers, per_s=round(told), **share)
            emit(what="loop held", durability=durability, longest_ms=await longest_hold_ms(store, seconds))
            emit(what="get 1 KB", durability=durability, per_s=round(await reads_per_s(store, seconds)))
            await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--folder", help="where to make the data folder: the disk that is measured")
    chosen = parser.parse_args()
    uvloop.run(main(chosen.seconds, chosen.folder))
