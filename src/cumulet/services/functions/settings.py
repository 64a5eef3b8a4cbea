"""What is set beside code and configuration: concurrency, asynchronous settings, tags, runtime management, the account."""

from dataclasses import replace
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions import model, storage
from cumulet.services.functions.errors import InvalidParameterValue, ProvisionedConcurrencyConfigNotFound, ResourceNotFound
from cumulet.services.functions.model import Function
from cumulet.services.functions.names import LATEST, function_arn, parse_function_name
from cumulet.services.functions.paging import page, paged
from cumulet.services.functions.registry import Registry, check_qualifier, get_function
from cumulet.store.contract import Reader, Txn

MIN_UNRESERVED = 100
"""What reservations must leave to the account's other functions, as on Lambda."""


class ConcurrencyOperations:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("PutFunctionConcurrency")
    async def put_function_concurrency(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name, wanted = self._registry.name_of(ctx, req).name, req["ReservedConcurrentExecutions"]

        def put(txn: Txn) -> Function:
            function = get_function(txn, ctx, name)
            left = self._registry.environments.unreserved_limit(ctx.account) + (function.reserved or 0) - wanted
            if left < min(MIN_UNRESERVED, self._registry.account_concurrency) and wanted > 0:
                raise InvalidParameterValue(
                    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
                    f"below its minimum value of [{MIN_UNRESERVED}]."
                )
            function = replace(function, reserved=wanted)
            storage.put_function(txn, function)
            return function

        function = await self._registry.write(ctx, put)
        self._registry.environments.set_reserved(ctx.account, function.function_id, wanted)
        return {"ReservedConcurrentExecutions": wanted}

    @operation("GetFunctionConcurrency")
    async def get_function_concurrency(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name
        function = await self._registry.read(ctx, lambda reader: get_function(reader, ctx, name))
        return {} if function.reserved is None else {"ReservedConcurrentExecutions": function.reserved}

    @operation("DeleteFunctionConcurrency")
    async def delete_function_concurrency(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def delete(txn: Txn) -> Function:
            function = replace(get_function(txn, ctx, name), reserved=None)
            storage.put_function(txn, function)
            return function

        function = await self._registry.write(ctx, delete)
        self._registry.environments.set_reserved(ctx.account, function.function_id, None)
        return {}

    @operation("PutProvisionedConcurrencyConfig")
    async def put_provisioned(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target, wanted = self._registry.name_of(ctx, req), req["ProvisionedConcurrentExecutions"]
        if target.qualifier in (None, LATEST):
            raise InvalidParameterValue("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
        assert target.qualifier is not None
        document = {"requested": wanted, "modified": model.when(self._registry.clock.now_ms())}

        def put(txn: Txn) -> None:
            check_qualifier(txn, ctx, get_function(txn, ctx, target.name), target.qualifier)
            storage.put_document(txn, "provisioned", target.name, str(target.qualifier), document=document)

        await self._registry.write(ctx, put)
        spec, _ = await self._registry.resolve(ctx.account, ctx.region, target.name, target.qualifier)
        self._registry.environments.set_provisioned(spec, wanted)
        return await self._shown(ctx, target.name, target.qualifier, document)

    @operation("GetProvisionedConcurrencyConfig")
    async def get_provisioned(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)
        qualifier = target.qualifier or LATEST

        def read(reader: Reader) -> Any:
            get_function(reader, ctx, target.name)
            return storage.find_document(reader, "provisioned", target.name, qualifier)

        document = await self._registry.read(ctx, read)
        if document is None:
            raise ProvisionedConcurrencyConfigNotFound("No Provisioned Concurrency Config found for this function")
        return await self._shown(ctx, target.name, qualifier, document)

    @operation("DeleteProvisionedConcurrencyConfig")
    async def delete_provisioned(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)
        qualifier = target.qualifier or LATEST
        spec, _ = await self._registry.resolve(ctx.account, ctx.region, target.name, qualifier)
        await self._registry.write(ctx, lambda txn: storage.delete_document(txn, "provisioned", target.name, qualifier))
        self._registry.environments.set_provisioned(spec, 0)
        return {}

    @operation("ListProvisionedConcurrencyConfigs")
    async def list_provisioned(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def read(reader: Reader) -> Any:
            get_function(reader, ctx, name)
            return page(storage.list_documents(reader, "provisioned", name), req, lambda pair: pair[0][1])

        found, marker = await self._registry.read(ctx, read)
        shown = []
        for (_, qualifier), document in found:
            shown.append(await self._shown(ctx, name, qualifier, document) | {"FunctionArn": function_arn(ctx, name, qualifier)})
        return paged("ProvisionedConcurrencyConfigs", shown, marker)

    async def _shown(self, ctx: Context, name: str, qualifier: str, document: dict[str, Any]) -> dict[str, Any]:
        """The truth of now: how many environments stand initialised."""
        spec, _ = await self._registry.resolve(ctx.account, ctx.region, name, qualifier)
        ready, wanted = self._registry.environments.ready_provisioned(spec), document["requested"]
        return {
            "RequestedProvisionedConcurrentExecutions": wanted,
            "AvailableProvisionedConcurrentExecutions": ready,
            "AllocatedProvisionedConcurrentExecutions": ready,
            "Status": "READY" if ready >= wanted else "IN_PROGRESS",
            "LastModified": document["modified"],
        }


class InvokeConfigOperations:
    """How asynchronous invocations of a qualifier are retried, and where their outcome goes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("PutFunctionEventInvokeConfig")
    async def put_invoke_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._put(ctx, req, {})

    @operation("UpdateFunctionEventInvokeConfig")
    async def update_invoke_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._put(ctx, req, await self._get(ctx, req))

    @operation("GetFunctionEventInvokeConfig")
    async def get_invoke_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)
        return _config_shown(ctx, target.name, target.qualifier or LATEST, await self._get(ctx, req))

    @operation("DeleteFunctionEventInvokeConfig")
    async def delete_invoke_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._get(ctx, req)
        target = self._registry.name_of(ctx, req)

        def delete(txn: Txn) -> Function:
            storage.delete_document(txn, "invoke-config", target.name, target.qualifier or LATEST)
            return get_function(txn, ctx, target.name)

        self._registry.changed(ctx, await self._registry.write(ctx, delete))
        return {}

    @operation("ListFunctionEventInvokeConfigs")
    async def list_invoke_configs(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def read(reader: Reader) -> dict[str, Any]:
            get_function(reader, ctx, name)
            found, marker = page(storage.list_documents(reader, "invoke-config", name), req, lambda pair: pair[0][1])
            shown = [_config_shown(ctx, name, qualifier, document) for (_, qualifier), document in found]
            return paged("FunctionEventInvokeConfigs", shown, marker)

        configs: dict[str, Any] = await self._registry.read(ctx, read)
        return configs

    async def _get(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)

        def read(reader: Reader) -> Any:
            get_function(reader, ctx, target.name)
            return storage.find_document(reader, "invoke-config", target.name, target.qualifier or LATEST)

        document: dict[str, Any] | None = await self._registry.read(ctx, read)
        if document is None:
            arn = function_arn(ctx, target.name, target.qualifier or LATEST)
            raise ResourceNotFound(f"The function {arn} doesn't have an EventInvokeConfig")
        return document

    async def _put(self, ctx: Context, req: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)
        qualifier = target.qualifier or LATEST
        members = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
        document = before | {key: req[key] for key in members if req.get(key) is not None}
        document["modified_ms"] = self._registry.clock.now_ms()

        def put(txn: Txn) -> Function:
            function = get_function(txn, ctx, target.name)
            check_qualifier(txn, ctx, function, target.qualifier)
            storage.put_document(txn, "invoke-config", target.name, qualifier, document=document)
            return function

        self._registry.changed(ctx, await self._registry.write(ctx, put))
        return _config_shown(ctx, target.name, qualifier, document)


class TagOperations:
    """Tags of functions and event source mappings, by ARN."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("TagResource")
    async def tag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._change(ctx, req["Resource"], lambda tags: tags | req["Tags"])
        return {}

    @operation("UntagResource")
    async def untag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        gone = set(req["TagKeys"])
        await self._change(ctx, req["Resource"], lambda tags: {key: value for key, value in tags.items() if key not in gone})
        return {}

    @operation("ListTags")
    async def list_tags(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        arn = req["Resource"]

        def read(reader: Reader) -> dict[str, str]:
            if ":event-source-mapping:" in arn:
                mapping = storage.find_document(reader, "mapping", arn.rsplit(":", 1)[1])
                if mapping is None:
                    raise ResourceNotFound("The resource you requested does not exist.")
                return dict(mapping.get("tags") or {})
            return get_function(reader, ctx, parse_function_name(ctx, arn).name).tags

        return {"Tags": await self._registry.read(ctx, read)}

    async def _change(self, ctx: Context, arn: str, change: Any) -> None:
        def update(txn: Txn) -> None:
            if ":event-source-mapping:" in arn:
                uuid = arn.rsplit(":", 1)[1]
                mapping = storage.find_document(txn, "mapping", uuid)
                if mapping is None:
                    raise ResourceNotFound("The resource you requested does not exist.")
                storage.put_document(txn, "mapping", uuid, document=mapping | {"tags": change(mapping.get("tags") or {})})
                return
            function = get_function(txn, ctx, parse_function_name(ctx, arn).name)
            tags = change(function.tags)
            if len(tags) > 50:
                raise InvalidParameterValue("A resource can have at most 50 tags.")
            storage.put_function(txn, replace(function, tags=tags))

        await self._registry.write(ctx, update)


class ManagementOperations:
    """Runtime management, recursion, code signing, and what the account has and uses."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("PutRuntimeManagementConfig")
    async def put_runtime_management(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name
        kept = {key: req[key] for key in ("UpdateRuntimeOn", "RuntimeVersionArn") if req.get(key)}

        def put(txn: Txn) -> None:
            storage.put_function(txn, replace(get_function(txn, ctx, name), runtime_management=kept))

        await self._registry.write(ctx, put)
        return kept | {"FunctionArn": function_arn(ctx, name)}

    @operation("GetRuntimeManagementConfig")
    async def get_runtime_management(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name
        function = await self._registry.read(ctx, lambda reader: get_function(reader, ctx, name))
        return {**function.runtime_management, "FunctionArn": function_arn(ctx, name)}

    @operation("PutFunctionRecursionConfig")
    async def put_recursion(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name

        def put(txn: Txn) -> None:
            storage.put_function(txn, replace(get_function(txn, ctx, name), recursive_loop=req["RecursiveLoop"]))

        await self._registry.write(ctx, put)
        return {"RecursiveLoop": req["RecursiveLoop"]}

    @operation("GetFunctionRecursionConfig")
    async def get_recursion(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = self._registry.name_of(ctx, req).name
        function = await self._registry.read(ctx, lambda reader: get_function(reader, ctx, name))
        return {"RecursiveLoop": function.recursive_loop}

    @operation("GetFunctionCodeSigningConfig")
    async def get_code_signing(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """No function has one: code signing is not offered, and this is how Lambda says so."""
        name = self._registry.name_of(ctx, req).name
        await self._registry.read(ctx, lambda reader: get_function(reader, ctx, name))
        return {"CodeSigningConfigArn": "", "FunctionName": name}

    @operation("GetAccountSettings")
    async def get_account_settings(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> tuple[int, int]:
            count = size = 0
            for function in storage.list_functions(reader):
                count += 1
                size += function.latest.code.size + sum(v.code.size for v in storage.list_versions(reader, function.name))
            return count, size

        count, size = await self._registry.read(ctx, read)
        unreserved = self._registry.environments.unreserved_limit(ctx.account)
        return {
            "AccountLimit": {
                "TotalCodeSize": 80_530_636_800,
                "CodeSizeUnzipped": 262_144_000,
                "CodeSizeZipped": model.MAX_ZIP_BYTES,
                "ConcurrentExecutions": self._registry.account_concurrency,
                "UnreservedConcurrentExecutions": unreserved,
            },
            "AccountUsage": {"TotalCodeSize": size, "FunctionCount": count},
        }


def _config_shown(ctx: Context, name: str, qualifier: str, document: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in document.items() if key != "modified_ms"}
    shown.setdefault("DestinationConfig", {"OnSuccess": {}, "OnFailure": {}})
    return shown | {"FunctionArn": function_arn(ctx, name, qualifier), "LastModified": document["modified_ms"] / 1000}
