"""What a WebSocket API's integrations and authorizers reach: functions of its own account, HTTP servers, the node's services."""

import asyncio
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from cumulet.core.arn import parse_arn
from cumulet.core.errors import Fault
from cumulet.core.http import Response
from cumulet.core.place import Place
from cumulet.gateway.rest_api.aws import parse_uri, request_of
from cumulet.gateway.rest_api.backends import SendHttp, SendSigned
from cumulet.gateway.rest_api.http_backend import HOP_BY_HOP, PATH_VARIABLE
from cumulet.gateway.rest_api.outgoing import Outgoing
from cumulet.gateway.rest_api.refusals import Refusal
from cumulet.gateway.rest_api.variables import with_stage_variables
from cumulet.gateway.websocket_api.call import Refused, RouteCall, server_error
from cumulet.invoke.contract import AsyncInvoker, Invocation, InvocationResult, Invoker, Resolve


@dataclass(frozen=True, slots=True)
class RouteBackends:
    """Every method raises Refused when there is no answer."""

    resolve: Resolve
    invoker: Invoker
    async_invoker: AsyncInvoker
    send_http: SendHttp
    send_signed: SendSigned
    running: set[asyncio.Future[InvocationResult]] = field(default_factory=set)

    async def invoke(self, call: RouteCall, function_arn: str, payload: bytes, timeout_s: float) -> InvocationResult:
        """Run a function. One that takes longer is not waited for any more, but runs on: its own timeout ends it."""
        place, name, qualifier = _function_of(call, function_arn)
        try:
            spec, _settings = await self.resolve(place.account, place.region, name, qualifier)
            trace_id = next(iter(call.header_values("x-amzn-trace-id")), None)
            invocation = Invocation(call.request_id, payload, function_arn, trace_id=trace_id)
            running = asyncio.ensure_future(self.invoker.invoke(spec, invocation))
            self.running.add(running)
            running.add_done_callback(self._ended)
            await asyncio.wait({running}, timeout=timeout_s)
            if not running.done():
                raise Refused(504, "Endpoint request timed out")
            return running.result()
        except Fault as fault:
            raise server_error(502 if fault.status in (429, 502, 503) else 500) from None

    def _ended(self, invocation: asyncio.Future[InvocationResult]) -> None:
        self.running.discard(invocation)
        if not invocation.cancelled():
            invocation.exception()  # looked at, also when nobody waits any more

    async def accept(self, call: RouteCall, function_arn: str, payload: bytes) -> None:
        """Queue an event for a function."""
        place, name, qualifier = _function_of(call, function_arn)
        invocation = Invocation(call.request_id, payload, function_arn)
        try:
            await self.resolve(place.account, place.region, name, qualifier)
            await self.async_invoker.accept(
                account=place.account, region=place.region, name=name, qualifier=qualifier, invocation=invocation
            )
        except Fault:
            raise server_error() from None

    async def http(self, call: RouteCall, outgoing: Outgoing) -> Response:
        """An HTTP server's answer."""
        integration = call.route.integration
        assert integration is not None
        uri = with_stage_variables(integration.uri, call.variables)
        url = PATH_VARIABLE.sub(lambda match: quote(outgoing.path.get(match[1], ""), safe="/%:@!$&'()*+,;=-._~"), uri)
        query = urlencode([(name, value) for name, values in outgoing.query.items() for value in values])
        if query:
            url += ("&" if "?" in url else "?") + query
        headers = [(name, value) for name, value in outgoing.header_pairs() if name.lower() not in HOP_BY_HOP]
        headers.append(("x-amzn-apigateway-api-id", call.stage.api_id))
        try:
            async with asyncio.timeout(integration.timeout_s):
                return await self.send_http(outgoing.method, url, headers, outgoing.body)
        except TimeoutError:
            raise Refused(504, "Endpoint request timed out") from None
        except OSError:
            raise server_error() from None

    async def service(self, call: RouteCall, outgoing: Outgoing) -> Response:
        """The answer of one of the node's own services, whatever its status."""
        integration = call.route.integration
        assert integration is not None
        role = with_stage_variables(integration.credentials, call.variables) if integration.credentials else None
        try:
            uri = parse_uri(with_stage_variables(integration.uri, call.variables))
            request = request_of(uri, outgoing)
            async with asyncio.timeout(integration.timeout_s):
                place = Place(call.stage.place.account, uri.region)
                return await self.send_signed(request, uri.service, uri.region, place, role)
        except TimeoutError:
            raise Refused(504, "Endpoint request timed out") from None
        except (Fault, Refusal):
            raise server_error() from None


def _function_of(call: RouteCall, text: str) -> tuple[Place, str, str | None]:
    """(place, name, qualifier) of a function's ARN. Raises Refused: also for another account, whose policy nobody asks here."""
    try:
        arn = parse_arn(text)
        kind, name, *qualifier = arn.resource.split(":")
    except ValueError:
        raise server_error() from None
    if kind != "function" or arn.service != "lambda" or arn.account != call.stage.place.account or len(qualifier) > 1:
        raise server_error()
    return Place(arn.account, arn.region), name, qualifier[0] if qualifier else None
