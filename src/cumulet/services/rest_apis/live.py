"""What is deployed, as the control plane tells it to whoever serves it: whole values, handed over after each commit."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cumulet.services.rest_apis import storage
from cumulet.services.rest_apis.model import Document, Place
from cumulet.store.contract import Reader, Store


@dataclass(frozen=True, slots=True)
class LiveStage:
    """A stage and the snapshots of its deployments. `canary` None: all requests go to `snapshot`."""

    stage: Document
    snapshot: Document
    canary: Document | None = None


@dataclass(frozen=True, slots=True)
class LiveApi:
    """An API with what is deployed of it. `api` are its own attributes, now."""

    place: Place
    api: Document
    stages: Mapping[str, LiveStage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LivePlan:
    """A usage plan and the ids of its keys."""

    plan: Document
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class LiveUsage:
    """All API keys and usage plans of a place."""

    keys: Sequence[Document] = ()
    plans: Sequence[LivePlan] = ()


class Publisher(Protocol):
    """Who serves what is deployed. Called on the event loop; never waits."""

    def publish_api(self, api_id: str, live: LiveApi | None) -> None:
        """An API changed, or (None) is gone."""
        ...

    def publish_usage(self, place: Place, usage: LiveUsage) -> None: ...

    def publish_domains(self, place: Place, domains: Mapping[str, Sequence[Document]]) -> None:
        """{domain name: base path mappings} of a place."""
        ...

    def has_domain(self, name: str, place: Place) -> bool:
        """Whether another place than this one has the domain name: names are the whole node's."""
        ...

    def flush_authorizers(self, api_id: str, stage: str) -> None: ...

    def flush_cache(self, api_id: str, stage: str) -> None: ...


class Live:
    """Reads what changed and publishes it, in the order of the commits."""

    def __init__(self, store: Store, publisher: Publisher) -> None:
        self._store = store
        self.publisher = publisher
        self._order = asyncio.Lock()

    async def open(self) -> None:
        """Publish all that the store holds."""
        for shard in await self._store.list_shards():
            place = storage.find_place(shard)
            if place is None:
                continue
            for api_id in await self._store.read(shard, lambda reader: [api["id"] for api in storage.list_all(reader, "api")]):
                await self.api(place, api_id)
            await self.usage(place)
            await self.domains(place)

    async def api(self, place: Place, api_id: str) -> None:
        async with self._order:
            live = await self._store.read(storage.shard_of(place), lambda reader: _live_api(reader, place, api_id))
            self.publisher.publish_api(api_id, live)

    async def usage(self, place: Place) -> None:
        def read(reader: Reader) -> LiveUsage:
            return LiveUsage(
                list(storage.list_all(reader, "key")),
                [
                    LivePlan(plan, frozenset(key["id"] for key in storage.list_all(reader, "plan-key", plan["id"])))
                    for plan in storage.list_all(reader, "plan")
                ],
            )

        async with self._order:
            self.publisher.publish_usage(place, await self._store.read(storage.shard_of(place), read))

    async def domains(self, place: Place) -> None:
        def read(reader: Reader) -> dict[str, list[Document]]:
            return {
                domain["domainName"]: list(storage.list_all(reader, "mapping", domain["domainName"]))
                for domain in storage.list_all(reader, "domain")
            }

        async with self._order:
            self.publisher.publish_domains(place, await self._store.read(storage.shard_of(place), read))


def _live_api(reader: Reader, place: Place, api_id: str) -> LiveApi | None:
    api = storage.find(reader, "api", api_id)
    if api is None:
        return None
    stages: dict[str, LiveStage] = {}
    for stage in storage.list_all(reader, "stage", api_id):
        snapshot = storage.find(reader, "snapshot", api_id, stage["deploymentId"])
        canary_id = (stage.get("canarySettings") or {}).get("deploymentId")
        if snapshot is not None:
            stages[stage["stageName"]] = LiveStage(
                stage, snapshot, storage.find(reader, "snapshot", api_id, canary_id) if canary_id else None
            )
    return LiveApi(place, api, stages)


def snapshot_of(reader: Reader, api_id: str) -> Document:
    """An API as it is now, whole: what a deployment keeps and a test invocation runs."""
    return {
        "api": storage.find(reader, "api", api_id),
        "resources": list(storage.list_all(reader, "resource", api_id)),
        "models": list(storage.list_all(reader, "model", api_id)),
        "validators": list(storage.list_all(reader, "validator", api_id)),
        "authorizers": list(storage.list_all(reader, "authorizer", api_id)),
        "responses": list(storage.list_all(reader, "response", api_id)),
    }
