"""Operations on integrations and, for WebSocket APIs, their responses."""

from typing import Any

from cumulet.core import ids
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.http_apis import storage
from cumulet.services.http_apis.changes import Changes
from cumulet.services.http_apis.errors import BadRequest, Conflict
from cumulet.services.http_apis.finding import get
from cumulet.services.http_apis.limits import check_room
from cumulet.services.http_apis.model import WEBSOCKET, changed, merged, paged
from cumulet.services.http_apis.model_integrations import checked_integration
from cumulet.store.contract import Reader, Txn
from cumulet.store.documents import Document

_INTEGRATION = (
    "ConnectionId", "ConnectionType", "ContentHandlingStrategy", "CredentialsArn", "Description", "IntegrationMethod",
    "IntegrationSubtype", "IntegrationType", "IntegrationUri", "PassthroughBehavior", "PayloadFormatVersion", "RequestTemplates",
    "TemplateSelectionExpression", "TimeoutInMillis", "TlsConfig",
)  # fmt: skip
_RESPONSE = (
    "ContentHandlingStrategy", "IntegrationResponseKey", "ResponseParameters", "ResponseTemplates", "TemplateSelectionExpression",
)  # fmt: skip


class IntegrationOperations:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    @operation("CreateIntegration")
    async def create_integration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def create(txn: Txn, api: Document) -> Document:
            check_room(txn, "integration", api["ApiId"])
            return _put(txn, api, _changed({"IntegrationId": ids.lower_id(7)}, req))

        return await self._changes.change(ctx, req["ApiId"], create)

    @operation("GetIntegration")
    async def get_integration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._changes.read(ctx, req["ApiId"], lambda reader, api: _get(reader, api, req))

    @operation("GetIntegrations")
    async def get_integrations(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader, api: Document) -> list[Document]:
            return list(storage.list_all(reader, "integration", api["ApiId"]))

        return paged(await self._changes.read(ctx, req["ApiId"], read), req, "IntegrationId")

    @operation("UpdateIntegration")
    async def update_integration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._changes.change(ctx, req["ApiId"], lambda txn, api: _put(txn, api, _changed(_get(txn, api, req), req)))

    @operation("DeleteIntegration")
    async def delete_integration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            _get(txn, api, req)
            target = f"integrations/{req['IntegrationId']}"
            using = [route["RouteId"] for route in storage.list_all(txn, "route", api["ApiId"]) if route.get("Target") == target]
            if using:
                raise Conflict(
                    f"Cannot delete Integration because it is referenced by the following Routes with Ids: [{', '.join(using)}]"
                )
            storage.delete(txn, "integration", api["ApiId"], req["IntegrationId"])
            storage.delete(txn, "integration-response", api["ApiId"], req["IntegrationId"])

        await self._changes.change(ctx, req["ApiId"], delete)
        return {}

    @operation("CreateIntegrationResponse")
    async def create_integration_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def create(txn: Txn, api: Document) -> Document:
            if api["ProtocolType"] != WEBSOCKET:
                raise BadRequest("Integration responses are only supported for WEBSOCKET APIs")
            _get(txn, api, req)
            check_room(txn, "integration-response", api["ApiId"], req["IntegrationId"])
            return _put_response(txn, api, req, changed({"IntegrationResponseId": ids.lower_id(7)}, req, *_RESPONSE))

        return await self._changes.change(ctx, req["ApiId"], create)

    @operation("GetIntegrationResponse")
    async def get_integration_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._changes.read(ctx, req["ApiId"], lambda reader, api: _get_response(reader, api, req))

    @operation("GetIntegrationResponses")
    async def get_integration_responses(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader, api: Document) -> list[Document]:
            _get(reader, api, req)
            return list(storage.list_all(reader, "integration-response", api["ApiId"], req["IntegrationId"]))

        return paged(await self._changes.read(ctx, req["ApiId"], read), req, "IntegrationResponseId")

    @operation("UpdateIntegrationResponse")
    async def update_integration_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn, api: Document) -> Document:
            return _put_response(txn, api, req, changed(_get_response(txn, api, req), req, *_RESPONSE))

        return await self._changes.change(ctx, req["ApiId"], update)

    @operation("DeleteIntegrationResponse")
    async def delete_integration_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            _get_response(txn, api, req)
            storage.delete(txn, "integration-response", api["ApiId"], req["IntegrationId"], req["IntegrationResponseId"])

        await self._changes.change(ctx, req["ApiId"], delete)
        return {}


def _changed(integration: Document, req: dict[str, Any]) -> Document:
    after = changed(integration, req, *_INTEGRATION)
    for member in ("RequestParameters", "ResponseParameters"):
        if req.get(member) is not None:
            after[member] = merged(integration.get(member), req[member])
    if "ResponseParameters" in after:
        after["ResponseParameters"] = merged({}, {status: merged({}, each) for status, each in after["ResponseParameters"].items()})
    return after


def _get(reader: Reader, api: Document, req: dict[str, Any]) -> Document:
    return get(reader, "integration", api["ApiId"], req["IntegrationId"])


def _put(txn: Txn, api: Document, integration: Document) -> Document:
    checked_integration(integration, api["ProtocolType"])
    storage.put(txn, "integration", integration, api["ApiId"], integration["IntegrationId"])
    return integration


def _get_response(reader: Reader, api: Document, req: dict[str, Any]) -> Document:
    _get(reader, api, req)
    return get(reader, "integration-response", api["ApiId"], req["IntegrationId"], req["IntegrationResponseId"])


def _put_response(txn: Txn, api: Document, req: dict[str, Any], response: Document) -> Document:
    """Raises BadRequest, Conflict."""
    api_id, integration_id, key = api["ApiId"], req["IntegrationId"], response["IntegrationResponseKey"]
    if key != "$default" and not (len(key) > 2 and key[0] == key[-1] == "/"):
        raise BadRequest("Integration response key must be $default or a pattern between slashes")
    for other in storage.list_all(txn, "integration-response", api_id, integration_id):
        if other["IntegrationResponseKey"] == key and other["IntegrationResponseId"] != response["IntegrationResponseId"]:
            raise Conflict(f"IntegrationResponse with key {key} already exists for this integration")
    response["IntegrationId"] = integration_id
    storage.put(txn, "integration-response", response, api_id, integration_id, response["IntegrationResponseId"])
    return response
