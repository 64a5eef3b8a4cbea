"""Operations on APIs themselves, with the short way to a whole one (`Target`)."""

from collections.abc import Callable
from typing import Any

from cumulet.core import ids
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.core.place import place_of
from cumulet.services.http_apis import storage
from cumulet.services.http_apis.changes import Changes, deploy_automatically
from cumulet.services.http_apis.errors import BadRequest
from cumulet.services.http_apis.finding import get_api
from cumulet.services.http_apis.limits import check_room
from cumulet.services.http_apis.model import DEFAULT_STAGE, HTTP, changed, checked_api, checked_route, checked_stage, paged, taken
from cumulet.services.http_apis.model_integrations import checked_integration
from cumulet.store.contract import Reader, Store, Txn
from cumulet.store.documents import Document

ATTRIBUTES = (
    "ApiKeySelectionExpression", "CorsConfiguration", "Description", "DisableSchemaValidation", "DisableExecuteApiEndpoint",
    "IpAddressType", "Name", "RouteSelectionExpression", "Version",
)  # fmt: skip


def shown_api(api: Document, region: str, endpoint_of: Callable[[str, str, str], str]) -> Document:
    return api | {"ApiEndpoint": endpoint_of(api["ApiId"], region, api["ProtocolType"])}


class ApiOperations:
    def __init__(self, store: Store, changes: Changes, endpoint_of: Callable[[str, str, str], str]) -> None:
        self._store = store
        self._changes = changes
        self._endpoint_of = endpoint_of

    @operation("CreateApi")
    async def create_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        now_s, api_id = self._changes.now_s(), ids.lower_id(10)
        api = checked_api(
            {"ApiId": api_id, "CreatedDate": now_s, "Tags": {}} | taken(req, "ProtocolType", "Tags") | changed({}, req, *ATTRIBUTES)
        )
        target = req.get("Target")
        if (target or req.get("RouteKey")) and api["ProtocolType"] != HTTP:
            raise BadRequest("Quick create is only supported for HTTP APIs")
        if req.get("RouteKey") and not target:
            raise BadRequest("RouteKey can only be specified together with Target")
        parts = _quick_parts(req, target, now_s) if target else None

        def create(txn: Txn) -> None:
            check_room(txn, "api")
            storage.put(txn, "api", api, api_id)
            if parts is not None:
                integration, route, stage = parts
                storage.put(txn, "integration", integration, api_id, integration["IntegrationId"])
                storage.put(txn, "route", route, api_id, route["RouteId"])
                storage.put(txn, "stage", stage, api_id, stage["StageName"])
                deploy_automatically(txn, api_id, now_s)

        await self._store.write(storage.shard_of(place_of(ctx)), create)
        await self._changes.live.api(place_of(ctx), api_id)
        return self._shown(ctx, api)

    @operation("GetApi")
    async def get_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return self._shown(ctx, await self._changes.read(ctx, req["ApiId"], lambda reader, api: api))

    @operation("GetApis")
    async def get_apis(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        found = await self._store.read(storage.shard_of(place_of(ctx)), lambda reader: list(storage.list_all(reader, "api")))
        return paged([self._shown(ctx, api) for api in found], req, "ApiId")

    @operation("UpdateApi")
    async def update_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn, api: Document) -> Document:
            after = checked_api(changed(api, req, *ATTRIBUTES))
            storage.put(txn, "api", after, after["ApiId"])
            if any(req.get(name) for name in ("Target", "RouteKey", "CredentialsArn")):
                _update_quick_parts(txn, after, req)
            return after

        return self._shown(ctx, await self._changes.change(ctx, req["ApiId"], update))

    @operation("DeleteApi")
    async def delete_api(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, api_id = place_of(ctx), req["ApiId"]

        def delete(txn: Txn) -> None:
            get_api(txn, place, api_id)
            for domain in storage.list_all(txn, "domain"):
                if any(each["ApiId"] == api_id for each in storage.list_all(txn, "mapping", domain["DomainName"])):
                    raise BadRequest(
                        f"Deleting API failed. Please remove all API mappings of domain name {domain['DomainName']} first"
                    )
            storage.delete_api(txn, api_id)

        await self._store.write(storage.shard_of(place), delete)
        await self._changes.live.api(place, api_id)
        return {}

    @operation("DeleteCorsConfiguration")
    async def delete_cors_configuration(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            api.pop("CorsConfiguration", None)
            storage.put(txn, "api", api, api["ApiId"])

        await self._changes.change(ctx, req["ApiId"], delete)
        return {}

    def _shown(self, ctx: Context, api: Document) -> Document:
        return shown_api(api, ctx.region, self._endpoint_of)


def _quick_parts(req: dict[str, Any], target: str, now_s: int) -> tuple[Document, Document, Document]:
    """(integration, route, stage) of an API that is made from a target alone. Raises BadRequest."""
    integration = {"IntegrationId": ids.lower_id(7), "ApiGatewayManaged": True} | taken(req, "CredentialsArn") | _target(target)
    checked_integration(integration, HTTP)
    route = {
        "RouteId": ids.lower_id(7),
        "RouteKey": req.get("RouteKey") or DEFAULT_STAGE,
        "Target": f"integrations/{integration['IntegrationId']}",
        "ApiGatewayManaged": True,
    }
    stage = {"StageName": DEFAULT_STAGE, "AutoDeploy": True, "CreatedDate": now_s, "ApiGatewayManaged": True}
    return integration, checked_route(route, HTTP), checked_stage(stage, HTTP)


def _target(target: str) -> Document:
    if target.startswith("arn:"):
        return {"IntegrationType": "AWS_PROXY", "IntegrationUri": target, "PayloadFormatVersion": "2.0"}
    return {
        "IntegrationType": "HTTP_PROXY",
        "IntegrationUri": target,
        "IntegrationMethod": "ANY",
        "PayloadFormatVersion": "1.0",
    }


def _update_quick_parts(txn: Txn, api: Document, req: dict[str, Any]) -> None:
    """`Target`, `RouteKey` and `CredentialsArn` of an update mean what quick create made. Raises BadRequest."""
    api_id = api["ApiId"]
    integration = _managed(txn, "integration", api_id)
    route = _managed(txn, "route", api_id)
    if integration is None or route is None:
        raise BadRequest("Target, RouteKey and CredentialsArn can only be updated for an API that quick create has made")
    if req.get("Target"):
        integration = {name: integration[name] for name in ("IntegrationId", "ApiGatewayManaged")} | _target(req["Target"])
    if req.get("CredentialsArn"):
        integration["CredentialsArn"] = req["CredentialsArn"]
    storage.put(txn, "integration", checked_integration(integration, HTTP), api_id, integration["IntegrationId"])
    if req.get("RouteKey"):
        route["RouteKey"] = req["RouteKey"]
        storage.put(txn, "route", checked_route(route, HTTP), api_id, route["RouteId"])


def _managed(reader: Reader, kind: storage.Kind, api_id: str) -> Document | None:
    return next((each for each in storage.list_all(reader, kind, api_id) if each.get("ApiGatewayManaged")), None)
