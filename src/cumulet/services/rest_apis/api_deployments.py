"""Operations on deployments and stages: what of an API is live."""

from typing import Any

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.errors import NotImplementedFault
from cumulet.core.operations import operation
from cumulet.services.rest_apis import patch_tables, storage
from cumulet.services.rest_apis.errors import BadRequest, Conflict
from cumulet.services.rest_apis.finding import get, get_api
from cumulet.services.rest_apis.live import Live, snapshot_of
from cumulet.services.rest_apis.model import (
    Document,
    check_deployable,
    check_stage_name,
    check_variables,
    method_snapshots,
    paged,
    place_of,
    taken,
)
from cumulet.services.rest_apis.patches import patched
from cumulet.store.contract import Reader, Store, Txn

CACHE_SIZES = ("0.5", "1.6", "6.1", "13.5", "28.4", "58.2", "118", "237")
_STAGE = (
    "stageName", "deploymentId", "description", "cacheClusterEnabled", "cacheClusterSize", "variables", "documentationVersion",
    "canarySettings", "tracingEnabled", "tags",
)  # fmt: skip


def checked_stage(stage: Document) -> Document:
    """A stage with what follows from its settings. Raises BadRequest."""
    check_variables(stage.get("variables"))
    stage.setdefault("methodSettings", {})
    stage.setdefault("tracingEnabled", False)
    is_cached = stage.setdefault("cacheClusterEnabled", False)
    stage["cacheClusterStatus"] = "AVAILABLE" if is_cached else "NOT_AVAILABLE"
    if is_cached:
        stage.setdefault("cacheClusterSize", "0.5")
    if stage.get("cacheClusterSize") and stage["cacheClusterSize"] not in CACHE_SIZES:
        raise BadRequest(f"Invalid cache cluster size: {stage['cacheClusterSize']}")
    canary = stage.get("canarySettings")
    if canary is not None:
        canary.setdefault("percentTraffic", 0.0)
        canary.setdefault("useStageCache", False)
        canary.setdefault("deploymentId", stage["deploymentId"])
        if not 0 <= canary["percentTraffic"] <= 100:
            raise BadRequest("Canary percent traffic must be between 0.0 and 100.0")
        check_variables(canary.get("stageVariableOverrides"))
    return stage


