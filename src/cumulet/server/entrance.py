"""Where requests come in. Until the node's APIs are open, those that may be for one of them wait."""

from collections.abc import Awaitable
from typing import Any

from cumulet.core.http import Request, Response
from cumulet.gateway.execute_api import find_api
from cumulet.gateway.http import Handle
from cumulet.gateway.routing import find_function_url
from cumulet.server.late import Late


class Entrance:
    """Made before there is anything behind it: `lead_to` is called before the first request."""

    def __init__(self) -> None:
        self._handle: Handle

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        return self._handle(request)

    def lead_to(self, handle: Handle, apis: Late[Any], own_name: str) -> None:
        """Every name but the node's own may be a custom domain name."""

        async def after_opening(request: Request) -> Response:
            await apis.get()
            answer = handle(request)
            return answer if isinstance(answer, Response) else await answer

        def handle_early(request: Request) -> Response | Awaitable[Response]:
            if apis.part is not None:
                self._handle = handle
            elif _may_be_for_api(request, own_name):
                return after_opening(request)
            return handle(request)

        self._handle = handle_early


def _may_be_for_api(request: Request, own_name: str) -> bool:
    host = request.header("host").lower()
    if find_api(request, host) is not None:
        return True
    name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
    return name.strip("[]") not in (own_name, "localhost") and find_function_url(request, host) is None
