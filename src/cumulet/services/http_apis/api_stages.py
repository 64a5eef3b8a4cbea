"""Operations on deployments and stages: what of an API is live."""

from dataclasses import asdict
from typing import Any

from cumulet.core import ids
from cumulet.core.context import Context
from cumulet.core.errors import NotImplementedFault
from cumulet.core.operations import operation
from cumulet.services.http_apis import storage
from cumulet.services.http_apis.changes import Changes, deploy_automatically, keep_snapshot, put_deployment
from cumulet.services.http_apis.errors import BadRequest, Conflict, NotFound
from cumulet.services.http_apis.finding import get
from cumulet.services.http_apis.limits import check_room
from cumulet.services.http_apis.live import current_snapshot
from cumulet.services.http_apis.model import changed, checked_stage, merged, paged
from cumulet.store.contract import Reader, Txn
from cumulet.store.documents import Document

_STAGE = ("AccessLogSettings", "AutoDeploy", "ClientCertificateId", "DefaultRouteSettings", "DeploymentId", "Description")


class StageOperations:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    @operation("CreateDeployment")
    async def create_deployment(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        now_s, deployment_id = self._changes.now_s(), ids.lower_id(6)

        def deploy(txn: Txn, api: Document) -> Document:
            api_id = api["ApiId"]
            if next(storage.list_all(txn, "route", api_id), None) is None:
                raise BadRequest("At least one route is required before deploying the Api.")
            check_room(txn, "deployment", api_id)
            deployment = put_deployment(txn, api_id, deployment_id, now_s, req.get("Description"), is_automatic=False)
            storage.put(txn, "snapshot", asdict(current_snapshot(txn, api_id)), api_id, deployment_id)
            if req.get("StageName"):
                stage = get(txn, "stage", api_id, req["StageName"])
                stage |= {"DeploymentId": deployment_id, "LastUpdatedDate": now_s}
                storage.put(txn, "stage", stage, api_id, stage["StageName"])
            return deployment

        return await self._changes.change(ctx, req["ApiId"], deploy, is_deployed=False)

    @operation("GetDeployment")
    async def get_deployment(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._changes.read(ctx, req["ApiId"], lambda reader, api: _deployment(reader, api, req))

    @operation("GetDeployments")
    async def get_deployments(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader, api: Document) -> list[Document]:
            return list(storage.list_all(reader, "deployment", api["ApiId"]))

        return paged(await self._changes.read(ctx, req["ApiId"], read), req, "DeploymentId")

    @operation("UpdateDeployment")
    async def update_deployment(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn, api: Document) -> Document:
            deployment = changed(_deployment(txn, api, req), req, "Description")
            storage.put(txn, "deployment", deployment, api["ApiId"], deployment["DeploymentId"])
            return deployment

        return await self._changes.change(ctx, req["ApiId"], update, is_deployed=False)

    @operation("DeleteDeployment")
    async def delete_deployment(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            _deployment(txn, api, req)
            for stage in storage.list_all(txn, "stage", api["ApiId"]):
                if stage.get("DeploymentId") == req["DeploymentId"]:
                    raise BadRequest("Active stages pointing to this deployment must be moved or deleted")
            storage.delete(txn, "deployment", api["ApiId"], req["DeploymentId"])
            storage.delete(txn, "snapshot", api["ApiId"], req["DeploymentId"])

        await self._changes.change(ctx, req["ApiId"], delete, is_deployed=False)
        return {}

    @operation("CreateStage")
    async def create_stage(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        now_s = self._changes.now_s()

        def create(txn: Txn, api: Document) -> Document:
            name = req["StageName"]
            check_room(txn, "stage", api["ApiId"])
            stage = _changed({"StageName": name, "CreatedDate": now_s, "Tags": req.get("Tags") or {}}, req)
            checked_stage(stage, api["ProtocolType"])
            if storage.find(txn, "stage", api["ApiId"], name) is not None:
                raise Conflict("Stage already exists")
            return _put(txn, api, stage, None, now_s)

        return await self._changes.change(ctx, req["ApiId"], create, is_deployed=False)

    @operation("GetStage")
    async def get_stage(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._changes.read(ctx, req["ApiId"], lambda reader, api: _stage(reader, api, req))

    @operation("GetStages")
    async def get_stages(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader, api: Document) -> list[Document]:
            return list(storage.list_all(reader, "stage", api["ApiId"]))

        return paged(await self._changes.read(ctx, req["ApiId"], read), req, "StageName")

    @operation("UpdateStage")
    async def update_stage(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        now_s = self._changes.now_s()

        def update(txn: Txn, api: Document) -> Document:
            before = _stage(txn, api, req)
            return _put(txn, api, checked_stage(_changed(before, req), api["ProtocolType"]), before, now_s)

        return await self._changes.change(ctx, req["ApiId"], update, is_deployed=False)

    @operation("DeleteStage")
    async def delete_stage(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            _stage(txn, api, req)
            for domain in storage.list_all(txn, "domain"):
                for mapping in storage.list_all(txn, "mapping", domain["DomainName"]):
                    if (mapping["ApiId"], mapping["Stage"]) == (api["ApiId"], req["StageName"]):
                        raise Conflict(f"Stage is still mapped to domain name {domain['DomainName']}; remove the API mapping first")
            storage.delete(txn, "stage", api["ApiId"], req["StageName"])

        await self._changes.change(ctx, req["ApiId"], delete, is_deployed=False)
        return {}

    @operation("DeleteAccessLogSettings")
    async def delete_access_log_settings(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            stage = _stage(txn, api, req)
            stage.pop("AccessLogSettings", None)
            storage.put(txn, "stage", stage, api["ApiId"], stage["StageName"])

        await self._changes.change(ctx, req["ApiId"], delete, is_deployed=False)
        return {}

    @operation("DeleteRouteSettings")
    async def delete_route_settings(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            stage = _stage(txn, api, req)
            if stage["RouteSettings"].pop(req["RouteKey"], None) is None:
                raise NotFound(f"Unable to find Route by key {req['RouteKey']} within the provided RouteSettings")
            storage.put(txn, "stage", stage, api["ApiId"], stage["StageName"])

        await self._changes.change(ctx, req["ApiId"], delete, is_deployed=False)
        return {}

    @operation("ResetAuthorizersCache")
    async def reset_authorizers_cache(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._changes.read(ctx, req["ApiId"], lambda reader, api: _stage(reader, api, req))
        self._changes.live.flush_authorizers(req["ApiId"], req["StageName"])
        return {}


def _stage(reader: Reader, api: Document, req: dict[str, Any]) -> Document:
    return get(reader, "stage", api["ApiId"], req["StageName"])


def _deployment(reader: Reader, api: Document, req: dict[str, Any]) -> Document:
    return get(reader, "deployment", api["ApiId"], req["DeploymentId"])


def _changed(stage: Document, req: dict[str, Any]) -> Document:
    after = changed(stage, req, *_STAGE)
    if req.get("StageVariables") is not None:
        after["StageVariables"] = merged(stage.get("StageVariables"), req["StageVariables"])
    if req.get("RouteSettings") is not None:
        after["RouteSettings"] = {**(stage.get("RouteSettings") or {}), **req["RouteSettings"]}
    return after


def _put(txn: Txn, api: Document, stage: Document, before: Document | None, now_s: int) -> Document:
    """Keeps a stage and settles what it serves. Raises BadRequest, NotFound."""
    api_id, name = api["ApiId"], stage["StageName"]
    if stage.get("ClientCertificateId"):
        raise NotImplementedFault("ClientCertificateId is not supported by this node")
    _check_route_settings(txn, api_id, stage, before)
    if stage.get("DeploymentId"):
        get(txn, "deployment", api_id, stage["DeploymentId"])
        if not stage.get("AutoDeploy"):
            keep_snapshot(txn, api_id, stage["DeploymentId"])
    stage["LastUpdatedDate"] = now_s
    storage.put(txn, "stage", stage, api_id, name)
    if stage.get("AutoDeploy") and not (before or {}).get("AutoDeploy"):
        deploy_automatically(txn, api_id, now_s)
    return get(txn, "stage", api_id, name)


def _check_route_settings(txn: Txn, api_id: str, stage: Document, before: Document | None) -> None:
    """Settings are for routes that are there; those of a route that went may stay. Raises NotFound."""
    new = stage["RouteSettings"].keys() - ((before or {}).get("RouteSettings") or {}).keys()
    if new:
        missing = new - {route["RouteKey"] for route in storage.list_all(txn, "route", api_id)}
        if missing:
            raise NotFound(f"Unable to find Route by key {min(missing)} within the provided RouteSettings")
