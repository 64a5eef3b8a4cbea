"""Published versions and aliases."""

from dataclasses import replace
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions import model, rendering, storage
from cumulet.services.functions.errors import InvalidParameterValue, ResourceConflict, ResourceNotFound
from cumulet.services.functions.functions import check_code_hash
from cumulet.services.functions.model import Alias, Function, Version
from cumulet.services.functions.names import LATEST, function_arn
from cumulet.services.functions.paging import page, paged
from cumulet.services.functions.registry import Registry, get_function, get_version
from cumulet.store.contract import Reader, Txn


class VersionOperations:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("PublishVersion")
    async def publish_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def publish(txn: Txn) -> tuple[Function, Version]:
            function = get_function(txn, ctx, name)
            model.check_revision(req.get("RevisionId"), function.latest.revision_id)
            check_code_hash(req.get("CodeSha256"), function.latest)
            last = storage.find_version(txn, name, function.last_published) if function.last_published else None
            if last is not None and last.fingerprint == function.latest.fingerprint:
                return function, last  # nothing changed since: the same version is published again
            now_ms = self._registry.clock.now_ms()
            after, version = model.published(function, req.get("Description"), now_ms, self._registry.revision_id())
            storage.put_version(txn, name, version)
            storage.put_function(txn, after)
            return after, version

        function, version = await self._registry.write(ctx, publish)
        return rendering.configuration(ctx, function, version, {})

    @operation("ListVersionsByFunction")
    async def list_versions(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def read(reader: Reader) -> dict[str, Any]:
            function = get_function(reader, ctx, name)
            versions = [function.latest, *storage.list_versions(reader, name)]
            shown, marker = page(versions, req, lambda version: version.version)
            rendered = [rendering.configuration(ctx, function, version, {}, version.version) for version in shown]
            return paged("Versions", rendered, marker)

        found: dict[str, Any] = await self._registry.read(ctx, read)
        return found


class AliasOperations:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("CreateAlias")
    async def create_alias(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def create(txn: Txn) -> tuple[Function, Alias]:
            function = get_function(txn, ctx, name)
            if storage.find_alias(txn, name, req["Name"]) is not None:
                raise ResourceConflict(f"Alias already exists: {function_arn(ctx, name, req['Name'])}")
            weights = _weights(req)
            alias = Alias(req["Name"], req["FunctionVersion"], self._registry.revision_id(), req.get("Description", ""), weights)
            _check(txn, ctx, function, alias)
            storage.put_alias(txn, name, alias)
            return function, alias

        function, alias = await self._registry.write(ctx, create)
        self._registry.changed(ctx, function)
        return rendering.alias(ctx, name, alias)

    @operation("UpdateAlias")
    async def update_alias(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def update(txn: Txn) -> tuple[Function, Alias]:
            function = get_function(txn, ctx, name)
            before = _get_alias(txn, ctx, name, req["Name"])
            model.check_revision(req.get("RevisionId"), before.revision_id)
            alias = replace(
                before,
                version=req.get("FunctionVersion", before.version),
                description=req.get("Description", before.description),
                weights=_weights(req) if req.get("RoutingConfig") is not None else before.weights,
                revision_id=self._registry.revision_id(),
            )
            _check(txn, ctx, function, alias)
            storage.put_alias(txn, name, alias)
            return function, alias

        function, alias = await self._registry.write(ctx, update)
        self._registry.changed(ctx, function)
        return rendering.alias(ctx, name, alias)

    @operation("GetAlias")
    async def get_alias(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def read(reader: Reader) -> Alias:
            get_function(reader, ctx, name)
            return _get_alias(reader, ctx, name, req["Name"])

        return rendering.alias(ctx, name, await self._registry.read(ctx, read))

    @operation("DeleteAlias")
    async def delete_alias(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def delete(txn: Txn) -> Function:
            storage.delete_alias(txn, name, req["Name"])
            return get_function(txn, ctx, name)

        self._registry.changed(ctx, await self._registry.write(ctx, delete))
        return {}

    @operation("ListAliases")
    async def list_aliases(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def read(reader: Reader) -> dict[str, Any]:
            get_function(reader, ctx, name)
            wanted = req.get("FunctionVersion")
            aliases = [alias for alias in storage.list_aliases(reader, name) if wanted in (None, alias.version)]
            shown, marker = page(aliases, req, lambda alias: alias.name)
            return paged("Aliases", [rendering.alias(ctx, name, alias) for alias in shown], marker)

        found: dict[str, Any] = await self._registry.read(ctx, read)
        return found


def _weights(req: dict[str, Any]) -> dict[str, float]:
    return dict((req.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {})


def _get_alias(reader: Reader, ctx: Context, name: str, alias_name: str) -> Alias:
    alias = storage.find_alias(reader, name, alias_name)
    if alias is None:
        raise ResourceNotFound(f"Cannot find alias arn: {function_arn(ctx, name, alias_name)}")
    return alias


def _check(reader: Reader, ctx: Context, function: Function, alias: Alias) -> None:
    if alias.name.isdecimal():
        raise InvalidParameterValue(f"{alias.name} is a version's name, not an alias's.")
    for version in (alias.version, *alias.weights):
        if version != LATEST and not version.isdecimal():
            raise InvalidParameterValue(f"{version} is not a version.")
        get_version(reader, ctx, function, version)
    if alias.weights and LATEST in (alias.version, *alias.weights):
        raise InvalidParameterValue("$LATEST is not supported for an alias pointing to more than 1 version")
    if len(alias.weights) > 1:
        raise InvalidParameterValue("Number of items in AdditionalVersionWeights cannot be greater than 1")
    if alias.version in alias.weights:
        raise InvalidParameterValue(f"Invalid function version {alias.version}. It is already the alias's own version.")
    if any(not 0.0 <= weight <= 1.0 for weight in alias.weights.values()):
        raise InvalidParameterValue("Weights must be between 0.0 and 1.0")
