"""The life of a request to a REST API, as one list of steps. A Refusal raised in any of them is answered as the API's own gateway
responses say.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Iterator

import orjson

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.http import Response
from cumulet.gateway import compression
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.rest_api import refusals
from cumulet.gateway.rest_api.access import Access
from cumulet.gateway.rest_api.backends import Backends
from cumulet.gateway.rest_api.cache import StageCache
from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.rest_api.compiled import CompiledApi, CompiledDeployment, CompiledMethod, CompiledStage
from cumulet.gateway.rest_api.integrations import Integrations, mock
from cumulet.gateway.rest_api.meter import Counts, Meter
from cumulet.gateway.rest_api.refusals import Refusal
from cumulet.gateway.rest_api.validation import Validation
from cumulet.gateway.rest_api.variables import context_value, request_value
from cumulet.gateway.templates import TemplateError
from cumulet.invoke.contract import LogSink

log = logging.getLogger("cumulet.gateway")

MAXIMUM_BODY_BYTES = 10 * 1024 * 1024
_PLAIN = [("Content-Type", "application/json")]


Step = Callable[[Call], Awaitable[None] | None]
"""Raises Refusal or TemplateError, at once or when what it returns is awaited."""


class Serving:
    """Answers requests. `sink` takes the lines of access logs."""

    def __init__(
        self,
        clock: Clock,
        access: Access,
        meter: Meter,
        integrations: Integrations,
        sink: LogSink,
        *,
        dice: random.Random | None = None,
    ) -> None:
        self.meter = meter
        self.access = access
        self._clock = clock
        self._sink = sink
        self._integrations = integrations
        self._validation = Validation()
        self._cache = StageCache(clock)
        self._dice = dice or random.Random()
        self._steps: tuple[Step, ...] = (
            _check_size,
            _decode,
            self._check_access,  # policy, signature, authorizer: who is it?
            self._check_meter,  # API key, plan, quota, throttle: may this one still?
            self._validation.check,  # only then is the request looked at
            self._respond,
        )
        """Nobody asks who calls in a test invocation."""

    def answer(
        self, exchange: Exchange, api: CompiledApi, stage_name: str, path: str, full_path: str
    ) -> Response | Awaitable[Response]:
        """The answer of a deployed stage. `path` is what follows the stage, `full_path` what the client asked for."""
        stage = api.find_stage(stage_name)
        if stage is None:
            return forbidden(exchange.request_id)
        is_canary = stage.canary is not None and self._dice.random() * 100 < stage.canary_percent
        if is_canary and stage.canary is not None:
            stage = stage.canary
        matched = stage.deployment.routes.match(path, exchange.request.method)
        if matched is None:
            return self._unmatched(exchange, stage, full_path)
        call = self.call_of(exchange, stage, matched[0], path, full_path, matched[1])
        call.is_canary = is_canary
        return self.run(call)

    def call_of(
        self, exchange: Exchange, stage: CompiledStage, method: CompiledMethod, path: str, full_path: str, variables: dict[str, str]
    ) -> Call:
        now_ms = self._clock.now_ms()
        return Call(
            exchange.request, exchange.request_id, exchange.host, now_ms, stage, method, path, full_path, variables, exchange
        )

    def run(self, call: Call) -> Response | Awaitable[Response]:
        """All steps, at once where none has to wait."""
        steps = iter(self._steps)
        waiting = self._walk(call, steps)
        if waiting is None and call.stage.deployment.compression_bytes is None:
            return self._finished(call)
        return self._walk_on(call, steps, waiting)

    def _walk(self, call: Call, steps: Iterator[Step]) -> Awaitable[None] | None:
        """Up to a step that has to wait, or the end."""
        try:
            for step in steps:
                waiting = step(call)
                if waiting is not None:
                    return waiting
        except Exception as error:
            call.response = _failure(call, error)
        return None

    async def _walk_on(self, call: Call, steps: Iterator[Step], waiting: Awaitable[None] | None) -> Response:
        while waiting is not None:
            try:
                await waiting
            except Exception as error:
                call.response = _failure(call, error)
                break
            waiting = self._walk(call, steps)
        response = self._finished(call)
        if call.exchange is not None:
            await _compress(call, call.stage.deployment, response)
        return response

    def _check_access(self, call: Call) -> Awaitable[None] | None:
        return None if call.exchange is None else self.access.check(call, call.exchange)

    def _check_meter(self, call: Call) -> None:
        if call.exchange is not None:
            self.meter.check(call)

    def _respond(self, call: Call) -> Awaitable[None] | None:
        if call.method.integration.kind == "MOCK" and not call.stage.settings_of(call.method).is_cached:
            call.response = mock(call)
            return None
        return self._ask_backend(call)

    async def _ask_backend(self, call: Call) -> None:
        call.response = await self._cache.through(call, self._integrations.run)

    def _finished(self, call: Call) -> Response:
        response = with_own_headers(call)
        if call.exchange is not None and call.stage.log is not None:
            self._log(call, response)
        return response

    def _log(self, call: Call, response: Response) -> None:
        """A line of the stage's access log. A log group of another account is not written to: nobody there has allowed it."""
        form, stage = call.stage.log, call.stage
        if form is None or form.account != stage.place.account:
            return
        told = {
            "status": response.status,
            "responseLength": len(response.body) if isinstance(response.body, bytes) else None,
            "responseLatency": self._clock.now_ms() - call.now_ms,
        }
        line = form.line(lambda name: told.get(name) if name in told else context_value(call.context, name))
        self._sink(form.account, form.region, form.group, form.stream(stage.api_id, stage.name), [(call.now_ms, line)])

    def forget(self, api_id: str) -> None:
        """An API changed: what was kept of its answers is no longer true."""
        self._validation.forget(api_id)

    def flush_authorizers(self, api_id: str, stage: str) -> None:
        self.access.flush(api_id, stage)

    def flush_cache(self, api_id: str, stage: str) -> None:
        self._cache.flush(api_id, stage)

    def _unmatched(self, exchange: Exchange, stage: CompiledStage, full_path: str) -> Response:
        nothing = unmatched_method(exchange.request.method)
        call = self.call_of(exchange, stage, nothing, full_path, full_path, {})
        call.response = _refused(call, refusals.missing_token())
        return self._finished(call)


