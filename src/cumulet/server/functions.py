"""Functions: from "invoke this" to a result, durable asynchronous events, what polls for them, and Lambda's control plane."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import partial

from cumulet.core.clock import Clock
from cumulet.core.errors import Fault
from cumulet.core.settings import Settings
from cumulet.delivery.targets import Targets
from cumulet.gateway.front_door import FrontDoor
from cumulet.gateway.function_urls import Cors
from cumulet.gateway.metered import MeteredInvoker
from cumulet.gateway.metrics import Metrics
from cumulet.gateway.pages import Signed
from cumulet.gateway.url_door import FunctionUrls, UrlTarget
from cumulet.invoke.asynchronous import DurableAsyncInvoker, function_target
from cumulet.invoke.contract import LogSink
from cumulet.invoke.invoker import LocalInvoker
from cumulet.invoke.keep_alive import keep_alive_of
from cumulet.pollers.contract import Sources
from cumulet.pollers.family import Pollers
from cumulet.pollers.mappings import PolledSources, source_mapping
from cumulet.runtimes.contract import FunctionSpec
from cumulet.runtimes.node_runtimes import NodeRuntimes
from cumulet.server import credentials
from cumulet.server.ground import Ground
from cumulet.server.late import Loop
from cumulet.server.runtimes import memory_budget_mb
from cumulet.services.functions.api import FunctionsService
from cumulet.services.functions.model import Limits
from cumulet.services.functions.resolution import MAXIMUM_REMEMBERED, FunctionUrl
from cumulet.tenancy.quotas import Quota


@dataclass(frozen=True, slots=True)
class Functions:
    """`invoker` is `local`, counted."""

    local: LocalInvoker
    invoker: MeteredInvoker
    asynchronous: DurableAsyncInvoker
    pollers: Pollers
    service: FunctionsService

    @property
    def loops(self) -> Sequence[Loop]:
        return self.local, self.asynchronous, self.pollers


async def open_functions(
    ground: Ground, runtimes: NodeRuntimes, front: FrontDoor, sources: Sources, log: LogSink, metrics: Metrics
) -> Functions:
    """`log` takes functions' output; `sources` are what may be polled."""
    settings, clock, store, quotas = ground.settings, ground.clock, ground.store, ground.quotas
    local = LocalInvoker(
        runtimes,
        clock,
        log,
        partial(credentials.of_function, ground),
        lambda: front.endpoint,
        quotas=quotas,
        most_waiting=settings.most_waiting,
        memory_budget_mb=memory_budget_mb(settings),
        keep_alive=keep_alive_of(settings.keep_alive),
    )
    invoker, targets = MeteredInvoker(local, metrics, clock), Targets()
    asynchronous = DurableAsyncInvoker(store, clock, invoker, lambda *place: service.resolve(*place), targets, quotas)
    targets.register("lambda", function_target(asynchronous))
    pollers = Pollers(store, clock, invoker, lambda *place: service.resolve(*place), targets, sources)
    service = FunctionsService(
        store,
        clock,
        invoker,
        asynchronous,
        url_of=front.addresses.function_url,
        set_reserved=local.concurrency.set_reserved,
        retire=local.retire,
        warm=local,
        event_sources=PolledSources(pollers),
        expect=local.expect,
        limits_of=lambda account: _limits_of(quotas.of(account)),
    )
    await service.open()
    await asynchronous.open()
    await pollers.open(source_mapping(*each) for each in await service.event_source_mappings())
    return Functions(local, invoker, asynchronous, pollers, service)


def make_function_urls(functions: Functions, signed: Signed, clock: Clock, settings: Settings) -> FunctionUrls:
    targets = _UrlTargets(functions.service, is_strict=settings.strict_urls)
    return FunctionUrls(targets.find, functions.invoker, signed, clock, is_compressing=settings.is_compressing)


class _UrlTargets:
    """What function URLs stand for. What was made for the last call holds as long as URL and version are the same."""

    def __init__(self, service: FunctionsService, *, is_strict: bool) -> None:
        self._service = service
        self._is_strict = is_strict
        self._made: dict[str, tuple[FunctionUrl, UrlTarget]] = {}

    def find(self, url_id: str) -> UrlTarget | Awaitable[UrlTarget | None]:
        known = self._service.find_known_url(url_id)
        if known is None:
            return self._look_up(url_id)
        made = self._made.get(url_id)
        if made is not None and made[0] is known[0] and made[1].spec is known[1]:
            return made[1]
        return self._make(*known)

    async def _look_up(self, url_id: str) -> UrlTarget | None:
        url = await self._service.find_url(url_id)
        if url is None:
            return None
        try:
            spec, _settings = await self._service.resolve(url.account, url.region, url.name, url.qualifier)
        except Fault:
            return None
        return self._make(url, spec)

    def _make(self, url: FunctionUrl, spec: FunctionSpec) -> UrlTarget:
        if len(self._made) >= MAXIMUM_REMEMBERED:
            self._made.clear()
        is_signed, is_streaming = url.auth_type == "AWS_IAM", url.invoke_mode == "RESPONSE_STREAM"
        is_closed = self._is_strict and not is_signed and not url.is_public
        target = UrlTarget(is_signed, Cors.of(url.cors), spec, url.invoked_arn, is_streaming, is_closed)
        self._made[url.url_id] = (url, target)
        return target


def _limits_of(quota: Quota) -> Limits:
    return Limits(total_code_bytes=quota.code_bytes, functions=quota.functions, account_concurrency=quota.concurrency)
