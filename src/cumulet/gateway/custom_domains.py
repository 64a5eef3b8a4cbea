"""Custom domain names of HTTP and WebSocket APIs: the longest mapping that fits the path says which API and stage answers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import orjson

from cumulet.core.http import Response
from cumulet.core.place import Place
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.execute_api import ApiAddress, DeployedApi
from cumulet.store.documents import Document

StageDoor = Callable[[Exchange, str, str], Response | Awaitable[Response]]
"""(exchange, path below the mapping, whole path) -> the stage's answer, also where the API's own address is closed."""


class StagedKind(Protocol):
    """All APIs of one kind, as domain names lead to them."""

    def find_stage_door(self, api_id: str, stage: str) -> StageDoor | None: ...


class CustomDomains:
    """The control plane's `DomainPublisher`. `is_taken` says whether REST APIs have a name: names are the whole node's."""

    def __init__(self, kinds: Sequence[StagedKind], is_taken: Callable[[str], bool]) -> None:
        self._kinds = kinds
        self._is_taken = is_taken
        self._domains: dict[str, tuple[Place, list[tuple[str, str, str]]]] = {}

    def publish_domains(self, place: Place, domains: Mapping[str, Sequence[Document]]) -> None:
        self._domains = {name: found for name, found in self._domains.items() if found[0] != place}
        for name, mappings in domains.items():
            leads = [(str(each["ApiMappingKey"]), str(each["ApiId"]), str(each["Stage"])) for each in mappings]
            self._domains[name] = (place, sorted(leads, key=lambda each: -len(each[0])))

    def has_domain(self, name: str, place: Place) -> bool:
        return (name in self._domains and self._domains[name][0] != place) or self._is_taken(name)

    def is_published(self, name: str) -> bool:
        return name in self._domains

    def find(self, host: str) -> DeployedApi | None:
        """What answers for a domain name: its own, else a `*.` one's above it. The address given to it holds the whole path."""
        if not self._domains:
            return None
        found = self._domains.get(host) or self._domains.get(f"*.{host.partition('.')[2]}")
        return _Domain(self._kinds, found[1]) if found is not None else None


class _Domain:
    def __init__(self, kinds: Sequence[StagedKind], leads: list[tuple[str, str, str]]) -> None:
        self._kinds = kinds
        self._leads = leads

    def __call__(self, exchange: Exchange, address: ApiAddress) -> Response | Awaitable[Response]:
        path = address.path
        for key, api_id, stage in self._leads:
            if key and not (path == f"/{key}" or path.startswith(f"/{key}/")):
                continue
            door = next((door for kind in self._kinds if (door := kind.find_stage_door(api_id, stage)) is not None), None)
            if door is not None:
                return door(exchange, (path[len(key) + 1 :] if key else path) or "/", path)
            break
        return Response(404, [("Content-Type", "application/json")], orjson.dumps({"message": "Not Found"}))