def make_serving(clock: Clock, backends: Backends, signed: Callable[[Exchange], Context], counts: Counts, sink: LogSink) -> Serving:
    """The parts put together. `signed` says who signed a request, or raises the Fault of the signature."""
    return Serving(clock, Access(backends, signed, clock), Meter(clock, counts), Integrations(backends), sink)


def unmatched_method(name: str) -> CompiledMethod:
    """What stands for the method of a request that has none."""
    return CompiledMethod("", "", name, None, "NONE", None, False, (), {}, False, False, None)  # type: ignore[arg-type]


def forbidden(request_id: str) -> Response:
    """What API Gateway says of an API or stage that is not there."""
    headers = [*_PLAIN, ("x-amzn-RequestId", request_id), ("x-amzn-ErrorType", "ForbiddenException")]
    return Response(403, headers, orjson.dumps({"message": "Forbidden"}))


def _check_size(call: Call) -> None:
    if len(call.request.body) > MAXIMUM_BODY_BYTES:
        raise Refusal("REQUEST_TOO_LARGE", f"HTTP content length exceeded {MAXIMUM_BODY_BYTES} bytes.")


def _failure(call: Call, error: Exception) -> Response:
    """A Refusal as the API's gateway responses say it; a template's failure is the API's own, anything else a bug."""
    if isinstance(error, Refusal):
        return _refused(call, error)
    if isinstance(error, TemplateError):
        call.note(f"Execution failed: {error}")
    else:
        log.error("bug while answering for an API", exc_info=error, extra={"fields": {"request_id": call.request_id}})
    return _refused(call, refusals.server_error())


def _refused(call: Call, refusal: Refusal) -> Response:
    call.note(f"Method completed with status: {refusal.usual_status}")
    parameter: Callable[[str], str | None] = lambda expression: request_value(call, expression)  # noqa: E731
    return refusals.render(refusal, call.stage.deployment.responses, call.context, parameter, call.told("accept"))


def with_own_headers(call: Call) -> Response:
    """The call's response with API Gateway's own headers."""
    response = call.response
    assert response is not None
    response.headers = [
        *response.headers,
        *call.response_headers,
        ("x-amzn-RequestId", call.request_id),
        ("x-amz-apigw-id", ids.extended_request_id(call.request_id)),
        ("X-Amzn-Trace-Id", call.trace_id),
    ]
    return response


def _decode(call: Call) -> Awaitable[None] | None:
    """Integrations, templates and validators see a body without its content coding."""
    told = call.told("content-encoding")
    return _decode_body(call, told) if told and call.request.body else None


async def _decode_body(call: Call, told: str) -> None:
    try:
        call.request.body = await compression.decoded(call.request.body, told, MAXIMUM_BODY_BYTES)
    except compression.UnknownCoding:
        raise Refusal("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type") from None
    except compression.TooLarge:
        raise Refusal("REQUEST_TOO_LARGE", f"HTTP content length exceeded {MAXIMUM_BODY_BYTES} bytes.") from None
    call.drop_header("content-encoding")


async def _compress(call: Call, deployment: CompiledDeployment, response: Response) -> None:
    least, body = deployment.compression_bytes, response.body
    if least is None or not isinstance(body, bytes) or not body or len(body) < least:
        return
    if any(name.lower() == "content-encoding" for name, _ in response.headers):
        return
    coding = compression.choose(call.told("accept-encoding"), ("gzip", "deflate"), is_strict=True)
    await compression.compressed(call.request, response, coding)
