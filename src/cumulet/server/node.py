"""The main flow of a node: every part in order, from its store to its end.

A node is ready when its port answers; it ends by SIGTERM or SIGINT, or when one of its loops breaks.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from cumulet.core.context import Context
from cumulet.core.settings import Settings
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.execute_api import ExecuteApi
from cumulet.gateway.front_door import FrontDoor, open_front_door
from cumulet.gateway.http import HttpLimits, HttpServer
from cumulet.gateway.metrics import Metrics
from cumulet.gateway.steps import Gateway
from cumulet.pollers.contract import Sources
from cumulet.runtimes import wall
from cumulet.sandbox import cgroup, dynmods
from cumulet.server.doors import doors_of
from cumulet.server.entrance import Entrance
from cumulet.server.functions import make_function_urls, open_functions
from cumulet.server.ground import open_ground
from cumulet.server.late import Importer
from cumulet.server.life import live
from cumulet.server.process import prepare_process, stop_on_signals
from cumulet.server.runtimes import make_networks, make_runtimes
from cumulet.server.services import LateParts, late_apis, late_identity, late_logs, late_tables, services_of
from cumulet.server.status import gauges, status_of
from cumulet.services.logs.sink import StoreLogSink
from cumulet.tenancy.admission import Admission


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
    lines = prepare_process(settings)
    weakness = wall.check(settings.wall)
    stop = stop_on_signals()
    async with contextlib.AsyncExitStack() as closing:
        # What is opened first is closed last: the store outlives everything that writes.
        dynmods.favor()  # or the next would be the first to wait
        closing.callback(cgroup.leave_own, cgroup.enter_own())
        ground = await open_ground(settings, closing)
        entrance, api_door = Entrance(), ExecuteApi()
        (spool := settings.data / "spool").mkdir(mode=0o700, exist_ok=True)
        http = HttpServer(entrance, spool_folder=spool, limits=HttpLimits(each=settings.client_connections))
        front = await open_front_door(http, settings, api_door.has_domain)

        networks = make_networks(settings, http, front.endpoint)
        runtimes = make_runtimes(ground, networks)
        closing.push_async_callback(runtimes.close)
        await runtimes.open()

        metrics, sources = Metrics(), Sources()
        sink = StoreLogSink(ground.store, ground.clock)
        functions = await open_functions(ground, runtimes, front, sources, sink.take, metrics)

        def signed(exchange: Exchange) -> Context:
            return gateway.signed_context(exchange)

        importer = Importer()
        late = LateParts(
            late_identity(importer, ground),
            late_logs(importer, ground, sink),
            late_tables(importer, ground, sources),
            late_apis(importer, ground, functions, front, api_door, lambda request: gateway(request), signed, sink.take),
        )
        closing.push_async_callback(late.apis.close)

        admission, is_ready = Admission(ground.clock, ground.quotas), asyncio.Event()
        metrics.gauges += gauges(functions, admission, lambda: len(late.apis.part.connections) if late.apis.part else 0)
        status = status_of(ground, functions, http, front.endpoint)
        gateway = Gateway(
            services=services_of(functions, late),
            doors=doors_of(
                ground, functions, runtimes, metrics, signed, status, lambda: is_ready.is_set() and not http.is_draining
            ),
            function_urls=make_function_urls(functions, signed, ground.clock, settings),
            apis=api_door,
            find_credential=ground.keys.find,
            rate_limit=admission,
            clock=ground.clock,
            metrics=metrics,
            lines=lines,
        )
        entrance.lead_to(gateway.answer, late.apis, own_name=urlsplit(front.endpoint).hostname or "")
        if front.certificates is not None:  # which are chosen by the names of APIs, before there is a request that could wait
            await late.apis.get()

        def began() -> None:
            is_ready.set()
            if front.certificates is not None:
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, front.reload)
            root = ground.keys.root
            on_ready(Node(settings, front, (root.access_key_id, root.secret_key), str(networks), weakness))

        await live(http, functions, late, sink, stop, began)
    lines.flush()
