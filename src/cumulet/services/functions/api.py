"""The functions service: its operations, one class a noun, over one storage; and what other parts of the node ask of it."""

import random
import secrets

from cumulet.core.clock import Clock
from cumulet.core.http import Request, Response
from cumulet.core.operations import Handler, operations_of
from cumulet.invoke.contract import AsyncInvoker, AsyncSettings, Invoker
from cumulet.runtimes.contract import FunctionSpec
from cumulet.services.functions.api_aliases import AliasOperations
from cumulet.services.functions.api_concurrency import ConcurrencyOperations
from cumulet.services.functions.api_event_invoke import EventInvokeOperations
from cumulet.services.functions.api_event_sources import EventSourceOperations, EventSources, NoEventSources
from cumulet.services.functions.api_functions import FunctionOperations
from cumulet.services.functions.api_invoke import InvokeOperations
from cumulet.services.functions.api_layers import LayerOperations, LayerUses
from cumulet.services.functions.api_permissions import PermissionOperations
from cumulet.services.functions.api_settings import SettingsOperations
from cumulet.services.functions.api_tags import TagOperations
from cumulet.services.functions.api_urls import UrlOf, UrlOperations
from cumulet.services.functions.code import CodeLinks, CodeStore, FetchObject
from cumulet.services.functions.environments import Environments, Expect, Retire, SetReserved, WarmPool
from cumulet.services.functions.model import Limits, LimitsOf
from cumulet.services.functions.model_event_sources import EventSourceMapping
from cumulet.services.functions.names import Place
from cumulet.services.functions.resolution import FunctionUrl, Resolution
from cumulet.services.functions.storage import FunctionStorage
from cumulet.store.contract import Store


class FunctionsService:
    """Lambda's control plane and Invoke. `set_reserved`, `retire` and `warm` are the invoker's; see `environments.py`.

    `limits_of` says what an account may have, where that isn't the same for all. `link_secret` signs the links to code archives;
    nodes that share a store must share it. None: one of this run, since links are good for minutes and a restart may end them.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        invoker: Invoker,
        async_invoker: AsyncInvoker,
        *,
        url_of: UrlOf,
        fetch_object: FetchObject | None = None,
        set_reserved: SetReserved = lambda account, function_id, reserved: None,
        retire: Retire = lambda function_id, keep: None,
        warm: WarmPool | None = None,
        expect: Expect = lambda spec: None,
        event_sources: EventSources | None = None,
        limits: Limits | None = None,
        limits_of: LimitsOf | None = None,
        link_secret: bytes | None = None,
        dice: random.Random | None = None,
    ) -> None:
        limits = limits or Limits()
        limits_of = limits_of or (lambda account: limits)
        environments = Environments(set_reserved, retire, warm, expect)
        storage = FunctionStorage(store)
        code = CodeStore(store.blobs, limits, fetch_object)
        self._storage = storage
        self._links = CodeLinks(link_secret or secrets.token_bytes(32), store.blobs, clock)
        self._resolution = Resolution(storage, dice or random.Random())
        self.find_known_url = self._resolution.find_known_url
        """A function URL and what to run now, where both are in memory: at once. None says nothing."""
        self._concurrency = ConcurrencyOperations(storage, clock, limits_of, environments)
        apply = self._concurrency.apply
        self._parts: tuple[object, ...] = (
            FunctionOperations(storage, clock, code, self._links, LayerUses(storage), limits, limits_of, environments, apply),
            AliasOperations(storage, apply),
            LayerOperations(storage, clock, code, self._links, limits_of),
            PermissionOperations(storage),
            self._concurrency,
            UrlOperations(storage, clock, url_of),
            EventInvokeOperations(storage, clock),
            EventSourceOperations(storage, clock, event_sources or NoEventSources()),
            TagOperations(storage),
            SettingsOperations(storage, limits_of),
            InvokeOperations(self._resolution, invoker, async_invoker, limits),
        )

    def operations(self) -> dict[str, Handler]:
        """What is answered; what the model has beyond these, this node does not implement."""
        return operations_of(*self._parts)

    async def open(self) -> None:
        """Tell the invoker what the store holds of reserved and provisioned concurrency: once, when the node starts."""
        await self._concurrency.apply_all()

    async def resolve(self, account: str, region: str, name: str, qualifier: str | None) -> tuple[FunctionSpec, AsyncSettings]:
        """The contract `Resolve`: what to run now, from memory unless something changed. Raises ResourceNotFound."""
        return await self._resolution.resolve(account, region, name, qualifier)

    async def find_url(self, url_id: str) -> FunctionUrl | None:
        """The function URL with that id, from memory unless something changed."""
        return await self._resolution.find_url(url_id)

    async def provisioned(self) -> list[tuple[FunctionSpec, int]]:
        """All versions to keep warm, with how many environments; `open` has told the invoker already."""
        return await self._concurrency.provisioned()

    async def event_source_mappings(self) -> list[tuple[Place, EventSourceMapping]]:
        """All mappings of the node, for pollers."""
        found: list[tuple[Place, EventSourceMapping]] = []
        for place in await self._storage.places():
            found += [(place, each) for each in await self._storage.read(place, lambda view: list(view.mappings()))]
        return found

    async def code_archive(self, request: Request) -> Response:
        """Answer a link that GetFunction or GetLayerVersion gave: `GET /_aws/lambda-code/SHA256?expires=…&token=…`."""
        return await self._links.code_archive(request)
