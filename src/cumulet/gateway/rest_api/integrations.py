"""Integrations: what a method's request becomes on its way to the backend, and the backend's answer on its way back."""

import base64
import binascii
import functools
from collections.abc import Mapping
from typing import Any

import orjson

from cumulet.core.http import Response
from cumulet.gateway.rest_api import proxy
from cumulet.gateway.rest_api.aws import ServiceCall, parse_uri
from cumulet.gateway.rest_api.backends import Backends
from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.rest_api.compiled import CompiledIntegration, CompiledResponse
from cumulet.gateway.rest_api.http_backend import HttpCall
from cumulet.gateway.rest_api.media import plain
from cumulet.gateway.rest_api.outgoing import Outgoing
from cumulet.gateway.rest_api.refusals import Refusal, server_error
from cumulet.gateway.rest_api.variables import request_value, response_value, with_stage_variables
from cumulet.gateway.templates import Template
from cumulet.gateway.templates.values import Overrides
from cumulet.gateway.templates.variables import input_of, quiet, util
from cumulet.gateway.url_door import split_prelude, whole_body

JSON_TYPE = "application/json"
_ERROR_CHARS = 4096
_MOST_MOCKED = 64


class Integrations:
    """Runs a method's integration."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._http = HttpCall(backends)
        self._service = ServiceCall(backends)

    async def run(self, call: Call) -> Response:
        """The method's response. Raises Refusal, TemplateError."""
        match call.method.integration.kind:
            case "AWS_PROXY":
                return await self._function_proxy(call)
            case "HTTP_PROXY":
                return await self._http_proxy(call)
            case "HTTP":
                outgoing = outgoing_of(call)
                return answer_of(call, await self._http.send(call, outgoing), None)
            case "MOCK":
                return mock(call)
        return await self._aws(call)

    async def _function_proxy(self, call: Call) -> Response:
        integration = call.method.integration
        function = _function_arn(call)
        event = orjson.dumps(proxy.event_of(call))
        call.note("Endpoint request body after transformations", event)
        mapped = {name.lower(): request_value(call, source) for place, name, source in integration.parameters if place == "header"}
        if mapped.get("x-amz-invocation-type") == "Event":
            await self._backends.accept(call, function, event)
            return Response(200, [("Content-Type", "application/json")], b"")
        if integration.is_streaming:
            return await self._stream(call, function, event)
        result = await self._backends.invoke(call, function, event, self._backends.timeout_s(integration))
        call.note("Endpoint response body before transformations", result.payload)
        if result.function_error is not None:
            call.note("Lambda execution failed with status 200 due to customer function error")
            raise server_error(502)
        try:
            accept = call.told("accept") or JSON_TYPE
            return proxy.response_of(result.payload, call.stage.deployment.binary, accept)
        except proxy.MalformedProxyResponse as error:
            call.note(f"Execution failed due to configuration error: Malformed Lambda proxy response: {error}")
            raise server_error(502) from None

    async def _stream(self, call: Call, function: str, event: bytes) -> Response:
        """The function's stream as the body: a prelude with status and headers comes first."""
        streamed = await self._backends.stream(call, function, event, self._backends.timeout_s(call.method.integration))
        if not streamed.is_streamed and (await streamed.result).function_error is not None:
            raise server_error(502)
        parts = streamed.parts()
        try:
            prelude, rest = await split_prelude(parts)
            response = proxy.streamed_response_of(prelude)
        except proxy.MalformedProxyResponse as error:
            await parts.aclose()
            call.note(f"Execution failed due to configuration error: Malformed Lambda proxy response: {error}")
            raise server_error(502) from None
        response.body = whole_body(streamed, parts, rest)
        return response

    async def _http_proxy(self, call: Call) -> Response:
        """All of the request goes through; what is mapped replaces what the client sent."""
        outgoing = Outgoing(call.request.method if call.method.integration.method == "ANY" else call.method.integration.method)
        outgoing.query = {name: list(values) for name, values in call.query.items()}
        outgoing.headers = {name: list(values) for name, values in call.headers.items() if name.lower() != "host"}
        outgoing.body = call.request.body
        _map_parameters(call, outgoing)
        response = await self._http.send(call, outgoing)
        return Response(response.status, proxy.remapped(response.headers), response.body)

    async def _aws(self, call: Call) -> Response:
        """A function with mapped input, or an action of a service."""
        outgoing = outgoing_of(call)
        integration = call.method.integration
        if integration.function is None:
            service = parse_uri(with_stage_variables(integration.uri, call.variables))
            return answer_of(call, await self._service.send(call, service, outgoing), None)
        function = _function_arn(call)
        payload = outgoing.body or b"{}"
        kind = next((values[-1] for name, values in outgoing.headers.items() if name.lower() == "x-amz-invocation-type"), "")
        _check_json(call, payload)
        if kind == "Event":
            await self._backends.accept(call, function, payload)
            return answer_of(call, Response(202, [], b""), None)
        result = await self._backends.invoke(call, function, payload, self._backends.timeout_s(integration))
        headers = [("Content-Type", "application/json"), ("x-amzn-RequestId", call.request_id)]
        if result.function_error is not None:
            headers.append(("X-Amz-Function-Error", result.function_error))
        response = Response(200, headers, result.payload)
        return answer_of(call, response, _function_error(result.payload) if result.function_error else None)


