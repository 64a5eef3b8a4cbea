"""The life of a connection to a WebSocket API: `$connect` decides, messages take their routes, `$disconnect` is told."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http.client import responses
from typing import Any

import orjson

from cumulet.core.clock import Clock
from cumulet.core.http import ByteStream, Response
from cumulet.gateway.buckets import Buckets
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.rest_api import call as rest_calls
from cumulet.gateway.rest_api.variables import context_value
from cumulet.gateway.websocket import handshake
from cumulet.gateway.websocket.session import GOING_AWAY, POLICY, UNSUPPORTED, ClientTooSlow, WebSocket
from cumulet.gateway.websocket_api.access import Access
from cumulet.gateway.websocket_api.call import Caller, EventType, Refused, RouteCall, error_frame, found_text, new_id
from cumulet.gateway.websocket_api.compiled import DEFAULT_KEY, CompiledRoute, CompiledStage
from cumulet.gateway.websocket_api.connections import Connection, Connections, as_message
from cumulet.gateway.websocket_api.integrations import Answer, Integrations
from cumulet.gateway.websocket_api.validation import check_message
from cumulet.invoke.contract import LogSink

log = logging.getLogger("cumulet.gateway")

FindStage = Callable[[str, str], CompiledStage | None]
"""(API id, stage name) -> what is deployed there now."""

_AT_ONCE = 16
_REASONS = {1000: "Connection Closed Normally", 1001: "Going away", 1005: "Client-side close frame status not set"}
_ABNORMAL = "Connection Closed Abnormally"


class Serving:
    """All connections of all WebSocket APIs. `find_stage` is asked for each message: what is deployed now serves it."""

    def __init__(
        self,
        clock: Clock,
        access: Access,
        integrations: Integrations,
        connections: Connections,
        find_stage: FindStage,
        sink: LogSink,
    ) -> None:
        self._clock = clock
        self._access = access
        self._integrations = integrations
        self._connections = connections
        self._find_stage = find_stage
        self._sink = sink
        self._buckets = Buckets(clock)

    async def connect(self, exchange: Exchange, stage: CompiledStage, domain: str) -> Response:
        """The handshake's answer: an upgrade when the `$connect` route, if there is one, agrees."""
        request = exchange.request
        now_ms = self._clock.now_ms()
        identity: dict[str, Any] = {"sourceIp": request.source_ip}
        if agent := request.header("user-agent"):
            identity["userAgent"] = agent
        caller = Caller(new_id(), stage.place, stage.api_id, stage.name, domain, now_ms, identity)
        if self._connections.is_draining:
            return _refusal(Refused(503, "Service Unavailable"), caller, exchange.request_id)
        refused = handshake.refuse(request)
        if refused is not None:
            status, headers, message = refused
            return _refusal(Refused(status, message), caller, exchange.request_id, headers)
        try:
            subprotocol = await self._ask(exchange, stage, caller)
        except Refused as error:
            return _refusal(error, caller, exchange.request_id)
        return handshake.accept(request, partial(self._run, caller), subprotocol)

    async def _ask(self, exchange: Exchange, stage: CompiledStage, caller: Caller) -> str | None:
        """What the `$connect` route says; the subprotocol that its integration chose. Raises Refused."""
        route = stage.routes.get("$connect")
        if route is None:
            return None
        call = self._call(stage, route, caller, "CONNECT", new_id(), {})
        trace_id = rest_calls.trace_id_of(exchange.request, exchange.request_id, caller.connected_at_ms)
        call.headers = rest_calls.headers_of(exchange.request, exchange.host, trace_id)
        call.query = rest_calls.query_of(exchange.request.query)
        answer = await self._run_route(call, partial(self._admit, caller, exchange))
        if answer is None:
            return None
        if not 200 <= answer.status <= 299:
            status = answer.status if answer.status >= 400 else 500
            raise Refused(status, responses.get(status, "Internal server error"))
        return next(iter(answer.headers.get("sec-websocket-protocol", ())), None)

    async def _admit(self, caller: Caller, exchange: Exchange, call: RouteCall) -> None:
        """Who connects, and with all that is required? Raises Refused."""
        caller.authorizer = await self._access.check(call, exchange)
        if caller.authorizer is not None:
            call.context = {"routeKey": call.route.key, "authorizer": caller.authorizer, **call.context}
        missing = [name for name in call.route.required if call.value_of(name) is None]
        if missing:
            raise Refused(400, f"Missing required request parameters: [{', '.join(missing)}]")

    async def _run(self, caller: Caller, stream: ByteStream) -> None:
        """From the handshake to the end. The connection's one task; each message that is being answered has another."""
        with self._connections.serving():
            session = WebSocket(stream, self._connections.limits, self._clock.monotonic_s)
            connection = Connection(caller, session, self._clock)
            self._connections.add(connection)
            try:
                await self._converse(connection)
            except asyncio.CancelledError:
                await session.close(GOING_AWAY, "Going away")  # the node stops
                raise
            finally:
                self._connections.remove(connection)
                await self._disconnect(connection)

    async def _converse(self, connection: Connection) -> None:
        session, running = connection.session, connection.running
        while (message := await session.receive()) is not None:
            if isinstance(message, bytes):
                await session.close(UNSUPPORTED)  # what API Gateway does: its clients send text
                continue
            if len(running) >= _AT_ONCE:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.get_running_loop().create_task(self._answer(connection, message))
            running.add(task)
            task.add_done_callback(running.discard)

    async def _answer(self, connection: Connection, message: str) -> None:
        """One message: its route is run, and told or answered where the route is two-way."""
        request_id = new_id()
        try:
            said = await self._take(connection, message, request_id)
        except Refused as refused:
            said = error_frame(refused.message, connection.caller.id, request_id)
        if said is None:
            return
        with contextlib.suppress(ConnectionError):
            try:
                await connection.session.send(said)
            except ClientTooSlow:
                await connection.session.close(POLICY)

    async def _take(self, connection: Connection, message: str, request_id: str) -> str | bytes | None:
        """What goes back to the client. Raises Refused."""
        caller = connection.caller
        stage = self._find_stage(caller.api_id, caller.stage)
        if stage is None:
            raise Refused(403, "Forbidden")
        key = route_key_of(stage, message)
        route = stage.routes.get(key) if not key.startswith("$") else None
        route = route or stage.routes.get(DEFAULT_KEY)
        if route is None:
            raise Refused(403, "Forbidden")
        call = self._call(stage, route, caller, "MESSAGE", request_id, {"messageId": new_id()})
        call.body = message
        answer = await self._run_route(call, check_message)
        if answer is None or not route.is_two_way or answer.body is None:
            return None
        return as_message(answer.body) if isinstance(answer.body, bytes) else answer.body

    async def _disconnect(self, connection: Connection) -> None:
        """Tell the `$disconnect` route; nothing of it reaches anybody."""
        caller, session = connection.caller, connection.session
        stage = self._find_stage(caller.api_id, caller.stage)
        route = stage.routes.get("$disconnect") if stage is not None else None
        if stage is None or route is None:
            return
        reason = session.close_reason or _REASONS.get(session.close_code, "" if session.close_code != 1006 else _ABNORMAL)
        more = {"disconnectStatusCode": session.close_code, "disconnectReason": reason}
        call = self._call(stage, route, caller, "DISCONNECT", new_id(), more)
        call.headers = {"Host": [caller.domain], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""]}
        with contextlib.suppress(Refused):  # best effort
            await self._run_route(call)

    async def _run_route(
        self, call: RouteCall, check: Callable[[RouteCall], Awaitable[None] | None] | None = None
    ) -> Answer | None:
        """The steps of every route: its throttle, its event's own checks, its integration (None: it has none). Raises Refused."""
        started_s, noted = self._clock.monotonic_s(), dict[str, Any](status=200)
        try:
            self._throttle(call)
            if check is not None and (waiting := check(call)) is not None:
                await waiting
            if call.route.integration is None:
                return None
            answer = await self._integrations.run(call)
            noted["status"] = noted["integrationStatus"] = noted["integration.status"] = answer.status
            return answer
        except Refused as refused:
            noted |= {"status": refused.status, "error.message": refused.message}
            raise
        except Exception:
            log.exception("bug while running a route", extra={"fields": {"request_id": call.request_id}})
            noted |= {"status": 500, "error.message": "Internal server error"}
            raise Refused(500, "Internal server error") from None
        finally:
            self._log(call, noted, int((self._clock.monotonic_s() - started_s) * 1000))

    def _log(self, call: RouteCall, noted: dict[str, Any], took_ms: int) -> None:
        """The stage's access log. A log group of another account is not written to: nobody there has allowed it."""
        form, stage = call.stage.log, call.stage
        if form is None or form.account != stage.place.account:
            return
        noted |= {"responseLatency": took_ms, "integrationLatency": took_ms, "integration.latency": took_ms}
        if "error.message" in noted:
            noted["error.messageString"] = orjson.dumps(noted["error.message"]).decode()

        def value_of(name: str) -> Any:
            return noted[name] if name in noted else context_value(call.context, name)

        line = (call.context["requestTimeEpoch"], form.line(value_of))
        self._sink(form.account, form.region, form.group, form.stream(stage.api_id, stage.name), [line])

    def _call(
        self, stage: CompiledStage, route: CompiledRoute, caller: Caller, event: EventType, request_id: str, more: Mapping[str, Any]
    ) -> RouteCall:
        return RouteCall(stage, route, caller.context(event, route.key, self._clock.now_ms(), request_id, more))

    def _throttle(self, call: RouteCall) -> None:
        throttle = call.stage.throttle_of(call.route)
        name = (call.stage.api_id, call.stage.name, call.route.key)
        if throttle is not None and not self._buckets.take(name, throttle.rate_per_s, throttle.burst):
            raise Refused(429, "Too Many Requests")


def route_key_of(stage: CompiledStage, message: str) -> str:
    """What the route selection expression finds in a message; `$default` for what is no JSON."""
    try:
        document = orjson.loads(message)
    except orjson.JSONDecodeError:
        return DEFAULT_KEY
    return stage.route_key.evaluate(partial(_value_in, document)) or DEFAULT_KEY


def _value_in(document: Any, name: str) -> str | None:
    return found_text(document, name.removeprefix("request.body")) if name.startswith("request.body") else None


def _refusal(refused: Refused, caller: Caller, request_id: str, headers: list[tuple[str, str]] | None = None) -> Response:
    """The handshake ends as an ordinary answer."""
    more = [("Content-Type", "application/json"), ("x-amzn-RequestId", request_id), *(headers or ())]
    return Response(refused.status, more, error_frame(refused.message, caller.id, request_id).encode())
