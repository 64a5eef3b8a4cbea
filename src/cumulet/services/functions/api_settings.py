"""Operations on an account's limits and on the smaller settings of a function."""

from dataclasses import replace
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions.errors import InvalidParameterValue
from cumulet.services.functions.model import Function, FunctionVersion, LimitsOf
from cumulet.services.functions.model_configuration import runtime_version_arn
from cumulet.services.functions.names import LATEST, FunctionRef, function_ref, is_version, place_of, unqualified
from cumulet.services.functions.storage import Edit, FunctionStorage, View


class SettingsOperations:
    def __init__(self, storage: FunctionStorage, limits_of: LimitsOf) -> None:
        self._storage = storage
        self._limits_of = limits_of

    @operation("GetAccountSettings")
    async def get_account_settings(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(view: View) -> tuple[dict[str, int], int]:
            return view.usage(), sum(function.reserved_concurrency or 0 for function in view.reserved_functions())

        limits = self._limits_of(ctx.account)
        usage, reserved = await self._storage.read(place_of(ctx), read)
        return {
            "AccountLimit": {
                "TotalCodeSize": limits.total_code_bytes,
                "CodeSizeUnzipped": limits.unzipped_bytes,
                "CodeSizeZipped": limits.zipped_bytes,
                "ConcurrentExecutions": limits.account_concurrency,
                "UnreservedConcurrentExecutions": limits.account_concurrency - reserved,
            },
            "AccountUsage": {"TotalCodeSize": usage["code_bytes"], "FunctionCount": usage["functions"]},
        }

    @operation("GetFunctionCodeSigningConfig")
    async def get_function_code_signing_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """No function has one here: the answer is that of a function without, which names the function alone."""
        name = unqualified(ctx, req["FunctionName"])
        await self._storage.read(place_of(ctx), lambda view: view.get_function(name))
        return {"FunctionName": name}

    @operation("GetFunctionRecursionConfig")
    async def get_function_recursion_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = unqualified(ctx, req["FunctionName"])
        function = await self._storage.read(place_of(ctx), lambda view: view.get_function(name))
        return {"RecursiveLoop": function.recursive_loop}

    @operation("PutFunctionRecursionConfig")
    async def put_function_recursion_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = unqualified(ctx, req["FunctionName"])

        def put(edit: Edit) -> None:
            edit.put_function(replace(edit.get_function(name), recursive_loop=req["RecursiveLoop"]))

        await self._storage.write(place_of(ctx), name, put)
        return {"RecursiveLoop": req["RecursiveLoop"]}

    @operation("GetRuntimeManagementConfig")
    async def get_runtime_management_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), _version_ref(ctx, req)

        def read(view: View) -> tuple[Function, FunctionVersion]:
            return view.get_function(ref.name), view.get_target(ref)

        function, version = await self._storage.read(place, read)
        told = function.runtime_management.get(version.version) or {"UpdateRuntimeOn": "Auto"}
        return {**told, "FunctionArn": place.function_arn(ref.name, version.version)}

    @operation("PutRuntimeManagementConfig")
    async def put_runtime_management_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """Kept and told again; a node runs what its machine has, so that only the version it runs can be asked for."""
        place, ref = place_of(ctx), _version_ref(ctx, req)
        mode, arn = req["UpdateRuntimeOn"], req.get("RuntimeVersionArn")
        if (mode == "Manual") != bool(arn):
            raise InvalidParameterValue("A RuntimeVersionArn is needed when UpdateRuntimeOn is Manual, and only then.")

        def put(edit: Edit) -> FunctionVersion:
            function, version = edit.get_function(ref.name), edit.get_target(ref)
            if arn and arn != runtime_version_arn(place, version.configuration.runtime):
                raise InvalidParameterValue(f"Runtime version {arn} does not exist on this node.")
            told = {"UpdateRuntimeOn": mode, **({"RuntimeVersionArn": arn} if arn else {})}
            edit.put_function(replace(function, runtime_management={**function.runtime_management, version.version: told}))
            return version

        version = await self._storage.write(place, ref.name, put)
        found = {"UpdateRuntimeOn": mode, "FunctionArn": place.function_arn(ref.name, version.version)}
        return found | ({"RuntimeVersionArn": arn} if arn else {})


def _version_ref(ctx: Context, req: dict[str, Any]) -> FunctionRef:
    ref = function_ref(ctx, req["FunctionName"], req.get("Qualifier"))
    if not is_version(ref.qualifier):
        raise InvalidParameterValue("Runtime management belongs to a version or $LATEST, not to an alias.")
    return FunctionRef(ref.name, ref.qualifier or LATEST)