def mock(call: Call) -> Response:
    """The template says which status the integration has: `{"statusCode": 200}`. Raises Refusal, TemplateError."""
    known = call.method.integration.mocked
    asked = (call.told("content-type"), call.told("accept"))
    answer = (known.get(asked) or _constant_mock(call)) if call.log is None else None
    if answer is None:
        status = _checked_status(call, outgoing_of(call).body)
        return answer_of(call, Response(status, [], b""), str(status), is_mock=True)
    if asked not in known:
        if len(known) >= _MOST_MOCKED:
            known.clear()
        known[asked] = answer
    status, kind, body = answer
    return Response(status, [("Content-Type", kind)], body)


def _constant_mock(call: Call) -> tuple[int, str, bytes] | None:
    """(status, media type, body), where neither the request's template nor the response's looks anything up. Raises Refusal,
    TemplateError."""
    integration = call.method.integration
    asked = _request_template(call, integration, _kind_of(call))
    if asked is None or asked.constant_bytes is None or integration.content_handling is not None:
        return None
    chosen = _select(call, integration, str(_checked_status(call, asked.constant_bytes)))
    kind = _response_kind(call, chosen)
    body = chosen.find_constant(kind) if kind is not None else None
    return None if kind is None or body is None else (chosen.status, kind, body)


def _checked_status(call: Call, body: bytes) -> int:
    """Raises Refusal."""
    status = _mock_status(body)
    if not 100 <= status <= 599:
        call.note("Execution failed due to configuration error: Unable to parse statusCode. It should be an integer.")
        raise server_error()
    return status


@functools.lru_cache(maxsize=1024)
def _mock_status(body: bytes) -> int:
    """0 for what says none."""
    try:
        document = orjson.loads(_lenient(body)) if body.strip() else None
        return int(document["statusCode"]) if isinstance(document, dict) else 0
    except (ValueError, KeyError, TypeError):
        return 0


def _kind_of(call: Call) -> str:
    """The request's media type."""
    told = call.told("content-type")
    return plain(told) or JSON_TYPE if told else JSON_TYPE


