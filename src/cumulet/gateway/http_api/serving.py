"""The life of a request to an HTTP API, as one list of steps. A Refusal raised in any of them is what the client is told."""

import logging
from collections.abc import Awaitable, Callable

import orjson

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.http import Response
from cumulet.gateway.buckets import Buckets
from cumulet.gateway.compression import compress_for_web, may_be_compressed
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.function_urls import preflight, with_cors
from cumulet.gateway.http_api.access import Access
from cumulet.gateway.http_api.backends import Backends
from cumulet.gateway.http_api.call import Call, decoded
from cumulet.gateway.http_api.compiled import Route, Stage
from cumulet.gateway.http_api.integrations import Integrations
from cumulet.gateway.http_api.issuers import Issuers
from cumulet.gateway.http_api.refusals import JSON, Refusal, no_integration, not_found, rendered, server_error
from cumulet.invoke.contract import LogSink

log = logging.getLogger("cumulet.gateway")

MAXIMUM_BODY_BYTES = 10 * 1024 * 1024
_NOT_FOUND = b'{"message":"Not Found"}'
_NO_ROUTE = Route("-", "-", None, "NONE", None, frozenset(), None, None)


class Serving:
    """Answers requests. `sink` takes the lines of access logs."""

    def __init__(self, clock: Clock, access: Access, integrations: Integrations, sink: LogSink, *, is_compressing: bool) -> None:
        self._is_compressing = is_compressing
        self.access = access
        self._clock = clock
        self._integrations = integrations
        self._sink = sink
        self._buckets = Buckets(clock)

    def answer(self, exchange: Exchange, stage: Stage, path: str, full_path: str) -> Response | Awaitable[Response]:
        """The answer of a deployed stage, at once where nothing has to be waited for. `path` is what follows the stage, `full_path`
        what the client asked for, both as sent."""
        request = exchange.request
        if stage.cors is not None:
            answer = preflight(request, stage.cors)
            if answer is not None:
                answer.status = 204
                answer.headers.append(("Apigw-Requestid", exchange.request_id))
                return answer
        matched = stage.routes.match(path, request.method)
        if matched is None and stage.cors is None and stage.log is None:
            return Response(404, [JSON, ("Apigw-Requestid", exchange.request_id)], _NOT_FOUND)
        route, variables = matched or (_NO_ROUTE, {})
        now_ms, whole = self._clock.now_ms(), decoded(full_path)
        below = whole if path is full_path else decoded(path)
        call = Call(request, exchange.request_id, exchange.host, now_ms, stage, route, below, whole, variables)
        try:
            waiting = self._admit(call, exchange)
            if waiting is not None or route.integration is not None:
                return self._run(call, waiting)
            raise no_integration()
        except Exception as error:
            return self._finished(call, _failure(call, error))

    def _admit(self, call: Call, exchange: Exchange) -> Awaitable[None] | None:
        """Raises Refusal, at once or when what it returns is awaited."""
        if call.route is _NO_ROUTE:
            raise not_found()
        if len(call.request.body) > MAXIMUM_BODY_BYTES:
            raise Refusal(413, "Request Entity Too Large")
        self._throttle(call)  # before anything that costs: a flood asks no authorizer
        return self.access.check(call, exchange)

    async def _run(self, call: Call, waiting: Awaitable[None] | None) -> Response:
        try:
            if waiting is not None:
                await waiting
            # Nobody but the log asks how long it took.
            response = await (self._integrate(call) if call.stage.log is not None else self._integrations.run(call))
        except Exception as error:
            response = _failure(call, error)
        response = self._finished(call, response)
        if self._is_compressing and may_be_compressed(response):
            await compress_for_web(call.request, response)
        return response

    async def _integrate(self, call: Call) -> Response:
        before_s = self._clock.monotonic_s()
        try:
            return await self._integrations.run(call)
        finally:
            call.noted["integrationLatency"] = int((self._clock.monotonic_s() - before_s) * 1000)

    def _finished(self, call: Call, response: Response) -> Response:
        """With the gateway's own headers, and in the access log."""
        stage = call.stage
        if stage.cors is not None:
            response = with_cors(call.request, response, stage.cors)
        response.headers.append(("Apigw-Requestid", call.request_id))
        if stage.log is not None:
            self._log(call, response)
        return response

    def _throttle(self, call: Call) -> None:
        limit, stage = call.route.limit, call.stage
        if limit is not None and not self._buckets.take((stage.api_id, stage.name, call.route.key), *limit):
            raise Refusal(429, "Too Many Requests")

    def _log(self, call: Call, response: Response) -> None:
        form, noted, stage = call.stage.log, call.noted, call.stage
        assert form is not None
        noted["status"] = response.status
        noted["responseLength"] = len(response.body) if isinstance(response.body, bytes) else None
        noted["responseLatency"] = self._clock.now_ms() - call.now_ms
        noted["integration.latency"] = noted.get("integrationLatency")
        noted["integration.error"] = noted.get("integrationErrorMessage")
        noted["authorizer.error"] = noted.get("integrationErrorMessage") if response.status in (401, 403) else None
        noted["error.responseType"] = noted.get("error.message")
        noted["error.messageString"] = orjson.dumps(noted["error.message"]).decode() if "error.message" in noted else None
        # A log group of another account is not written to: nobody there has allowed it.
        if form.account == stage.place.account:
            line = (call.now_ms, form.line(call.context))
            self._sink(form.account, form.region, form.group, form.stream(stage.api_id, stage.name), [line])

    def flush_authorizers(self, api_id: str, stage: str | None = None) -> None:
        self.access.flush(api_id, stage)


def _failure(call: Call, error: Exception) -> Response:
    """A Refusal as the client is told it; anything else is a bug."""
    if not isinstance(error, Refusal):
        log.error("bug while answering for an API", exc_info=error, extra={"fields": {"request_id": call.request_id}})
        return rendered(server_error("the node failed"))
    call.noted["error.message"] = error.message
    call.noted["integrationErrorMessage"] = error.why
    return rendered(error)


def make_serving(
    clock: Clock, backends: Backends, signed: Callable[[Exchange], Context], sink: LogSink, *, is_compressing: bool
) -> Serving:
    """The parts put together."""
    access = Access(backends, Issuers(clock, backends.send_http), signed, clock)
    return Serving(clock, access, Integrations(backends), sink, is_compressing=is_compressing)
