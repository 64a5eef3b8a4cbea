"""Integrations: what a route's request becomes on its way to the backend, and the backend's answer on its way back."""

import asyncio
import re
from collections.abc import Awaitable
from urllib.parse import quote, urlsplit, urlunsplit

from cumulet.core.errors import Fault
from cumulet.core.http import Response
from cumulet.gateway.function_urls import InvalidFunctionResponse
from cumulet.gateway.http_api import events, services
from cumulet.gateway.http_api.backends import Backends
from cumulet.gateway.http_api.call import NOT_FORWARDED, Call
from cumulet.gateway.http_api.compiled import Integration
from cumulet.gateway.http_api.mappings import Mappings, changed_pairs
from cumulet.gateway.http_api.reading import request_reader, response_reader
from cumulet.gateway.http_api.refusals import Refusal, no_integration, server_error, unavailable

_VARIABLE = re.compile(r"\{([A-Za-z0-9._\-:]+)\+?\}")
_VIA, _MOST_HOPS = "HTTP/1.1 AmazonAPIGateway", 8
_SAFE = "/%:@!$&'()*+,;=-._~"


class Integrations:
    """Runs a route's integration."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def run(self, call: Call) -> Awaitable[Response]:
        """The route's response. Raises Refusal, at once or when what it returns is awaited."""
        integration = call.route.integration
        if integration is None:
            raise no_integration()
        if integration.subtype:
            running = self._service(call, integration, integration.subtype)
        elif integration.kind == "AWS_PROXY":
            running = self._function(call, integration)
        else:
            running = self._http(call, integration)
        return running if call.stage.log is None and not integration.responses else _changed(call, integration, running)

    async def _function(self, call: Call, integration: Integration) -> Response:
        function = integration.function
        if function is None:
            raise server_error(integration.broken)
        event = events.event_of(call, integration.payload_version)
        result = await self._backends.invoke(call, function, event, self._backends.timeout_s(integration))
        if result.function_error is not None:
            call.noted["integration.status"] = 200
            raise server_error(f"The Lambda function returned an error: {result.payload[:1000].decode('utf-8', 'replace')}")
        try:
            return events.response_of(result.payload, integration.payload_version)
        except InvalidFunctionResponse as error:
            raise server_error(f"The response from the Lambda function doesn't match the format: {error}") from None

    async def _http(self, call: Call, integration: Integration) -> Response:
        method = call.request.method if integration.method == "ANY" else integration.method
        if (call.header("via") or "").count(_VIA) >= _MOST_HOPS:
            raise Refusal(508, "Loop Detected", "The integration leads back to itself")
        url, headers = _request_of(call, integration)
        body = call.request.body
        try:
            async with asyncio.timeout(self._backends.timeout_s(integration)):
                response = await self._backends.send_http(method, url, headers, body)
        except TimeoutError:
            raise Refusal(504, "Gateway Timeout", "The integration has not answered in time") from None
        except OSError as error:
            raise unavailable(f"The integration could not be reached: {error}") from None
        kept = [pair for pair in response.headers if pair[0].lower() not in NOT_FORWARDED]
        return Response(response.status, kept, response.body)

    async def _service(self, call: Call, integration: Integration, subtype: str) -> Response:
        parameters = integration.request.parameters(request_reader(call))
        place = call.stage.place
        try:
            request, name, region = services.request_of(subtype, parameters, place.region)
            async with asyncio.timeout(self._backends.timeout_s(integration)):
                response = await self._backends.send_signed(request, name, region, place, integration.credentials)
        except services.ParameterError as error:
            raise Refusal(400, "Bad Request", str(error)) from None
        except TimeoutError:
            raise unavailable("The integration has not answered in time") from None
        except Fault as fault:
            raise server_error(fault.message) from None
        if response.status == 501:
            raise server_error(f"This node does not have {subtype}")
        headers = [pair for pair in response.headers if pair[0].lower() in ("content-type",)]
        return Response(response.status, headers, response.body)


def _request_of(call: Call, integration: Integration) -> tuple[str, list[tuple[str, str]]]:
    """(URL, headers) of the request to another server, with what the mappings make of them. Raises Refusal."""
    url = _VARIABLE.sub(lambda match: quote(call.path_parameters.get(match[1], ""), safe="/:@!$&'()*+,;=-._~"), integration.uri)
    headers = [
        (name, value)
        for name, value in call.request.headers
        if name not in NOT_FORWARDED and name not in ("host", "content-length", "forwarded")
    ]
    headers += [(spelled, value) for name, spelled, value in call.forwarded() if name == "x-amzn-trace-id"]
    forwarded = f"by={call.stage.api_id};for={call.request.source_ip};host={call.host};proto={call.request.scheme}"
    headers += [("Forwarded", forwarded), ("Via", _VIA)]
    query = call.query_pairs()
    is_query_mapped, path = False, None
    for action, place, name, value in integration.request.actions(request_reader(call)):
        if place == "header":
            headers = changed_pairs(headers, action, name, value)
        elif place == "querystring":
            query, is_query_mapped = changed_pairs(query, action, name, value), True
        elif place == "path" and value is not None:
            path = value
    try:
        parts = urlsplit(url)
    except ValueError:
        raise server_error("The integration's URI is no URL") from None
    if path is not None:
        parts = parts._replace(path=quote(path if path.startswith("/") else f"/{path}", safe=_SAFE))
    added = call.request.query
    if is_query_mapped:
        added = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    text = "&".join(part for part in (parts.query, added) if part)
    return urlunsplit(parts._replace(query=text, fragment="")), [(name, _one_line(value)) for name, value in headers]


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


async def _changed(call: Call, integration: Integration, running: Awaitable[Response]) -> Response:
    """The response as the integration's mappings leave it; what they and access logs may ask of the integration is noted."""
    response = await running
    noted = call.noted
    noted["integrationStatus"] = noted["integration.integrationStatus"] = response.status
    noted["integration.status"] = 200 if integration.function is not None else response.status
    noted["integration.requestId"] = call.request_id
    mappings = integration.responses.get(str(response.status))
    return response if mappings is None else _mapped(call, mappings, response)


def _mapped(call: Call, mappings: Mappings, response: Response) -> Response:
    body = response.body if isinstance(response.body, bytes) else b""
    status, headers = response.status, response.headers
    for action, place, name, value in mappings.actions(response_reader(call, response.headers, body)):
        if place == "header":
            headers = changed_pairs(headers, action, name, value)
        elif place == "statuscode" and value is not None and re.fullmatch(r"[2-5]\d\d", value):
            status = int(value)
    return Response(status, headers, response.body)
