"""What is deployed, as the control plane tells it to whoever serves it: whole values, handed over after each commit.

A snapshot holds documents in the wire's members (`RouteKey`, `IntegrationUri`, …); a route response also has its `RouteId`, an
integration response its `IntegrationId`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cumulet.core.place import Place
from cumulet.services.http_apis import storage
from cumulet.store.contract import Reader, Store
from cumulet.store.documents import Document


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a deployment holds of an API."""

    routes: Sequence[Document] = ()
    integrations: Sequence[Document] = ()
    authorizers: Sequence[Document] = ()
    route_responses: Sequence[Document] = ()
    integration_responses: Sequence[Document] = ()
    models: Sequence[Document] = ()


@dataclass(frozen=True, slots=True)
class LiveStage:
    """A stage and what is deployed on it."""

    stage: Document
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class LiveApi:
    """An API with its deployed stages by name. `api` are its own attributes, now; its `ProtocolType` is `HTTP` or `WEBSOCKET`."""

    place: Place
    api: Document
    stages: Mapping[str, LiveStage] = field(default_factory=dict)


class Publisher(Protocol):
    """Who serves the APIs of one protocol. Called on the event loop; never waits."""

    def publish_api(self, api_id: str, live: LiveApi | None) -> None:
        """An API of this protocol changed, or (None) an API of any protocol is gone."""
        ...

    def flush_authorizers(self, api_id: str, stage: str) -> None:
        """Forget what authorizers answered."""
        ...


class DomainPublisher(Protocol):
    """Who knows custom domain names."""

    def publish_domains(self, place: Place, domains: Mapping[str, Sequence[Document]]) -> None:
        """{domain name: API mappings} of a place."""
        ...

    def has_domain(self, name: str, place: Place) -> bool:
        """Whether another place, or another kind of APIs, has the domain name: names are the whole node's."""
        ...


class Live:
    """Reads what changed and publishes it, in the order of the commits. `publishers` are by protocol."""

    def __init__(self, store: Store, publishers: Mapping[str, Publisher], domains: DomainPublisher) -> None:
        self._store = store
        self._publishers = publishers
        self.domain_names = domains
        self._order = asyncio.Lock()

    async def open(self) -> None:
        """Publish all that the store holds."""
        for shard in await self._store.list_shards():
            place = storage.find_place(shard)
            if place is None:
                continue
            for api_id in await self._store.read(shard, lambda reader: [api["ApiId"] for api in storage.list_all(reader, "api")]):
                await self.api(place, api_id)
            await self.domains(place)

    async def api(self, place: Place, api_id: str) -> None:
        async with self._order:
            live = await self._store.read(storage.shard_of(place), lambda reader: _live_api(reader, place, api_id))
            for protocol, publisher in self._publishers.items():
                if live is None or live.api["ProtocolType"] == protocol:
                    publisher.publish_api(api_id, live)

    async def domains(self, place: Place) -> None:
        def read(reader: Reader) -> dict[str, list[Document]]:
            return {
                domain["DomainName"]: list(storage.list_all(reader, "mapping", domain["DomainName"]))
                for domain in storage.list_all(reader, "domain")
            }

        async with self._order:
            self.domain_names.publish_domains(place, await self._store.read(storage.shard_of(place), read))

    def flush_authorizers(self, api_id: str, stage: str) -> None:
        for publisher in self._publishers.values():
            publisher.flush_authorizers(api_id, stage)


def _live_api(reader: Reader, place: Place, api_id: str) -> LiveApi | None:
    api = storage.find(reader, "api", api_id)
    if api is None:
        return None
    current: Snapshot | None = None
    stages: dict[str, LiveStage] = {}
    for stage in storage.list_all(reader, "stage", api_id):
        kept = storage.find(reader, "snapshot", api_id, stage["DeploymentId"]) if stage.get("DeploymentId") else None
        if stage.get("AutoDeploy"):
            current = current or current_snapshot(reader, api_id)
            stages[stage["StageName"]] = LiveStage(stage, current)
        elif kept is not None:
            stages[stage["StageName"]] = LiveStage(stage, Snapshot(**kept))
    return LiveApi(place, api, stages)


def current_snapshot(reader: Reader, api_id: str) -> Snapshot:
    """An API as it is now, whole: what a deployment keeps, and a stage with automatic deployment serves."""
    return Snapshot(
        list(storage.list_all(reader, "route", api_id)),
        list(storage.list_all(reader, "integration", api_id)),
        list(storage.list_all(reader, "authorizer", api_id)),
        list(storage.list_all(reader, "route-response", api_id)),
        list(storage.list_all(reader, "integration-response", api_id)),
        list(storage.list_all(reader, "model", api_id)),
    )
