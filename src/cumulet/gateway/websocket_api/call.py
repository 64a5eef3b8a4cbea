"""One run of a route: what a connection, a message or its end tells integrations, templates and authorizers. Pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html
"""

import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from cumulet.core.place import Place
from cumulet.gateway.function_urls import clf_time
from cumulet.gateway.rest_api.variables import context_value
from cumulet.gateway.templates.jsonpath import JsonPathError, find_path
from cumulet.gateway.templates.values import to_text
from cumulet.gateway.websocket_api.compiled import CompiledRoute, CompiledStage

EventType = Literal["CONNECT", "MESSAGE", "DISCONNECT"]


class Refused(Exception):
    """The route's run ends here: `status` is the handshake's where there is one, `message` is what the client is told."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def server_error(status: int = 500) -> Refused:
    return Refused(status, "Internal server error")


def new_id() -> str:
    """Ids of connections, messages and requests: 88 random bits as 15 characters and a `=`."""
    return base64.urlsafe_b64encode(os.urandom(11)).decode()


@dataclass(slots=True)
class Caller:
    """A connection as all of its events tell it. `domain` and `stage` make the address of its API; `identity` is who connected."""

    id: str
    place: Place
    api_id: str
    stage: str
    domain: str
    connected_at_ms: int
    identity: dict[str, Any]
    authorizer: dict[str, Any] | None = None

    def context(self, event: EventType, route_key: str, now_ms: int, request_id: str, more: Mapping[str, Any]) -> dict[str, Any]:
        """`requestContext` and `$context`, in the order of the documented samples."""
        context: dict[str, Any] = {"routeKey": route_key}
        if self.authorizer is not None:
            context["authorizer"] = self.authorizer
        return {
            **context,
            **more,
            "eventType": event,
            "extendedRequestId": request_id,
            "requestTime": clf_time(now_ms // 1000),
            "messageDirection": "IN",
            "stage": self.stage,
            "connectedAt": self.connected_at_ms,
            "requestTimeEpoch": now_ms,
            "identity": self.identity,
            "requestId": request_id,
            "domainName": self.domain,
            "connectionId": self.id,
            "apiId": self.api_id,
        }


@dataclass(slots=True)
class RouteCall:
    """`headers` and `query` are the handshake's, and empty for messages. `context` grows: steps add what they find out."""

    stage: CompiledStage
    route: CompiledRoute
    context: dict[str, Any]
    body: str = ""
    headers: dict[str, list[str]] = field(default_factory=dict)
    query: dict[str, list[str]] = field(default_factory=dict)

    @property
    def request_id(self) -> str:
        return str(self.context["requestId"])

    @property
    def variables(self) -> Mapping[str, str]:
        return self.stage.variables

    def header_values(self, name: str) -> list[str]:
        name = name.lower()
        return next((values for known, values in self.headers.items() if known.lower() == name), [])

    def value_of(self, expression: str) -> str | None:
        """What `request.body.x`, `route.request.header.x`, `context.x`, `stageVariables.x` or `'text'` says; None: nothing."""
        if expression[:1] == "'" and expression[-1:] == "'" and len(expression) > 1:
            return expression[1:-1]
        root, _, rest = expression.partition(".")
        if root == "context":
            return context_value(self.context, rest)
        if root == "stageVariables":
            return self.variables.get(rest)
        if root == "route":
            root, _, rest = rest.partition(".")
        if root != "request":
            return None
        place, _, name = rest.partition(".")
        if place.startswith("body"):
            return body_value(self.body, rest[4:])
        values = self.query.get(name, []) if place.endswith("querystring") else self.header_values(name)
        if not values:
            return None
        return ",".join(values) if place.startswith("multivalue") else values[-1]

    def event(self) -> dict[str, Any]:
        """The event of a proxy integration."""
        event: dict[str, Any] = {}
        if self.headers:
            event["headers"] = {name: values[-1] for name, values in self.headers.items()}
            event["multiValueHeaders"] = self.headers
        if self.query:
            event["queryStringParameters"] = {name: values[-1] for name, values in self.query.items()}
            event["multiValueQueryStringParameters"] = self.query
        if self.variables:
            event["stageVariables"] = dict(self.variables)
        event["requestContext"] = self.context
        if self.context["eventType"] == "MESSAGE":
            event["body"] = self.body
        event["isBase64Encoded"] = False
        return event


def body_value(body: str, path: str) -> str | None:
    """The body itself, or what a JSON path (`.a.b`, `[0].a`) finds in it."""
    if not path:
        return body
    try:
        return found_text(orjson.loads(body), path)
    except ValueError:
        return None


def found_text(document: Any, path: str) -> str | None:
    """What a JSON path (`.a.b`) finds, as text: a list is `[a, b]`."""
    try:
        found = find_path(document, "$" + path)
    except JsonPathError:
        return None
    return None if found is None else _shown(found)


def _shown(found: Any) -> str:
    return f"[{', '.join(map(_shown, found))}]" if isinstance(found, list) else to_text(found)


def answer_value(
    call: RouteCall, expression: str, status: int, headers: Mapping[str, list[str]], body: Callable[[], str]
) -> str | None:
    """What an expression says of the integration's answer, or of the call. `headers` by lower-case name."""
    if not expression.startswith("integration.response."):
        return call.value_of(expression)
    rest = expression.removeprefix("integration.response.")
    place, _, name = rest.partition(".")
    if place.lower() == "statuscode":
        return str(status)
    if rest.startswith("body"):
        return body_value(body(), rest[4:])
    values = headers.get(name.lower())
    if not values:
        return None
    return ",".join(values) if place == "multivalueheader" else values[-1]


def error_frame(message: str, connection_id: str, request_id: str) -> str:
    """What API Gateway tells a client of a message that came to nothing."""
    return orjson.dumps({"message": message, "connectionId": connection_id, "requestId": request_id}).decode()
