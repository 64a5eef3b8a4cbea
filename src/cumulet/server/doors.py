"""The node's own pages, by path."""

from collections.abc import Callable, Mapping
from typing import Any

from cumulet.core.http import Response
from cumulet.gateway import pages
from cumulet.gateway.exchange import Door, Exchange
from cumulet.gateway.metrics import Metrics
from cumulet.gateway.pages import Signed
from cumulet.runtimes.node_runtimes import NodeRuntimes
from cumulet.server.functions import Functions
from cumulet.server.ground import Ground
from cumulet.services.functions import code
from cumulet.services.identity import admin
from cumulet.services.identity.admin import KeysAdmin


def doors_of(
    ground: Ground,
    functions: Functions,
    runtimes: NodeRuntimes,
    metrics: Metrics,
    signed: Signed,
    status: Callable[[], Mapping[str, Any]],
    is_ready: Callable[[], bool],
) -> Mapping[str, Door]:
    """`signed` tells who asks for what only those with a key may see."""
    keys = pages.admin(signed, KeysAdmin(ground.keys).handle)
    return {
        "/healthz": pages.healthz(),
        "/readyz": pages.readyz(is_ready),
        "/metrics": pages.metrics_page(metrics),
        "/_cumulet/status": pages.status(signed, status),
        "/_cumulet/doctor": pages.doctor(signed, runtimes),
        admin.PATH: keys,
        f"{admin.PATH}/": keys,
        code.LINK_PATH: _plain(functions.service.code_archive),
    }


def _plain(serve_request: Callable[[Any], Any]) -> Door:
    async def door(exchange: Exchange) -> Response:
        response: Response = await serve_request(exchange.request)
        return response

    return door
