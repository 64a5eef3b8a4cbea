"""Operations on functions: create, read, change, delete, list."""

import functools
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions import model_configuration
from cumulet.services.functions.api_layers import LayerUses
from cumulet.services.functions.code import CodeLinks, CodeStore
from cumulet.services.functions.environments import Environments
from cumulet.services.functions.errors import (
    CodeStorageExceeded,
    InvalidParameterValue,
    ResourceConflict,
    ResourceNotFound,
    stale_revision,
)
from cumulet.services.functions.model import Code, Configuration, Function, FunctionVersion, Limits, LimitsOf
from cumulet.services.functions.model_configuration import described, judge_size, listed
from cumulet.services.functions.model_tags import judge_tags
from cumulet.services.functions.names import LATEST, FunctionRef, Place, function_ref, place_of, unqualified
from cumulet.services.functions.storage import Edit, FunctionStorage, Page, View

ApplyProvisioned = Callable[[Place, str], Awaitable[None]]
"""Makes the invoker keep warm what the store says of a function."""


class FunctionOperations:
    def __init__(
        self,
        storage: FunctionStorage,
        clock: Clock,
        code: CodeStore,
        links: CodeLinks,
        layers: LayerUses,
        limits: Limits,
        limits_of: LimitsOf,
        environments: Environments,
        apply_provisioned: ApplyProvisioned,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._code = code
        self._layers = layers
        self._limits = limits
        self._limits_of = limits_of
        self._links = links
        self._environments = environments
        self._apply_provisioned = apply_provisioned

    @operation("CreateFunction")
    async def create_function(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        model_configuration.refuse_unsupported(req)
        place, name = place_of(ctx), unqualified(ctx, req["FunctionName"])
        tags = judge_tags(req.get("Tags") or {})
        configuration = model_configuration.created(req, await self._layers.of(place, req.get("Layers") or []))
        await self._storage.read(place, lambda view: _check_is_new(view, name))  # before the archive is looked at
        code = await self._code.keep(req["Code"], "CreateFunction")
        judge_size(code, configuration.layers, self._limits)
        now_ms = self._clock.now_ms()
        latest = FunctionVersion(name, LATEST, str(uuid.uuid4()), str(uuid.uuid4()), now_ms, code, configuration)

        def create(edit: Edit) -> FunctionVersion:
            _check_is_new(edit, name)
            edit.put_function(Function(name, latest.function_id, tags=tags))
            edit.put_version(latest)
            self._count(edit, code.code_bytes, functions=1)
            return self._publish(edit, latest, None, now_ms) if req.get("Publish") else latest

        version = await self._storage.write(place, name, create)
        self._environments.expect(version.spec(place, reserved_concurrency=None))
        return described(version, place, model_configuration.version_qualifier(version))

    @operation("GetFunction")
    async def get_function(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), function_ref(ctx, req["FunctionName"], req.get("Qualifier"))
        version, function = await self._storage.read(place, lambda view: (view.get_target(ref), view.get_function(ref.name)))
        found: dict[str, Any] = {
            "Configuration": described(version, place, ref.qualifier),
            "Code": {"RepositoryType": "S3", "Location": self._links.link(ctx.endpoint, version.code.sha256)},
        }
        if function.tags:
            found["Tags"] = dict(function.tags)
        if function.reserved_concurrency is not None:
            found["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved_concurrency}
        return found

    @operation("GetFunctionConfiguration")
    async def get_function_configuration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), function_ref(ctx, req["FunctionName"], req.get("Qualifier"))
        version = await self._storage.read(place, lambda view: view.get_target(ref))
        return described(version, place, ref.qualifier)

    @operation("UpdateFunctionCode")
    async def update_function_code(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        model_configuration.refuse_unsupported(req)
        place, name = place_of(ctx), unqualified(ctx, req["FunctionName"])
        await self._storage.read(place, lambda view: view.get_version(name, LATEST))
        code = await self._code.keep(req, "UpdateFunctionCode")
        architecture = model_configuration.architecture_of(req)

        def change(before: FunctionVersion) -> tuple[Configuration, Code]:
            judge_size(code, before.configuration.layers, self._limits)
            return replace(before.configuration, architecture=architecture or before.configuration.architecture), code

        now_ms = self._clock.now_ms()
        update = functools.partial(self._update, name=name, expected=req.get("RevisionId"), change=change, now_ms=now_ms)
        if req.get("DryRun"):
            before = await self._storage.read(place, lambda view: view.get_version(name, LATEST))
            _check_revision(before, req.get("RevisionId"))
            configuration, _ = change(before)
            return described(replace(before, configuration=configuration, code=code), place, None)

        def save(edit: Edit) -> FunctionVersion:
            latest = update(edit)
            return self._publish(edit, latest, None, now_ms) if req.get("Publish") else latest

        version = await self._storage.write(place, name, save)
        self._retire_older(version)
        self._environments.expect(version.spec(place, reserved_concurrency=None))
        return described(version, place, model_configuration.version_qualifier(version))

    @operation("UpdateFunctionConfiguration")
    async def update_function_configuration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        model_configuration.refuse_unsupported(req)
        place, name = place_of(ctx), unqualified(ctx, req["FunctionName"])
        layers = None if req.get("Layers") is None else await self._layers.of(place, req["Layers"])

        def change(before: FunctionVersion) -> tuple[Configuration, Code]:
            after = model_configuration.updated(before.configuration, req, layers)
            judge_size(before.code, after.layers, self._limits)
            return after, before.code

        now_ms = self._clock.now_ms()
        latest = await self._storage.write(
            place, name, lambda edit: self._update(edit, name=name, expected=req.get("RevisionId"), change=change, now_ms=now_ms)
        )
        self._retire_older(latest)
        self._environments.expect(latest.spec(place, reserved_concurrency=None))
        return described(latest, place, None)

    @operation("DeleteFunction")
    async def delete_function(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), function_ref(ctx, req["FunctionName"], req.get("Qualifier"))
        if ref.qualifier == LATEST:
            raise InvalidParameterValue("$LATEST version cannot be deleted without deleting the function.")
        if ref.qualifier is not None:
            await self._storage.write(place, ref.name, lambda edit: _delete_version(edit, ref))
            await self._apply_provisioned(place, ref.name)
            return {"StatusCode": 204}

        def delete(edit: Edit) -> tuple[Function, list[str]]:
            function = edit.get_function(ref.name)
            everything = Page(None, 1 << 30)
            urls = [url.url_id for url in edit.urls(ref.name, everything)[0]]
            versions, _ = edit.versions(ref.name, everything)
            edit.count(code_bytes=-sum(version.code.code_bytes for version in versions), functions=-1)
            edit.delete_function(ref.name)
            return function, urls

        function, urls = await self._storage.write(place, ref.name, delete)
        self._environments.retire(function.function_id, None)
        self._environments.set_reserved(place.account, function.function_id, None)
        await self._apply_provisioned(place, ref.name)
        for url_id in urls:
            await self._storage.delete_url_owner(url_id)
        return {"StatusCode": 204}

    @operation("ListFunctions")
    async def list_functions(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, page = place_of(ctx), Page.of(req)
        is_all = req.get("FunctionVersion") == "ALL"
        versions, marker = await self._storage.read(
            place, lambda view: view.all_versions(page) if is_all else view.latest_versions(page)
        )
        found: dict[str, Any] = {"Functions": [listed(each, place, each.version if is_all else None) for each in versions]}
        return found | ({"NextMarker": marker} if marker else {})

    @operation("PublishVersion")
    async def publish_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        model_configuration.refuse_unsupported(req)
        place, name = place_of(ctx), unqualified(ctx, req["FunctionName"])
        now_ms = self._clock.now_ms()

        def publish(edit: Edit) -> FunctionVersion:
            latest = edit.get_version(name, LATEST)
            _check_revision(latest, req.get("RevisionId"))
            actual = listed(latest, place, None)["CodeSha256"]
            if req.get("CodeSha256") and req["CodeSha256"] != actual:
                raise InvalidParameterValue(
                    f"CodeSHA256 ({req['CodeSha256']}) is different from current CodeSHA256 in $LATEST ({actual}). "
                    "Please try again with the CodeSHA256 in $LATEST."
                )
            return self._publish(edit, latest, req.get("Description"), now_ms)

        version = await self._storage.write(place, name, publish)
        self._environments.expect(version.spec(place, reserved_concurrency=None))
        return described(version, place, version.version)

    @operation("ListVersionsByFunction")
    async def list_versions_by_function(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name, page = place_of(ctx), unqualified(ctx, req["FunctionName"]), Page.of(req)

        def read(view: View) -> tuple[list[FunctionVersion], str | None]:
            view.get_function(name)
            return view.versions(name, page)

        versions, marker = await self._storage.read(place, read)
        found: dict[str, Any] = {"Versions": [listed(each, place, each.version) for each in versions]}
        return found | ({"NextMarker": marker} if marker else {})

    def _retire_older(self, now: FunctionVersion) -> None:
        """Environments of what $LATEST was before serve nothing any more."""
        self._environments.retire(now.function_id, (now.function_id, LATEST, now.config_id))

    def _update(
        self,
        edit: Edit,
        *,
        name: str,
        expected: str | None,
        change: Callable[[FunctionVersion], tuple[Configuration, Code]],
        now_ms: int,
    ) -> FunctionVersion:
        before = edit.get_version(name, LATEST)
        _check_revision(before, expected)
        configuration, code = change(before)
        after = before.changed(configuration, code, revision_id=str(uuid.uuid4()), now_ms=now_ms)
        edit.put_version(after)
        self._count(edit, code.code_bytes - before.code.code_bytes)
        return after

    def _publish(self, edit: Edit, latest: FunctionVersion, description: str | None, now_ms: int) -> FunctionVersion:
        """A new version of $LATEST, or the newest one when it would be the same."""
        newest = edit.newest_published(latest.name)
        if newest is not None and newest.runs_like(latest):
            return newest
        function = edit.get_function(latest.name)
        number = function.last_version + 1
        version = latest.published(number, description, revision_id=str(uuid.uuid4()), now_ms=now_ms)
        edit.put_function(replace(function, last_version=number))
        edit.put_version(version)
        self._count(edit, version.code.code_bytes)
        return version

    def _count(self, edit: Edit, code_bytes: int, *, functions: int = 0) -> None:
        limits, used = self._limits_of(edit.place.account), edit.count(code_bytes=code_bytes, functions=functions)
        if used["code_bytes"] > limits.total_code_bytes and code_bytes > 0:
            raise CodeStorageExceeded("Code storage limit exceeded.")
        if used["functions"] > limits.functions and functions > 0:
            raise CodeStorageExceeded(f"Function limit exceeded: this account may have {limits.functions}.")


def _check_is_new(view: View, name: str) -> None:
    if view.find_function(name) is not None:
        raise ResourceConflict(f"Function already exist: {name}")


def _check_revision(version: FunctionVersion, expected: str | None) -> None:
    if expected is not None and expected != version.revision_id:
        raise stale_revision()


def _delete_version(edit: Edit, ref: FunctionRef) -> None:
    """Delete one published version. One that an alias points to stays."""
    number = str(ref.qualifier)
    edit.get_function(ref.name)
    if not number.isdigit():
        raise InvalidParameterValue("Deletion of aliases is not currently supported.")
    version = edit.find_version(ref.name, number)
    if version is None:
        raise ResourceNotFound(f"Function not found: {edit.place.function_arn(ref.name, number)}")
    users = [alias.name for alias in edit.all_aliases(ref.name) if number == alias.version or number in alias.weights]
    if users:
        raise ResourceConflict(f"Version {number} cannot be deleted: the aliases {', '.join(users)} point to it.")
    edit.delete_version(ref.name, number)
    edit.count(code_bytes=-version.code.code_bytes)
