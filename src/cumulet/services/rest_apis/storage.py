"""Where REST APIs lie: one shard an account and region. The only module of the service that knows keys.

A document's key is its kind and its path: an API's own things begin with the API's id, so that they go with it.
"""

from typing import Literal

from cumulet.store.documents import Documents

Kind = Literal[
    "api", "resource", "model", "validator", "authorizer", "response", "deployment", "snapshot", "stage", "part", "parts-version",
    "key", "plan", "plan-key", "usage", "domain", "mapping", "account", "certificate",
]  # fmt: skip

_OF_AN_API: tuple[Kind, ...] = (
    "resource", "model", "validator", "authorizer", "response", "deployment", "snapshot", "stage", "part", "parts-version",
)  # fmt: skip


_documents: Documents[Kind] = Documents("restapis", "api", _OF_AN_API)
shard_of = _documents.shard_of
find_place = _documents.find_place
find = _documents.find
list_all = _documents.list_all
put = _documents.put
delete = _documents.delete
delete_api = _documents.delete_whole
