"""Documents (dicts in the wire's members) under keys of a kind and a path: what services keep that work on documents whole.

A thing's own parts have its path first, so that they go with it. One shard holds an account and region of a service.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import orjson

from cumulet.core.place import Place
from cumulet.store.contract import Reader, Txn
from cumulet.store.keys import pack, prefix_range

Document = dict[str, Any]


K = TypeVar("K", bound=str)


class Documents(Generic[K]):
    """Those of one service; `K` are its kinds. Paths of a thing's own parts, those of kinds in `parts`, begin with its name."""

    def __init__(self, service: str, whole: K, parts: Sequence[K]) -> None:
        self._service = service
        self._whole = whole
        self._parts = parts

    def shard_of(self, place: Place) -> str:
        return f"{self._service}/{place.account}/{place.region}"

    def find_place(self, shard: str) -> Place | None:
        """The place of a shard; None when the shard is another service's."""
        name, _, rest = shard.partition("/")
        account, _, region = rest.partition("/")
        return Place(account, region) if name == self._service and account and region else None

    def find(self, reader: Reader, kind: K, *path: str) -> Document | None:
        data = reader.get(pack(kind, *path))
        if data is None:
            return None
        found: Document = orjson.loads(data)
        return found

    def list_all(self, reader: Reader, kind: K, *path: str) -> Iterator[Document]:
        """All documents of a kind whose path begins so."""
        for _, value in reader.scan(*prefix_range(kind, *path)):
            yield orjson.loads(value)

    def count(self, reader: Reader, kind: K, *path: str) -> int:
        return sum(1 for _ in reader.scan(*prefix_range(kind, *path)))

    def put(self, txn: Txn, kind: K, document: Document, *path: str) -> None:
        txn.put(pack(kind, *path), orjson.dumps(document))

    def delete(self, txn: Txn, kind: K, *path: str) -> None:
        """Remove a document and what lies below its path."""
        for key, _ in list(txn.scan(*prefix_range(kind, *path))):
            txn.delete(key)

    def delete_whole(self, txn: Txn, name: str) -> None:
        """A thing and all that is its own."""
        for kind in (self._whole, *self._parts):
            self.delete(txn, kind, name)
