"""What integrations and authorizers reach: functions by ARN, the node's own services through its public door, and HTTP."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from cumulet.core.arn import parse_arn
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
_MOST_BYTES = 6 * 1024 * 1024
_MOST_QUEUED_BYTES = 1024 * 1024
"""What a function takes as an event, and what waits for one."""

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
        function = _function_of(call, function_arn)
        _check_size(call, payload, _MOST_BYTES)
        try:
            spec, _settings = await self.resolve(*function)
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
        function = _function_of(call, function_arn)
        _check_size(call, payload, _MOST_BYTES)
        try:
            spec, _settings = await self.resolve(*function)
            async with asyncio.timeout(timeout_s):
                return await invoke_streamed(self.invoker, spec, Invocation(call.request_id, payload, function_arn))
        except TimeoutError:
            raise Refusal("INTEGRATION_TIMEOUT", "Endpoint request timed out") from None
        except Fault as fault:
            call.note(f"Execution failed due to configuration error: {fault.message}")
            raise server_error(502 if fault.status in (429, 502, 503) else 500) from None

    async def accept(self, call: Call, function_arn: str, payload: bytes) -> None:
        """Queue an event for a function. Raises Refusal."""
        function = _function_of(call, function_arn)
        _check_size(call, payload, _MOST_QUEUED_BYTES)
        try:
            await self.resolve(*function)
            await self.async_invoker.accept(
                account=function.account,
                region=function.region,
                name=function.name,
                qualifier=function.qualifier,
                invocation=Invocation(call.request_id, payload, function_arn),
            )
        except Fault as fault:
            call.note(f"Execution failed due to configuration error: {fault.message}")
            raise server_error(500) from None


def _check_size(call: Call, payload: bytes, most: int) -> None:
    """Raises Refusal. The event is larger than the body it was made from: base64, headers twice."""
    if len(payload) > most:
        call.note(
            f"Execution failed due to configuration error: Request must be smaller than {most} bytes for the Invoke operation"
        )
        raise Refusal("DEFAULT_4XX", "Request Too Long", 413, error_type="BadRequestException")


class _Function(NamedTuple):
    account: str
    region: str
    name: str
    qualifier: str | None


@functools.lru_cache(maxsize=4096)
def _find_function(text: str) -> _Function | None:
    """What an ARN means; None when it is no function's. Raises ValueError."""
    arn = parse_arn(text)
    kind, name, *qualifier = arn.resource.split(":")
    if kind != "function" or arn.service != "lambda" or len(qualifier) > 1:
        return None
    return _Function(arn.account, arn.region, name, qualifier[0] if qualifier else None)


def _function_of(call: Call, text: str) -> _Function:
    """The function of an ARN. Raises Refusal: also for another account, whose policy nobody asks here."""
    try:
        function = _find_function(text)
    except ValueError:
        call.note("Execution failed due to configuration error: Invalid function ARN")
        raise server_error() from None
    if function is None or function.account != call.stage.place.account:
        call.note("Execution failed due to configuration error: Invalid permissions on Lambda function")
        raise server_error()
    return function
