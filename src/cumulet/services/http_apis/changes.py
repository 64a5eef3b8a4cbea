"""One change to an API: a transaction, what a stage with automatic deployment makes of it, and word to whoever serves it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.place import place_of
from cumulet.services.http_apis import storage
from cumulet.services.http_apis.finding import get_api
from cumulet.services.http_apis.live import Live, current_snapshot
from cumulet.store.contract import Reader, Store, Txn
from cumulet.store.documents import Document

T = TypeVar("T")
_NO_ROUTES = "At least one route is required before deploying the Api."


class Changes:
    """What every operation on the parts of an API goes through."""

    def __init__(self, store: Store, clock: Clock, live: Live) -> None:
        self._store = store
        self._clock = clock
        self.live = live

    def now_s(self) -> int:
        return self._clock.now_ms() // 1000

    async def read(self, ctx: Context, api_id: str, body: Callable[[Reader, Document], T]) -> T:
        """`body` is given the API. Raises NotFound."""
        place = place_of(ctx)
        return await self._store.read(storage.shard_of(place), lambda reader: body(reader, get_api(reader, place, api_id)))

    async def change(self, ctx: Context, api_id: str, body: Callable[[Txn, Document], T], *, is_deployed: bool = True) -> T:
        """Run `body` with the API; deploy where stages want that. Raises NotFound."""
        place, now_s = place_of(ctx), self.now_s()

        def run(txn: Txn) -> T:
            result = body(txn, get_api(txn, place, api_id))
            if is_deployed:
                deploy_automatically(txn, api_id, now_s)
            return result

        result = await self._store.write(storage.shard_of(place), run)
        await self.live.api(place, api_id)
        return result


def deploy_automatically(txn: Txn, api_id: str, now_s: int) -> None:
    """A new deployment for the stages that follow the API. It needs no snapshot while they do: they serve what is there now."""
    stages = [stage for stage in storage.list_all(txn, "stage", api_id) if stage.get("AutoDeploy")]
    if not stages:
        return
    has_routes = next(storage.list_all(txn, "route", api_id), None) is not None
    deployment_id = ids.lower_id(6)
    for stage in stages:
        stage["LastUpdatedDate"] = now_s
        if has_routes:
            forget_automatic(txn, api_id, stage.get("DeploymentId"))
            stage["DeploymentId"] = deployment_id
            stage["LastDeploymentStatusMessage"] = f"Successfully deployed stage with deployment ID '{deployment_id}'"
        else:
            stage["LastDeploymentStatusMessage"] = f"Deployment attempt failed: {_NO_ROUTES}"
        storage.put(txn, "stage", stage, api_id, stage["StageName"])
    if has_routes:
        text = "Automatic deployment triggered by changes to the Api configuration"
        put_deployment(txn, api_id, deployment_id, now_s, text, is_automatic=True)


def put_deployment(txn: Txn, api_id: str, deployment_id: str, now_s: int, text: str | None, *, is_automatic: bool) -> Document:
    document: Document = {
        "DeploymentId": deployment_id,
        "AutoDeployed": is_automatic,
        "CreatedDate": now_s,
        "DeploymentStatus": "DEPLOYED",
    }
    if text:
        document["Description"] = text
    storage.put(txn, "deployment", document, api_id, deployment_id)
    return document


def keep_snapshot(txn: Txn, api_id: str, deployment_id: str) -> None:
    """An automatic deployment is about to be served by a stage that does not follow the API: what it holds is what is there now."""
    if storage.find(txn, "snapshot", api_id, deployment_id) is None:
        storage.put(txn, "snapshot", asdict(current_snapshot(txn, api_id)), api_id, deployment_id)


def forget_automatic(txn: Txn, api_id: str, deployment_id: str | None) -> None:
    """Remove an automatic deployment that nothing was kept of."""
    found = storage.find(txn, "deployment", api_id, deployment_id) if deployment_id else None
    if (
        found is not None
        and deployment_id
        and found["AutoDeployed"]
        and storage.find(txn, "snapshot", api_id, deployment_id) is None
    ):
        storage.delete(txn, "deployment", api_id, deployment_id)
