"""Operations on models, request validators, authorizers and gateway responses."""

from collections.abc import Callable
from typing import Any

import orjson

from cumulet.core import ids
from cumulet.core.context import Context
from cumulet.core.errors import NotImplementedFault
from cumulet.core.operations import operation
from cumulet.services.rest_apis import patch_tables, storage
from cumulet.services.rest_apis.errors import BadRequest, Conflict, NotFound
from cumulet.services.rest_apis.finding import get, get_api
from cumulet.services.rest_apis.model import (
    GATEWAY_RESPONSES,
    Document,
    check_name,
    paged,
    place_of,
    shown_gateway_response,
    taken,
    without_nothing,
)
from cumulet.services.rest_apis.patches import PatchTable, patched
from cumulet.store.contract import Reader, Store, Txn

_AUTHORIZER = (
    "name", "type", "providerARNs", "authType", "authorizerUri", "authorizerCredentials", "identitySource",
    "identityValidationExpression", "authorizerResultTtlInSeconds",
)  # fmt: skip


def checked_model(model: Document) -> Document:
    check_name(model["name"], "Model")
    try:
        schema = orjson.loads(model.get("schema") or "{}")
    except ValueError:
        raise BadRequest(
            "Invalid model specified: Validation Result: warnings : [], errors : [Invalid model schema specified]"
        ) from None
    if not isinstance(schema, dict):
        raise BadRequest("Invalid model specified: Validation Result: warnings : [], errors : [Model schema must be an object]")
    return model


def checked_authorizer(authorizer: Document) -> Document:
    """An authorizer with its defaults. Raises BadRequest."""
    kind = authorizer["type"]
    if kind == "JWT":
        raise NotImplementedFault("authorizers of type JWT are not supported by this node's REST APIs")
    if kind not in ("TOKEN", "REQUEST", "COGNITO_USER_POOLS"):
        raise BadRequest("Invalid authorizer type specified. Valid options are TOKEN, REQUEST, COGNITO_USER_POOLS")
    if kind == "COGNITO_USER_POOLS":
        if not authorizer.get("providerARNs"):
            raise BadRequest("Invalid provider ARNs specified: a COGNITO_USER_POOLS authorizer needs one")
        authorizer.setdefault("identitySource", "method.request.header.Authorization")
        authorizer.setdefault("authType", "cognito_user_pools")
    else:
        if not authorizer.get("authorizerUri"):
            raise BadRequest("Invalid authorizer URI: it must be specified for TOKEN and REQUEST authorizers")
        if not authorizer["authorizerUri"].startswith("arn:"):
            raise BadRequest("Invalid Authorizer URI: " + authorizer["authorizerUri"])
        if kind == "TOKEN":
            authorizer.setdefault("identitySource", "method.request.header.Authorization")
            if not authorizer["identitySource"].startswith("method.request.header."):
                raise BadRequest("Invalid identity source: a TOKEN authorizer has one header")
        authorizer.setdefault("authType", "custom")
    ttl = authorizer.setdefault("authorizerResultTtlInSeconds", 300)
    if not 0 <= ttl <= 3600:
        raise BadRequest("Authorizer result TTL must be between 0 and 3600 seconds")
    if kind == "REQUEST":
        sources = [part.strip() for part in (authorizer.get("identitySource") or "").split(",") if part.strip()]
        if ttl > 0 and not sources:
            raise BadRequest("Identity source is required when caching is enabled")
        for source in sources:
            if not source.startswith(("method.request.header.", "method.request.querystring.", "stageVariables.", "context.")):
                raise BadRequest(f"Invalid identity source: {source}")
    return authorizer


