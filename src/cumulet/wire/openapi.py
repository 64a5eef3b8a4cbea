"""OpenAPI documents from their text, JSON or YAML, and the references within them. Pure; knows no service and no extension."""

from typing import Any

import orjson
import yaml

MAXIMUM_BYTES = 6 * 1024 * 1024
_MAXIMUM_NODES = 500_000
_MOST_LINKS = 20


class OpenApiError(ValueError):
    """The text is no OpenAPI document; its own words say why."""


def load_openapi(body: bytes) -> dict[str, Any]:
    """Raises OpenApiError."""
    document = _loaded(body)
    if not isinstance(document, dict) or not ("swagger" in document or "openapi" in document):
        raise OpenApiError("Invalid OpenAPI input: it needs 'swagger: 2.0' or 'openapi: 3.x'")
    return document


def resolved(document: dict[str, Any], value: Any) -> Any:
    """What a local `$ref` leads to. Raises ValueError, KeyError, TypeError."""
    for _ in range(_MOST_LINKS):
        if not isinstance(value, dict) or not isinstance(value.get("$ref"), str):
            return value
        found: Any = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        value = found
    raise ValueError("references lead in a circle")


def _loaded(body: bytes) -> Any:
    if len(body) > MAXIMUM_BYTES:
        raise OpenApiError(f"Invalid OpenAPI input: larger than {MAXIMUM_BYTES} bytes")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        document = yaml.safe_load(body)
        _check_size(document)
        return orjson.loads(orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, TypeError, RecursionError):
        raise OpenApiError("Unable to parse API definition because of a malformed integration at path / or invalid YAML") from None


def _check_size(document: Any) -> None:
    """Aliases make a small text an endless document: it is counted as it would be written out."""
    count, waiting = 0, [document]
    while waiting:
        value = waiting.pop()
        count += 1
        if count > _MAXIMUM_NODES:
            raise ValueError("too large")
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
