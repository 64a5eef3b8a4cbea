"""Parameter mappings of integrations: what to overwrite, append and remove, with values that are read from the request, the
response and the context. Compiled once.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from cumulet.gateway.templates.jsonpath import JsonPathError, find_path

_NAME = r"(?:request|response|context|stageVariables)\b[^\s{}]*"
_VARIABLE = re.compile(rf"\$\{{({_NAME})\}}|\$({_NAME})")
_READ_BYTES = 100 * 1024

Read = Callable[[str], Any]
"""`request.header.x`, `response.body.y`, `context.z`, `stageVariables.a` -> value; None where there is none."""


class Value:
    """A text with variables in it."""

    def __init__(self, text: str) -> None:
        pieces = _VARIABLE.split(text)
        self._texts = pieces[::3]
        self._names = [braced or bare for braced, bare in zip(pieces[1::3], pieces[2::3], strict=True)]

    def text(self, read: Read) -> str | None:
        """None when the value is one variable that says nothing."""
        if not self._names:
            return self._texts[0]
        found = [read(name) for name in self._names]
        if len(found) == 1 and found[0] is None and self._texts == ["", ""]:
            return None
        text = self._texts[0]
        for value, after in zip(found, self._texts[1:], strict=True):
            text += as_text(value) + after
        return text


class Mappings:
    """{`overwrite:header.name`: value} of an integration, or the parameters of a service: {`QueueUrl`: value}."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._values = [(target, Value(text)) for target, text in given.items()]

    def __bool__(self) -> bool:
        return bool(self._values)

    def parameters(self, read: Read) -> dict[str, str]:
        """Those that say something, by target."""
        return {target: text for target, value in self._values if (text := value.text(read)) is not None}

    def actions(self, read: Read) -> Iterator[tuple[str, str, str, str | None]]:
        """(action, place, name, value): place is header, querystring, path or statuscode."""
        for target, value in self._values:
            action, _, where = target.partition(":")
            place, _, name = where.partition(".")
            yield action, place, name, None if action == "remove" else value.text(read)


def as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def body_value(body: bytes, path: str) -> Any:
    """The body (path ""), or what a JSON path finds in its first 100 KB."""
    if not path:
        return body.decode("utf-8", "replace")
    try:
        return find_path(orjson.loads(body[:_READ_BYTES]), "$" + path)
    except (ValueError, JsonPathError):
        return None


def changed_pairs(pairs: list[tuple[str, str]], action: str, name: str, value: str | None) -> list[tuple[str, str]]:
    """Headers or query parameters after one action. What would be set to nothing stays as it is."""
    if action != "remove" and value is None:
        return pairs
    lower = name.lower()
    kept = pairs if action == "append" else [pair for pair in pairs if pair[0].lower() != lower]
    return kept if value is None or action == "remove" else [*kept, (name, value)]
