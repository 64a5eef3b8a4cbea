"""Custom domain names: what they lead to, and those of HTTP and WebSocket APIs, whose mappings say which API and stage answers."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import orjson

from cumulet.core.http import Response
from cumulet.core.place import Place
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.execute_api import ApiAddress, DeployedApi
from cumulet.store.documents import Document

StageDoor = Callable[[Exchange, str, str], Response | Awaitable[Response]]
"""(exchange, path below the mapping, whole path) -> the stage's answer, also where the API's own address is closed."""


T = TypeVar("T")


class Leads(Generic[T]):
    """What the paths below a custom domain name lead to: the longest base that fits decides; "" fits always."""

    def __init__(self, leads: Iterable[tuple[str, T]]) -> None:
        self._leads = sorted(leads, key=lambda each: -len(each[0]))

    def find(self, path: str) -> tuple[T, str] | None:
        """(what it leads to, the path below the base)."""
        for base, lead in self._leads:
            if not base:
                return lead, path
            if path == f"/{base}" or path.startswith(f"/{base}/"):
                return lead, path[len(base) + 1 :]
        return None


class PublishedNames(Generic[T]):
    """Custom domain names of the whole node; each belongs to one place."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[Place, Leads[T]]] = {}

    def __bool__(self) -> bool:
        return bool(self._names)

    def publish(self, place: Place, names: Mapping[str, Iterable[tuple[str, T]]]) -> None:
        """All names of a place, with what their paths lead to."""
        self._names = {name: found for name, found in self._names.items() if found[0] != place}
        self._names |= {name: (place, Leads(leads)) for name, leads in names.items()}

    def is_elsewhere(self, name: str, place: Place) -> bool:
        return name in self._names and self._names[name][0] != place

    def find(self, name: str) -> Leads[T] | None:
        found = self._names.get(name)
        return found[1] if found is not None else None


class StagedKind(Protocol):
    """All APIs of one kind, as domain names lead to them."""

    def find_stage_door(self, api_id: str, stage: str) -> StageDoor | None: ...


class CustomDomains:
    """The control plane's `DomainPublisher`. `is_taken` says whether REST APIs have a name: names are the whole node's."""

    def __init__(self, kinds: Sequence[StagedKind], is_taken: Callable[[str], bool]) -> None:
        self._kinds = kinds
        self._is_taken = is_taken
        self._names: PublishedNames[tuple[str, str]] = PublishedNames()

    def publish_domains(self, place: Place, domains: Mapping[str, Sequence[Document]]) -> None:
        self._names.publish(
            place,
            {
                name: [(str(each["ApiMappingKey"]), (str(each["ApiId"]), str(each["Stage"]))) for each in mappings]
                for name, mappings in domains.items()
            },
        )

    def has_domain(self, name: str, place: Place) -> bool:
        return self._names.is_elsewhere(name, place) or self._is_taken(name)

    def is_published(self, name: str) -> bool:
        return self._names.find(name) is not None

    def find(self, host: str) -> DeployedApi | None:
        """What answers for a domain name: its own, else a `*.` one's above it. The address given to it holds the whole path."""
        if not self._names:
            return None
        found = self._names.find(host) or self._names.find(f"*.{host.partition('.')[2]}")
        return _Domain(self._kinds, found) if found is not None else None


class _Domain:
    def __init__(self, kinds: Sequence[StagedKind], leads: Leads[tuple[str, str]]) -> None:
        self._kinds = kinds
        self._leads = leads

    def __call__(self, exchange: Exchange, address: ApiAddress) -> Response | Awaitable[Response]:
        found = self._leads.find(address.path)
        if found is not None:
            (api_id, stage), below = found
            door = next((door for kind in self._kinds if (door := kind.find_stage_door(api_id, stage)) is not None), None)
            if door is not None:
                return door(exchange, below or "/", address.path)
        return Response(404, [("Content-Type", "application/json")], orjson.dumps({"message": "Not Found"}))
