"""What API Gateway puts into a template: `$input`, `$util`, `$context`, `$stageVariables`. Pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import orjson

from cumulet.gateway.templates.errors import TemplateError
from cumulet.gateway.templates.jsonpath import JsonPathError, find_path
from cumulet.gateway.templates.values import Callables, QuietMap, to_json, to_text

_ESCAPES = {"'": "\\'", '"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\n": "\\n", "\t": "\\t", "\f": "\\f", "\r": "\\r"}


class _EscapeTable(dict[int, str]):
    """For `str.translate`: what is not plain ASCII is worked out when it first comes."""

    def __missing__(self, code: int) -> str:
        if len(self) > 5000:
            self.clear()
        sign = chr(code)
        found = self[code] = _ESCAPES.get(sign) or (sign if 32 <= code < 127 else _unicode_escape(sign))
        return found


def input_of(body: str, path: Mapping[str, str], querystring: Mapping[str, str], header: Mapping[str, str]) -> Callables:
    """`$input`. The body is parsed when it is first looked into."""
    parameters = {"path": dict(path), "querystring": dict(querystring), "header": dict(header)}
    parsed: list[Any] = []

    def document() -> Any:
        if not parsed:
            parsed.append(_load(body) if body.strip() else {})
        return parsed[0]

    def find(expression: Any) -> Any:
        try:
            return find_path(document(), to_text(expression))
        except JsonPathError as error:
            raise TemplateError(str(error)) from None

    def params(name: Any = None) -> Any:
        if name is None:
            return QuietMap({place: QuietMap(found) for place, found in parameters.items()})
        name = to_text(name)
        for place in ("path", "querystring"):
            if name in parameters[place]:
                return parameters[place][name]
        return next((value for key, value in parameters["header"].items() if key.lower() == name.lower()), "")

    def path_of(expression: Any) -> Any:
        found = find(expression)
        return "" if found is None else found

    def json_of(expression: Any) -> str:
        found = find(expression)
        return '""' if found is None else to_json(found)

    return Callables({"path": path_of, "json": json_of, "params": params}, {"body": body}, len(body) // 2000)


def _load(body: str) -> Any:
    """A body that is no JSON is a string."""
    try:
        return orjson.loads(body.encode("utf-8", "replace"))
    except ValueError:
        return body


def util() -> Callables:
    """`$util`."""
    return Callables(
        {
            "escapeJavaScript": escape_javascript,
            "parseJson": _parse_json,
            "urlEncode": lambda text: quote_plus(to_text(text).encode("utf-8", "replace"), safe="*-._"),
            "urlDecode": lambda text: unquote_plus(to_text(text), errors="replace"),
            "base64Encode": lambda text: base64.b64encode(to_text(text).encode("utf-8", "replace")).decode(),
            "base64Decode": _base64_decode,
        }
    )


def escape_javascript(text: Any) -> str:
    """As Apache's `StringEscapeUtils.escapeJavaScript`: quotes, slashes, control characters and all beyond ASCII."""
    return to_text(text).translate(_ESCAPE_TABLE)


def _unicode_escape(sign: str) -> str:
    raw = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[at]:02X}{raw[at + 1]:02X}" for at in range(0, len(raw), 2))


_ESCAPE_TABLE = _EscapeTable()


def _parse_json(text: Any) -> Any:
    try:
        return orjson.loads(to_text(text).encode("utf-8", "replace"))
    except ValueError:
        raise TemplateError("$util.parseJson was given what is no JSON") from None


def _base64_decode(text: Any) -> str:
    try:
        return base64.b64decode(to_text(text).encode("utf-8", "replace")).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise TemplateError("$util.base64Decode was given what is no base64") from None


def quiet(values: Mapping[str, Any]) -> QuietMap:
    """`$context` or `$stageVariables`: a copy, so that a template's own #set stays with it."""
    return QuietMap(values)
