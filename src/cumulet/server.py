"""The composition root: builds every part of a node in order, on one page, and is the only module that knows all of them.

A node is ready when its port answers; it ends by SIGTERM or SIGINT, or when one of its loops breaks.
"""

import asyncio
import contextlib
import gc
import hashlib
import os
import resource
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import cumulet
from cumulet.auth.keys import AccessKeys
from cumulet.core.clock import Clock, SystemClock
from cumulet.core.errors import Fault
from cumulet.core.http import Response
from cumulet.core.settings import Settings
from cumulet.delivery.targets import Targets
from cumulet.gateway import pages
from cumulet.gateway.custom_domains import CustomDomains
from cumulet.gateway.exchange import Door, Exchange, Service
from cumulet.gateway.execute_api import ExecuteApi
from cumulet.gateway.front_door import FrontDoor, open_front_door
from cumulet.gateway.function_urls import Cors
from cumulet.gateway.http import HttpLimits, HttpServer
from cumulet.gateway.http_api.backends import Backends as HttpApiBackends
from cumulet.gateway.http_api.kind import HttpApis
from cumulet.gateway.http_api.serving import make_serving as make_http_serving
from cumulet.gateway.http_client import HttpClient
from cumulet.gateway.metered import MeteredInvoker
from cumulet.gateway.metrics import Gauge, Metrics
from cumulet.gateway.nodelog import LineWriter, as_json, as_text, log_to_stderr
from cumulet.gateway.rest_api.backends import Backends
from cumulet.gateway.rest_api.kind import RestApis
from cumulet.gateway.rest_api.serving import make_serving
from cumulet.gateway.rest_api.trial import Trials
from cumulet.gateway.signed_door import SignedDoor
from cumulet.gateway.steps import Gateway
from cumulet.gateway.url_door import FunctionUrls, UrlTarget
from cumulet.gateway.websocket.session import WebSocketLimits
from cumulet.gateway.websocket_api.backends import RouteBackends
from cumulet.gateway.websocket_api.kind import make_websocket_apis
from cumulet.invoke.asynchronous import DurableAsyncInvoker, function_target
from cumulet.invoke.invoker import LocalInvoker
from cumulet.invoke.keep_alive import keep_alive_of
from cumulet.pollers.contract import Sources
from cumulet.pollers.family import Pollers
from cumulet.pollers.mappings import PolledSources, source_mapping
from cumulet.pollers.table_streams import TableStreamSource
from cumulet.runtimes import wall
from cumulet.runtimes.contract import FunctionSpec
from cumulet.runtimes.networks import Networks
from cumulet.runtimes.node_runtimes import NodeRuntimes
from cumulet.runtimes.packages import PackageCache
from cumulet.sandbox import kernel
from cumulet.services.functions import code
from cumulet.services.functions.api import FunctionsService
from cumulet.services.functions.model import Limits
from cumulet.services.http_apis.api import HttpApisService
from cumulet.services.identity import admin
from cumulet.services.identity.admin import KeysAdmin
from cumulet.services.identity.api import IamService, StsService
from cumulet.services.logs.api import LogsService
from cumulet.services.logs.sink import StoreLogSink
from cumulet.services.rest_apis.api import RestApisService
from cumulet.services.rest_apis.usage import UsageCounts
from cumulet.services.tables.api import TablesService
from cumulet.services.tables.api_streams import TableStreamsService
from cumulet.store.open import open_store
from cumulet.tenancy.admission import Admission
from cumulet.tenancy.quotas import Quota, Quotas, read_quotas

_DRAIN_S, _WEBSOCKETS_DRAIN_S = 20.0, 10.0
_PRIORITY, _SLICE_US = -10, 100
"""Above all functions, where the node may: what they do with the processor must not keep it from answering."""
_ROLE_SESSION_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Node:
    """A running node, as those who started it see it. `root_key` is (access key id, secret) of the default account, `network` what
    functions reach, `weakness` what the wall lacks."""

    settings: Settings
    front: FrontDoor
    root_key: tuple[str, str]
    network: str = ""
    weakness: str = ""

    @property
    def endpoint(self) -> str:
        return self.front.endpoint


