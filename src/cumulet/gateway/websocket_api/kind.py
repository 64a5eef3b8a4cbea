"""All WebSocket APIs of the node, by id: what the control plane publishes, and the door that asks for it."""

from collections.abc import Callable

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.http import Response
from cumulet.gateway.custom_domains import StageDoor
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.execute_api import ApiAddress, DeployedApi
from cumulet.gateway.rest_api.serving import forbidden
from cumulet.gateway.websocket.session import WebSocketLimits
from cumulet.gateway.websocket_api.access import Access
from cumulet.gateway.websocket_api.backends import RouteBackends
from cumulet.gateway.websocket_api.compiled import CompiledApi, CompiledStage
from cumulet.gateway.websocket_api.connections import Connections
from cumulet.gateway.websocket_api.integrations import Integrations
from cumulet.gateway.websocket_api.management import PATH, Management
from cumulet.gateway.websocket_api.serving import Serving
from cumulet.invoke.contract import LogSink
from cumulet.services.connections.api import ConnectionsService
from cumulet.services.connections.model import Scope
from cumulet.services.http_apis.live import LiveApi

_PATH_STYLE = "/_aws/execute-api/"


class WebSocketApis:
    """An `ApiKind`, and the control plane's `Publisher`. `managed` are the management API's operations on all `connections`."""

    def __init__(
        self,
        clock: Clock,
        access: Access,
        integrations: Integrations,
        connections: Connections,
        managed: ConnectionsService,
        management: Management,
        sink: LogSink,
    ) -> None:
        self.connections = connections
        self.managed = managed
        self._serving = Serving(clock, access, integrations, connections, self.find_stage, sink)
        self._management = management
        self._apis: dict[str, CompiledApi] = {}

    def find(self, api_id: str) -> DeployedApi | None:
        api = self._apis.get(api_id)
        return _WebSocketApi(self, api) if api is not None else None

    def find_stage(self, api_id: str, name: str) -> CompiledStage | None:
        api = self._apis.get(api_id)
        return api.stages.get(name) if api is not None else None

    def find_stage_door(self, api_id: str, stage: str) -> StageDoor | None:
        """A stage as a custom domain name leads to it."""
        if self.find_stage(api_id, stage) is None:
            return None

        async def door(exchange: Exchange, path: str, full_path: str) -> Response:
            return await self.answer(exchange, api_id, stage, path, exchange.host)

        return door

    async def answer(self, exchange: Exchange, api_id: str, stage_name: str, path: str, domain: str) -> Response:
        """What the stage says to a request. `path` is what follows the stage: nothing, or a connection to manage."""
        stage = self.find_stage(api_id, stage_name)
        if stage is None:
            return forbidden(exchange.request_id)
        if path.startswith(PATH):
            return await self._management.answer(exchange, path, Scope(stage.place, api_id, stage_name))
        if path.strip("/"):
            return forbidden(exchange.request_id)
        return await self._serving.connect(exchange, stage, domain)

    # What the control plane says

    def publish_api(self, api_id: str, live: LiveApi | None) -> None:
        if live is None or not live.stages:
            self._apis.pop(api_id, None)
            self.connections.close_all(api_id, frozenset())
        else:
            self._apis[api_id] = CompiledApi(live)
            self.connections.close_all(api_id, frozenset(live.stages))

    def flush_authorizers(self, api_id: str, stage: str) -> None:
        """Nothing to forget: authorizers are asked once a connection."""


def make_websocket_apis(
    clock: Clock, backends: RouteBackends, signed: Callable[[Exchange], Context], limits: WebSocketLimits, sink: LogSink
) -> WebSocketApis:
    """The parts put together. `sink` takes access logs; `signed` says who signed a request, or raises the signature's Fault."""
    connections = Connections(clock, limits)
    managed = ConnectionsService(connections.find)
    access, integrations = Access(backends, signed, clock), Integrations(backends)
    return WebSocketApis(clock, access, integrations, connections, managed, Management(managed, signed), sink)


class _WebSocketApi:
    """One API at its own address: the stage is the path's first segment."""

    def __init__(self, kind: WebSocketApis, api: CompiledApi) -> None:
        self._kind = kind
        self._api = api

    async def __call__(self, exchange: Exchange, address: ApiAddress) -> Response:
        if self._api.is_address_disabled:
            return forbidden(exchange.request_id)
        stage, _, rest = address.path.lstrip("/").partition("/")
        is_path_style = exchange.request.path.startswith(_PATH_STYLE)
        domain = exchange.host + (_PATH_STYLE + address.api_id if is_path_style else "")
        return await self._kind.answer(exchange, self._api.id, stage, "/" + rest, domain)
