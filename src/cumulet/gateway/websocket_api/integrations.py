"""Integrations of routes: what is asked of the backend, and what its answer becomes."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import orjson

from cumulet.gateway.rest_api.outgoing import Outgoing
from cumulet.gateway.rest_api.variables import with_stage_variables
from cumulet.gateway.templates import Template, TemplateError
from cumulet.gateway.templates.values import Overrides
from cumulet.gateway.templates.variables import input_of, quiet, util
from cumulet.gateway.websocket_api.backends import RouteBackends
from cumulet.gateway.websocket_api.call import RouteCall, answer_value, server_error
from cumulet.gateway.websocket_api.compiled import DEFAULT_KEY, CompiledIntegration, CompiledResponse

_NOT_FORWARDED = frozenset(("host", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"))


@dataclass(slots=True)
class Answer:
    """What a route's run ended with. `body` None: nothing that could be sent to a client; `headers` by lower-case name."""

    status: int
    body: str | bytes | None = None
    headers: dict[str, list[str]] = field(default_factory=dict)


class Integrations:
    def __init__(self, backends: RouteBackends) -> None:
        self._backends = backends

    async def run(self, call: RouteCall) -> Answer:
        """Raises Refused."""
        integration = call.route.integration
        if integration is None:
            raise server_error()
        try:
            match integration.kind:
                case "AWS_PROXY":
                    return await self._function_proxy(call, integration)
                case "HTTP_PROXY":
                    return await self._http_proxy(call, integration)
                case "MOCK":
                    return _mapped(call, integration, _mock(_outgoing(call, integration)))
                case "HTTP":
                    response = await self._backends.http(call, _outgoing(call, integration))
                    return _mapped(call, integration, _answer(response.status, response.headers, response.body))
            return _mapped(call, integration, await self._aws(call, integration))
        except TemplateError:
            raise server_error() from None

    async def _function_proxy(self, call: RouteCall, integration: CompiledIntegration) -> Answer:
        function, payload = _function(call, integration), orjson.dumps(call.event())
        if _is_asynchronous(call, integration):
            await self._backends.accept(call, function, payload)
            return Answer(200)
        result = await self._backends.invoke(call, function, payload, integration.timeout_s)
        if result.function_error is not None:
            raise server_error(502)
        return proxy_answer(result.payload)

    async def _http_proxy(self, call: RouteCall, integration: CompiledIntegration) -> Answer:
        """All of the request goes through; what is mapped replaces what the client sent."""
        outgoing = Outgoing(integration.method)
        outgoing.query = {name: list(values) for name, values in call.query.items()}
        outgoing.headers = {name: list(values) for name, values in call.headers.items() if name.lower() not in _NOT_FORWARDED}
        if not any(name.lower() == "content-type" for name in outgoing.headers):
            outgoing.headers["Content-Type"] = ["application/json"]
        outgoing.body = call.body.encode()
        _map_parameters(call, integration, outgoing)
        response = await self._backends.http(call, outgoing)
        return _answer(response.status, response.headers, response.body)

    async def _aws(self, call: RouteCall, integration: CompiledIntegration) -> Answer:
        outgoing = _outgoing(call, integration)
        if integration.function is None:
            response = await self._backends.service(call, outgoing)
            return _answer(response.status, response.headers, response.body)
        function = _function(call, integration)
        payload = outgoing.body or b"{}"
        try:
            orjson.loads(payload)
        except orjson.JSONDecodeError:
            raise server_error() from None
        if _is_asynchronous(call, integration):
            await self._backends.accept(call, function, payload)
            return Answer(202)
        result = await self._backends.invoke(call, function, payload, integration.timeout_s)
        headers = {"content-type": ["application/json"]}
        if result.function_error is not None:
            headers["x-amz-function-error"] = [result.function_error]
        return Answer(200, result.payload, headers)


def proxy_answer(payload: bytes) -> Answer:
    """What a function behind a proxy integration says: `statusCode`, `headers`, `body`, `isBase64Encoded`. Raises Refused."""
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise server_error(502) from None
    if not isinstance(answer, dict):
        raise server_error(502)
    status, body, headers = answer.get("statusCode"), answer.get("body"), answer.get("headers") or {}
    if isinstance(status, str) and status.isascii() and status.isdigit():
        status = int(status)
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        raise server_error(502)
    if not isinstance(body, str | None) or not isinstance(headers, dict):
        raise server_error(502)
    if answer.get("isBase64Encoded") is True and body:
        body = _decoded(body, 502)
    found = {name.lower(): [str(value)] for name, value in headers.items() if isinstance(value, str | int | float)}
    return Answer(status, body, found)


def _outgoing(call: RouteCall, integration: CompiledIntegration) -> Outgoing:
    """The backend's request: parameters mapped, the body by a template or passed through. Raises Refused, TemplateError."""
    outgoing = Outgoing(integration.method)
    _map_parameters(call, integration, outgoing)
    outgoing.headers.setdefault("Content-Type", ["application/json"])
    template = _request_template(call, integration)
    if template is None:
        is_binary = integration.content_handling == "CONVERT_TO_BINARY"
        outgoing.body = _decoded(call.body, 500) if is_binary and call.body else call.body.encode()
        return outgoing
    override = Overrides(header=Overrides(), querystring=Overrides(), path=Overrides())
    context = quiet(call.context)
    context["requestOverride"] = override
    outgoing.body = _rendered(call, template, call.body, context).encode("utf-8", "replace")
    for name, value in _texts(override["header"]):
        outgoing.set_header(name, value)
    outgoing.query.update({name: [value] for name, value in _texts(override["querystring"])})
    outgoing.path.update(_texts(override["path"]))
    return outgoing


