"""What integrations and authorizers of HTTP APIs reach: functions, other servers, and the node's own services."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cumulet.core.errors import Fault
from cumulet.core.http import Request, Response
from cumulet.core.place import Place
from cumulet.gateway.http_api.call import Call
from cumulet.gateway.http_api.compiled import USUAL_TIMEOUT_MS, Function, Integration
from cumulet.gateway.http_api.refusals import Refusal, server_error, unavailable
from cumulet.invoke.contract import Invocation, InvocationResult, Invoker, Resolve
from cumulet.runtimes.contract import FunctionSpec

SendHttp = Callable[[str, str, list[tuple[str, str]], bytes], Awaitable[Response]]
"""(method, URL, headers, body) -> the whole response. Raises OSError when there is none."""

SendSigned = Callable[[Request, str, str, Place, str | None], Awaitable[Response]]
"""(request, signing name, region, account's place, role ARN or None) -> the answer of the node's own service."""

MAXIMUM_PAYLOAD_BYTES = 6 * 1024 * 1024
_START_S = 15.0
"""What a start may take beside a function's own time limit."""


@dataclass(frozen=True, slots=True)
class Backends:
    """See the module's text. A function's own policy is not asked."""

    resolve: Resolve
    invoker: Invoker
    send_http: SendHttp
    send_signed: SendSigned
    usual_timeout_s: float = USUAL_TIMEOUT_MS / 1000

    def timeout_s(self, integration: Integration) -> float:
        """How long an integration may take: what it says, else what is usual on this node."""
        return self.usual_timeout_s if integration.timeout_s is None else integration.timeout_s

    async def invoke(
        self, call: Call, function: Function, payload: bytes, timeout_s: float, request_id: str = ""
    ) -> InvocationResult:
        """Run a function, under the call's own request id where no other is given.

        Raises Refusal when it cannot be run, or has not answered in time: it then runs on by itself.
        """
        if len(payload) > MAXIMUM_PAYLOAD_BYTES:
            raise Refusal(413, "Request Entity Too Large")
        try:
            spec, _settings = await self.resolve(call.stage.place.account, function.region, function.name, function.qualifier)
            invocation = Invocation(request_id or call.request_id, payload, function.arn, trace_id=call.trace_id())
            if spec.timeout_s + _START_S < timeout_s:
                return await self.invoker.invoke(spec, invocation)  # its own limits end it sooner: no timer, no task
            return await self._invoke_within(spec, invocation, timeout_s)
        except Fault as fault:
            if fault.status in (429, 503):
                raise unavailable(fault.message) from None
            raise server_error(fault.message) from None

    async def _invoke_within(self, spec: FunctionSpec, invocation: Invocation, timeout_s: float) -> InvocationResult:
        running = asyncio.ensure_future(self.invoker.invoke(spec, invocation))
        done, _ = await asyncio.wait((running,), timeout=timeout_s)
        if not done:
            running.add_done_callback(_look_at)
            raise unavailable("The integration has not answered in time")
        return running.result()


def _look_at(task: "asyncio.Future[InvocationResult]") -> None:
    """Nobody waits for it any more: its exception, too, has been seen."""
    if not task.cancelled():
        task.exception()
