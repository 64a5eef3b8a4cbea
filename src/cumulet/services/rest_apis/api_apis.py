"""Operations on APIs, their resources, and what hangs on the API as a whole."""

from typing import Any

import orjson

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.rest_apis import patch_tables, storage
from cumulet.services.rest_apis.errors import BadRequest
from cumulet.services.rest_apis.finding import get, get_api
from cumulet.services.rest_apis.live import Live
from cumulet.services.rest_apis.model import (
    STANDARD_MODELS,
    Document,
    check_path_part,
    child_path,
    page,
    paged,
    place_of,
    taken,
    without_nothing,
)
from cumulet.services.rest_apis.patches import patched
from cumulet.store.contract import Reader, Store, Txn

_ATTRIBUTES = (
    "name", "description", "version", "binaryMediaTypes", "minimumCompressionSize", "apiKeySource", "endpointConfiguration",
    "policy", "tags", "disableExecuteApiEndpoint", "securityPolicy", "endpointAccessMode",
)  # fmt: skip


def new_api(attributes: Document, now_s: float) -> Document:
    """An API's document. Raises BadRequest."""
    api: Document = {
        "id": ids.lower_id(10),
        "createdDate": now_s,
        "apiKeySource": "HEADER",
        "endpointConfiguration": {"types": ["EDGE"], "ipAddressType": "ipv4"},
        "tags": {},
        "disableExecuteApiEndpoint": False,
        "rootResourceId": ids.lower_id(10),
        "apiStatus": "AVAILABLE",
    } | attributes
    api["endpointConfiguration"].setdefault("ipAddressType", "ipv4")
    check_api(api)
    return api


def check_api(api: Document) -> None:
    if not api.get("name"):
        raise BadRequest("API name must be specified")
    size = api.get("minimumCompressionSize")
    if size is not None and not 0 <= size <= 10_485_760:
        raise BadRequest("Invalid minimum compression size, must be between 0 and 10485760")
    if len(api["endpointConfiguration"].get("types") or ()) != 1:
        raise BadRequest("Cannot create an api with multiple Endpoint Types.")
    if api.get("apiKeySource") not in ("HEADER", "AUTHORIZER"):
        raise BadRequest("Invalid API key source specified. Must be HEADER or AUTHORIZER")
    if api.get("policy"):
        try:
            is_object = isinstance(orjson.loads(api["policy"]), dict)
        except ValueError:
            is_object = False
        if not is_object:
            raise BadRequest("Invalid policy document. Please check the policy syntax and ensure that Principals are valid.")


def put_new_api(txn: Txn, api: Document) -> None:
    """The API with its root resource and its standard models."""
    storage.put(txn, "api", api, api["id"])
    root = {"id": api["rootResourceId"], "path": "/", "resourceMethods": {}}
    storage.put(txn, "resource", root, api["id"], root["id"])
    put_standard_models(txn, api["id"])


def put_standard_models(txn: Txn, api_id: str) -> None:
    for name, description, schema in STANDARD_MODELS:
        model = {"id": ids.lower_id(6), "name": name, "description": description, "schema": schema}
        storage.put(txn, "model", model | {"contentType": "application/json"}, api_id, name)


def shown_resource(resource: Document, *, is_whole: bool) -> Document:
    """A resource as it is answered: its methods whole only where that was asked."""
    methods = resource.get("resourceMethods") or {}
    shown = {name: value for name, value in resource.items() if name != "resourceMethods"}
    if methods:
        shown["resourceMethods"] = methods if is_whole else {name: {} for name in methods}
    return shown


