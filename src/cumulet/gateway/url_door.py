"""The door of function URLs: finds the URL, checks who calls, turns HTTP into an event, invokes, and turns the result into HTTP."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from cumulet.core.clock import Clock
from cumulet.core.context import Context, Principal
from cumulet.core.errors import Fault
from cumulet.core.http import Response, Upgrade
from cumulet.gateway import function_urls
from cumulet.gateway.compression import compress_for_web, may_be_compressed
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.function_urls import MAXIMUM_PAYLOAD_BYTES, Cors, InvalidFunctionResponse
from cumulet.gateway.routing import find_function_url
from cumulet.gateway.url_tunnel import upgrade_of
from cumulet.gateway.websocket.handshake import is_websocket
from cumulet.invoke.contract import Invocation, Invoker
from cumulet.invoke.streaming import StreamedInvocation, invoke_streamed
from cumulet.runtimes.contract import FunctionSpec
from cumulet.runtimes.streams import HTTP_PRELUDE_TYPE, TUNNEL_TYPE, Tunnel

_PRELUDE_END = bytes(8)
_MAX_PRELUDE_BYTES = 64 << 10


class UrlTarget(NamedTuple):
    """What a function URL stands for, now: its rules, and the version to run (a weighted alias may choose another each time)."""

    is_signature_wanted: bool
    cors: Cors | None
    spec: FunctionSpec
    invoked_arn: str
    is_streaming: bool = False
    is_closed: bool = False
    """Its function's resource policy does not let everybody in, and that counts here."""


FindTarget = Callable[[str], "UrlTarget | Awaitable[UrlTarget | None]"]
"""By the URL's id, at once where it is known; None when there is no such URL, or nothing to run behind it."""