async def serve(settings: Settings, on_ready: Callable[[Node], None]) -> None:
    """Run a node until it is told to stop; returns when everything is put away.

    Raises StoreRefused when the data folder cannot be used, QuotaError when the limits file is not one, OSError when an address
    cannot be had, TlsRefused when a certificate cannot be used, WallRefused when this machine cannot give the wall that is wanted.
    """
    lines = LineWriter(render=as_text if settings.log_format == "text" else as_json)
    log_to_stderr(lines)
    weakness = wall.check(settings.wall)
    stop = _stop_on_signals()
    with contextlib.suppress(PermissionError):  # this thread alone, and the zygotes that it starts: what these fork sets it back
        kernel.set_priority(_PRIORITY, _SLICE_US)
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a connection is one; environments have their own
    clock, metrics, targets = SystemClock(), Metrics(), Targets()
    quotas = _quotas(settings)
    admission = Admission(clock, quotas)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as closing:
        # What is opened first is closed last: the store outlives everything that writes.
        store = await open_store(settings.store, settings.data, settings.durability)
        closing.push_async_callback(store.close)
        keys = await AccessKeys.open(store, clock, settings.root_key)

        gateway: Gateway  # made last; it exists before the first request does
        (spool := settings.data / "spool").mkdir(mode=0o700, exist_ok=True)
        http = HttpServer(
            lambda request: gateway.answer(request), spool_folder=spool, limits=HttpLimits(each=settings.client_connections)
        )
        front = await open_front_door(http, settings, lambda name: apis.has_domain(name))
        endpoint, addresses = front.endpoint, front.addresses

        sink = StoreLogSink(store, clock)
        logs = LogsService(store, clock, sink)
        iam, sts = IamService(store, clock, keys), StsService(store, clock, keys)

        packages = PackageCache(settings.data / "packages", store.blobs)
        memory_budget_mb = settings.memory_budget_mb or _three_quarters_of_memory_mb()
        runtimes = NodeRuntimes(
            settings.data / "run",
            packages,
            is_strict=settings.strict_runtimes,
            most_shells=settings.shells,
            most_memory_mb=memory_budget_mb,
            quotas=quotas,
            networks=(networks := _networks(settings, http, endpoint)),
        )
        closing.push_async_callback(runtimes.close)
        await runtimes.open()

        local = LocalInvoker(
            runtimes,
            clock,
            sink.take,
            partial(_role_credentials, keys, clock),
            lambda: endpoint,
            quotas=quotas,
            most_waiting=settings.most_waiting,
            memory_budget_mb=memory_budget_mb,
            keep_alive=keep_alive_of(settings.keep_alive),
        )
        invoker = MeteredInvoker(local, metrics, clock)
        asynchronous = DurableAsyncInvoker(
            store, clock, invoker, lambda *place: functions.resolve(*place), targets, quotas.weight_of
        )
        targets.register("lambda", function_target(asynchronous))
        sources = Sources()
        pollers = Pollers(store, clock, invoker, lambda *place: functions.resolve(*place), targets, sources)

        functions = FunctionsService(
            store,
            clock,
            invoker,
            asynchronous,
            url_of=addresses.function_url,
            set_reserved=local.concurrency.set_reserved,
            retire=local.retire,
            warm=local,
            event_sources=PolledSources(pollers),
            expect=local.expect,
            limits_of=lambda account: _limits_of(quotas.of(account)),
        )

        started_s, is_ready = clock.monotonic_s(), False
        metrics.gauges += [
            Gauge("cumulet_environments", "Execution environments.", ("state",), partial(_environment_counts, local)),
            Gauge("cumulet_memory_megabytes", "What environments may take, and take.", ("what",), partial(_memory, local)),
            Gauge("cumulet_waiting_for_room", "Invocations that wait for memory.", (), lambda: {(): local.pool.room.waiting}),
            Gauge(
                "cumulet_large_account_megabytes",
                "What accounts take that hold a tenth of the budget: ten at most.",
                ("account",),
                lambda: {(account,): held_mb for account, held_mb in local.pool.room.large.items()},
            ),
            Gauge("cumulet_environments_started_ahead", "Started before a call.", (), lambda: {(): local.started_ahead}),
            Gauge("cumulet_requests_refused", "Refused for their rate.", (), lambda: {(): admission.rate.refused}),
            Gauge("cumulet_async_backlog", "Asynchronous events that wait or run.", (), lambda: {(): asynchronous.backlog}),
        ]

        def status() -> Mapping[str, Any]:
            return {
                "version": cumulet.__version__,
                "endpoint": endpoint,
                "data": str(settings.data),
                "store": settings.store,
                "durability": settings.durability,
                "uptime_s": round(clock.monotonic_s() - started_s, 3),
                "environments": {state: count for (state,), count in _environment_counts(local).items()},
                "memory_mb": {what: mb for (what,), mb in _memory(local).items()},
                "waiting_for_room": local.pool.room.waiting,
                "large_accounts_mb": dict(local.pool.room.large),
                "keep_alive": settings.keep_alive,
                "async_backlog": asynchronous.backlog,
                "connections": len(http.connections),
            }

        def signed(exchange: Exchange) -> Any:
            return gateway.signed_context(exchange)

        http_client, usage = HttpClient(), UsageCounts(store, clock)
        closing.push_async_callback(http_client.close)
        door = SignedDoor(lambda request: gateway(request), partial(_integration_credentials, keys, clock), lambda: endpoint, clock)
        backends = Backends(
            functions.resolve, invoker, asynchronous, http_client.send, door.send, settings.integration_timeout_s or 29.0
        )
        rest_serving = make_serving(clock, backends, signed, usage, sink.take)
        own_name = urlsplit(endpoint).hostname  # requests for it are for the node, whoever would like to have them
        rest_apis = RestApis(rest_serving, lambda name: name == own_name or domains.is_published(name))
        rest_control = RestApisService(store, clock, rest_apis, usage, Trials(rest_serving))

        tables = TablesService(store, clock)
        table_streams = TableStreamsService(store, clock, tables.streams)
        sources.register("dynamodb", TableStreamSource(store, tables.streams))
        route_backends = RouteBackends(functions.resolve, invoker, asynchronous, http_client.send, door.send)
        websocket_limits = WebSocketLimits(idle_s=settings.websocket_idle_s, life_s=settings.websocket_life_s)
        websocket_apis = make_websocket_apis(clock, route_backends, signed, websocket_limits, sink.take)
        connections = websocket_apis.connections
        metrics.gauges.append(Gauge("cumulet_websockets", "Clients of WebSocket APIs.", (), lambda: {(): len(connections)}))

        http_backends = HttpApiBackends(
            functions.resolve, invoker, http_client.send, door.send, settings.integration_timeout_s or 30.0
        )
        http_apis = HttpApis(make_http_serving(clock, http_backends, signed, sink.take, is_compressing=settings.is_compressing))
        domains = CustomDomains(
            (http_apis, websocket_apis), lambda name: name == own_name or rest_apis.find_domain(name) is not None
        )
        http_control = HttpApisService(
            store,
            clock,
            {"HTTP": http_apis, "WEBSOCKET": websocket_apis},
            domains,
            lambda api_id, region, protocol: addresses.api_endpoint(
                api_id, region, scheme="ws" if protocol == "WEBSOCKET" else "http"
            ),
        )

        apis = ExecuteApi((rest_apis, http_apis, websocket_apis), (rest_apis.find_domain, domains.find))
        gateway = Gateway(
            services={
                "apigateway": Service("apigateway", rest_control.handlers),
                "apigatewaymanagementapi": Service("apigatewaymanagementapi", websocket_apis.managed.handlers, "execute-api"),
                "apigatewayv2": Service("apigatewayv2", http_control.handlers, signing_name="apigateway"),
                "dynamodb": Service("dynamodb", tables.handlers),
                "dynamodbstreams": Service("dynamodbstreams", table_streams.handlers, "dynamodb"),
                "lambda": Service("lambda", functions.operations()),
                "iam": Service("iam", iam.handlers),
                "sts": Service("sts", sts.handlers),
                "logs": Service("logs", logs.handlers),
            },
            doors={
                "/healthz": pages.healthz(),
                "/readyz": pages.readyz(lambda: is_ready and not http.is_draining),
                "/metrics": pages.metrics_page(metrics),
                "/_cumulet/status": pages.status(signed, status),
                "/_cumulet/doctor": pages.doctor(signed, runtimes),
                admin.PATH: (keys_door := pages.admin(signed, KeysAdmin(keys).handle)),
                f"{admin.PATH}/": keys_door,
                code.LINK_PATH: _plain(functions.code_archive),
            },
            function_urls=FunctionUrls(
                partial(_find_url_target, functions), invoker, signed, clock, is_compressing=settings.is_compressing
            ),
            apis=apis,
            find_credential=keys.find,
            rate_limit=admission,
            clock=clock,
            metrics=metrics,
            lines=lines,
        )
        await functions.open()
        await asynchronous.open()
        await pollers.open(source_mapping(*each) for each in await functions.event_source_mappings())
        await usage.open()
        await rest_control.open()
        await tables.open()
        await http_control.open()

        async with asyncio.TaskGroup() as loops:  # a loop that breaks cancels the rest, and the node ends
            sweeping = loops.create_task(http.sweep())
            halt_running, halt_logging = asyncio.Event(), asyncio.Event()
            parts = (local, asynchronous, pollers, logs, usage, tables, connections)
            running = [loops.create_task(part.run(halt_running)) for part in parts]
            loops.create_task(sink.run(halt_logging))
            gc.freeze()  # what is there now stays: full collections need not walk through it while clients wait
            await http.start()
            is_ready = True
            if front.certificates is not None:
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, front.reload)
            on_ready(Node(settings, front, (keys.root.access_key_id, keys.root.secret_key), str(networks), weakness))
            await stop.wait()
            # The order of draining: no more clients of WebSocket APIs, whose functions are told of it and may call back; no new
            # requests, then no new invocations, then no more log lines.
            await connections.drain(_WEBSOCKETS_DRAIN_S)
            await http.stop(_DRAIN_S)
            halt_running.set()
            await asyncio.wait(running)
            await local.drain(_DRAIN_S)
            halt_logging.set()
            sweeping.cancel()
    lines.flush()