class ApiOperations:
    def __init__(self, store: Store, clock: Clock, live: Live) -> None:
        self._store = store
        self._clock = clock
        self._live = live

    @operation("CreateRestApi")
    async def create_rest_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        if req.get("cloneFrom"):
            return await self._clone(ctx, req)
        api = new_api(taken(req, *_ATTRIBUTES), self._clock.now_ms() // 1000)
        await self._store.write(storage.shard_of(place_of(ctx)), lambda txn: put_new_api(txn, api))
        return api

    async def _clone(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """A copy of another API, with ids of its own."""
        api = new_api(taken(req, *_ATTRIBUTES), self._clock.now_ms() // 1000)

        def clone(txn: Txn) -> None:
            source = get_api(txn, place_of(ctx), req["cloneFrom"])
            renamed = {source["rootResourceId"]: api["rootResourceId"]}
            storage.put(txn, "api", api, api["id"])
            for resource in sorted(storage.list_all(txn, "resource", source["id"]), key=lambda each: len(each["path"])):
                new_id = renamed.setdefault(resource["id"], ids.lower_id(6))
                copy = resource | {"id": new_id}
                if "parentId" in resource:
                    copy["parentId"] = renamed[resource["parentId"]]
                storage.put(txn, "resource", copy, api["id"], new_id)
            for kind, key in (("model", "name"), ("validator", "id"), ("authorizer", "id"), ("response", "responseType")):
                for document in storage.list_all(txn, kind, source["id"]):  # type: ignore[arg-type]
                    storage.put(txn, kind, document, api["id"], document[key])  # type: ignore[arg-type]

        await self._store.write(storage.shard_of(place_of(ctx)), clone)
        return api

    @operation("GetRestApi")
    async def get_rest_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._store.read(
            storage.shard_of(place_of(ctx)), lambda reader: get_api(reader, place_of(ctx), req["restApiId"])
        )

    @operation("GetRestApis")
    async def get_rest_apis(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        found = await self._store.read(storage.shard_of(place_of(ctx)), lambda reader: list(storage.list_all(reader, "api")))
        return paged(found, req)

    @operation("UpdateRestApi")
    async def update_rest_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> Document:
            api = patched(get_api(txn, place_of(ctx), req["restApiId"]), req.get("patchOperations"), patch_tables.REST_API)
            check_api(api)
            storage.put(txn, "api", api, api["id"])
            return api

        api = await self._store.write(storage.shard_of(place_of(ctx)), update)
        await self._live.api(place_of(ctx), api["id"])
        return api

    @operation("DeleteRestApi")
    async def delete_rest_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            api = get_api(txn, place_of(ctx), req["restApiId"])
            for domain in storage.list_all(txn, "domain"):
                for mapping in storage.list_all(txn, "mapping", domain["domainName"]):
                    if mapping["restApiId"] == api["id"]:
                        raise BadRequest(
                            "Deleting this API failed. Please remove all base path mappings related to the API in your domains: "
                            + domain["domainName"]
                        )
            storage.delete_api(txn, api["id"])

        await self._store.write(storage.shard_of(place_of(ctx)), delete)
        await self._live.api(place_of(ctx), req["restApiId"])
        return {}

    @operation("CreateResource")
    async def create_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        api_id, part = req["restApiId"], req["pathPart"]

        def create(txn: Txn) -> Document:
            get_api(txn, place_of(ctx), api_id)
            parent = get(txn, "resource", api_id, req["parentId"])
            siblings = (each for each in storage.list_all(txn, "resource", api_id) if each.get("parentId") == parent["id"])
            check_path_part(part, siblings, parent["path"])
            resource = {
                "id": ids.lower_id(6),
                "parentId": parent["id"],
                "pathPart": part,
                "path": child_path(parent["path"], part),
                "resourceMethods": {},
            }
            storage.put(txn, "resource", resource, api_id, resource["id"])
            return resource

        return shown_resource(await self._store.write(storage.shard_of(place_of(ctx)), create), is_whole=False)

    @operation("GetResource")
    async def get_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> Document:
            get_api(reader, place_of(ctx), req["restApiId"])
            return get(reader, "resource", req["restApiId"], req["resourceId"])

        found = await self._store.read(storage.shard_of(place_of(ctx)), read)
        return shown_resource(found, is_whole="methods" in (req.get("embed") or ()))

    @operation("GetResources")
    async def get_resources(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> list[Document]:
            get_api(reader, place_of(ctx), req["restApiId"])
            return list(storage.list_all(reader, "resource", req["restApiId"]))

        found = sorted(await self._store.read(storage.shard_of(place_of(ctx)), read), key=lambda each: str(each["path"]))
        shown, position = page(found, req, lambda each: str(each["path"]))
        is_whole = "methods" in (req.get("embed") or ())
        return without_nothing({"items": [shown_resource(each, is_whole=is_whole) for each in shown], "position": position})

    @operation("UpdateResource")
    async def update_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        api_id = req["restApiId"]

        def update(txn: Txn) -> Document:
            get_api(txn, place_of(ctx), api_id)
            before = get(txn, "resource", api_id, req["resourceId"])
            after = patched(before, req.get("patchOperations"), patch_tables.RESOURCE)
            if "parentId" not in before:
                raise BadRequest("Cannot update the root resource")
            parent = get(txn, "resource", api_id, after["parentId"])
            others = [each for each in storage.list_all(txn, "resource", api_id) if each["id"] != after["id"]]
            check_path_part(after["pathPart"], (each for each in others if each.get("parentId") == parent["id"]), parent["path"])
            if (parent["path"] + "/").startswith(before["path"] + "/"):
                raise BadRequest("A resource cannot be moved below itself")
            after["path"] = child_path(parent["path"], after["pathPart"])
            storage.put(txn, "resource", after, api_id, after["id"])
            for other in others:
                if other["path"].startswith(before["path"] + "/"):
                    moved = other | {"path": after["path"] + other["path"][len(before["path"]) :]}
                    storage.put(txn, "resource", moved, api_id, other["id"])
            return after

        return shown_resource(await self._store.write(storage.shard_of(place_of(ctx)), update), is_whole=False)

    @operation("DeleteResource")
    async def delete_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        api_id = req["restApiId"]

        def delete(txn: Txn) -> None:
            get_api(txn, place_of(ctx), api_id)
            resource = get(txn, "resource", api_id, req["resourceId"])
            if "parentId" not in resource:
                raise BadRequest("Cannot delete the root resource")
            for each in list(storage.list_all(txn, "resource", api_id)):
                if each["id"] == resource["id"] or each["path"].startswith(resource["path"] + "/"):
                    storage.delete(txn, "resource", api_id, each["id"])

        await self._store.write(storage.shard_of(place_of(ctx)), delete)
        return {}