class FunctionUrls:
    """Serves every function URL of the node. A signature is asked for by `AWS_IAM` alone."""

    def __init__(
        self, find: FindTarget, invoker: Invoker, signed: Callable[[Exchange], Context], clock: Clock, *, is_compressing: bool
    ) -> None:
        self._is_compressing = is_compressing
        self._find = find
        self._invoker = invoker
        self._signed = signed
        self._clock = clock

    async def __call__(self, exchange: Exchange) -> Response:
        place = find_function_url(exchange.request, exchange.host)
        if place is None:
            return function_urls.error(404, "Not Found", "Message")
        found = self._find(place[0])
        target = found if isinstance(found, UrlTarget) else await found
        if target is None:
            return function_urls.error(404, "Not Found", "Message")
        if target.cors is None:
            response = await self._answer(exchange, target, *place)
        else:
            response = await self._answer_across_origins(exchange, target, target.cors, *place)
        if self._is_compressing and may_be_compressed(response):
            await compress_for_web(exchange.request, response)
        return response

    async def _answer_across_origins(self, exchange: Exchange, target: UrlTarget, cors: Cors, url_id: str, path: str) -> Response:
        preflight = function_urls.preflight(exchange.request, cors)
        if preflight is not None:
            return preflight
        response = await self._answer(exchange, target, url_id, path)
        return response if isinstance(response, Upgrade) else function_urls.with_cors(exchange.request, response, cors)

    async def _answer(self, exchange: Exchange, target: UrlTarget, url_id: str, path: str) -> Response:
        request = exchange.request
        caller: Principal | None = None
        if target.is_closed:
            return function_urls.closed()
        if target.is_signature_wanted:
            caller = self._find_caller(exchange, target)
            if caller is None:
                return function_urls.closed()
        if len(request.body) > MAXIMUM_PAYLOAD_BYTES:
            return function_urls.error(413, "Request Entity Too Large")
        event = function_urls.event_of(
            request,
            path=path,
            url_id=url_id,
            domain=exchange.host,
            request_id=exchange.request_id,
            now_ms=self._clock.now_ms(),
            caller=caller,
        )
        invocation = Invocation(exchange.request_id, event, target.invoked_arn, trace_id=request.header("x-amzn-trace-id") or None)
        try:
            if is_websocket(request):
                return await self._offer_tunnel(exchange, target, invocation)
            if target.is_streaming:
                return await self._stream(exchange, await invoke_streamed(self._invoker, target.spec, invocation))
            result = await self._invoker.invoke(target.spec, invocation)
        except Fault as fault:
            status = fault.status if fault.status in (429, 503) else 502
            return function_urls.error(status, fault.message if status == 429 else "Internal Server Error", "Message")
        if result.function_error is not None:
            return function_urls.error(502, "Internal Server Error")
        return self._whole(exchange, result.payload)

    def _find_caller(self, exchange: Exchange, target: UrlTarget) -> Principal | None:
        """Who signed, when the signature holds for the Lambda service in the function's account and region."""
        try:
            context = self._signed(exchange)
        except Fault:
            return None
        assert exchange.signature is not None
        is_right_place = context.region == target.spec.region and exchange.signature.service == "lambda"
        return context.principal if is_right_place and context.account == target.spec.account else None

    def _whole(self, exchange: Exchange, payload: bytes) -> Response:
        try:
            response = function_urls.response_of(payload)
        except InvalidFunctionResponse:
            return function_urls.error(502, "Internal Server Error")
        response.headers.append(("x-amzn-RequestId", exchange.request_id))
        return response

    async def _offer_tunnel(self, exchange: Exchange, target: UrlTarget, invocation: Invocation) -> Response:
        """A program that speaks WebSocket itself may take the connection; every other function answers as it always does."""
        tunnel = Tunnel(takes_streams=target.is_streaming)
        streamed = await invoke_streamed(self._invoker, target.spec, invocation, tunnel)
        if streamed.content_type == TUNNEL_TYPE:
            parts = streamed.parts()
            try:
                return upgrade_of(*await split_prelude(parts), parts, tunnel)
            except ValueError:
                await parts.aclose()
                return function_urls.error(502, "Internal Server Error")
        if target.is_streaming:
            return await self._stream(exchange, streamed)
        payload = b"".join([part async for part in streamed.parts()])
        if (await streamed.result).function_error is not None:
            return function_urls.error(502, "Internal Server Error")
        return self._whole(exchange, payload)

    async def _stream(self, exchange: Exchange, streamed: StreamedInvocation) -> Response:
        """The function's stream as the body, from its first byte on. A function that answers as a whole is passed on as it is."""
        if not streamed.is_streamed and (await streamed.result).function_error is not None:
            return function_urls.error(502, "Internal Server Error")
        parts = streamed.parts()
        if streamed.content_type == HTTP_PRELUDE_TYPE:
            prelude, rest = await split_prelude(parts)
            try:
                response = function_urls.streamed_response_of(prelude)
            except InvalidFunctionResponse:
                await parts.aclose()
                return function_urls.error(502, "Internal Server Error")
            response.body = whole_body(streamed, parts, rest)
        else:
            kind = streamed.content_type or "application/octet-stream"
            response = Response(200, [("Content-Type", kind)], whole_body(streamed, parts, b""))
        response.headers.append(("x-amzn-RequestId", exchange.request_id))
        return response


class BrokenOff(Exception):
    """The function failed after it had begun to answer: the client must see that the answer is not whole."""


async def split_prelude(parts: AsyncGenerator[bytes]) -> tuple[bytes, bytes]:
    """(JSON prelude, what came with it after the eight zero bytes)."""
    gathered = b""
    async for part in parts:
        gathered += part
        prelude, zeros, rest = gathered.partition(_PRELUDE_END)
        if zeros:
            return prelude, rest
        if len(gathered) > _MAX_PRELUDE_BYTES:
            break
    return gathered, b""


async def whole_body(streamed: StreamedInvocation, parts: AsyncGenerator[bytes], first: bytes) -> AsyncIterator[bytes]:
    """The body. Raises BrokenOff instead of ending well when the function failed on the way."""
    try:
        if first:
            yield first
        async for part in parts:
            yield part
        if (await streamed.result).function_error is not None:
            raise BrokenOff
    finally:
        await parts.aclose()
