"""WebSocket APIs in two settings: `hub` serves one over a real socket and a real invoker, with functions that are coroutines of the
test and time that the test moves; `node` (from the end-to-end tests) is a whole node.
"""

import importlib.util
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect

import real_node
from cumulet.core.clock import ManualClock
from cumulet.core.errors import Fault
from cumulet.core.http import Response
from cumulet.core.place import Place
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.execute_api import ExecuteApi
from cumulet.gateway.http_client import HttpClient
from cumulet.gateway.websocket.session import WebSocketLimits
from cumulet.gateway.websocket_api.backends import RouteBackends
from cumulet.gateway.websocket_api.kind import make_websocket_apis
from cumulet.services.http_apis.live import LiveApi, LiveStage, Snapshot


def _load(name: str, path: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_GATEWAY = _load("gateway_conftest", "gateway/conftest.py")
_INVOKE = _load("invoke_conftest", "invoke/conftest.py")

serving, pytest_asyncio_loop_factories = _GATEWAY.serving, _GATEWAY.pytest_asyncio_loop_factories
node, start_node, name = real_node.node, real_node.start_node, real_node.name

PLACE = Place("000000000000", "us-east-1")
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:"


def uri_of(function_arn: str) -> str:
    return f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function_arn}/invocations"


class Hub:
    """One API, `abc`, with a stage `prod`. `route` and `function` add to it; what is added is served at once."""

    def __init__(self, served: Any, limits: WebSocketLimits) -> None:
        self.clock = ManualClock()
        self.bench = _INVOKE.Bench()
        self.http = HttpClient()
        self.logged: list[tuple[Any, ...]] = []
        self.accepted: list[dict[str, Any]] = []
        self.sent: list[tuple[Any, ...]] = []
        self.service_answer = Response(200, [("Content-Type", "application/x-amz-json-1.0")], b"{}")
        backends = RouteBackends(self._resolve, self.bench.invoker, self, self.http.send, self._send_signed)
        self.apis = make_websocket_apis(self.clock, backends, self._signed, limits, self._take_log)
        self.api: dict[str, Any] = {"ApiId": "abc", "ProtocolType": "WEBSOCKET", "RouteSelectionExpression": "$request.body.action"}
        self.stage: dict[str, Any] = {"StageName": "prod"}
        self.parts: dict[str, list[dict[str, Any]]] = {}
        self.served = served
        apis = ExecuteApi((self.apis,))

        async def answer(request: Any) -> Response:
            exchange = Exchange(request, request.header("host"), "0123abcd-0000-4000-8000-000000000000")
            door = apis.find_door(request, exchange.host)
            assert door is not None
            answer = door(exchange)
            return answer if isinstance(answer, Response) else await answer

        served.answer = answer

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.served.port}/_aws/execute-api/abc/prod"

    def connect(self, **options: Any) -> Any:
        return connect(self.url + options.pop("query", ""), **options)

    def function(self, name: str, handler: Callable[..., Any]) -> str:
        self.bench.define(name, lambda event, _write: handler(event))
        return FUNCTION + name

    def route(self, key: str, integration: dict[str, Any] | None = None, **more: Any) -> str:
        """`is_two_way` adds the route response; `responses` are the integration's."""
        route_id, integration_id = f"r{len(self.parts.get('routes', ()))}", f"i{len(self.parts.get('integrations', ()))}"
        if more.pop("is_two_way", False):
            self._add("route_responses", {"RouteId": route_id, "RouteResponseId": "x", "RouteResponseKey": "$default"})
        for response in more.pop("responses", ()):
            self._add("integration_responses", {"IntegrationId": integration_id, **response})
        if integration is not None:
            self._add("integrations", {"IntegrationId": integration_id, **integration})
            more["Target"] = f"integrations/{integration_id}"
        self._add("routes", {"RouteId": route_id, "RouteKey": key, **more})
        return route_id

    def proxy(self, key: str, handler: Callable[..., Any], **more: Any) -> None:
        """A route to a function by proxy integration."""
        uri = self.function(f"f{len(self.bench.runtimes.handlers)}", handler)
        self.route(key, {"IntegrationType": "AWS_PROXY", "IntegrationUri": uri}, **more)

    def authorizer(self, handler: Callable[..., Any], *sources: str) -> None:
        """Guards what is routed with `AuthorizerId="a"`."""
        uri = uri_of(self.function("guard", handler))
        kind = {"AuthorizerId": "a", "AuthorizerType": "REQUEST"}
        self._add("authorizers", {**kind, "AuthorizerUri": uri, "IdentitySource": list(sources)})

    def _add(self, part: str, document: dict[str, Any]) -> None:
        self.parts.setdefault(part, []).append(document)
        self.publish()

    def publish(self) -> None:
        self.apis.publish_api("abc", LiveApi(PLACE, self.api, {"prod": LiveStage(self.stage, Snapshot(**self.parts))}))

    # What the backends reach

    async def _resolve(self, account: str, region: str, name: str, qualifier: str | None) -> Any:
        if name not in self.bench.runtimes.handlers:
            raise _NoFunction(f"Function not found: {name}")
        return self.bench.spec(name), None

    async def accept(self, *, account: str, region: str, name: str, qualifier: str | None, invocation: Any) -> None:
        self.accepted.append(orjson.loads(invocation.payload))

    async def _send_signed(self, request: Any, service: str, region: str, place: Any, role: str | None) -> Response:
        self.sent.append((request, service, region, place, role))
        return self.service_answer

    def _take_log(self, *where_and_lines: Any) -> None:
        self.logged.append(where_and_lines)

    def _signed(self, exchange: Exchange) -> Any:
        raise _NoSignature("Missing Authentication Token")


class _NoFunction(Fault):
    code, status = "ResourceNotFoundException", 404


class _NoSignature(Fault):
    code, status = "MissingAuthenticationTokenException", 403


@pytest.fixture
async def make_hub(serving: Any) -> AsyncIterator[Callable[..., Any]]:
    made: list[Hub] = []

    async def make(limits: WebSocketLimits | None = None) -> Hub:
        made.append(Hub(await serving(), limits or WebSocketLimits()))
        return made[-1]

    yield make
    for each in made:
        await each.http.close()


@pytest.fixture
async def hub(make_hub: Any) -> Hub:
    made: Hub = await make_hub()
    return made


async def ask(client: ClientConnection, message: Any) -> Any:
    """What comes back first, as JSON."""
    await client.send(message if isinstance(message, str | bytes) else orjson.dumps(message).decode())
    return orjson.loads(await client.recv())