def outgoing_of(call: Call) -> Outgoing:
    """The backend's request: parameters mapped, the body by a template or passed through. Raises Refusal, TemplateError."""
    integration = call.method.integration
    outgoing = Outgoing(call.request.method if integration.method == "ANY" else integration.method)
    _map_parameters(call, outgoing)
    kind = _kind_of(call)
    body = _request_body(call, integration, kind)
    template = _request_template(call, integration, kind)
    outgoing.headers.setdefault("Content-Type", [kind])
    if template is not None and template.constant_bytes is not None:
        outgoing.body = template.constant_bytes
        call.note("Endpoint request body after transformations", outgoing.body)
        return outgoing
    if template is None:
        outgoing.body = body if isinstance(body, bytes) else body.encode("utf-8", "replace")
        return outgoing
    override = Overrides(header=Overrides(), querystring=Overrides(), path=Overrides())
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    context = quiet(call.context)
    context["requestOverride"] = override
    outgoing.body = _rendered(call, template, text, context).encode("utf-8", "replace")
    call.note("Endpoint request body after transformations", outgoing.body)
    for name, value in _texts(override["header"]):
        outgoing.set_header(name, value)
    outgoing.query.update({name: [value] for name, value in _texts(override["querystring"])})
    outgoing.path.update(_texts(override["path"]))
    return outgoing


def _map_parameters(call: Call, outgoing: Outgoing) -> None:
    for place, name, expression in call.method.integration.parameters:
        value = request_value(call, expression)
        if value is None:
            continue
        if place == "header":
            outgoing.set_header(name, value)
        elif place == "querystring":
            values = (
                call.query.get(expression.rpartition(".")[2]) if expression.startswith("method.request.multivaluequery") else None
            )
            outgoing.query[name] = list(values or [value])
        elif place == "path":
            outgoing.path[name] = value


def _request_template(call: Call, integration: CompiledIntegration, kind: str) -> Template | None:
    """The template for the content type; None: pass the body through. Raises Refusal for a type that is not taken."""
    if kind in integration.templates.texts:
        return integration.templates.get(kind)
    if "$default" in integration.templates.texts:
        return integration.templates.get("$default")
    is_passed = integration.passthrough == "WHEN_NO_MATCH" or (
        integration.passthrough == "WHEN_NO_TEMPLATES" and not integration.templates
    )
    if not is_passed:
        raise Refusal("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type")
    return None


def _request_body(call: Call, integration: CompiledIntegration, kind: str) -> bytes | str:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-payload-encodings-workflow.html"""
    body = call.request.body
    is_binary = kind in call.stage.deployment.binary
    if integration.content_handling == "CONVERT_TO_TEXT":
        return base64.b64encode(body).decode() if is_binary else body.decode("utf-8", "replace")
    if integration.content_handling == "CONVERT_TO_BINARY" and not is_binary:
        return _decoded(body)
    return body if is_binary else body.decode("utf-8", "replace")


def answer_of(call: Call, response: Response, selection: str | None, *, is_mock: bool = False) -> Response:
    """The method's response made of the backend's. `selection` None: its status. Raises Refusal, TemplateError."""
    integration = call.method.integration
    body = response.body if isinstance(response.body, bytes) else b""
    call.note("Endpoint response body before transformations", body)
    chosen = _select(call, integration, (selection or str(response.status))[:_ERROR_CHARS])
    headers: dict[str, list[str]] = {}
    for name, value in response.headers:
        headers.setdefault(name.lower(), []).append(value)
    mapped: dict[str, str] = {}
    for name, expression in chosen.headers.items():
        found = response_value(call, expression, headers, body)
        if found is not None:
            mapped[name] = found
    status, kind = chosen.status, _response_kind(call, chosen)
    converted = _response_body(call, chosen, headers, body)
    if kind is None:
        data = converted if isinstance(converted, bytes) else converted.encode("utf-8", "replace")
        if is_mock:
            data = b""
        kind = plain((headers.get("content-type") or [JSON_TYPE])[0])
    else:
        override = Overrides(header=Overrides(), status="")
        context = quiet(call.context)
        context["responseOverride"] = override
        text = converted if isinstance(converted, str) else converted.decode("utf-8", "replace")
        data = _rendered(call, chosen.templates.get(kind), text, context).encode("utf-8", "replace")
        mapped.update(_texts(override["header"]))
        status = _overridden(override["status"], status)
        if chosen.content_handling == "CONVERT_TO_BINARY":
            data = _decoded(data)
    names = {name.lower() for name in mapped}
    shown = list(mapped.items())
    if "content-type" not in names:
        shown.append(("Content-Type", kind))
    call.note("Method response body after transformations", data)
    return Response(status, proxy.remapped(shown), data)


def _select(call: Call, integration: CompiledIntegration, value: str) -> CompiledResponse:
    for response in integration.responses:
        if response.pattern is not None and response.pattern.fullmatch(value) is not None:
            return response
    for response in integration.responses:
        if response.pattern is None:
            return response
    call.note("Execution failed due to configuration error: No match for output mapping and no default output mapping configured.")
    raise Refusal("API_CONFIGURATION_ERROR", "Internal server error")


def _response_kind(call: Call, chosen: CompiledResponse) -> str | None:
    """Which of the response's templates: what the client accepts, else JSON, else the first; None when there is none."""
    texts = chosen.templates.texts
    if not texts:
        return None
    for part in call.told("accept").split(","):
        if plain(part) in texts:
            return plain(part)
    return "application/json" if "application/json" in texts else next(iter(texts))