def _stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; a second one has its usual effect, for who does not want to wait."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stopped() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped)
    return stop


def _networks(settings: Settings, http: HttpServer, endpoint: str) -> Networks:
    """What functions reach; the node answers in every jail at its own port."""
    port = urlsplit(endpoint).port
    return Networks(settings.wall.network, settings.wall.network_most, port=port or 0, accept=http.adopt)


def _role_credentials(keys: AccessKeys, clock: Clock, spec: FunctionSpec) -> tuple[str, str, str]:
    """Temporary credentials of a function's role. The role need not exist; its id is then made of its ARN."""
    role_id = "AROA" + hashlib.sha256(spec.role.encode()).hexdigest()[:17].upper()
    issued = keys.sessions.issue_for_role(spec.role, spec.name, role_id, duration_s=_ROLE_SESSION_S, now_ms=clock.now_ms())
    return issued.credential.access_key_id, issued.credential.secret_key, issued.session_token


def _integration_credentials(keys: AccessKeys, clock: Clock, role: str) -> tuple[str, str, str]:
    """Temporary credentials of the role that an API's integration names."""
    role_id = "AROA" + hashlib.sha256(role.encode()).hexdigest()[:17].upper()
    issued = keys.sessions.issue_for_role(role, "BackplaneAssumeRoleSession", role_id, duration_s=900, now_ms=clock.now_ms())
    return issued.credential.access_key_id, issued.credential.secret_key, issued.session_token


