"""Where HTTP and WebSocket APIs lie: one shard an account and region. The only module of the service that knows keys."""

from typing import Literal

from cumulet.store.documents import Documents

Kind = Literal[
    "api", "route", "route-response", "integration", "integration-response", "authorizer", "model", "deployment", "snapshot",
    "stage", "domain", "mapping",
]  # fmt: skip

_OF_AN_API: tuple[Kind, ...] = (
    "route", "route-response", "integration", "integration-response", "authorizer", "model", "deployment", "snapshot", "stage",
)  # fmt: skip


_documents: Documents[Kind] = Documents("httpapis", "api", _OF_AN_API)
shard_of = _documents.shard_of
find_place = _documents.find_place
find = _documents.find
list_all = _documents.list_all
count = _documents.count
put = _documents.put
delete = _documents.delete
delete_api = _documents.delete_whole
