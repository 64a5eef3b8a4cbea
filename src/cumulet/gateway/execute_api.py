"""The door of deployed APIs of every kind: finds the API that an address names and lets it answer. What an API does with a request
is the affair of its kind (`gateway/http_api`, `gateway/rest_api`); this module knows addresses alone.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cumulet.core.http import Request, Response
from cumulet.gateway.exchange import Door, Exchange

_HOST = re.compile(r"([a-z0-9]+)\.execute-api\.(?:([a-z0-9-]+)\.)?[A-Za-z0-9.-]+(?::\d+)?\Z")
_PATH = "/_aws/execute-api/"
_REST_PATH = re.compile(r"/restapis/([a-z0-9]+)/([^/]+)/_user_request_(/.*)?\Z")


@dataclass(slots=True)
class ApiAddress:
    """Which API a request is for. `path` is what follows the API's address: the stage first, except for a `$default` one."""

    api_id: str
    path: str


class DeployedApi(Protocol):
    """One API, ready to answer: stages, routes and all; at once where it need not wait."""

    def __call__(self, exchange: Exchange, address: ApiAddress) -> Response | Awaitable[Response]: ...


class ApiKind(Protocol):
    """All APIs of one kind. `find` is asked for every request, so it answers from memory."""

    def find(self, api_id: str) -> DeployedApi | None: ...


FindDomain = Callable[[str], DeployedApi | None]
"""What answers for a custom domain name, asked for every request; the address that it is given has the whole path."""


class ExecuteApi:
    """Serves every API of the node: ids are unique over accounts, regions and kinds."""

    def __init__(self, kinds: Sequence[ApiKind] = (), domains: Sequence[FindDomain] = ()) -> None:
        self._kinds = kinds
        self._domains = domains

    def open(self, kinds: Sequence[ApiKind], domains: Sequence[FindDomain]) -> None:
        """Lead to these from now on."""
        self._kinds, self._domains = kinds, domains

    def find_door(self, request: Request, host: str) -> Door | None:
        """What answers a request for an API, by a custom domain name or by its address; None: it is for no API. `host` is in lower
        case."""
        domain = self._find_domain(host)
        if domain is not None:
            return partial(domain, address=ApiAddress("", request.path))
        address = find_api(request, host)
        if address is None:
            return None
        for kind in self._kinds:
            api = kind.find(address.api_id)
            if api is not None:
                return partial(api, address=address)
        return _no_such_api

    def has_domain(self, name: str) -> bool:
        """Whether a custom domain name is served, of whatever kind."""
        return self._find_domain(name.lower()) is not None

    def _find_domain(self, host: str) -> DeployedApi | None:
        name = host.partition(":")[0]
        for find in self._domains:
            api = find(name)
            if api is not None:
                return api
        return None


def _no_such_api(_exchange: Exchange) -> Response:
    return Response(404, [("Content-Type", "application/json")], b'{"message":"Not Found"}')


def find_api(request: Request, host: str) -> ApiAddress | None:
    """The address of an API in a request: by host, by path, or in the path form of older local tools."""
    if ".execute-api." in host:
        match = _HOST.match(host)
        if match:
            return ApiAddress(match[1], request.path)
    if request.path.startswith(_PATH):
        api_id, _, rest = request.path[len(_PATH) :].partition("/")
        return ApiAddress(api_id, "/" + rest)
    if request.path.startswith("/restapis/"):
        match = _REST_PATH.match(request.path)
        if match:
            return ApiAddress(match[1], f"/{match[2]}{match[3] or '/'}")
    return None