class PartOperations:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def _list(self, ctx: Context, req: dict[str, Any], kind: storage.Kind) -> list[Document]:
        def read(reader: Reader) -> list[Document]:
            get_api(reader, place_of(ctx), req["restApiId"])
            return list(storage.list_all(reader, kind, req["restApiId"]))

        return await self._store.read(storage.shard_of(place_of(ctx)), read)

    async def _get(self, ctx: Context, req: dict[str, Any], kind: storage.Kind, name: str) -> Document:
        def read(reader: Reader) -> Document:
            get_api(reader, place_of(ctx), req["restApiId"])
            return get(reader, kind, req["restApiId"], name)

        return await self._store.read(storage.shard_of(place_of(ctx)), read)

    async def _create(self, ctx: Context, req: dict[str, Any], kind: storage.Kind, name: str, document: Document) -> Document:
        def create(txn: Txn) -> Document:
            get_api(txn, place_of(ctx), req["restApiId"])
            if storage.find(txn, kind, req["restApiId"], name) is not None:
                raise Conflict(f"{kind.capitalize()} name already exists for this REST API")
            storage.put(txn, kind, document, req["restApiId"], name)
            return document

        return await self._store.write(storage.shard_of(place_of(ctx)), create)

    async def _update(
        self,
        ctx: Context,
        req: dict[str, Any],
        kind: storage.Kind,
        name: str,
        table: PatchTable,
        check: Callable[[Document], Document] = lambda document: document,
    ) -> Document:
        def update(txn: Txn) -> Document:
            get_api(txn, place_of(ctx), req["restApiId"])
            document = get(txn, kind, req["restApiId"], name)
            document = check(patched(document, req.get("patchOperations"), table))
            storage.put(txn, kind, document, req["restApiId"], name)
            return document

        return await self._store.write(storage.shard_of(place_of(ctx)), update)

    async def _delete(
        self, ctx: Context, req: dict[str, Any], kind: storage.Kind, name: str, is_used: Callable[[Document], bool] | None = None
    ) -> Document:
        """Raises Conflict when a method still uses it."""

        def delete(txn: Txn) -> Document:
            get_api(txn, place_of(ctx), req["restApiId"])
            get(txn, kind, req["restApiId"], name)
            for resource in storage.list_all(txn, "resource", req["restApiId"]) if is_used else ():
                for method in resource["resourceMethods"].values():
                    if is_used is not None and is_used(method):
                        raise Conflict(
                            f"Cannot delete {kind} '{name}', is referenced in method {method['httpMethod']} {resource['path']}"
                        )
            storage.delete(txn, kind, req["restApiId"], name)
            return {}

        return await self._store.write(storage.shard_of(place_of(ctx)), delete)

    # Models

    @operation("CreateModel")
    async def create_model(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        model = {"id": ids.lower_id(6)} | taken(req, "name", "description", "schema", "contentType")
        return await self._create(ctx, req, "model", req["name"], checked_model(model))

    @operation("GetModel")
    async def get_model(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._get(ctx, req, "model", req["modelName"])

    @operation("GetModels")
    async def get_models(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return paged(await self._list(ctx, req, "model"), req, "name")

    @operation("UpdateModel")
    async def update_model(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._update(ctx, req, "model", req["modelName"], patch_tables.MODEL, checked_model)

    @operation("DeleteModel")
    async def delete_model(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = req["modelName"]

        def is_used(method: Document) -> bool:
            responses = method.get("methodResponses", {}).values()
            models = [method.get("requestModels") or {}, *((each.get("responseModels") or {}) for each in responses)]
            return any(name in each.values() for each in models)

        return await self._delete(ctx, req, "model", name, is_used)

    # Request validators

    @operation("CreateRequestValidator")
    async def create_request_validator(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        validator = without_nothing({"id": ids.lower_id(6), "name": req.get("name")}) | {
            "validateRequestBody": bool(req.get("validateRequestBody")),
            "validateRequestParameters": bool(req.get("validateRequestParameters")),
        }
        return await self._create(ctx, req, "validator", validator["id"], validator)

    @operation("GetRequestValidator")
    async def get_request_validator(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._get(ctx, req, "validator", req["requestValidatorId"])

    @operation("GetRequestValidators")
    async def get_request_validators(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return paged(await self._list(ctx, req, "validator"), req)

    @operation("UpdateRequestValidator")
    async def update_request_validator(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._update(ctx, req, "validator", req["requestValidatorId"], patch_tables.VALIDATOR)

    @operation("DeleteRequestValidator")
    async def delete_request_validator(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = req["requestValidatorId"]
        return await self._delete(ctx, req, "validator", name, lambda method: method.get("requestValidatorId") == name)

    # Authorizers

    @operation("CreateAuthorizer")
    async def create_authorizer(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        authorizer = checked_authorizer({"id": ids.lower_id(6)} | taken(req, *_AUTHORIZER))
        if any(each["name"] == authorizer["name"] for each in await self._list(ctx, req, "authorizer")):
            raise BadRequest(
                "Authorizer name must be unique. Authorizer " + authorizer["name"] + " already exists in this RestApi."
            )
        return await self._create(ctx, req, "authorizer", authorizer["id"], authorizer)

    @operation("GetAuthorizer")
    async def get_authorizer(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._get(ctx, req, "authorizer", req["authorizerId"])

    @operation("GetAuthorizers")
    async def get_authorizers(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return paged(await self._list(ctx, req, "authorizer"), req)

    @operation("UpdateAuthorizer")
    async def update_authorizer(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._update(ctx, req, "authorizer", req["authorizerId"], patch_tables.AUTHORIZER, checked_authorizer)

    @operation("DeleteAuthorizer")
    async def delete_authorizer(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = req["authorizerId"]
        return await self._delete(ctx, req, "authorizer", name, lambda method: method.get("authorizerId") == name)

    # Gateway responses

    @operation("PutGatewayResponse")
    async def put_gateway_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        response = checked_gateway_response(
            {"responseType": req["responseType"], "responseParameters": {}, "responseTemplates": {}}
            | without_nothing({"statusCode": GATEWAY_RESPONSES.get(req["responseType"])})
            | taken(req, "statusCode", "responseParameters", "responseTemplates")
        )

        def put(txn: Txn) -> None:
            get_api(txn, place_of(ctx), req["restApiId"])
            storage.put(txn, "response", response, req["restApiId"], req["responseType"])

        await self._store.write(storage.shard_of(place_of(ctx)), put)
        return shown_gateway_response(req["responseType"], response)

    @operation("GetGatewayResponse")
    async def get_gateway_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        own = {each["responseType"]: each for each in await self._list(ctx, req, "response")}
        return shown_gateway_response(req["responseType"], own.get(req["responseType"]))

    @operation("GetGatewayResponses")
    async def get_gateway_responses(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        own = {each["responseType"]: each for each in await self._list(ctx, req, "response")}
        shown = [shown_gateway_response(kind, own.get(kind)) for kind in GATEWAY_RESPONSES]
        return paged(shown, req, "responseType")

    @operation("UpdateGatewayResponse")
    async def update_gateway_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        kind = req["responseType"]

        def update(txn: Txn) -> Document:
            get_api(txn, place_of(ctx), req["restApiId"])
            before = storage.find(txn, "response", req["restApiId"], kind) or shown_gateway_response(kind, None)
            before.pop("defaultResponse", None)
            after = checked_gateway_response(patched(before, req.get("patchOperations"), patch_tables.GATEWAY_RESPONSE))
            storage.put(txn, "response", after, req["restApiId"], kind)
            return after

        return shown_gateway_response(kind, await self._store.write(storage.shard_of(place_of(ctx)), update))

    @operation("DeleteGatewayResponse")
    async def delete_gateway_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            get_api(txn, place_of(ctx), req["restApiId"])
            if storage.find(txn, "response", req["restApiId"], req["responseType"]) is None:
                raise NotFound("Gateway response type not defined on api")
            storage.delete(txn, "response", req["restApiId"], req["responseType"])

        await self._store.write(storage.shard_of(place_of(ctx)), delete)
        return {}


def checked_gateway_response(response: Document) -> Document:
    """Raises BadRequest."""
    for name in response.get("responseParameters") or ():
        if not name.startswith("gatewayresponse.header."):
            raise BadRequest(f"Invalid response parameter specified: {name}")
    return response
