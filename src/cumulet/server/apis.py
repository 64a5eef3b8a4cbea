"""Deployed APIs of every kind, and API Gateway's control planes that say what is deployed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from cumulet.gateway.custom_domains import CustomDomains
from cumulet.gateway.execute_api import ExecuteApi
from cumulet.gateway.front_door import FrontDoor
from cumulet.gateway.http_api.backends import Backends as HttpApiBackends
from cumulet.gateway.http_api.kind import HttpApis
from cumulet.gateway.http_api.serving import make_serving as make_http_serving
from cumulet.gateway.http_client import HttpClient
from cumulet.gateway.pages import Signed
from cumulet.gateway.rest_api.backends import Backends
from cumulet.gateway.rest_api.kind import RestApis
from cumulet.gateway.rest_api.serving import make_serving
from cumulet.gateway.rest_api.trial import Trials
from cumulet.gateway.signed_door import PublicDoor, SignedDoor
from cumulet.gateway.websocket.session import WebSocketLimits
from cumulet.gateway.websocket_api.backends import RouteBackends
from cumulet.gateway.websocket_api.connections import Connections
from cumulet.gateway.websocket_api.kind import make_websocket_apis
from cumulet.invoke.contract import LogSink
from cumulet.server import credentials
from cumulet.server.functions import Functions
from cumulet.server.ground import Ground
from cumulet.server.late import Loop
from cumulet.services.connections.api import ConnectionsService
from cumulet.services.http_apis.api import HttpApisService
from cumulet.services.rest_apis.api import RestApisService
from cumulet.services.rest_apis.usage import UsageCounts


@dataclass(frozen=True, slots=True)
class Apis:
    """`connections` are those of WebSocket APIs' clients, and `managed` what is asked of them."""

    rest: RestApisService
    http: HttpApisService
    managed: ConnectionsService
    connections: Connections
    usage: UsageCounts
    client: HttpClient

    @property
    def loops(self) -> Sequence[Loop]:
        return self.usage, self.connections

    async def close(self) -> None:
        await self.client.close()


async def open_apis(
    ground: Ground,
    functions: Functions,
    front: FrontDoor,
    door: ExecuteApi,
    gateway: PublicDoor,
    signed: Signed,
    log: LogSink,
) -> Apis:
    """From then on `door` leads to all of them. Integrations with services go through `gateway`; `log` takes access logs."""
    settings, store, clock = ground.settings, ground.store, ground.clock
    resolve, invoker, asynchronous = functions.service.resolve, functions.invoker, functions.asynchronous
    client, usage = HttpClient(), UsageCounts(store, clock)
    services = SignedDoor(gateway, partial(credentials.of_integration, ground), lambda: front.endpoint, clock)

    rest_backends = Backends(resolve, invoker, asynchronous, client.send, services.send, settings.integration_timeout_s or 29.0)
    rest_serving = make_serving(clock, rest_backends, signed, usage, log)
    own_name = urlsplit(front.endpoint).hostname  # requests for it are for the node, whoever would like to have them
    rest_apis = RestApis(rest_serving, lambda name: name == own_name or domains.is_published(name))
    rest = RestApisService(store, clock, rest_apis, usage, Trials(rest_serving), front.addresses.api_endpoint)

    route_backends = RouteBackends(resolve, invoker, asynchronous, client.send, services.send)
    limits = WebSocketLimits(idle_s=settings.websocket_idle_s, life_s=settings.websocket_life_s)
    websocket_apis = make_websocket_apis(clock, route_backends, signed, limits, log)

    http_backends = HttpApiBackends(resolve, invoker, client.send, services.send, settings.integration_timeout_s or 30.0)
    http_apis = HttpApis(make_http_serving(clock, http_backends, signed, log, is_compressing=settings.is_compressing))
    domains = CustomDomains((http_apis, websocket_apis), lambda name: name == own_name or rest_apis.find_domain(name) is not None)
    http = HttpApisService(
        store,
        clock,
        {"HTTP": http_apis, "WEBSOCKET": websocket_apis},
        domains,
        lambda api_id, region, protocol: front.addresses.api_endpoint(
            api_id, region, scheme="ws" if protocol == "WEBSOCKET" else "http"
        ),
    )
    await usage.open()
    await rest.open()
    await http.open()
    door.open((rest_apis, http_apis, websocket_apis), (rest_apis.find_domain, domains.find))
    return Apis(rest, http, websocket_apis.managed, websocket_apis.connections, usage, client)
