"""Operations on the account's settings, and on the tags of everything that has some."""

import re
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.rest_apis import patch_tables, storage
from cumulet.services.rest_apis.errors import BadRequest, NotFound
from cumulet.services.rest_apis.finding import get
from cumulet.services.rest_apis.live import Live
from cumulet.services.rest_apis.model import Document, place_of
from cumulet.services.rest_apis.patches import patched
from cumulet.store.contract import Reader, Store, Txn

_ACCOUNT: Document = {
    "throttleSettings": {"burstLimit": 5000, "rateLimit": 10000.0},
    "features": ["UsagePlans"],
    "apiKeyVersion": "4",
}
_TAGGED: tuple[tuple[re.Pattern[str], storage.Kind], ...] = (
    (re.compile(r"/restapis/([^/]+)/stages/([^/]+)\Z"), "stage"),
    (re.compile(r"/restapis/([^/]+)\Z"), "api"),
    (re.compile(r"/apikeys/([^/]+)\Z"), "key"),
    (re.compile(r"/usageplans/([^/]+)\Z"), "plan"),
    (re.compile(r"/domainnames/([^/]+)\Z"), "domain"),
)
_MAXIMUM_TAGS = 50


class AccountOperations:
    def __init__(self, store: Store, live: Live) -> None:
        self._store = store
        self._live = live

    @operation("GetAccount")
    async def get_account(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        found = await self._store.read(storage.shard_of(place_of(ctx)), lambda reader: storage.find(reader, "account"))
        return _ACCOUNT | (found or {})

    @operation("UpdateAccount")
    async def update_account(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> Document:
            account = patched(_ACCOUNT | (storage.find(txn, "account") or {}), req.get("patchOperations"), patch_tables.ACCOUNT)
            storage.put(txn, "account", account)
            return account

        return await self._store.write(storage.shard_of(place_of(ctx)), update)

    @operation("GetTags")
    async def get_tags(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> Document:
            return _tagged(reader, ctx, req["resourceArn"])[2].get("tags") or {}

        return {"tags": await self._store.read(storage.shard_of(place_of(ctx)), read)}

    @operation("TagResource")
    async def tag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def tag(txn: Txn) -> None:
            kind, path, document = _tagged(txn, ctx, req["resourceArn"])
            tags = (document.get("tags") or {}) | req["tags"]
            if len(tags) > _MAXIMUM_TAGS:
                raise BadRequest(f"A resource may have {_MAXIMUM_TAGS} tags")
            storage.put(txn, kind, document | {"tags": tags}, *path)

        await self._store.write(storage.shard_of(place_of(ctx)), tag)
        return {}

    @operation("UntagResource")
    async def untag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def untag(txn: Txn) -> None:
            kind, path, document = _tagged(txn, ctx, req["resourceArn"])
            tags = {key: value for key, value in (document.get("tags") or {}).items() if key not in req["tagKeys"]}
            storage.put(txn, kind, document | {"tags": tags}, *path)

        await self._store.write(storage.shard_of(place_of(ctx)), untag)
        return {}


def _tagged(reader: Reader, ctx: Context, arn: str) -> tuple[storage.Kind, tuple[str, ...], Document]:
    """(kind, path, document) of what an ARN names. Raises NotFound, BadRequest."""
    prefix = f"arn:aws:apigateway:{ctx.region}::"
    if not arn.startswith(prefix):
        raise BadRequest("Invalid resource ARN specified in the request")
    for pattern, kind in _TAGGED:
        match = pattern.match(arn[len(prefix) :])
        if match is not None:
            path = match.groups()
            if kind == "api":
                found = storage.find(reader, "api", *path)
                if found is None:
                    raise NotFound(f"Invalid API identifier specified {ctx.account}:{path[0]}")
                return kind, path, found
            return kind, path, get(reader, kind, *path)
    raise BadRequest("Invalid resource ARN specified in the request")
