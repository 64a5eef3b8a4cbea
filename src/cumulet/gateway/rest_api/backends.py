"""What integrations and authorizers reach: functions by ARN, the node's own services through its public door, and HTTP."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cumulet.core.arn import Arn, parse_arn
from cumulet.core.errors import Fault
from cumulet.core.http import Request, Response
from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.rest_api.compiled import CompiledIntegration
from cumulet.gateway.rest_api.refusals import Refusal, server_error
from cumulet.invoke.contract import AsyncInvoker, Invocation, InvocationResult, Invoker, Resolve
from cumulet.invoke.streaming import StreamedInvocation, invoke_streamed
from cumulet.services.rest_apis.model import DEFAULT_TIMEOUT_MS, Place

_START_S = 15.0
"""What a start may take beside a function's own time limit."""

SendHttp = Callable[[str, str, list[tuple[str, str]], bytes], Awaitable[Response]]
"""(method, URL, headers, body) -> the whole response. Raises OSError when there is none."""

SendSigned = Callable[[Request, str, str, Place, str | None], Awaitable[Response]]
"""(request, signing name, region, account's place, role ARN or None) -> the answer of the node's own service."""


@dataclass(frozen=True, slots=True)
class Backends:
    """See the module's text."""

    resolve: Resolve
    invoker: Invoker
    async_invoker: AsyncInvoker
    send_http: SendHttp
    send_signed: SendSigned
    usual_timeout_s: float = DEFAULT_TIMEOUT_MS / 1000

    def timeout_s(self, integration: CompiledIntegration) -> float:
        """How long an integration may take: what it says, else what is usual on this node."""
        return self.usual_timeout_s if integration.timeout_s is None else integration.timeout_s

    async def invoke(self, call: Call, function_arn: str, payload: bytes, timeout_s: float) -> InvocationResult:
        """Run a function of the API's own account. Raises Refusal when it cannot be run, or not in time."""
        place, name, qualifier = _function_of(call, function_arn)
        try:
            spec, _settings = await self.resolve(place.account, place.region, name, qualifier)
            invocation = Invocation(call.request_id, payload, function_arn, trace_id=call.trace_id)
            if spec.timeout_s + _START_S < timeout_s:
                return await self.invoker.invoke(spec, invocation)  # its own limits end it sooner: no timer
            async with asyncio.timeout(timeout_s):
                return await self.invoker.invoke(spec, invocation)
        except TimeoutError:
            call.note("Execution failed due to a timeout error")
            raise Refusal("INTEGRATION_TIMEOUT", "Endpoint request timed out") from None
        except Fault as fault:
            call.note(f"Execution failed due to configuration error: {fault.message}")
            raise server_error(502 if fault.status in (429, 502, 503) else 500) from None

    async def stream(self, call: Call, function_arn: str, payload: bytes, timeout_s: float) -> StreamedInvocation:
        """Run a function that answers bit by bit; returns when its answer begins, within the time limit. Raises Refusal."""
        place, name, qualifier = _function_of(call, function_arn)
        try:
            spec, _settings = await self.resolve(place.account, place.region, name, qualifier)
            async with asyncio.timeout(timeout_s):
                return await invoke_streamed(self.invoker, spec, Invocation(call.request_id, payload, function_arn))
        except TimeoutError:
            raise Refusal("INTEGRATION_TIMEOUT", "Endpoint request timed out") from None
        except Fault as fault:
            call.note(f"Execution failed due to configuration error: {fault.message}")
            raise server_error(502 if fault.status in (429, 502, 503) else 500) from None

    async def accept(self, call: Call, function_arn: str, payload: bytes) -> None:
        """Queue an event for a function. Raises Refusal."""
        place, name, qualifier = _function_of(call, function_arn)
        try:
            await self.resolve(place.account, place.region, name, qualifier)
            await self.async_invoker.accept(
                account=place.account,
                region=place.region,
                name=name,
                qualifier=qualifier,
                invocation=Invocation(call.request_id, payload, function_arn),
            )
        except Fault as fault:
            call.note(f"Execution failed due to configuration error: {fault.message}")
            raise server_error(500) from None


@functools.lru_cache(maxsize=4096)
def _parsed(text: str) -> tuple[Arn, list[str]]:
    """(ARN, parts of its resource). Raises ValueError."""
    arn = parse_arn(text)
    return arn, arn.resource.split(":")


def _function_of(call: Call, text: str) -> tuple[Place, str, str | None]:
    """(place, name, qualifier) of a function's ARN. Raises Refusal: also for another account, whose policy nobody asks here."""
    try:
        arn, (kind, name, *qualifier) = _parsed(text)
    except ValueError:
        call.note("Execution failed due to configuration error: Invalid function ARN")
        raise server_error() from None
    if kind != "function" or arn.service != "lambda" or arn.account != call.stage.place.account or len(qualifier) > 1:
        call.note("Execution failed due to configuration error: Invalid permissions on Lambda function")
        raise server_error()
    return Place(arn.account, arn.region), name, qualifier[0] if qualifier else None
