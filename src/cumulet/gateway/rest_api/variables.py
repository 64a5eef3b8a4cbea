"""Values in mappings: `'literal'`, `method.request.…`, `integration.response.…`, `context.…` and `stageVariables.…` expressions,
and `${stageVariables.name}` inside ARNs and URLs. Pure.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.templates.jsonpath import JsonPathError, find_path

_STAGE_VARIABLE = re.compile(r"\$\{stageVariables\.([A-Za-z0-9_]+)\}")


def with_stage_variables(text: str, variables: Mapping[str, str]) -> str:
    """A variable that is not set leaves nothing."""
    return _STAGE_VARIABLE.sub(lambda match: variables.get(match[1], ""), text) if "${" in text else text


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def context_value(context: Mapping[str, Any], path: str) -> str | None:
    """`identity.sourceIp` of a context; None when it is not there."""
    found: Any = context
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return None if found is None else as_text(found)


def request_value(call: Call, expression: str) -> str | None:
    """What an expression says of the request; None when it says nothing."""
    if expression[:1] == "'" and expression[-1:] == "'" and len(expression) > 1:
        return expression[1:-1]
    if expression.startswith("context."):
        return context_value(call.context, expression[8:])
    if expression.startswith("stageVariables."):
        return call.variables.get(expression[15:])
    if not expression.startswith("method.request."):
        return None
    place, _, name = expression[15:].partition(".")
    if place == "body" or place.startswith("body"):
        return _body_value(call.request.body, name)
    if place == "path":
        return call.path_parameters.get(name)
    values = call.query.get(name) if "querystring" in place else call.header_values(name)
    if not values:
        return None
    return ",".join(values) if place.startswith("multivalue") else values[-1]


def response_value(call: Call, expression: str, headers: Mapping[str, list[str]], body: bytes) -> str | None:
    """What an expression says of the integration's response. `headers` by lower-case name."""
    if not expression.startswith("integration.response."):
        return request_value(call, expression)
    place, _, name = expression[21:].partition(".")
    if place == "body" or expression[21:].startswith("body"):
        return _body_value(body, name)
    values = headers.get(name.lower())
    if not values:
        return None
    return ",".join(values) if place == "multivalueheader" else values[-1]


def _body_value(body: bytes, path: str) -> str | None:
    """The body, or what a JSON path finds in it."""
    if not path:
        return body.decode("utf-8", "replace")
    try:
        found = find_path(orjson.loads(body), "$." + path)
    except (ValueError, JsonPathError):
        return None
    return None if found is None else as_text(found)
