"""Operations on the tags of APIs, stages and domain names."""

import re
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.core.place import place_of
from cumulet.services.http_apis import storage
from cumulet.services.http_apis.changes import Changes
from cumulet.services.http_apis.errors import BadRequest, NotFound
from cumulet.services.http_apis.finding import get, get_api
from cumulet.store.contract import Reader, Store, Txn
from cumulet.store.documents import Document

_ARN = re.compile(
    r"arn:[^:]+:apigateway:(?P<region>[^:]*):[^:]*:/(?P<kind>apis|domainnames)/(?P<name>[^/]+)(?:/stages/(?P<stage>[^/]+))?\Z"
)
_MOST_TAGS = 50


class TagOperations:
    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    @operation("GetTags")
    async def get_tags(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> Document:
            return _tagged(reader, ctx, req["ResourceArn"])[0]

        return {"Tags": (await self._store.read(storage.shard_of(place_of(ctx)), read)).get("Tags") or {}}

    @operation("TagResource")
    async def tag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._change(ctx, req["ResourceArn"], req.get("Tags") or {}, ())
        return {}

    @operation("UntagResource")
    async def untag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._change(ctx, req["ResourceArn"], {}, req["TagKeys"])
        return {}

    async def _change(self, ctx: Context, arn: str, added: dict[str, str], removed: Any) -> None:
        def change(txn: Txn) -> None:
            document, kind, path = _tagged(txn, ctx, arn)
            tags = {**(document.get("Tags") or {}), **added}
            document["Tags"] = {key: value for key, value in tags.items() if key not in removed}
            if len(document["Tags"]) > _MOST_TAGS:
                raise BadRequest(f"The number of tags exceeds {_MOST_TAGS}")
            storage.put(txn, kind, document, *path)

        await self._store.write(storage.shard_of(place_of(ctx)), change)


def _tagged(reader: Reader, ctx: Context, arn: str) -> tuple[Document, storage.Kind, tuple[str, ...]]:
    """(document, kind, path) of what an ARN names. Raises BadRequest, NotFound."""
    match = _ARN.match(arn)
    if match is None or (match["kind"] == "domainnames" and match["stage"]):
        raise BadRequest("Invalid resource ARN specified in the request")
    if match["region"] != ctx.region:
        raise NotFound("Invalid resource identifier specified")
    if match["kind"] == "domainnames":
        return get(reader, "domain", match["name"]), "domain", (match["name"],)
    api = get_api(reader, place_of(ctx), match["name"])
    if match["stage"]:
        return get(reader, "stage", match["name"], match["stage"]), "stage", (match["name"], match["stage"])
    return api, "api", (match["name"],)
