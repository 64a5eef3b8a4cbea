"""Operations on reserved and provisioned concurrency."""

from dataclasses import replace
from typing import Any

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.errors import NotImplementedFault
from cumulet.core.operations import operation
from cumulet.runtimes.contract import FunctionSpec
from cumulet.services.functions.environments import Environments
from cumulet.services.functions.errors import (
    InvalidParameterValue,
    ProvisionedConcurrencyConfigNotFound,
    ResourceConflict,
    ResourceNotFound,
)
from cumulet.services.functions.model import Function, Limits, LimitsOf
from cumulet.services.functions.model_settings import Provisioned
from cumulet.services.functions.names import LATEST, FunctionRef, Place, function_ref, place_of, unqualified
from cumulet.services.functions.storage import Edit, FunctionStorage, Page, View


class ConcurrencyOperations:
    def __init__(self, storage: FunctionStorage, clock: Clock, limits_of: LimitsOf, environments: Environments) -> None:
        self._storage = storage
        self._clock = clock
        self._limits_of = limits_of
        self._environments = environments
        self._warm = environments.warm
        self._kept: dict[tuple[Place, str], dict[tuple[str, str, str], FunctionSpec]] = {}

    @operation("PutFunctionConcurrency")
    async def put_function_concurrency(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = place_of(ctx), unqualified(ctx, req["FunctionName"])
        wanted: int = req["ReservedConcurrentExecutions"]
        limits = self._limits_of(place.account)

        def put(edit: Edit) -> Function:
            function = edit.get_function(name)
            others = sum(each.reserved_concurrency or 0 for each in edit.reserved_functions() if each.name != name)
            if limits.account_concurrency - others - wanted < limits.minimum_unreserved:
                raise InvalidParameterValue(
                    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
                    f"below its minimum value of [{limits.minimum_unreserved}]."
                )
            function = replace(function, reserved_concurrency=wanted)
            edit.put_function(function)
            return function

        function = await self._storage.write(place, name, put)
        self._environments.set_reserved(place.account, function.function_id, wanted)
        return {"ReservedConcurrentExecutions": wanted}

    @operation("GetFunctionConcurrency")
    async def get_function_concurrency(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = place_of(ctx), unqualified(ctx, req["FunctionName"])
        function = await self._storage.read(place, lambda view: view.get_function(name))
        reserved = function.reserved_concurrency
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    @operation("DeleteFunctionConcurrency")
    async def delete_function_concurrency(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = place_of(ctx), unqualified(ctx, req["FunctionName"])

        def delete(edit: Edit) -> Function:
            function = replace(edit.get_function(name), reserved_concurrency=None)
            edit.put_function(function)
            return function

        function = await self._storage.write(place, name, delete)
        self._environments.set_reserved(place.account, function.function_id, None)
        return {}

    @operation("PutProvisionedConcurrencyConfig")
    async def put_provisioned_concurrency_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), _published(ctx, req)
        if self._warm is None:
            raise NotImplementedFault("Provisioned concurrency is not supported by this node: nothing keeps environments warm")
        wanted = Provisioned(ref.name, str(ref.qualifier), req["ProvisionedConcurrentExecutions"], self._clock.now_ms())

        def put(edit: Edit) -> FunctionSpec:
            function, version = edit.get_function(ref.name), edit.get_target(ref)
            if version.version == LATEST:
                raise InvalidParameterValue("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
            _check_overlap(edit, ref, version.version)
            _check_room(edit, function, wanted, self._limits_of(place.account))
            edit.put_provisioned(wanted)
            return version.spec(place, reserved_concurrency=None)

        spec = await self._storage.write(place, ref.name, put)
        await self.apply(place, ref.name)
        return self._described(spec, wanted)

    @operation("GetProvisionedConcurrencyConfig")
    async def get_provisioned_concurrency_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), _published(ctx, req)

        def read(view: View) -> tuple[FunctionSpec, Provisioned | None]:
            return view.get_target(ref).spec(place, reserved_concurrency=None), view.find_provisioned(ref.name, str(ref.qualifier))

        spec, provisioned = await self._storage.read(place, read)
        if provisioned is None:
            raise ProvisionedConcurrencyConfigNotFound("No Provisioned Concurrency Config found for this function")
        return self._described(spec, provisioned)

    @operation("ListProvisionedConcurrencyConfigs")
    async def list_provisioned_concurrency_configs(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name, page = place_of(ctx), unqualified(ctx, req["FunctionName"]), Page.of(req)

        def read(view: View) -> tuple[list[tuple[FunctionSpec, Provisioned]], str | None]:
            view.get_function(name)
            configs, marker = view.provisioned(name, page)
            return [(_spec_of(view, each), each) for each in configs], marker

        configs, marker = await self._storage.read(place, read)
        rows = [{"FunctionArn": place.function_arn(name, each.qualifier), **self._described(spec, each)} for spec, each in configs]
        found: dict[str, Any] = {"ProvisionedConcurrencyConfigs": rows}
        return found | ({"NextMarker": marker} if marker else {})

    @operation("DeleteProvisionedConcurrencyConfig")
    async def delete_provisioned_concurrency_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), _published(ctx, req)

        def delete(edit: Edit) -> None:
            edit.get_target(ref)
            edit.delete_provisioned(ref.name, str(ref.qualifier))

        await self._storage.write(place, ref.name, delete)
        await self.apply(place, ref.name)
        return {}

    async def provisioned(self) -> list[tuple[FunctionSpec, int]]:
        """All versions that the store says to keep warm, of all accounts: for the invoker's start."""
        found: list[tuple[FunctionSpec, int]] = []
        for place in await self._storage.places():
            found += await self._storage.read(place, _wanted)
        return found

    async def apply(self, place: Place, name: str) -> None:
        """Make the invoker keep exactly what the store says of this function: after anything that could change it."""
        if self._warm is None:
            return
        wanted = {spec.pool_key: (spec, count) for spec, count in await self._storage.read(place, lambda view: _wanted(view, name))}
        for key, spec in self._kept.get((place, name), {}).items():
            if key not in wanted:
                self._warm.set_provisioned(spec, 0)
        for spec, count in wanted.values():
            self._warm.set_provisioned(spec, count)
        self._kept[(place, name)] = {key: spec for key, (spec, _) in wanted.items()}
        if not wanted:
            del self._kept[(place, name)]

    async def apply_all(self) -> None:
        """The same for all functions, and tell the invoker every reservation: at the node's start."""
        for place in await self._storage.places():
            if not await self._storage.read(place, lambda view: view.has_reserved_index()):
                await self._storage.write_apart(place, lambda edit: edit.index_reserved())
            for function in await self._storage.read(place, lambda view: view.reserved_functions()):
                self._environments.set_reserved(place.account, function.function_id, function.reserved_concurrency)
            for name in sorted({each.function for each in await self._storage.read(place, lambda view: view.all_provisioned())}):
                await self.apply(place, name)

    def _described(self, spec: FunctionSpec, provisioned: Provisioned) -> dict[str, Any]:
        return provisioned.described(self._warm.ready_provisioned(spec) if self._warm is not None else 0)


def _published(ctx: Context, req: dict[str, Any]) -> FunctionRef:
    ref = function_ref(ctx, req["FunctionName"], req["Qualifier"])
    if ref.qualifier is None or ref.qualifier == LATEST:
        raise InvalidParameterValue("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
    return ref


def _spec_of(view: View, provisioned: Provisioned) -> FunctionSpec:
    function = view.get_function(provisioned.function)
    version = view.get_target(FunctionRef(provisioned.function, provisioned.qualifier))
    return version.spec(
        view.place, reserved_concurrency=function.reserved_concurrency, provisioned_concurrency=provisioned.requested
    )


def _wanted(view: View, name: str | None = None) -> list[tuple[FunctionSpec, int]]:
    """One entry for each version: one that two qualifiers lead to is kept as often as both ask together."""
    found: dict[tuple[str, str, str], tuple[FunctionSpec, int]] = {}
    for each in view.all_provisioned():
        if name is not None and each.function != name:
            continue
        try:
            spec = _spec_of(view, each)
        except ResourceNotFound:
            continue
        before = found.get(spec.pool_key, (spec, 0))[1]
        found[spec.pool_key] = (spec, before + each.requested)
    return list(found.values())


def _check_overlap(view: View, ref: FunctionRef, version: str) -> None:
    """A version is provisioned by itself or by aliases, not by both."""
    if ref.qualifier != version:
        if view.find_provisioned(ref.name, version) is not None:
            raise ResourceConflict(
                "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
            )
        return
    for alias in view.all_aliases(ref.name):
        if alias.version == version and view.find_provisioned(ref.name, alias.name) is not None:
            raise ResourceConflict("Version is pointed by a Provisioned Concurrency alias")


def _check_room(view: View, function: Function, wanted: Provisioned, limits: Limits) -> None:
    others = sum(
        each.requested for each in view.all_provisioned() if each.function == wanted.function and each.qualifier != wanted.qualifier
    )
    total = others + wanted.requested
    reserved = function.reserved_concurrency
    if reserved is not None and total > reserved:
        raise InvalidParameterValue(
            "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
        )
    if reserved is None and total > limits.account_concurrency - limits.minimum_unreserved:
        raise InvalidParameterValue(
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
            f"[{limits.account_concurrency - limits.minimum_unreserved}]."
        )
