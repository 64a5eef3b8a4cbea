"""The storage seam: transactions over ordered byte keys. Everything above speaks only this.

Two laws hold for every implementation: an acknowledged write survives `kill -9` (and power loss where the store says so),
and no answer depends on data that a crash can still take back. Transactions are serialisable.

A *shard* names the key space of one transaction: all that must change together lives in one shard, and no transaction
spans two, so that shards can later live on different servers. Keys are relative to their shard.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Conflict(Exception):
    """A transaction could not be made serialisable, also not by repeating it."""


class StoreClosed(Exception):
    """The store was closed, or its disk failed: nothing more will be acknowledged."""


class Reader(Protocol):
    """A consistent view of one shard."""

    def get(self, key: bytes) -> bytes | None:
        """The value at `key`, None when absent."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values at several keys, in their order."""
        ...

    def scan(
        self, start: bytes, end: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) pairs with start <= key < end in key order, or from the last backwards when `reverse`.

        `end` None is the end of the shard. The view does not change under the iteration.
        """
        ...


class Txn(Reader, Protocol):
    """A view of one shard that sees its own changes; they become visible to others together, or not at all."""

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None:
        """Remove `key`; nothing happens when it is absent."""
        ...


class Blobs(Protocol):
    """Large immutable values, named by the lower-case hexadecimal SHA-256 of their bytes."""

    async def put(self, data: bytes) -> str:
        """Keep `data` durably and return its hash. Keeping the same bytes twice is free."""
        ...

    async def get(self, sha256: str) -> bytes:
        """The bytes; KeyError when there are none under this hash."""
        ...

    async def delete(self, sha256: str) -> None: ...

    def list(self) -> AsyncIterator[str]:
        """The hashes of all blobs."""
        ...


class Store(Protocol):
    """The node's memory. Bodies are plain functions: they cannot await, may be run more than once, and must have no
    effect but through their transaction (a closure's result is returned, not stored aside)."""

    @property
    def blobs(self) -> Blobs: ...

    async def read(self, shard: str, body: Callable[[Reader], T]) -> T:
        """Run `body` on the newest durable state of the shard and return its result."""
        ...

    async def write(self, shard: str, body: Callable[[Txn], T]) -> T:
        """Run `body`, commit its changes atomically and durably, then return its result.

        An exception of the body changes nothing and is raised here, like a result only when all that the body saw is durable.
        """
        ...

    async def list_shards(self) -> list[str]:
        """All shards that hold at least one key, in order."""
        ...

    async def close(self) -> None: ...