def _map_parameters(call: RouteCall, integration: CompiledIntegration, outgoing: Outgoing) -> None:
    for place, name, expression in integration.parameters:
        value = call.value_of(expression)
        if value is None:
            continue
        if place == "header":
            outgoing.set_header(name, value)
        elif place == "querystring":
            outgoing.query[name] = [value]
        elif place == "path":
            outgoing.path[name] = value


def _request_template(call: RouteCall, integration: CompiledIntegration) -> Template | None:
    """The template that the selection names; None: pass the body through. Raises Refused, TemplateError."""
    templates = integration.templates
    key = integration.template_key.evaluate(call.value_of) if integration.template_key is not None else DEFAULT_KEY
    for each in (key, DEFAULT_KEY):
        if each in templates.texts:
            return templates.get(each)
    if integration.template_key is None and "application/json" in templates.texts:
        return templates.get("application/json")
    if integration.passthrough == "NEVER" or (integration.passthrough == "WHEN_NO_TEMPLATES" and templates):
        raise server_error()
    return None


def _is_asynchronous(call: RouteCall, integration: CompiledIntegration) -> bool:
    """Whether a header that is mapped for it asks for an event instead of a call."""
    names = {name.lower(): expression for place, name, expression in integration.parameters if place == "header"}
    return call.value_of(names.get("x-amz-invocation-type", "")) == "Event"


def _mock(outgoing: Outgoing) -> Answer:
    """The template says which status the integration has (`{"statusCode": 200}`); without one it is 200."""
    try:
        document = orjson.loads(outgoing.body) if outgoing.body.strip() else None
    except orjson.JSONDecodeError:
        document = None
    status = document.get("statusCode", 200) if isinstance(document, dict) else 200
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        raise server_error()
    return Answer(status)


def _answer(status: int, headers: list[tuple[str, str]], body: Any) -> Answer:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return Answer(status, body if isinstance(body, bytes) else b"", found)


def _mapped(call: RouteCall, integration: CompiledIntegration, raw: Answer) -> Answer:
    """The backend's answer by the integration response that its key selects; without one it passes. Raises TemplateError."""

    def body() -> str:
        found = raw.body or ""
        return found if isinstance(found, str) else found.decode("utf-8", "replace")

    def value_of(expression: str) -> str | None:
        return answer_value(call, expression, raw.status, raw.headers, body)

    chosen = _select(integration, integration.response_key.evaluate(value_of) if integration.response_key else str(raw.status))
    if chosen is None:
        return Answer(raw.status, body() if raw.body is not None else None, {})
    headers = {name.lower(): [value] for name, expression in chosen.headers.items() if (value := value_of(expression)) is not None}
    template = _response_template(chosen, value_of)
    if template is None:
        return Answer(raw.status, _converted(chosen, raw.body), headers)
    context = quiet(call.context)
    context["responseOverride"] = override = Overrides(header=Overrides(), status="")
    text = _rendered(call, template, body(), context)
    headers.update({name.lower(): [value] for name, value in _texts(override["header"])})
    status = override["status"]
    if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599:
        raw.status = status
    return Answer(raw.status, _converted(chosen, text), headers)


def _select(integration: CompiledIntegration, key: str) -> CompiledResponse | None:
    for response in integration.responses:
        if response.key == key or (response.pattern is not None and response.pattern.fullmatch(key) is not None):
            return response
    return next((response for response in integration.responses if response.key == DEFAULT_KEY), None)


def _response_template(chosen: CompiledResponse, value_of: Any) -> Template | None:
    texts = chosen.templates.texts
    key = chosen.template_key.evaluate(value_of) if chosen.template_key is not None else DEFAULT_KEY
    found = next((each for each in (key, DEFAULT_KEY, "application/json") if each in texts), None)
    return chosen.templates.get(found) if found is not None else None


def _converted(chosen: CompiledResponse, body: str | bytes | None) -> str | bytes | None:
    if chosen.content_handling == "CONVERT_TO_TEXT" and isinstance(body, bytes):
        return base64.b64encode(body).decode()
    if chosen.content_handling == "CONVERT_TO_BINARY" and body:
        return _decoded(body, 500)
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else body


def _decoded(body: str | bytes, status: int) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise server_error(status) from None


def _rendered(call: RouteCall, template: Template, body: str, context: dict[str, Any]) -> str:
    if template.constant is not None:
        return template.constant
    querystring = {name: values[-1] for name, values in call.query.items()}
    header = {name: values[-1] for name, values in call.headers.items()}
    return template.render(
        {
            "input": input_of(body, {}, querystring, header),
            "util": util(),
            "context": context,
            "stageVariables": quiet(call.variables),
        }
    )


def _texts(values: Any) -> list[tuple[str, str]]:
    if not isinstance(values, dict):
        return []
    return [(name, value if isinstance(value, str) else orjson.dumps(value).decode()) for name, value in values.items()]


def _function(call: RouteCall, integration: CompiledIntegration) -> str:
    if integration.function is None:
        raise server_error()
    return with_stage_variables(integration.function, call.variables)
