"""The store in memory: nothing survives the process. For tests, and for nodes that should forget."""

import bisect
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from cumulet.store.contract import Reader, StoreClosed, T, Txn
from cumulet.store.overlay import Overlay


class _Shard:
    """One shard's sorted keys and values."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]

    def scan(
        self, start: bytes, end: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        low = bisect.bisect_left(self.keys, start)
        high = len(self.keys) if end is None else bisect.bisect_left(self.keys, end)
        keys = self.keys[low:high]
        if reverse:
            keys.reverse()
        for key in keys[:limit]:
            yield key, self.values[key]

    def apply(self, changes: dict[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is not None:
                if key not in self.values:
                    bisect.insort(self.keys, key)
                self.values[key] = value
            elif key in self.values:
                del self.values[key]
                del self.keys[bisect.bisect_left(self.keys, key)]


class MemoryBlobs:
    """Blobs in a dict."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    async def put(self, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        self._blobs[name] = bytes(data)
        return name

    async def get(self, sha256: str) -> bytes:
        return self._blobs[sha256]

    async def delete(self, sha256: str) -> None:
        self._blobs.pop(sha256, None)

    async def list(self) -> AsyncIterator[str]:
        for name in sorted(self._blobs):
            yield name


class MemoryStore:
    """Bodies run at once on the caller's turn of the event loop, so that they are serialised by it."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        self._shards: dict[str, _Shard] = {}
        self._is_closed = False

    async def read(self, shard: str, body: Callable[[Reader], T]) -> T:
        return body(self._shard(shard))

    async def write(self, shard: str, body: Callable[[Txn], T]) -> T:
        base = self._shard(shard)
        overlay = Overlay(base)
        result = body(overlay)
        base.apply(overlay.changes)
        return result

    async def list_shards(self) -> list[str]:
        return sorted(name for name, shard in self._shards.items() if shard.keys)

    async def close(self) -> None:
        self._is_closed = True

    def _shard(self, name: str) -> _Shard:
        if self._is_closed:
            raise StoreClosed("the store is closed")
        return self._shards.setdefault(name, _Shard())
