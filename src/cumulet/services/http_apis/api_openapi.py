"""Import and export: operations on whole APIs as OpenAPI documents."""

from collections.abc import Callable
from typing import Any

import orjson

from cumulet.core import ids
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.core.place import place_of
from cumulet.services.http_apis import storage
from cumulet.services.http_apis.api_apis import shown_api
from cumulet.services.http_apis.api_authorizers import put_authorizer
from cumulet.services.http_apis.api_routes import put_new_route
from cumulet.services.http_apis.changes import Changes
from cumulet.services.http_apis.errors import BadRequest, Conflict
from cumulet.services.http_apis.finding import get
from cumulet.services.http_apis.limits import check_room
from cumulet.services.http_apis.live import Snapshot, current_snapshot
from cumulet.services.http_apis.model import HTTP
from cumulet.services.http_apis.openapi_export import export_openapi, written
from cumulet.services.http_apis.openapi_import import Imported, read_openapi
from cumulet.store.contract import Reader, Store, Txn
from cumulet.store.documents import Document

_PARTS: tuple[storage.Kind, ...] = ("route", "integration", "authorizer")


class OpenApiOperations:
    def __init__(self, store: Store, changes: Changes, endpoint_of: Callable[[str, str, str], str]) -> None:
        self._store = store
        self._changes = changes
        self._endpoint_of = endpoint_of

    @operation("ImportApi")
    async def import_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        imported = _read(req)
        api = imported.attributes | {"ApiId": ids.lower_id(10), "CreatedDate": self._changes.now_s(), "Tags": imported.tags}
        if imported.warnings:
            api["Warnings"] = imported.warnings

        def create(txn: Txn) -> None:
            check_room(txn, "api")
            storage.put(txn, "api", api, api["ApiId"])
            _put_parts(txn, api, imported)

        await self._store.write(storage.shard_of(place_of(ctx)), create)
        await self._changes.live.api(place_of(ctx), api["ApiId"])
        return shown_api(api, ctx.region, self._endpoint_of)

    @operation("ReimportApi")
    async def reimport_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """The API becomes what the document says; its stages and its id stay."""
        imported = _read(req)

        def replace(txn: Txn, before: Document) -> Document:
            if before["ProtocolType"] != HTTP:
                raise BadRequest("Import is only supported for HTTP APIs")
            kept = {name: before[name] for name in ("ApiId", "CreatedDate", "Tags")}
            api = imported.attributes | kept | ({"Tags": imported.tags} if imported.tags else {})
            for kind in _PARTS:
                storage.delete(txn, kind, api["ApiId"])
            storage.put(txn, "api", api, api["ApiId"])
            _put_parts(txn, api, imported)
            return api

        return shown_api(await self._changes.change(ctx, req["ApiId"], replace), ctx.region, self._endpoint_of)

    @operation("ExportApi")
    async def export_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        if req["Specification"] != "OAS30":
            raise BadRequest("Invalid specification: must be OAS30")
        if req["OutputType"] not in ("JSON", "YAML"):
            raise BadRequest("Invalid output type: must be JSON or YAML")
        if req.get("ExportVersion") not in (None, "1.0"):
            raise BadRequest("Invalid export version: must be 1.0")
        stage = req.get("StageName") or ""

        def read(reader: Reader, api: Document) -> Document:
            if api["ProtocolType"] != HTTP:
                raise BadRequest("Export is only supported for HTTP APIs")
            snapshot = _deployed(reader, api["ApiId"], stage) if stage else current_snapshot(reader, api["ApiId"])
            endpoint = self._endpoint_of(api["ApiId"], ctx.region, HTTP)
            return export_openapi(api, snapshot, endpoint, stage, has_extensions=req.get("IncludeExtensions", True))

        return {"body": written(await self._changes.read(ctx, req["ApiId"], read), req["OutputType"])}


def _read(req: dict[str, Any]) -> Imported:
    """Raises BadRequest."""
    imported = read_openapi(req["Body"], req.get("Basepath") or "ignore")
    if imported.warnings and req.get("FailOnWarnings"):
        raise BadRequest(f"Warnings found during import: {'; '.join(imported.warnings)}")
    return imported


def _deployed(reader: Reader, api_id: str, stage_name: str) -> Snapshot:
    stage = get(reader, "stage", api_id, stage_name)
    kept = storage.find(reader, "snapshot", api_id, stage["DeploymentId"]) if stage.get("DeploymentId") else None
    return Snapshot(**kept) if kept and not stage.get("AutoDeploy") else current_snapshot(reader, api_id)


def _put_parts(txn: Txn, api: Document, imported: Imported) -> None:
    """Raises BadRequest, Conflict. Routes with the same integration share it."""
    check_room(txn, "route", api["ApiId"], more=len(imported.routes))
    check_room(txn, "authorizer", api["ApiId"], more=len(imported.authorizers))
    authorizer_ids: dict[str, str] = {}
    for name, authorizer in imported.authorizers.items():
        authorizer_ids[name] = ids.lower_id(6)
        put_authorizer(txn, api, authorizer | {"AuthorizerId": authorizer_ids[name]})
    known: dict[bytes, str] = {}
    keys: set[str] = set()
    for given in imported.routes:
        if given["RouteKey"] in keys:
            raise Conflict(f"Route with key {given['RouteKey']} already exists for this API")
        keys.add(given["RouteKey"])
        route = {name: value for name, value in given.items() if name not in ("integration", "authorizer")}
        route["RouteId"] = ids.lower_id(7)
        if given.get("authorizer"):
            route["AuthorizerId"] = authorizer_ids[given["authorizer"]]
        if given["integration"] is not None:
            text = orjson.dumps(given["integration"], option=orjson.OPT_SORT_KEYS)
            integration_id = known.get(text)
            if integration_id is None:
                integration_id = known[text] = ids.lower_id(7)
                document = given["integration"] | {"IntegrationId": integration_id}
                storage.put(txn, "integration", document, api["ApiId"], integration_id)
            route["Target"] = f"integrations/{integration_id}"
        put_new_route(txn, api, route)
