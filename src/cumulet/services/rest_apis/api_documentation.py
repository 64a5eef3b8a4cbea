"""Operations on documentation: parts, and versions of all parts of an API, which stages show in their exports."""

from collections.abc import Iterable
from typing import Any

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.rest_apis import patch_tables, storage
from cumulet.services.rest_apis.documentation import (
    MAX_CHARS,
    MAX_PARTS,
    MAX_VERSIONS,
    checked_location,
    checked_properties,
    same_place,
    undocumented,
)
from cumulet.services.rest_apis.errors import BadRequest, Conflict, LimitExceeded
from cumulet.services.rest_apis.finding import get, get_api
from cumulet.services.rest_apis.model import Document, paged, place_of, taken
from cumulet.services.rest_apis.openapi_import import read_documentation
from cumulet.services.rest_apis.patches import patched
from cumulet.store.contract import Reader, Store, Txn


def put_parts(txn: Txn, api_id: str, parts: list[Document]) -> list[str]:
    """Write parts over those that the API has at the same places; their ids. Raises LimitExceeded."""
    known = {_place(each): each for each in storage.list_all(txn, "part", api_id)}
    for part in parts:
        name = known[_place(part)]["id"] if _place(part) in known else ids.lower_id(6)
        known[_place(part)] = {"id": name} | part
        storage.put(txn, "part", known[_place(part)], api_id, name)
    _check_limits(known.values())
    return [known[_place(part)]["id"] for part in parts]


