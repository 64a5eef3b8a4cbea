"""A stage's cache of responses: by the method and its cache key parameters, for as long as the stage says.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-caching.html
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from cumulet.core.clock import Clock
from cumulet.core.http import Response
from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.rest_api.refusals import Refusal
from cumulet.gateway.rest_api.variables import request_value

_MAXIMUM_BYTES = 64 * 1024 * 1024
_MAXIMUM_ITEM_BYTES = 1024 * 1024

Key = tuple[str | None, ...]


class StageCache:
    """The caches of all stages, in one budget of memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[Key, tuple[float, Response]] = OrderedDict()
        self._bytes = 0

    async def through(self, call: Call, run: Callable[[Call], Awaitable[Response]]) -> Response:
        """The kept answer, or a new one, which is kept when it is a success."""
        settings = call.stage.settings_of(call.method)
        if not settings.is_cached:
            return await run(call)
        key = _key_of(call)
        if self._is_refused(call):
            found = None
        else:
            found = self._find(key)
        if found is not None:
            return Response(found.status, list(found.headers), found.body)
        response = await run(call)
        if response.status < 300:
            self._keep(key, response, settings.cache_ttl_s)
        return response

    def flush(self, api_id: str, stage: str) -> None:
        for key in [key for key in self._kept if key[:2] == (api_id, stage)]:
            self._drop(key)

    def _is_refused(self, call: Call) -> bool:
        """Whether the client wants a new answer, and may: where that needs permission, only callers known to the API have it."""
        if "max-age=0" not in (call.header("cache-control") or "").replace(" ", ""):
            return False
        settings = call.stage.settings_of(call.method)
        is_known = call.method.authorization != "NONE"
        if is_known or not settings.is_cache_control_protected:
            return True
        if settings.unauthorized_strategy == "FAIL_WITH_403":
            raise Refusal("ACCESS_DENIED", "Access denied to invalidate the cache")
        if settings.unauthorized_strategy == "SUCCEED_WITH_RESPONSE_HEADER":
            call.response_headers.append(("Warning", "199 Client does not have permission to invalidate the cache"))
        return False

    def _find(self, key: Key) -> Response | None:
        found = self._kept.get(key)
        if found is None:
            return None
        if found[0] <= self._clock.monotonic_s():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found[1]

    def _keep(self, key: Key, response: Response, ttl_s: int) -> None:
        if not isinstance(response.body, bytes) or len(response.body) > _MAXIMUM_ITEM_BYTES or not ttl_s:
            return
        self._drop(key)
        kept = Response(response.status, list(response.headers), response.body)
        self._kept[key] = (self._clock.monotonic_s() + ttl_s, kept)
        self._bytes += len(response.body) + 1000
        while self._bytes > _MAXIMUM_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            assert isinstance(found[1].body, bytes)
            self._bytes -= len(found[1].body) + 1000


def _key_of(call: Call) -> Key:
    integration = call.method.integration
    values = [request_value(call, name) for name in integration.cache_keys]
    canary = "canary" if call.is_canary else ""
    place = (call.stage.api_id, call.stage.name, canary, integration.cache_namespace, call.method.resource_id)
    return (*place, call.request.method, *values)
