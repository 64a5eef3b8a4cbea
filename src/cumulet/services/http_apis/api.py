"""The HTTP and WebSocket APIs service: its operations, one class a group of nouns, over one storage."""

from collections.abc import Callable, Mapping

from cumulet.core.clock import Clock
from cumulet.core.operations import Handler, operations_of
from cumulet.services.http_apis.api_apis import ApiOperations
from cumulet.services.http_apis.api_authorizers import AuthorizerOperations
from cumulet.services.http_apis.api_domains import DomainOperations
from cumulet.services.http_apis.api_integrations import IntegrationOperations
from cumulet.services.http_apis.api_models import ModelOperations
from cumulet.services.http_apis.api_openapi import OpenApiOperations
from cumulet.services.http_apis.api_routes import RouteOperations
from cumulet.services.http_apis.api_stages import StageOperations
from cumulet.services.http_apis.api_tags import TagOperations
from cumulet.services.http_apis.changes import Changes
from cumulet.services.http_apis.live import DomainPublisher, Live, Publisher
from cumulet.store.contract import Store

EndpointOf = Callable[[str, str, str], str]
"""(API id, region, protocol) -> the address that the API is told to have."""


class HttpApisService:
    """API Gateway's control plane, version 2. `publishers` serve what is deployed, by protocol."""

    def __init__(
        self, store: Store, clock: Clock, publishers: Mapping[str, Publisher], domains: DomainPublisher, endpoint_of: EndpointOf
    ) -> None:
        self._live = Live(store, publishers, domains)
        changes = Changes(store, clock, self._live)
        self.handlers: Mapping[str, Handler] = operations_of(
            ApiOperations(store, changes, endpoint_of),
            RouteOperations(changes),
            IntegrationOperations(changes),
            AuthorizerOperations(changes),
            ModelOperations(changes),
            StageOperations(changes),
            DomainOperations(store, self._live),
            TagOperations(store, changes),
            OpenApiOperations(store, changes, endpoint_of),
        )

    async def open(self) -> None:
        """Publish what the store holds: once, before the first request."""
        await self._live.open()
