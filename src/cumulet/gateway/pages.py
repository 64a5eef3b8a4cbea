"""The node's own pages beside the services': health, metrics, and what the command line asks for (signed by an access key)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from cumulet.core.context import Context
from cumulet.core.http import Request, Response
from cumulet.gateway.exchange import Door, Exchange
from cumulet.gateway.metrics import Metrics
from cumulet.runtimes.contract import Runtimes
from cumulet.sandbox.host import survey

Signed = Callable[[Exchange], Context]
"""Who signed the request; raises the Fault of a signature that does not hold."""

Admin = Callable[[Context, Request], Awaitable[Response]]


def healthz() -> Door:
    """200 while the event loop turns."""

    def door(_exchange: Exchange) -> Response:
        return Response(200, [("Content-Type", "text/plain")], b"ok\n")

    return door


def readyz(is_ready: Callable[[], bool]) -> Door:
    """200 once everything is started and until the node drains, 503 otherwise: for load balancers."""

    def door(_exchange: Exchange) -> Response:
        ready = is_ready()
        return Response(200 if ready else 503, [("Content-Type", "text/plain")], b"ready\n" if ready else b"not ready\n")

    return door


def metrics_page(metrics: Metrics) -> Door:
    def door(_exchange: Exchange) -> Response:
        return Response(200, [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")], metrics.text().encode())

    return door


def doctor(signed: Signed, runtimes: Runtimes) -> Door:
    """What this machine gives: the wall's parts and the runtimes, as the command line's `doctor` shows them."""

    async def door(exchange: Exchange) -> Response:
        signed(exchange)
        walls, statuses = await asyncio.to_thread(survey), await asyncio.to_thread(runtimes.statuses)
        return _json({"wall": [asdict(wall) for wall in walls], "runtimes": [asdict(status) for status in statuses]})

    return door


def status(signed: Signed, read: Callable[[], Mapping[str, Any]]) -> Door:
    """Version, uptime, data folder and what is running."""

    async def door(exchange: Exchange) -> Response:
        signed(exchange)
        return _json(read())

    return door


def admin(signed: Signed, handle: Admin) -> Door:
    """A page that a service answers itself, knowing who asks."""

    async def door(exchange: Exchange) -> Response:
        return await handle(signed(exchange), exchange.request)

    return door


def _json(value: Any) -> Response:
    return Response(200, [("Content-Type", "application/json")], orjson.dumps(value, default=str))
