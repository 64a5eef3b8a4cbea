"""Functions and their `$LATEST`: create, read, update, delete, list."""

import asyncio
from dataclasses import replace
from typing import Any

from cumulet.core import ids
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.runtimes.packages import MAX_UNZIPPED_BYTES, PackageError, PackageTooLarge, inspect_zip
from cumulet.services.functions import model, rendering, storage
from cumulet.services.functions.code import CodeLinks
from cumulet.services.functions.errors import InvalidParameterValue, PreconditionFailed, RequestTooLarge, ResourceConflict
from cumulet.services.functions.model import Code, Function, Version
from cumulet.services.functions.names import LATEST
from cumulet.services.functions.paging import page, paged
from cumulet.services.functions.registry import Registry, get_function, get_version, layer_blobs
from cumulet.store.contract import Reader, Txn


class FunctionOperations:
    def __init__(self, registry: Registry, links: CodeLinks) -> None:
        self._registry = registry
        self._links = links

    @operation("CreateFunction")
    async def create_function(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name
        if req.get("PackageType") == "Image":
            raise InvalidParameterValue("Container images are not supported by this node.")
        config = model.configured(req, name)
        code = await take_code(self._registry, req["Code"])
        now_ms = self._registry.clock.now_ms()
        revision_id = self._registry.revision_id()

        def create(txn: Txn) -> tuple[Function, Version, dict[str, int]]:
            if storage.find_function(txn, name) is not None:
                raise ResourceConflict(f"Function already exist: {name}")
            latest = Version(LATEST, config, code, revision_id, model.when(now_ms), req.get("Description", ""))
            latest, sizes = with_layers(txn, ctx, latest)
            function = Function(name, ids.request_id(), latest, tags=req.get("Tags") or {})
            shown = latest
            if req.get("Publish"):
                function, shown = model.published(function, None, now_ms, self._registry.revision_id())
                storage.put_version(txn, name, shown)
            storage.put_function(txn, function)
            return function, shown, sizes

        function, shown, sizes = await self._registry.write(ctx, create)
        self._registry.changed(ctx, function)
        return rendering.configuration(ctx, function, shown, sizes)

    @operation("GetFunction")
    async def get_function(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)

        def read(reader: Reader) -> dict[str, Any]:
            function = get_function(reader, ctx, target.name)
            version = get_version(reader, ctx, function, target.qualifier)
            result: dict[str, Any] = {
                "Configuration": rendering.configuration(ctx, function, version, _sizes(reader, ctx, version), target.qualifier),
                "Code": {"RepositoryType": "S3", "Location": self._links.link(ctx.endpoint, version.code.blob)},
                "Tags": function.tags,
            }
            if function.reserved is not None:
                result["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved}
            return result

        found: dict[str, Any] = await self._registry.read(ctx, read)
        if not found["Tags"]:
            del found["Tags"]
        return found

    @operation("GetFunctionConfiguration")
    async def get_function_configuration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)

        def read(reader: Reader) -> dict[str, Any]:
            function = get_function(reader, ctx, target.name)
            version = get_version(reader, ctx, function, target.qualifier)
            return rendering.configuration(ctx, function, version, _sizes(reader, ctx, version), target.qualifier)

        found: dict[str, Any] = await self._registry.read(ctx, read)
        return found

    @operation("ListFunctions")
    async def list_functions(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        with_versions = req.get("FunctionVersion") == "ALL"

        def read(reader: Reader) -> dict[str, Any]:
            pairs = [
                (function, version)
                for function in storage.list_functions(reader)
                for version in (function.latest, *(storage.list_versions(reader, function.name) if with_versions else ()))
            ]
            shown, marker = page(pairs, req, lambda pair: f"{pair[0].name}:{pair[1].version}")
            rendered = [
                rendering.configuration(
                    ctx, function, version, _sizes(reader, ctx, version), version.version if with_versions else None
                )
                for function, version in shown
            ]
            return paged("Functions", rendered, marker)

        found: dict[str, Any] = await self._registry.read(ctx, read)
        return found

    @operation("UpdateFunctionCode")
    async def update_function_code(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name
        await self._registry.read(ctx, lambda reader: get_function(reader, ctx, name))  # before an archive is taken in
        if req.get("ImageUri"):
            raise InvalidParameterValue("Container images are not supported by this node.")
        code = await take_code(self._registry, req)
        if req.get("DryRun"):
            function = await self._registry.read(ctx, lambda reader: get_function(reader, ctx, name))
            return rendering.configuration(ctx, function, replace(function.latest, code=code), {})

        def change(latest: Version) -> Version:
            config = latest.config | ({"Architectures": req["Architectures"]} if req.get("Architectures") else {})
            return replace(latest, code=code, config=config)

        return await self._update(ctx, name, req.get("RevisionId"), change, is_published=bool(req.get("Publish")))

    @operation("UpdateFunctionConfiguration")
    async def update_function_configuration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def change(latest: Version) -> Version:
            config = model.configured(req, name, latest.config)
            return replace(latest, config=config, description=req.get("Description", latest.description))

        return await self._update(ctx, name, req.get("RevisionId"), change, is_published=False)

    @operation("DeleteFunction")
    async def delete_function(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)

        def delete(txn: Txn) -> tuple[Function, list[str]]:
            function = get_function(txn, ctx, target.name)
            if target.qualifier is None:
                urls = [document["UrlId"] for _, document in storage.list_documents(txn, "url", target.name)]
                storage.delete_function(txn, target.name)
                return function, urls
            if target.qualifier == LATEST:
                raise InvalidParameterValue("$LATEST version cannot be deleted without deleting the function.")
            if not target.qualifier.isdecimal():
                raise InvalidParameterValue("Deletion of aliases is not currently supported.")
            users = [a.name for a in storage.list_aliases(txn, target.name) if target.qualifier in (a.version, *a.weights)]
            if users:
                raise ResourceConflict(f"Function version {target.qualifier} is used by the aliases {', '.join(users)}")
            storage.delete_version(txn, target.name, target.qualifier)
            return function, []

        function, urls = await self._registry.write(ctx, delete)
        for url_id in urls:
            await forget_url(self._registry, url_id)
        self._registry.changed(ctx, function, is_gone=target.qualifier is None)
        return {"StatusCode": 204}

    async def _update(self, ctx: Context, name: str, expected: str | None, change: Any, *, is_published: bool) -> dict[str, Any]:
        now_ms = self._registry.clock.now_ms()
        revision_id = self._registry.revision_id()

        def update(txn: Txn) -> tuple[Function, Version, dict[str, int]]:
            function = get_function(txn, ctx, name)
            model.check_revision(expected, function.latest.revision_id)
            latest = replace(change(function.latest), revision_id=revision_id, last_modified=model.when(now_ms))
            latest, sizes = with_layers(txn, ctx, latest)
            function = replace(function, latest=latest)
            shown = latest
            if is_published:
                function, shown = model.published(function, None, now_ms, self._registry.revision_id())
                storage.put_version(txn, name, shown)
            storage.put_function(txn, function)
            return function, shown, sizes

        function, shown, sizes = await self._registry.write(ctx, update)
        self._registry.changed(ctx, function)
        return rendering.configuration(ctx, function, shown, sizes)


async def take_code(registry: Registry, req: dict[str, Any]) -> Code:
    """The archive that a request brings or names, judged and kept. Raises the faults of a bad one."""
    data = req.get("ZipFile")
    if data is None and req.get("S3Bucket"):
        if registry.fetch_object is None:
            raise InvalidParameterValue("This node has no object store yet: send the archive as ZipFile.")
        data = await registry.fetch_object(req["S3Bucket"], req.get("S3Key", ""), req.get("S3ObjectVersion"))
    if data is None:
        raise InvalidParameterValue("Please provide a source for function code.")
    if len(data) > model.MAX_ZIP_BYTES:
        raise RequestTooLarge(f"Request must be smaller than {model.MAX_ZIP_BYTES} bytes for the archive")
    if not data:
        raise InvalidParameterValue("Uploaded file must be a non-empty zip")
    try:
        facts = await asyncio.to_thread(inspect_zip, data)
    except PackageTooLarge:
        raise InvalidParameterValue(f"Unzipped size must be smaller than {MAX_UNZIPPED_BYTES} bytes") from None
    except PackageError as error:
        raise InvalidParameterValue(
            f"Could not unzip uploaded file. Please check your file, then try to upload again. ({error})"
        ) from None
    blob = await registry.store.blobs.put(data)
    return model.code_of(data, blob, facts.unzipped_bytes)


def with_layers(txn: Txn, ctx: Context, version: Version) -> tuple[Version, dict[str, int]]:
    """The version with its layers' blobs beside their ARNs, and the layers' sizes. Raises InvalidParameterValue."""
    blobs, sizes, unzipped = layer_blobs(txn, version, ctx.account, ctx.region)
    if version.code.unzipped + unzipped > MAX_UNZIPPED_BYTES:
        raise InvalidParameterValue(
            f"Function code combined with layers exceeds the maximum allowed size of {MAX_UNZIPPED_BYTES} bytes. "
            f"The actual size is {version.code.unzipped + unzipped} bytes."
        )
    return replace(version, config=version.config | {"LayerBlobs": list(blobs)}), sizes


async def forget_url(registry: Registry, url_id: str) -> None:
    """Take a function URL out of the index by which it is found."""

    def forget(txn: Txn) -> None:
        storage.delete_document(txn, "url", url_id)

    await registry.store.write(storage.URL_SHARD, forget)
    registry.forget_url(url_id)


def check_code_hash(expected: str | None, version: Version) -> None:
    if expected is not None and expected != version.code.sha256:
        raise PreconditionFailed(
            f"CodeSHA256 ({expected}) is different from current CodeSHA256 in $LATEST ({version.code.sha256})."
        )


def _sizes(reader: Reader, ctx: Context, version: Version) -> dict[str, int]:
    try:
        return layer_blobs(reader, version, ctx.account, ctx.region)[1]
    except InvalidParameterValue:
        return {}  # a layer version that was deleted since: its code goes on to be used, its size is no longer known
