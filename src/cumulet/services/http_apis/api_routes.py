"""Operations on routes and, for WebSocket APIs, their responses."""

from typing import Any

from cumulet.core import ids
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.http_apis import storage
from cumulet.services.http_apis.changes import Changes
from cumulet.services.http_apis.errors import BadRequest, Conflict, NotFound
from cumulet.services.http_apis.finding import get
from cumulet.services.http_apis.limits import check_room
from cumulet.services.http_apis.model import WEBSOCKET, changed, checked_route, merged, paged
from cumulet.store.contract import Reader, Txn
from cumulet.store.documents import Document

_ROUTE = (
    "ApiKeyRequired", "AuthorizationScopes", "AuthorizationType", "AuthorizerId", "ModelSelectionExpression", "OperationName",
    "RequestModels", "RouteKey", "RouteResponseSelectionExpression", "Target",
)  # fmt: skip
_RESPONSE = ("ModelSelectionExpression", "ResponseModels", "ResponseParameters", "RouteResponseKey")


class RouteOperations:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    @operation("CreateRoute")
    async def create_route(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def create(txn: Txn, api: Document) -> Document:
            check_room(txn, "route", api["ApiId"])
            return put_route(txn, api, _changed({"RouteId": ids.lower_id(7)}, req))

        return await self._changes.change(ctx, req["ApiId"], create)

    @operation("GetRoute")
    async def get_route(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._changes.read(ctx, req["ApiId"], lambda reader, api: get(reader, "route", api["ApiId"], req["RouteId"]))

    @operation("GetRoutes")
    async def get_routes(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        found = await self._changes.read(
            ctx, req["ApiId"], lambda reader, api: list(storage.list_all(reader, "route", api["ApiId"]))
        )
        return paged(found, req, "RouteId")

    @operation("UpdateRoute")
    async def update_route(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn, api: Document) -> Document:
            return put_route(txn, api, _changed(get(txn, "route", api["ApiId"], req["RouteId"]), req))

        return await self._changes.change(ctx, req["ApiId"], update)

    @operation("DeleteRoute")
    async def delete_route(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            get(txn, "route", api["ApiId"], req["RouteId"])
            storage.delete(txn, "route", api["ApiId"], req["RouteId"])
            storage.delete(txn, "route-response", api["ApiId"], req["RouteId"])

        await self._changes.change(ctx, req["ApiId"], delete)
        return {}

    @operation("DeleteRouteRequestParameter")
    async def delete_route_request_parameter(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            route = get(txn, "route", api["ApiId"], req["RouteId"])
            if req["RequestParameterKey"] not in (route.get("RequestParameters") or {}):
                raise NotFound("Invalid parameter name specified")
            del route["RequestParameters"][req["RequestParameterKey"]]
            storage.put(txn, "route", route, api["ApiId"], route["RouteId"])

        await self._changes.change(ctx, req["ApiId"], delete)
        return {}

    @operation("CreateRouteResponse")
    async def create_route_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def create(txn: Txn, api: Document) -> Document:
            _check_has_responses(api)
            check_room(txn, "route-response", api["ApiId"], req["RouteId"])
            route = get(txn, "route", api["ApiId"], req["RouteId"])
            return _put_response(txn, api, route, changed({"RouteResponseId": ids.lower_id(7)}, req, *_RESPONSE))

        return await self._changes.change(ctx, req["ApiId"], create)

    @operation("GetRouteResponse")
    async def get_route_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._changes.read(ctx, req["ApiId"], lambda reader, api: _get_response(reader, api, req))

    @operation("GetRouteResponses")
    async def get_route_responses(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader, api: Document) -> list[Document]:
            get(reader, "route", api["ApiId"], req["RouteId"])
            return list(storage.list_all(reader, "route-response", api["ApiId"], req["RouteId"]))

        return paged(await self._changes.read(ctx, req["ApiId"], read), req, "RouteResponseId")

    @operation("UpdateRouteResponse")
    async def update_route_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn, api: Document) -> Document:
            route = get(txn, "route", api["ApiId"], req["RouteId"])
            return _put_response(txn, api, route, changed(_get_response(txn, api, req), req, *_RESPONSE))

        return await self._changes.change(ctx, req["ApiId"], update)

    @operation("DeleteRouteResponse")
    async def delete_route_response(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            _get_response(txn, api, req)
            storage.delete(txn, "route-response", api["ApiId"], req["RouteId"], req["RouteResponseId"])

        await self._changes.change(ctx, req["ApiId"], delete)
        return {}


def put_route(txn: Txn, api: Document, route: Document) -> Document:
    """Raises BadRequest, Conflict, NotFound: a route's key is its API's only one, and what it names is there."""
    for other in storage.list_all(txn, "route", api["ApiId"]):
        if other["RouteKey"] == route["RouteKey"] and other["RouteId"] != route["RouteId"]:
            raise Conflict(f"Route with key {route['RouteKey']} already exists for this API")
    return put_new_route(txn, api, route)


def put_new_route(txn: Txn, api: Document, route: Document) -> Document:
    """A route whose key is known to be free. Raises BadRequest, NotFound."""
    api_id = api["ApiId"]
    checked_route(route, api["ProtocolType"])
    if route.get("AuthorizerId"):
        authorizer = get(txn, "authorizer", api_id, route["AuthorizerId"])
        if authorizer["AuthorizerType"] != {"CUSTOM": "REQUEST"}.get(route["AuthorizationType"], route["AuthorizationType"]):
            raise BadRequest(f"Authorizer {route['AuthorizerId']} does not fit authorization type {route['AuthorizationType']}")
    if route.get("Target"):
        get(txn, "integration", api_id, route["Target"].removeprefix("integrations/"))
    storage.put(txn, "route", route, api_id, route["RouteId"])
    return route


def _changed(route: Document, req: dict[str, Any]) -> Document:
    after = changed(route, req, *_ROUTE)
    if req.get("RequestParameters") is not None:
        after["RequestParameters"] = merged(route.get("RequestParameters"), req["RequestParameters"])
    return after


def _check_has_responses(api: Document) -> None:
    if api["ProtocolType"] != WEBSOCKET:
        raise BadRequest("Route responses are only supported for WEBSOCKET APIs")


def _get_response(reader: Reader, api: Document, req: dict[str, Any]) -> Document:
    get(reader, "route", api["ApiId"], req["RouteId"])
    return get(reader, "route-response", api["ApiId"], req["RouteId"], req["RouteResponseId"])


def _put_response(txn: Txn, api: Document, route: Document, response: Document) -> Document:
    """Raises BadRequest, Conflict."""
    api_id, route_id = api["ApiId"], route["RouteId"]
    if response["RouteResponseKey"] != "$default":
        raise BadRequest("Route response key must be $default")
    for other in storage.list_all(txn, "route-response", api_id, route_id):
        if other["RouteResponseId"] != response["RouteResponseId"]:
            raise Conflict("RouteResponse with key $default already exists for this route")
    response["RouteId"] = route_id
    storage.put(txn, "route-response", response, api_id, route_id, response["RouteResponseId"])
    return response