class DeploymentOperations:
    def __init__(self, store: Store, clock: Clock, live: Live) -> None:
        self._store = store
        self._clock = clock
        self._live = live

    @operation("CreateDeployment")
    async def create_deployment(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """Snapshots the API; with a stage name, also makes or moves that stage."""
        api_id, now_s = req["restApiId"], self._clock.now_ms() // 1000
        deployment: Document = {"id": ids.lower_id(6), "createdDate": now_s} | taken(req, "description")
        if req.get("stageName"):
            check_stage_name(req["stageName"])

        def deploy(txn: Txn) -> None:
            get_api(txn, place_of(ctx), api_id)
            snapshot = snapshot_of(txn, api_id)
            check_deployable(snapshot["resources"])
            deployment["apiSummary"] = method_snapshots(snapshot["resources"])
            storage.put(txn, "deployment", deployment, api_id, deployment["id"])
            storage.put(txn, "snapshot", snapshot, api_id, deployment["id"])
            if req.get("stageName"):
                self._move_stage(txn, api_id, deployment["id"], req, now_s)

        await self._store.write(storage.shard_of(place_of(ctx)), deploy)
        await self._live.api(place_of(ctx), api_id)
        return {name: value for name, value in deployment.items() if name != "apiSummary"}

    def _move_stage(self, txn: Txn, api_id: str, deployment_id: str, req: dict[str, Any], now_s: int) -> None:
        name = req["stageName"]
        stage = storage.find(txn, "stage", api_id, name)
        settings = taken(req, "cacheClusterEnabled", "cacheClusterSize", "tracingEnabled")
        if req.get("stageDescription"):
            settings["description"] = req["stageDescription"]
        if req.get("variables") is not None:
            settings["variables"] = (stage or {}).get("variables", {}) | req["variables"]
        canary = req.get("canarySettings")
        if stage is None:
            if canary is not None:
                raise BadRequest("Deployment canary settings cannot be specified for a stage that does not exist")
            stage = {"stageName": name, "createdDate": now_s, "tags": {}, "deploymentId": deployment_id}
        elif canary is not None or stage.get("canarySettings"):
            # On a stage with a canary, a deployment goes to the canary: the stage's own stays until it is promoted.
            stage["canarySettings"] = (stage.get("canarySettings") or {}) | (canary or {}) | {"deploymentId": deployment_id}
        else:
            stage["deploymentId"] = deployment_id
        storage.put(txn, "stage", checked_stage(stage | settings | {"lastUpdatedDate": now_s}), api_id, name)

    @operation("GetDeployment")
    async def get_deployment(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> Document:
            get_api(reader, place_of(ctx), req["restApiId"])
            return get(reader, "deployment", req["restApiId"], req["deploymentId"])

        found = await self._store.read(storage.shard_of(place_of(ctx)), read)
        return _shown(found, is_whole="apisummary" in [name.lower() for name in req.get("embed") or ()])

    @operation("GetDeployments")
    async def get_deployments(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> list[Document]:
            get_api(reader, place_of(ctx), req["restApiId"])
            return list(storage.list_all(reader, "deployment", req["restApiId"]))

        found = await self._store.read(storage.shard_of(place_of(ctx)), read)
        return paged([_shown(each, is_whole=False) for each in found], req)

    @operation("UpdateDeployment")
    async def update_deployment(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> Document:
            get_api(txn, place_of(ctx), req["restApiId"])
            found = get(txn, "deployment", req["restApiId"], req["deploymentId"])
            found = patched(found, req.get("patchOperations"), patch_tables.DEPLOYMENT)
            storage.put(txn, "deployment", found, req["restApiId"], found["id"])
            return found

        return _shown(await self._store.write(storage.shard_of(place_of(ctx)), update), is_whole=False)

    @operation("DeleteDeployment")
    async def delete_deployment(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        api_id, deployment_id = req["restApiId"], req["deploymentId"]

        def delete(txn: Txn) -> None:
            get_api(txn, place_of(ctx), api_id)
            get(txn, "deployment", api_id, deployment_id)
            for stage in storage.list_all(txn, "stage", api_id):
                if deployment_id in (stage["deploymentId"], (stage.get("canarySettings") or {}).get("deploymentId")):
                    raise BadRequest("Active stages pointing to this deployment must be moved or deleted")
            storage.delete(txn, "deployment", api_id, deployment_id)
            storage.delete(txn, "snapshot", api_id, deployment_id)

        await self._store.write(storage.shard_of(place_of(ctx)), delete)
        return {}

    @operation("CreateStage")
    async def create_stage(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        api_id, now_s = req["restApiId"], self._clock.now_ms() // 1000
        check_stage_name(req["stageName"])
        stage: Document = {"tags": {}} | taken(req, *_STAGE) | {"createdDate": now_s, "lastUpdatedDate": now_s}
        checked_stage(stage)

        def create(txn: Txn) -> None:
            get_api(txn, place_of(ctx), api_id)
            _check_deployments(txn, api_id, stage)
            if storage.find(txn, "stage", api_id, stage["stageName"]) is not None:
                raise Conflict("Stage already exists")
            storage.put(txn, "stage", stage, api_id, stage["stageName"])

        await self._store.write(storage.shard_of(place_of(ctx)), create)
        await self._live.api(place_of(ctx), api_id)
        return stage

    @operation("GetStage")
    async def get_stage(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> Document:
            get_api(reader, place_of(ctx), req["restApiId"])
            return get(reader, "stage", req["restApiId"], req["stageName"])

        return await self._store.read(storage.shard_of(place_of(ctx)), read)

    @operation("GetStages")
    async def get_stages(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        wanted = req.get("deploymentId")

        def read(reader: Reader) -> list[Document]:
            get_api(reader, place_of(ctx), req["restApiId"])
            return [each for each in storage.list_all(reader, "stage", req["restApiId"]) if wanted in (None, each["deploymentId"])]

        return {"item": await self._store.read(storage.shard_of(place_of(ctx)), read)}

    @operation("UpdateStage")
    async def update_stage(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        api_id = req["restApiId"]

        def update(txn: Txn) -> Document:
            get_api(txn, place_of(ctx), api_id)
            before = get(txn, "stage", api_id, req["stageName"])
            stage = checked_stage(patched(before, req.get("patchOperations"), patch_tables.STAGE))
            _check_deployments(txn, api_id, stage)
            stage["lastUpdatedDate"] = self._clock.now_ms() // 1000
            storage.put(txn, "stage", stage, api_id, stage["stageName"])
            return stage

        stage = await self._store.write(storage.shard_of(place_of(ctx)), update)
        await self._live.api(place_of(ctx), api_id)
        return stage

    @operation("DeleteStage")
    async def delete_stage(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        api_id = req["restApiId"]

        def delete(txn: Txn) -> None:
            get_api(txn, place_of(ctx), api_id)
            get(txn, "stage", api_id, req["stageName"])
            for plan in storage.list_all(txn, "plan"):
                if any((each["apiId"], each["stage"]) == (api_id, req["stageName"]) for each in plan.get("apiStages", ())):
                    raise BadRequest(
                        f"Cannot delete stage '{req['stageName']}' of API '{api_id}': it is part of usage plan {plan['id']}"
                    )
            storage.delete(txn, "stage", api_id, req["stageName"])

        await self._store.write(storage.shard_of(place_of(ctx)), delete)
        await self._live.api(place_of(ctx), api_id)
        return {}

    @operation("FlushStageCache")
    async def flush_stage_cache(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        stage = await self.get_stage(ctx, req)
        if not stage["cacheClusterEnabled"]:
            raise BadRequest("Cache cluster not enabled on this stage")
        self._live.publisher.flush_cache(req["restApiId"], req["stageName"])
        return {}

    @operation("FlushStageAuthorizersCache")
    async def flush_stage_authorizers_cache(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self.get_stage(ctx, req)
        self._live.publisher.flush_authorizers(req["restApiId"], req["stageName"])
        return {}


def _shown(deployment: Document, *, is_whole: bool) -> Document:
    return deployment if is_whole else {name: value for name, value in deployment.items() if name != "apiSummary"}


def _check_deployments(txn: Txn, api_id: str, stage: Document) -> None:
    if (stage.get("clientCertificateId") or None) is not None:
        raise NotImplementedFault("clientCertificateId is not supported by this node")
    if stage.get("documentationVersion"):
        get(txn, "parts-version", api_id, stage["documentationVersion"])
    for deployment_id in (stage["deploymentId"], (stage.get("canarySettings") or {}).get("deploymentId")):
        if deployment_id and storage.find(txn, "deployment", api_id, deployment_id) is None:
            raise BadRequest("Invalid Deployment identifier specified")
