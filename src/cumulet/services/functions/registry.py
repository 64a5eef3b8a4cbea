"""The service's shared parts, and what the rest of the node asks of it: what a name means, whose a URL is, what is kept warm."""

import random
from collections.abc import Callable
from dataclasses import replace

from cumulet.core.clock import Clock
from cumulet.invoke.contract import AsyncInvoker, AsyncSettings, Invoker
from cumulet.runtimes.contract import FunctionSpec
from cumulet.services.functions.api_concurrency import ConcurrencyOperations
from cumulet.services.functions.code import CodeStore, FetchObject
from cumulet.services.functions.environments import Environments
from cumulet.services.functions.model import Limits
from cumulet.services.functions.model_event_sources import EventSourceMapping
from cumulet.services.functions.names import Place
from cumulet.services.functions.resolution import FunctionUrl, Resolution
from cumulet.services.functions.storage import FunctionStorage
from cumulet.store.contract import Store


class Registry:
    """`has_poller` tells whether something on this node reads events of a kind of source (`sqs`, …)."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        invoker: Invoker,
        asynchronous: AsyncInvoker,
        environments: Environments,
        *,
        url_of: Callable[[str, str], str],
        fetch_object: FetchObject | None = None,
        account_concurrency: int = 1000,
        limits: Limits | None = None,
        has_poller: Callable[[str], bool] = lambda kind: False,
        dice: random.Random | None = None,
    ) -> None:
        self.clock = clock
        self.invoker = invoker
        self.asynchronous = asynchronous
        self.environments = environments
        self.url_of = url_of
        self.has_poller = has_poller
        self.limits = replace(limits or Limits(), account_concurrency=account_concurrency)
        self.storage = FunctionStorage(store)
        self.code = CodeStore(store.blobs, self.limits, fetch_object)
        self.resolution = Resolution(self.storage, dice or random.Random())
        self.concurrency = ConcurrencyOperations(self.storage, clock, self.limits, environments)

    async def open(self) -> None:
        """Tell the environments what is reserved and provisioned, as it was when the node stopped."""
        await self.concurrency.apply_all()

    async def resolve(self, account: str, region: str, name: str, qualifier: str | None) -> tuple[FunctionSpec, AsyncSettings]:
        """The contract `Resolve`: what to run now, from memory unless something changed. Raises ResourceNotFound."""
        return await self.resolution.resolve(account, region, name, qualifier)

    async def find_url(self, url_id: str) -> FunctionUrl | None:
        """The function URL with that id, from memory unless something changed."""
        return await self.resolution.find_url(url_id)

    async def provisioned(self) -> list[tuple[FunctionSpec, int]]:
        """All versions to keep warm, with how many environments; `open` has told the environments already."""
        return await self.concurrency.provisioned()

    async def event_source_mappings(self) -> list[tuple[Place, EventSourceMapping]]:
        """All mappings of the node, for pollers."""
        found: list[tuple[Place, EventSourceMapping]] = []
        for place in await self.storage.places():
            found += [(place, each) for each in await self.storage.read(place, lambda view: list(view.mappings()))]
        return found
