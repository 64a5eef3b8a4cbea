"""Documents (dicts in the wire's members) under keys of a kind and a path: what services keep that work on documents whole.

A thing's own parts have its path first, so that they go with it. One shard holds an account and region of a service.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from cumulet.core.place import Place
from cumulet.store.contract import Reader, Txn
from cumulet.store.keys import pack, prefix_range

Document = dict[str, Any]


def shard_of(service: str, place: Place) -> str:
    return f"{service}/{place.account}/{place.region}"


def find_place(service: str, shard: str) -> Place | None:
    """The place of a shard; None when the shard is another service's."""
    name, _, rest = shard.partition("/")
    account, _, region = rest.partition("/")
    return Place(account, region) if name == service and account and region else None


def find(reader: Reader, kind: str, *path: str) -> Document | None:
    data = reader.get(pack(kind, *path))
    if data is None:
        return None
    found: Document = orjson.loads(data)
    return found


def list_all(reader: Reader, kind: str, *path: str) -> Iterator[Document]:
    """All documents of a kind whose path begins so."""
    for _, value in reader.scan(*prefix_range(kind, *path)):
        yield orjson.loads(value)


def count(reader: Reader, kind: str, *path: str) -> int:
    return sum(1 for _ in reader.scan(*prefix_range(kind, *path)))


def put(txn: Txn, kind: str, document: Document, *path: str) -> None:
    txn.put(pack(kind, *path), orjson.dumps(document))


def delete(txn: Txn, kind: str, *path: str) -> None:
    """Remove a document and what lies below its path."""
    for key, _ in list(txn.scan(*prefix_range(kind, *path))):
        txn.delete(key)