class DocumentationOperations:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @operation("CreateDocumentationPart")
    async def create_documentation_part(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        location, properties = checked_location(req["location"]), checked_properties(req["properties"])
        part: Document = {"id": ids.lower_id(6), "location": location, "properties": properties}

        def create(txn: Txn) -> None:
            get_api(txn, place_of(ctx), req["restApiId"])
            parts = list(storage.list_all(txn, "part", req["restApiId"]))
            if any(same_place(each, location) for each in parts):
                told = ", ".join(f"{name} '{value}'" for name, value in location.items())
                raise Conflict(f"Documentation part already exists for the specified location: {told}")
            _check_limits([*parts, part])
            storage.put(txn, "part", part, req["restApiId"], part["id"])

        await self._store.write(storage.shard_of(place_of(ctx)), create)
        return part

    @operation("GetDocumentationPart")
    async def get_documentation_part(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> Document:
            get_api(reader, place_of(ctx), req["restApiId"])
            return get(reader, "part", req["restApiId"], req["documentationPartId"])

        return await self._store.read(storage.shard_of(place_of(ctx)), read)

    @operation("GetDocumentationParts")
    async def get_documentation_parts(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        api_id = req["restApiId"]

        def read(reader: Reader) -> list[Document]:
            get_api(reader, place_of(ctx), api_id)
            parts = list(storage.list_all(reader, "part", api_id))
            if req.get("locationStatus") != "UNDOCUMENTED":
                return parts
            written = {_place(each) for each in parts}
            things = undocumented(
                storage.list_all(reader, "resource", api_id),
                storage.list_all(reader, "model", api_id),
                storage.list_all(reader, "authorizer", api_id),
            )
            # They have no parts, so no ids: they are listed in the order of their places.
            return [{"id": place, "location": each} for each in things if (place := _place({"location": each})) not in written]

        found = await self._store.read(storage.shard_of(place_of(ctx)), read)
        wanted = {"type": req.get("type"), "name": req.get("nameQuery"), "path": req.get("path")}
        shown = paged([each for each in found if _matches(each["location"], wanted)], req)
        if req.get("locationStatus") == "UNDOCUMENTED":
            shown["items"] = [{"location": each["location"]} for each in shown["items"]]
        return shown

    @operation("UpdateDocumentationPart")
    async def update_documentation_part(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> Document:
            get_api(txn, place_of(ctx), req["restApiId"])
            before = get(txn, "part", req["restApiId"], req["documentationPartId"])
            part = patched(before, req.get("patchOperations"), patch_tables.DOCUMENTATION_PART)
            part["properties"] = checked_properties(part.get("properties"))
            storage.put(txn, "part", part, req["restApiId"], part["id"])
            _check_limits(storage.list_all(txn, "part", req["restApiId"]))
            return part

        return await self._store.write(storage.shard_of(place_of(ctx)), update)

    @operation("DeleteDocumentationPart")
    async def delete_documentation_part(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            get_api(txn, place_of(ctx), req["restApiId"])
            get(txn, "part", req["restApiId"], req["documentationPartId"])
            storage.delete(txn, "part", req["restApiId"], req["documentationPartId"])

        await self._store.write(storage.shard_of(place_of(ctx)), delete)
        return {}

    @operation("ImportDocumentationParts")
    async def import_documentation_parts(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        parts = read_documentation(req["body"])

        def put(txn: Txn) -> list[str]:
            get_api(txn, place_of(ctx), req["restApiId"])
            if req.get("mode") == "overwrite":
                storage.delete(txn, "part", req["restApiId"])
            return put_parts(txn, req["restApiId"], parts)

        return {"ids": await self._store.write(storage.shard_of(place_of(ctx)), put), "warnings": []}

    @operation("CreateDocumentationVersion")
    async def create_documentation_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """A snapshot of all parts; with a stage's name, that stage shows it from now on."""
        api_id, name = req["restApiId"], req["documentationVersion"]
        if not name or len(name) > 64:
            raise BadRequest("A documentation version has a name of 1 to 64 characters")
        version: Document = {"version": name, "createdDate": self._clock.now_ms() // 1000} | taken(req, "description")

        def create(txn: Txn) -> None:
            get_api(txn, place_of(ctx), api_id)
            if storage.find(txn, "parts-version", api_id, name) is not None:
                raise Conflict("Documentation version already exists")
            if sum(1 for _ in storage.list_all(txn, "parts-version", api_id)) >= MAX_VERSIONS:
                raise LimitExceeded(f"An API has at most {MAX_VERSIONS} documentation versions")
            parts = [{key: each[key] for key in ("location", "properties")} for each in storage.list_all(txn, "part", api_id)]
            storage.put(txn, "parts-version", version | {"parts": parts}, api_id, name)
            if req.get("stageName"):
                stage = get(txn, "stage", api_id, req["stageName"])
                stage |= {"documentationVersion": name, "lastUpdatedDate": version["createdDate"]}
                storage.put(txn, "stage", stage, api_id, req["stageName"])

        await self._store.write(storage.shard_of(place_of(ctx)), create)
        return version

    @operation("GetDocumentationVersion")
    async def get_documentation_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> Document:
            get_api(reader, place_of(ctx), req["restApiId"])
            return get(reader, "parts-version", req["restApiId"], req["documentationVersion"])

        return _shown(await self._store.read(storage.shard_of(place_of(ctx)), read))

    @operation("GetDocumentationVersions")
    async def get_documentation_versions(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> list[Document]:
            get_api(reader, place_of(ctx), req["restApiId"])
            return [_shown(each) for each in storage.list_all(reader, "parts-version", req["restApiId"])]

        return paged(await self._store.read(storage.shard_of(place_of(ctx)), read), req, "version")

    @operation("UpdateDocumentationVersion")
    async def update_documentation_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> Document:
            get_api(txn, place_of(ctx), req["restApiId"])
            before = get(txn, "parts-version", req["restApiId"], req["documentationVersion"])
            version = patched(before, req.get("patchOperations"), patch_tables.DOCUMENTATION_VERSION)
            storage.put(txn, "parts-version", version, req["restApiId"], version["version"])
            return version

        return _shown(await self._store.write(storage.shard_of(place_of(ctx)), update))

    @operation("DeleteDocumentationVersion")
    async def delete_documentation_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        api_id, name = req["restApiId"], req["documentationVersion"]

        def delete(txn: Txn) -> None:
            get_api(txn, place_of(ctx), api_id)
            get(txn, "parts-version", api_id, name)
            for stage in storage.list_all(txn, "stage", api_id):
                if stage.get("documentationVersion") == name:
                    raise Conflict(f"Documentation version {name} is associated with the stage {stage['stageName']}")
            storage.delete(txn, "parts-version", api_id, name)

        await self._store.write(storage.shard_of(place_of(ctx)), delete)
        return {}


def _shown(version: Document) -> Document:
    return {name: value for name, value in version.items() if name != "parts"}


def _place(part: Document) -> str:
    location = part["location"]
    return "\0".join(str(location.get(name, "")) for name in ("path", "type", "method", "statusCode", "name"))


def _matches(location: Document, wanted: dict[str, Any]) -> bool:
    return all(value is None or location.get(name) == value for name, value in wanted.items())


def _check_limits(parts: Iterable[Document]) -> None:
    sizes = [len(each["properties"]) for each in parts]
    if len(sizes) > MAX_PARTS:
        raise LimitExceeded(f"An API has at most {MAX_PARTS} documentation parts")
    if sum(sizes) > MAX_CHARS:
        raise LimitExceeded(f"The documentation parts of an API have at most {MAX_CHARS} characters together")
