"""The REST APIs service: its operations, one class a group of nouns, over one storage."""

from collections.abc import Mapping

from cumulet.core.clock import Clock
from cumulet.core.operations import Handler, operations_of
from cumulet.services.rest_apis.api_account import AccountOperations
from cumulet.services.rest_apis.api_apis import ApiOperations
from cumulet.services.rest_apis.api_deployments import DeploymentOperations
from cumulet.services.rest_apis.api_documentation import DocumentationOperations
from cumulet.services.rest_apis.api_domains import DomainOperations
from cumulet.services.rest_apis.api_methods import MethodOperations
from cumulet.services.rest_apis.api_openapi import EndpointOf, OpenApiOperations
from cumulet.services.rest_apis.api_parts import PartOperations
from cumulet.services.rest_apis.api_test import TestOperations, Trials
from cumulet.services.rest_apis.api_usage import UsageOperations
from cumulet.services.rest_apis.live import Live, Publisher
from cumulet.services.rest_apis.usage import UsageCounts
from cumulet.store.contract import Store


class RestApisService:
    """API Gateway's control plane for REST APIs. `publisher` serves what is deployed, `trials` runs what is not;
    `endpoint_of` tells addresses."""

    def __init__(
        self, store: Store, clock: Clock, publisher: Publisher, counts: UsageCounts, trials: Trials, endpoint_of: EndpointOf
    ) -> None:
        self._live = Live(store, publisher)
        self.handlers: Mapping[str, Handler] = operations_of(
            ApiOperations(store, clock, self._live),
            MethodOperations(store),
            PartOperations(store),
            DocumentationOperations(store, clock),
            DeploymentOperations(store, clock, self._live),
            TestOperations(store, trials),
            OpenApiOperations(store, clock, self._live, endpoint_of),
            DomainOperations(store, clock, self._live),
            AccountOperations(store, self._live),
            UsageOperations(store, clock, self._live, counts),
        )

    async def open(self) -> None:
        """Publish what the store holds: once, before the first request."""
        await self._live.open()