def _response_body(call: Call, chosen: CompiledResponse, headers: Mapping[str, list[str]], body: bytes) -> bytes | str:
    binary = call.stage.deployment.binary
    is_binary = (headers.get("content-type") or ["application/json"])[0] in binary
    is_wanted = (call.told("accept") or JSON_TYPE) in binary
    if chosen.content_handling == "CONVERT_TO_TEXT" or (chosen.content_handling is None and is_binary and not is_wanted):
        return base64.b64encode(body).decode() if is_binary else body
    if is_binary:
        return body
    if chosen.content_handling == "CONVERT_TO_BINARY" and not chosen.templates:
        return _decoded(body)
    return body


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise server_error() from None


def _rendered(call: Call, template: Template, body: str, context: dict[str, Any]) -> str:
    if template.constant is not None:
        return template.constant
    return template.render(
        {
            "input": input_of(
                body,
                call.path_parameters,
                {name: values[-1] for name, values in call.query.items()},
                {name: values[-1] for name, values in call.headers.items()},
            ),
            "util": util(),
            "context": context,
            "stageVariables": quiet(call.variables),
        }
    )


def _overridden(value: Any, status: int) -> int:
    """Only a whole number that is a status replaces one."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:4])
    return value if isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 599 else status


def _texts(values: Any) -> list[tuple[str, str]]:
    if not isinstance(values, dict):
        return []
    return [(name, value if isinstance(value, str) else orjson.dumps(value).decode()) for name, value in values.items()]


def _function_arn(call: Call) -> str:
    function = call.method.integration.function
    if function is None:
        call.note("Execution failed due to configuration error: Invalid integration URI")
        raise server_error()
    return with_stage_variables(function, call.variables)


def _function_error(payload: bytes) -> str:
    """What selection patterns are matched with when the function failed."""
    try:
        message = orjson.loads(payload).get("errorMessage")
    except (ValueError, AttributeError):
        message = None
    return message if isinstance(message, str) and message else "200"


def _check_json(call: Call, payload: bytes) -> None:
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        # Lambda's own refusal, in its words; no selection pattern is asked about it when the mapping is at fault.
        words = f"Could not parse request body into json: {error}"
        call.note(f"Execution failed due to configuration error: {words}")
        raise Refusal("API_CONFIGURATION_ERROR", words, 400) from None


def _lenient(body: bytes) -> bytes:
    """Mock templates are often written with single quotes or bare names, which API Gateway reads."""
    text = body.decode("utf-8", "replace").strip()
    try:
        orjson.loads(text)
        return text.encode()
    except orjson.JSONDecodeError:
        return text.replace("'", '"').replace("{statusCode", '{"statusCode"').replace("{ statusCode", '{ "statusCode"').encode()
