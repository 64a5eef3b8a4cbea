"""Where REST APIs lie: one shard an account and region. The only module of the service that knows keys.

A document's key is its kind and its path: an API's own things begin with the API's id, so that they go with it.
"""

from collections.abc import Iterator
from typing import Literal

import orjson

from cumulet.services.rest_apis.model import Document, Place
from cumulet.store.contract import Reader, Txn
from cumulet.store.keys import pack, prefix_range

_SHARD_PREFIX = "restapis/"

Kind = Literal[
    "api", "resource", "model", "validator", "authorizer", "response", "deployment", "snapshot", "stage", "part", "parts-version",
    "key", "plan", "plan-key", "usage", "domain", "mapping", "account", "certificate",
]  # fmt: skip

_OF_AN_API: tuple[Kind, ...] = (
    "resource", "model", "validator", "authorizer", "response", "deployment", "snapshot", "stage", "part", "parts-version",
)  # fmt: skip


def shard_of(place: Place) -> str:
    return f"{_SHARD_PREFIX}{place.account}/{place.region}"


def find_place(shard: str) -> Place | None:
    """The place of a shard of this service."""
    if not shard.startswith(_SHARD_PREFIX):
        return None
    account, _, region = shard[len(_SHARD_PREFIX) :].partition("/")
    return Place(account, region)


def find(reader: Reader, kind: Kind, *path: str) -> Document | None:
    data = reader.get(pack(kind, *path))
    if data is None:
        return None
    found: Document = orjson.loads(data)
    return found


def list_all(reader: Reader, kind: Kind, *path: str) -> Iterator[Document]:
    """All documents of a kind whose path begins so."""
    for _, value in reader.scan(*prefix_range(kind, *path)):
        yield orjson.loads(value)


def put(txn: Txn, kind: Kind, document: Document, *path: str) -> None:
    txn.put(pack(kind, *path), orjson.dumps(document))


def delete(txn: Txn, kind: Kind, *path: str) -> None:
    """Remove a document and what lies below its path."""
    for key, _ in list(txn.scan(*prefix_range(kind, *path))):
        txn.delete(key)


def delete_api(txn: Txn, api_id: str) -> None:
    """An API and all that is its own."""
    delete(txn, "api", api_id)
    for kind in _OF_AN_API:
        delete(txn, kind, api_id)
