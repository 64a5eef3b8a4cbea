"""What variables of mappings and identity sources say of a call."""

from collections.abc import Sequence
from typing import Any

from cumulet.gateway.http_api.call import Call
from cumulet.gateway.http_api.mappings import Read, body_value


def request_reader(call: Call) -> Read:
    def read(name: str) -> Any:
        return request_value(call, name)

    return read


def response_reader(call: Call, headers: Sequence[tuple[str, str]], body: bytes) -> Read:
    def read(name: str) -> Any:
        if not name.startswith("response."):
            return request_value(call, name)
        place, _, rest = name[9:].partition(".")
        if place == "header":
            values = [value for key, value in headers if key.lower() == rest.lower()]
            return ",".join(values) if values else None
        return body_value(body, name[13:]) if name.startswith("response.body") else None

    return read


def request_value(call: Call, name: str) -> Any:
    """`request.header.x`, `.querystring.x`, `.path`, `.path.x`, `.body…`, `context.…` and `stageVariables.x`."""
    if name.startswith("context."):
        return call.context(name[8:])
    if name.startswith("stageVariables."):
        return call.stage.variables.get(name[15:])
    if not name.startswith("request."):
        return None
    place, _, rest = name[8:].partition(".")
    if place == "header":
        return call.header(rest.lower())
    if place == "querystring":
        return call.query(rest)
    if place == "path":
        return call.path_parameters.get(rest) if rest else call.path
    if place.startswith("body"):
        return body_value(call.request.body, name[12:])
    return None
