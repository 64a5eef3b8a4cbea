"""What a node tells about itself: gauges at `/metrics`, and the page that the command line shows."""

from collections.abc import Callable, Mapping
from typing import Any

import cumulet
from cumulet.gateway.http import HttpServer
from cumulet.gateway.metrics import Gauge
from cumulet.invoke.invoker import LocalInvoker
from cumulet.server.functions import Functions
from cumulet.server.ground import Ground
from cumulet.tenancy.admission import Admission


def gauges(functions: Functions, admission: Admission, websockets: Callable[[], int]) -> list[Gauge]:
    local, asynchronous = functions.local, functions.asynchronous
    return [
        Gauge("cumulet_environments", "Execution environments.", ("state",), lambda: _environments(local)),
        Gauge("cumulet_memory_megabytes", "What environments may take, and take.", ("what",), lambda: _memory(local)),
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
        Gauge("cumulet_websockets", "Clients of WebSocket APIs.", (), lambda: {(): websockets()}),
    ]


def status_of(ground: Ground, functions: Functions, http: HttpServer, endpoint: str) -> Callable[[], Mapping[str, Any]]:
    settings, clock, local = ground.settings, ground.clock, functions.local
    started_s = clock.monotonic_s()

    def status() -> Mapping[str, Any]:
        return {
            "version": cumulet.__version__,
            "endpoint": endpoint,
            "data": str(settings.data),
            "store": settings.store,
            "durability": settings.durability,
            "uptime_s": round(clock.monotonic_s() - started_s, 3),
            "environments": {state: count for (state,), count in _environments(local).items()},
            "memory_mb": {what: mb for (what,), mb in _memory(local).items()},
            "waiting_for_room": local.pool.room.waiting,
            "large_accounts_mb": dict(local.pool.room.large),
            "keep_alive": settings.keep_alive,
            "async_backlog": functions.asynchronous.backlog,
            "connections": len(http.connections),
        }

    return status


def _environments(invoker: LocalInvoker) -> dict[tuple[str, ...], float]:
    idle, live = invoker.pool.idle, invoker.pool.live
    return {("idle",): idle, ("busy",): live - idle}


def _memory(invoker: LocalInvoker) -> dict[tuple[str, ...], float]:
    return {("budget",): invoker.pool.room.budget_mb, ("counted",): invoker.pool.used_mb}
