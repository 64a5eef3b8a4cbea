"""The life of a request to a REST API, as one list of steps. A Refusal raised in any of them is answered as the API's own gateway
responses say.
"""

import logging
import random
from collections.abc import Callable

import orjson

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.http import Response
from cumulet.gateway import compression
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.rest_api import call as calls
from cumulet.gateway.rest_api import refusals
from cumulet.gateway.rest_api.access import Access
from cumulet.gateway.rest_api.backends import Backends
from cumulet.gateway.rest_api.cache import StageCache
from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.rest_api.compiled import CompiledApi, CompiledDeployment, CompiledMethod, CompiledStage
from cumulet.gateway.rest_api.integrations import Integrations
from cumulet.gateway.rest_api.meter import Counts, Meter
from cumulet.gateway.rest_api.refusals import Refusal
from cumulet.gateway.rest_api.validation import Validation
from cumulet.gateway.rest_api.variables import context_value, request_value
from cumulet.gateway.templates import TemplateError
from cumulet.invoke.contract import LogSink

log = logging.getLogger("cumulet.gateway")

MAXIMUM_BODY_BYTES = 10 * 1024 * 1024
_PLAIN = [("Content-Type", "application/json")]


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

    async def answer(self, exchange: Exchange, api: CompiledApi, stage_name: str, path: str, full_path: str) -> Response:
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
        method, variables = matched
        call = self.call_of(exchange, stage, method, path, full_path, variables, is_canary=is_canary)
        return await self.run(call, exchange)

    def call_of(
        self,
        exchange: Exchange,
        stage: CompiledStage,
        method: CompiledMethod,
        path: str,
        full_path: str,
        variables: dict[str, str],
        *,
        is_canary: bool = False,
    ) -> Call:
        request, now_ms = exchange.request, self._clock.now_ms()
        trace_id = calls.trace_id_of(request, exchange.request_id, now_ms)
        return Call(
            request=request,
            request_id=exchange.request_id,
            now_ms=now_ms,
            stage=stage,
            method=method,
            path=path,
            path_parameters=variables,
            headers=calls.headers_of(request, exchange.host, trace_id),
            query=calls.query_of(request.query),
            context=calls.context_of(
                request,
                request_id=exchange.request_id,
                now_ms=now_ms,
                stage=stage,
                method=method,
                full_path=full_path,
                host=exchange.host,
            ),
            variables=stage.variables,
            is_canary=is_canary,
        )

    async def run(self, call: Call, exchange: Exchange | None) -> Response:
        """All steps. Without an exchange nobody is asked who calls: a test invocation."""
        try:
            _check_size(call)
            await _decode(call)
            if exchange is not None:
                await self.access.check(call, exchange)  # policy, signature, authorizer: who is it?
                self.meter.check(call)  # API key, plan, quota, throttle: may this one still?
            await self._validation.check(call)  # only then is the request looked at
            response = await self._cache.through(call, self._integrations.run)
        except Refusal as refusal:
            response = _refused(call, refusal)
        except TemplateError as error:
            call.note(f"Execution failed: {error}")
            response = _refused(call, refusals.server_error())
        except Exception:
            log.exception("bug while answering for an API", extra={"fields": {"request_id": call.request_id}})
            response = _refused(call, refusals.server_error())
        response = _finished(call, response)
        if exchange is not None:
            await _compress(call, call.stage.deployment, response)
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
        response = _finished(call, _refused(call, refusals.missing_token()))
        self._log(call, response)
        return response


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


def _refused(call: Call, refusal: Refusal) -> Response:
    call.note(f"Method completed with status: {refusal.usual_status}")
    parameter: Callable[[str], str | None] = lambda expression: request_value(call, expression)  # noqa: E731
    accept = call.header("accept") or ""
    return refusals.render(refusal, call.stage.deployment.responses, call.context, parameter, accept)


def _finished(call: Call, response: Response) -> Response:
    """With API Gateway's own headers."""
    headers = [
        ("x-amzn-RequestId", call.request_id),
        ("x-amz-apigw-id", call.context["extendedRequestId"]),
        ("X-Amzn-Trace-Id", call.header("X-Amzn-Trace-Id") or ""),
    ]
    response.headers = [*response.headers, *call.response_headers, *headers]
    return response


async def _decode(call: Call) -> None:
    """Integrations, templates and validators see a body without its content coding."""
    told = call.header("content-encoding")
    if not told or not call.request.body:
        return
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
    coding = compression.choose(call.header("accept-encoding") or "", ("gzip", "deflate"), is_strict=True)
    await compression.compressed(call.request, response, coding)
