"""Operations that make an API of an OpenAPI document, and a document of an API."""

from collections.abc import Callable
from typing import Any

import orjson
import yaml

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.rest_apis import storage
from cumulet.services.rest_apis.api_apis import check_api, new_api, put_new_api, put_standard_models
from cumulet.services.rest_apis.api_documentation import put_parts
from cumulet.services.rest_apis.errors import BadRequest
from cumulet.services.rest_apis.finding import get, get_api
from cumulet.services.rest_apis.live import Live
from cumulet.services.rest_apis.model import Document, check_path_part, child_path, place_of
from cumulet.services.rest_apis.openapi_export import export
from cumulet.services.rest_apis.openapi_import import Imported, read_openapi
from cumulet.store.contract import Reader, Store, Txn

EndpointOf = Callable[[str, str], str]
"""(API, region) -> the address that its stages are below."""
_PARTS: tuple[storage.Kind, ...] = ("resource", "model", "validator", "authorizer", "response", "part")
_KEYED_BY_ID: tuple[storage.Kind, ...] = ("validator", "authorizer")


class OpenApiOperations:
    def __init__(self, store: Store, clock: Clock, live: Live, endpoint_of: EndpointOf) -> None:
        self._store = store
        self._clock = clock
        self._live = live
        self._endpoint_of = endpoint_of

    @operation("ImportRestApi")
    async def import_rest_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        imported = _read(req)
        api = new_api(imported.attributes, self._clock.now_ms() // 1000)

        def create(txn: Txn) -> None:
            put_new_api(txn, api)
            apply_import(txn, api, imported)

        await self._store.write(storage.shard_of(place_of(ctx)), create)
        return api | {"warnings": imported.warnings}

    @operation("PutRestApi")
    async def put_rest_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        imported = _read(req)
        is_overwrite = req.get("mode") == "overwrite"

        def put(txn: Txn) -> Document:
            before = get_api(txn, place_of(ctx), req["restApiId"])
            api = before | imported.attributes
            if "endpointConfiguration" in imported.attributes:
                api["endpointConfiguration"] = before["endpointConfiguration"] | imported.attributes["endpointConfiguration"]
            check_api(api)
            if is_overwrite:
                _clear(txn, api)
            storage.put(txn, "api", api, api["id"])
            apply_import(txn, api, imported)
            return api

        api = await self._store.write(storage.shard_of(place_of(ctx)), put)
        await self._live.api(place_of(ctx), api["id"])
        return api | {"warnings": imported.warnings}

    @operation("GetExport")
    async def get_export(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        kind, accepted = req["exportType"], req.get("accepts") or "application/json"
        if kind not in ("oas30", "swagger"):
            raise BadRequest("No API exporter for type '" + kind + "'")
        if accepted not in ("application/json", "application/yaml"):
            raise BadRequest(f"Invalid accepts type {accepted}. Must be application/json or application/yaml")

        def read(reader: Reader) -> tuple[Document, Document | None]:
            get_api(reader, place_of(ctx), req["restApiId"])
            stage = get(reader, "stage", req["restApiId"], req["stageName"])
            version = stage.get("documentationVersion")
            documentation = storage.find(reader, "parts-version", req["restApiId"], version) if version else None
            return get(reader, "snapshot", req["restApiId"], stage["deploymentId"]), documentation

        snapshot, documentation = await self._store.read(storage.shard_of(place_of(ctx)), read)
        wanted = frozenset((req.get("parameters") or {}).get("extensions", "").replace(" ", "").split(","))
        server = self._endpoint_of(req["restApiId"], ctx.region)
        document = export(snapshot, req["stageName"], server, kind, wanted, documentation)
        is_json = accepted == "application/json"
        text = orjson.dumps(document, option=orjson.OPT_INDENT_2) if is_json else yaml.safe_dump(document, sort_keys=False).encode()
        file_name = f"{kind}_{self._clock.now_ms() // 1000}.{'json' if is_json else 'yaml'}"
        return {
            "contentType": accepted,
            "contentDisposition": f'attachment; filename="{file_name}"',
            "body": text,
        }


def apply_import(txn: Txn, api: Document, imported: Imported) -> None:
    """Write what a document says over what the API has. Raises BadRequest."""
    api_id = api["id"]
    for name, model in imported.models.items():
        schema = model["schema"].replace("/restapis/{api}/models/", f"/restapis/{api_id}/models/")
        known = storage.find(txn, "model", api_id, name) or {"id": ids.lower_id(6)}
        storage.put(txn, "model", known | model | {"schema": schema}, api_id, name)
    named = {kind: _put_named(txn, api_id, kind, getattr(imported, f"{kind}s")) for kind in _KEYED_BY_ID}
    for response_type, response in imported.responses.items():
        storage.put(txn, "response", response, api_id, response_type)
    put_parts(txn, api_id, imported.documentation)
    by_path = {each["path"]: each for each in storage.list_all(txn, "resource", api_id)}
    for path, methods in sorted(imported.methods.items()):
        resource = _resource_at(txn, api_id, path, by_path)
        for method in methods.values():
            _link(txn, api_id, method, named, resource["id"])
        resource["resourceMethods"] = (resource.get("resourceMethods") or {}) | methods
        storage.put(txn, "resource", resource, api_id, resource["id"])


def _put_named(txn: Txn, api_id: str, kind: storage.Kind, documents: dict[str, Document]) -> dict[str, str]:
    """Authorizers or validators, which keep their ids where their names are known; {name: id}."""
    found = {each.get("name") or each["id"]: each["id"] for each in storage.list_all(txn, kind, api_id)}
    for name, document in documents.items():
        found.setdefault(name, ids.lower_id(6))
        storage.put(txn, kind, {"id": found[name]} | document, api_id, found[name])
    return found


def _link(txn: Txn, api_id: str, method: Document, named: dict[storage.Kind, dict[str, str]], resource_id: str) -> None:
    """Names of authorizers, validators and models become what the API has under them. Raises BadRequest."""
    for member, kind, target in (("authorizer", "authorizer", "authorizerId"), ("validator", "validator", "requestValidatorId")):
        name = method.pop(member, None)
        if name is not None:
            known = named[kind]  # type: ignore[index]
            if name not in known:
                raise BadRequest(f"Unable to find {kind} '{name}'")
            method[target] = known[name]
    responses = method.get("methodResponses", {}).values()
    for models in (method.get("requestModels") or {}, *((each.get("responseModels") or {}) for each in responses)):
        for model in models.values():
            if storage.find(txn, "model", api_id, model) is None:
                raise BadRequest(f"Invalid model identifier specified: {model}")
    if "methodIntegration" in method:
        method["methodIntegration"].setdefault("cacheNamespace", resource_id)


def _resource_at(txn: Txn, api_id: str, path: str, by_path: dict[str, Document]) -> Document:
    """The resource of a path, made with its parents where it is not there."""
    known = by_path.get(path)
    if known is not None:
        return known
    parent_path, _, part = path.rpartition("/")
    parent = _resource_at(txn, api_id, parent_path or "/", by_path)
    check_path_part(part, (each for each in by_path.values() if each.get("parentId") == parent["id"]), parent["path"])
    resource = {
        "id": ids.lower_id(6),
        "parentId": parent["id"],
        "pathPart": part,
        "path": child_path(parent["path"], part),
        "resourceMethods": {},
    }
    storage.put(txn, "resource", resource, api_id, str(resource["id"]))
    by_path[path] = resource
    return resource


def _clear(txn: Txn, api: Document) -> None:
    """Everything that an overwriting import replaces; the root keeps its id."""
    for kind in _PARTS:
        storage.delete(txn, kind, api["id"])
    root = {"id": api["rootResourceId"], "path": "/", "resourceMethods": {}}
    storage.put(txn, "resource", root, api["id"], root["id"])
    put_standard_models(txn, api["id"])


def _read(req: dict[str, Any]) -> Imported:
    imported = read_openapi(req["body"], req.get("parameters") or {})
    if imported.warnings and req.get("failOnWarnings"):
        raise BadRequest("Warnings found during import:\n" + "\n".join(imported.warnings))
    return imported
