"""Operations on models."""

import re
from typing import Any

import orjson

from cumulet.core import ids
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.http_apis import storage
from cumulet.services.http_apis.changes import Changes
from cumulet.services.http_apis.errors import BadRequest, Conflict
from cumulet.services.http_apis.finding import get
from cumulet.services.http_apis.limits import check_room
from cumulet.services.http_apis.model import WEBSOCKET, changed, paged
from cumulet.store.contract import Reader, Txn
from cumulet.store.documents import Document

_MODEL = ("ContentType", "Description", "Name", "Schema")
_NAME = re.compile(r"[a-zA-Z0-9]{1,128}\Z")


class ModelOperations:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    @operation("CreateModel")
    async def create_model(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def create(txn: Txn, api: Document) -> Document:
            if api["ProtocolType"] != WEBSOCKET:
                raise BadRequest("Models are only supported for WEBSOCKET APIs")
            check_room(txn, "model", api["ApiId"])
            return _put(txn, api, changed({"ModelId": ids.lower_id(6)}, req, *_MODEL))

        return await self._changes.change(ctx, req["ApiId"], create)

    @operation("GetModel")
    async def get_model(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._changes.read(ctx, req["ApiId"], lambda reader, api: _get(reader, api, req))

    @operation("GetModels")
    async def get_models(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader, api: Document) -> list[Document]:
            return list(storage.list_all(reader, "model", api["ApiId"]))

        return paged(await self._changes.read(ctx, req["ApiId"], read), req, "ModelId")

    @operation("UpdateModel")
    async def update_model(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._changes.change(
            ctx, req["ApiId"], lambda txn, api: _put(txn, api, changed(_get(txn, api, req), req, *_MODEL))
        )

    @operation("DeleteModel")
    async def delete_model(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            _get(txn, api, req)
            storage.delete(txn, "model", api["ApiId"], req["ModelId"])

        await self._changes.change(ctx, req["ApiId"], delete)
        return {}


def _get(reader: Reader, api: Document, req: dict[str, Any]) -> Document:
    return get(reader, "model", api["ApiId"], req["ModelId"])


def _put(txn: Txn, api: Document, model: Document) -> Document:
    """Raises BadRequest, Conflict."""
    if not _NAME.match(model["Name"]):
        raise BadRequest(f"Model name must be alphanumeric: {model['Name']}")
    model.setdefault("ContentType", "application/json")
    try:
        schema = orjson.loads(model.get("Schema") or "{}")
    except orjson.JSONDecodeError:
        raise BadRequest("Invalid model schema specified: it is no JSON") from None
    if not isinstance(schema, dict):
        raise BadRequest("Invalid model schema specified: it is no object")
    for other in storage.list_all(txn, "model", api["ApiId"]):
        if other["Name"] == model["Name"] and other["ModelId"] != model["ModelId"]:
            raise Conflict(f"Model with name {model['Name']} already exists for this API")
    storage.put(txn, "model", model, api["ApiId"], model["ModelId"])
    return model