async def _find_url_target(functions: FunctionsService, url_id: str) -> UrlTarget | None:
    url = await functions.find_url(url_id)
    if url is None:
        return None
    try:
        spec, _settings = await functions.resolve(url.account, url.region, url.name, url.qualifier)
    except Fault:
        return None
    return UrlTarget(url.auth_type == "AWS_IAM", Cors.of(url.cors), spec, url.invoked_arn, url.invoke_mode == "RESPONSE_STREAM")


def _plain(serve_request: Callable[[Any], Any]) -> Door:
    async def door(exchange: Exchange) -> Response:
        response: Response = await serve_request(exchange.request)
        return response

    return door


def _environment_counts(invoker: LocalInvoker) -> dict[tuple[str, ...], float]:
    idle, live = invoker.pool.idle, invoker.pool.live
    return {("idle",): idle, ("busy",): live - idle}


def _memory(invoker: LocalInvoker) -> dict[tuple[str, ...], float]:
    return {("budget",): invoker.pool.room.budget_mb, ("counted",): invoker.pool.used_mb}


def _quotas(settings: Settings) -> Quotas:
    """What the operator allows accounts. Raises QuotaError, OSError."""
    default = Quota(concurrency=settings.account_concurrency)
    return Quotas(default) if settings.limits is None else read_quotas(settings.limits.read_text(), default)


def _limits_of(quota: Quota) -> Limits:
    return Limits(total_code_bytes=quota.code_bytes, functions=quota.functions, account_concurrency=quota.concurrency)


def _three_quarters_of_memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4 // (1 << 20)
