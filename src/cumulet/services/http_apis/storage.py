"""Where HTTP and WebSocket APIs lie: one shard an account and region. The only module of the service that knows keys."""

from collections.abc import Iterator
from typing import Literal

from cumulet.core.place import Place
from cumulet.store import documents
from cumulet.store.contract import Reader, Txn
from cumulet.store.documents import Document

_SERVICE = "httpapis"

Kind = Literal[
    "api", "route", "route-response", "integration", "integration-response", "authorizer", "model", "deployment", "snapshot",
    "stage", "domain", "mapping",
]  # fmt: skip

_OF_AN_API: tuple[Kind, ...] = (
    "route", "route-response", "integration", "integration-response", "authorizer", "model", "deployment", "snapshot", "stage",
)  # fmt: skip


def shard_of(place: Place) -> str:
    return documents.shard_of(_SERVICE, place)


def find_place(shard: str) -> Place | None:
    """The place of a shard of this service."""
    return documents.find_place(_SERVICE, shard)


def find(reader: Reader, kind: Kind, *path: str) -> Document | None:
    return documents.find(reader, kind, *path)


def list_all(reader: Reader, kind: Kind, *path: str) -> Iterator[Document]:
    """All documents of a kind whose path begins so."""
    return documents.list_all(reader, kind, *path)


def count(reader: Reader, kind: Kind, *path: str) -> int:
    return documents.count(reader, kind, *path)


def put(txn: Txn, kind: Kind, document: Document, *path: str) -> None:
    documents.put(txn, kind, document, *path)


def delete(txn: Txn, kind: Kind, *path: str) -> None:
    """Remove a document and what lies below its path."""
    documents.delete(txn, kind, *path)


def delete_api(txn: Txn, api_id: str) -> None:
    """An API and all that is its own."""
    delete(txn, "api", api_id)
    for kind in _OF_AN_API:
        delete(txn, kind, api_id)
