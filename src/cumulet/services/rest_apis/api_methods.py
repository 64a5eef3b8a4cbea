"""Operations on methods and integrations and on their responses: parts of a resource's document."""

from collections.abc import Callable
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.rest_apis import patch_tables, storage
from cumulet.services.rest_apis.errors import BadRequest, Conflict, NotFound
from cumulet.services.rest_apis.finding import (
    get,
    get_api,
    integration_of,
    integration_response_of,
    method_of,
    method_response_of,
)
from cumulet.services.rest_apis.model import (
    AUTHORIZATION_TYPES,
    Document,
    check_method,
    check_request_parameters,
    check_response_parameters,
    checked_integration,
    place_of,
    taken,
)
from cumulet.services.rest_apis.patches import PatchTable, patched
from cumulet.store.contract import Reader, Store, Txn

_METHOD = (
    "httpMethod", "authorizationType", "authorizerId", "operationName", "requestParameters", "requestModels", "requestValidatorId",
    "authorizationScopes",
)  # fmt: skip
_INTEGRATION = (
    "type", "uri", "connectionType", "connectionId", "credentials", "requestParameters", "requestTemplates",
    "passthroughBehavior", "cacheNamespace", "cacheKeyParameters", "contentHandling", "timeoutInMillis", "tlsConfig",
    "responseTransferMode", "integrationTarget",
)  # fmt: skip


class MethodOperations:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def _read(self, ctx: Context, req: dict[str, Any], find: Callable[[Document], Document]) -> Document:
        def read(reader: Reader) -> Document:
            get_api(reader, place_of(ctx), req["restApiId"])
            return find(get(reader, "resource", req["restApiId"], req["resourceId"]))

        return await self._store.read(storage.shard_of(place_of(ctx)), read)

    async def _change(self, ctx: Context, req: dict[str, Any], change: Callable[[Txn, Document], Document]) -> Document:
        """Change a resource's document in place; what the change returns is the answer."""

        def write(txn: Txn) -> Document:
            get_api(txn, place_of(ctx), req["restApiId"])
            resource = get(txn, "resource", req["restApiId"], req["resourceId"])
            answer = change(txn, resource)
            storage.put(txn, "resource", resource, req["restApiId"], resource["id"])
            return answer

        return await self._store.write(storage.shard_of(place_of(ctx)), write)

    @operation("PutMethod")
    async def put_method(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        method = taken(req, *_METHOD) | {"apiKeyRequired": bool(req.get("apiKeyRequired"))}
        check_method(method["httpMethod"])

        def put(txn: Txn, resource: Document) -> Document:
            _check(txn, req["restApiId"], method)
            if method["httpMethod"] in resource["resourceMethods"]:
                raise Conflict("Method already exists for this resource")
            resource["resourceMethods"][method["httpMethod"]] = method
            return method

        return await self._change(ctx, req, put)

    @operation("GetMethod")
    async def get_method(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._read(ctx, req, lambda resource: method_of(resource, req["httpMethod"]))

    @operation("UpdateMethod")
    async def update_method(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn, resource: Document) -> Document:
            method = patched(method_of(resource, req["httpMethod"]), req.get("patchOperations"), patch_tables.METHOD)
            _check(txn, req["restApiId"], method)
            resource["resourceMethods"][req["httpMethod"]] = method
            return method

        return await self._change(ctx, req, update)

    @operation("DeleteMethod")
    async def delete_method(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, resource: Document) -> Document:
            method_of(resource, req["httpMethod"])
            del resource["resourceMethods"][req["httpMethod"]]
            return {}

        return await self._change(ctx, req, delete)

    @operation("PutMethodResponse")
    async def put_method_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        response = taken(req, "statusCode", "responseParameters", "responseModels")
        check_response_parameters(response.get("responseParameters"))

        def put(txn: Txn, resource: Document) -> Document:
            responses = method_of(resource, req["httpMethod"]).setdefault("methodResponses", {})
            if response["statusCode"] in responses:
                raise Conflict("Response already exists for this resource")
            for name in (response.get("responseModels") or {}).values():
                _check_model(txn, req["restApiId"], name)
            responses[response["statusCode"]] = response
            return response

        return await self._change(ctx, req, put)

    @operation("GetMethodResponse")
    async def get_method_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._read(ctx, req, lambda resource: method_response_of(resource, req["httpMethod"], req["statusCode"]))

    @operation("UpdateMethodResponse")
    async def update_method_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn, resource: Document) -> Document:
            found = method_response_of(resource, req["httpMethod"], req["statusCode"])
            _patch(found, req, patch_tables.METHOD_RESPONSE)
            check_response_parameters(found.get("responseParameters"))
            return found

        return await self._change(ctx, req, update)

    @operation("DeleteMethodResponse")
    async def delete_method_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, resource: Document) -> Document:
            method_response_of(resource, req["httpMethod"], req["statusCode"])
            del method_of(resource, req["httpMethod"])["methodResponses"][req["statusCode"]]
            return {}

        return await self._change(ctx, req, delete)

    @operation("PutIntegration")
    async def put_integration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        integration = taken(req, *_INTEGRATION)
        if req.get("integrationHttpMethod"):
            integration["httpMethod"] = req["integrationHttpMethod"]
        checked_integration(integration)
        integration.setdefault("cacheNamespace", req["resourceId"])

        def put(txn: Txn, resource: Document) -> Document:
            method = method_of(resource, req["httpMethod"])
            before = method.get("methodIntegration") or {}
            if before.get("integrationResponses"):
                integration["integrationResponses"] = before["integrationResponses"]
            method["methodIntegration"] = integration
            return integration

        return await self._change(ctx, req, put)

    @operation("GetIntegration")
    async def get_integration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._read(ctx, req, lambda resource: integration_of(resource, req["httpMethod"]))

    @operation("UpdateIntegration")
    async def update_integration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn, resource: Document) -> Document:
            found = integration_of(resource, req["httpMethod"])
            _patch(found, req, patch_tables.INTEGRATION)
            return checked_integration(found)

        return await self._change(ctx, req, update)

    @operation("DeleteIntegration")
    async def delete_integration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, resource: Document) -> Document:
            integration_of(resource, req["httpMethod"])
            del method_of(resource, req["httpMethod"])["methodIntegration"]
            return {}

        return await self._change(ctx, req, delete)

    @operation("PutIntegrationResponse")
    async def put_integration_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        response = taken(req, "statusCode", "selectionPattern", "responseParameters", "responseTemplates", "contentHandling")

        def put(txn: Txn, resource: Document) -> Document:
            method_response_of(resource, req["httpMethod"], req["statusCode"])
            _check_mapped(response, method_of(resource, req["httpMethod"]))
            integration_of(resource, req["httpMethod"]).setdefault("integrationResponses", {})[req["statusCode"]] = response
            return response

        return await self._change(ctx, req, put)

    @operation("GetIntegrationResponse")
    async def get_integration_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._read(ctx, req, lambda resource: integration_response_of(resource, req["httpMethod"], req["statusCode"]))

    @operation("UpdateIntegrationResponse")
    async def update_integration_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn, resource: Document) -> Document:
            found = integration_response_of(resource, req["httpMethod"], req["statusCode"])
            _patch(found, req, patch_tables.INTEGRATION_RESPONSE)
            _check_mapped(found, method_of(resource, req["httpMethod"]))
            return found

        return await self._change(ctx, req, update)

    @operation("DeleteIntegrationResponse")
    async def delete_integration_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, resource: Document) -> Document:
            integration_response_of(resource, req["httpMethod"], req["statusCode"])
            del integration_of(resource, req["httpMethod"])["integrationResponses"][req["statusCode"]]
            return {}

        return await self._change(ctx, req, delete)


