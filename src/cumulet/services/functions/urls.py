"""Function URLs: their configuration. The gateway serves them."""

from typing import Any

from cumulet.core import ids
from cumulet.core.context import Context
from cumulet.core.errors import NotImplementedFault
from cumulet.core.operations import operation
from cumulet.services.functions import model, storage
from cumulet.services.functions.errors import InvalidParameterValue, ResourceConflict, ResourceNotFound
from cumulet.services.functions.functions import forget_url
from cumulet.services.functions.model import is_version
from cumulet.services.functions.names import FunctionName, function_arn
from cumulet.services.functions.paging import page, paged
from cumulet.services.functions.registry import Registry, check_qualifier, get_function
from cumulet.store.contract import Reader, Txn


class UrlOperations:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("CreateFunctionUrlConfig")
    async def create_url(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._target(ctx, req)
        now = model.when(self._registry.clock.now_ms())
        url_id = ids.lower_id(32)
        document = {
            "UrlId": url_id,
            "CreationTime": now,
            "LastModifiedTime": now,
            "InvokeMode": _mode(req),
            "AuthType": req["AuthType"],
        }
        if req.get("Cors"):
            document["Cors"] = req["Cors"]
        # First the index: an id that leads to nothing is nothing, a URL that cannot be found is a loss.
        place = [ctx.account, ctx.region, target.name, target.qualifier or ""]

        def index(txn: Txn) -> None:
            storage.put_document(txn, "url", url_id, document=place)

        await self._registry.store.write(storage.URL_SHARD, index)

        def create(txn: Txn) -> None:
            check_qualifier(txn, ctx, get_function(txn, ctx, target.name), target.qualifier)
            if storage.find_document(txn, "url", target.name, target.qualifier or "") is not None:
                raise ResourceConflict(f"FunctionUrlConfig exists for this Lambda function: {function_arn(ctx, *_parts(target))}")
            storage.put_document(txn, "url", target.name, target.qualifier or "", document=document)

        try:
            await self._registry.write(ctx, create)
        except BaseException:
            await forget_url(self._registry, url_id)
            raise
        return self._shown(ctx, target, document)

    @operation("GetFunctionUrlConfig")
    async def get_url(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._target(ctx, req)
        return self._shown(ctx, target, await self._registry.read(ctx, lambda reader: _get(reader, ctx, target)))

    @operation("UpdateFunctionUrlConfig")
    async def update_url(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._target(ctx, req)
        now = model.when(self._registry.clock.now_ms())

        def update(txn: Txn) -> dict[str, Any]:
            document = _get(txn, ctx, target) | {key: req[key] for key in ("AuthType", "Cors") if req.get(key) is not None}
            document |= {"LastModifiedTime": now, "InvokeMode": _mode(req)}
            storage.put_document(txn, "url", target.name, target.qualifier or "", document=document)
            return document

        document = await self._registry.write(ctx, update)
        self._registry.forget_url(document["UrlId"])
        return self._shown(ctx, target, document)

    @operation("DeleteFunctionUrlConfig")
    async def delete_url(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._target(ctx, req)

        def delete(txn: Txn) -> str:
            document = _get(txn, ctx, target)
            storage.delete_document(txn, "url", target.name, target.qualifier or "")
            return str(document["UrlId"])

        await forget_url(self._registry, await self._registry.write(ctx, delete))
        return {}

    @operation("ListFunctionUrlConfigs")
    async def list_urls(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def read(reader: Reader) -> Any:
            get_function(reader, ctx, name)
            return page(storage.list_documents(reader, "url", name), req, lambda pair: pair[0][1])

        found, marker = await self._registry.read(ctx, read)
        shown = [self._shown(ctx, FunctionName(name, qualifier or None), document) for (_, qualifier), document in found]
        return paged("FunctionUrlConfigs", shown, marker)

    def _target(self, ctx: Context, req: dict[str, Any]) -> FunctionName:
        target = self._registry.name_of(ctx, req)
        if target.qualifier is not None and is_version(target.qualifier):
            raise InvalidParameterValue("A function URL can be given to a function or an alias, not to a version.")
        return target

    def _shown(self, ctx: Context, target: FunctionName, document: dict[str, Any]) -> dict[str, Any]:
        shown = {key: value for key, value in document.items() if key != "UrlId"}
        url = self._registry.url_of(document["UrlId"], ctx.region)
        return shown | {"FunctionUrl": url, "FunctionArn": function_arn(ctx, *_parts(target))}


def _get(reader: Reader, ctx: Context, target: FunctionName) -> dict[str, Any]:
    get_function(reader, ctx, target.name)
    document: dict[str, Any] | None = storage.find_document(reader, "url", target.name, target.qualifier or "")
    if document is None:
        raise ResourceNotFound("The resource you requested does not exist.")
    return document


def _mode(req: dict[str, Any]) -> str:
    if req.get("InvokeMode") == "RESPONSE_STREAM":
        raise NotImplementedFault("Function URLs with the invoke mode RESPONSE_STREAM are not implemented on this node")
    return "BUFFERED"


def _parts(target: FunctionName) -> tuple[str, str | None]:
    return target.name, target.qualifier