def _patch(document: Document, req: dict[str, Any], table: PatchTable) -> None:
    """Change a part of a resource where it stands."""
    changed = patched(document, req.get("patchOperations"), table)
    document.clear()
    document.update(changed)


def _check(txn: Txn, api_id: str, method: Document) -> None:
    """What a method names must be there. Raises BadRequest."""
    check_request_parameters(method.get("requestParameters"))
    kind = method["authorizationType"]
    if kind not in AUTHORIZATION_TYPES:
        raise BadRequest(f"Invalid authorization type specified. Valid options are {', '.join(AUTHORIZATION_TYPES)}")
    if kind in ("CUSTOM", "COGNITO_USER_POOLS"):
        authorizer = storage.find(txn, "authorizer", api_id, method.get("authorizerId") or "")
        if authorizer is None:
            raise BadRequest(
                "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires "
                "a valid authorizer."
            )
        if (authorizer["type"] == "COGNITO_USER_POOLS") != (kind == "COGNITO_USER_POOLS"):
            raise BadRequest("Authorizer type does not match the method's authorization type")
    if method.get("requestValidatorId") and storage.find(txn, "validator", api_id, method["requestValidatorId"]) is None:
        raise BadRequest("Invalid Request Validator identifier specified")
    for name in (method.get("requestModels") or {}).values():
        _check_model(txn, api_id, name)


def _check_model(txn: Txn, api_id: str, name: str) -> None:
    if storage.find(txn, "model", api_id, name) is None:
        raise NotFound(f"Invalid model identifier specified: {name}")


def _check_mapped(response: Document, method: Document) -> None:
    """An integration response may only set headers that the method response declares. Raises BadRequest."""
    declared = method.get("methodResponses", {}).get(response["statusCode"], {}).get("responseParameters") or {}
    check_response_parameters(response.get("responseParameters"))
    for name in response.get("responseParameters") or ():
        if name not in declared:
            raise BadRequest(
                "Invalid mapping expression specified: Validation Result: warnings : [], errors : "
                f"[Invalid mapping expression parameter specified: {name}]"
            )
