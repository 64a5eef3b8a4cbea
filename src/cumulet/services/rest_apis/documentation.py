"""What documents an API: parts, each for a kind of thing at a place, read from OpenAPI documents and written into them. Pure.

https://docs.aws.amazon.com/apigateway/latest/api/API_DocumentationPartLocation.html
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from cumulet.services.rest_apis.errors import BadRequest
from cumulet.services.rest_apis.model import METHODS, Document

EXTENSION = "x-amazon-apigateway-documentation"
MAX_PARTS, MAX_VERSIONS = 2000, 100
MAX_CHARS = 4 * 1024 * 1024
"""Of the properties of all parts of an API: a version keeps them in one record."""
_MAX_PROPERTIES_CHARS = 65_536
_DEFAULTS = {"path": "/", "method": "*", "statusCode": "*"}
_METHOD, _ANSWER = ("path", "method"), ("path", "method", "statusCode")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "API": (),
    "AUTHORIZER": ("name",),
    "MODEL": ("name",),
    "RESOURCE": ("path",),
    "METHOD": _METHOD,
    "PATH_PARAMETER": (*_METHOD, "name"),
    "QUERY_PARAMETER": (*_METHOD, "name"),
    "REQUEST_HEADER": (*_METHOD, "name"),
    "REQUEST_BODY": (*_METHOD, "name"),
    "RESPONSE": _ANSWER,
    "RESPONSE_HEADER": (*_ANSWER, "name"),
    "RESPONSE_BODY": _ANSWER,
}
_INHERITED = frozenset(("PATH_PARAMETER", "QUERY_PARAMETER", "REQUEST_HEADER", "RESPONSE", "RESPONSE_HEADER", "RESPONSE_BODY"))
_PARAMETERS = {"path": "PATH_PARAMETER", "query": "QUERY_PARAMETER", "header": "REQUEST_HEADER", "body": "REQUEST_BODY"}
_OF_METHODS = ("summary", "description", "tags")


def checked_location(location: Mapping[str, Any]) -> Document:
    """A location with its defaults. Raises BadRequest for what its type does not have, or needs."""
    kind = location.get("type")
    fields = _FIELDS.get(str(kind))
    if fields is None:
        raise BadRequest(f"Invalid documentation part type specified: {kind}. Valid options are {', '.join(_FIELDS)}")
    given = {name: str(value) for name, value in location.items() if name != "type" and value is not None}
    for name in given:
        if name not in fields:
            raise BadRequest(f"Invalid location: '{name}' is no field of a documentation part of type {kind}")
    if "name" in fields and not given.get("name") and kind != "REQUEST_BODY":
        raise BadRequest(f"Invalid location: a documentation part of type {kind} needs a name")
    if given.get("method", "*") not in ("*", *METHODS):
        raise BadRequest(f"Invalid location: {given['method']} is no method")
    if not given.get("path", "/").startswith("/"):
        raise BadRequest("Invalid location: a path begins with '/'")
    return {"type": kind} | {name: _DEFAULTS[name] for name in fields if name in _DEFAULTS} | given


def checked_properties(properties: Any) -> str:
    """The properties of a part, as the JSON text that they are kept as. Raises BadRequest."""
    try:
        found = orjson.loads(properties) if isinstance(properties, str) else properties
        text = properties if isinstance(properties, str) else orjson.dumps(properties).decode()
    except (ValueError, TypeError):
        raise BadRequest("Documentation part properties must be valid JSON") from None
    if not isinstance(found, dict) or not found:
        raise BadRequest("Documentation part properties must be a JSON object that is not empty")
    if len(text) > _MAX_PROPERTIES_CHARS:
        raise BadRequest(f"Documentation part properties have at most {_MAX_PROPERTIES_CHARS} characters")
    return text


def same_place(part: Document, location: Document) -> bool:
    return bool(part["location"] == location)


def parts_of(openapi: Document, paths: Iterable[tuple[str, Document]]) -> list[Document]:
    """The parts that an OpenAPI document has: its descriptions, then those of the extension, which win. `paths` are (path,
    path item) with `$ref`s followed. Raises BadRequest, and what wrong types lead to."""
    found: dict[bytes, Document] = {}

    def add(location: Mapping[str, Any], properties: Any) -> None:
        checked = checked_location(location)
        found[orjson.dumps(checked, option=orjson.OPT_SORT_KEYS)] = {
            "location": checked, "properties": checked_properties(properties)
        }  # fmt: skip

    described = (openapi.get("info") or {}).get("description")
    if described:
        add({"type": "API"}, {"info": {"description": str(described)}})
    for path, item in paths:
        for location, properties in _described(path, item):
            add(location, properties)
    for part in (openapi.get(EXTENSION) or {}).get("documentationParts") or ():
        add(part["location"], part["properties"])
    return list(found.values())


def extension_of(version: Document) -> Document:
    """A documentation version as its OpenAPI extension."""
    created = datetime.fromtimestamp(version["createdDate"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    parts = [{"location": each["location"], "properties": orjson.loads(each["properties"])} for each in version["parts"]]
    return {"version": version["version"], "createdDate": created, "documentationParts": parts}


class Documentation:
    """The parts of one version, to be asked what documents a thing."""

    def __init__(self, parts: Iterable[Document] = ()) -> None:
        self._of_kind: dict[tuple[str, str], list[Document]] = {}
        for part in parts:
            location = part["location"]
            self._of_kind.setdefault((location["type"], location.get("name", "")), []).append(part)

    def find(self, kind: str, path: str = "/", method: str = "*", status: str = "*", name: str = "") -> Document:
        """The properties of the part for this place, or of the nearest that it inherits from; {} where nobody wrote one."""
        best: tuple[tuple[int, bool, bool], Document] | None = None
        for part in self._of_kind.get((kind, name), ()):
            location = part["location"]
            at = location.get("path", "/")
            is_here = at == path or (kind in _INHERITED and path.startswith(at.rstrip("/") + "/"))
            if (
                not is_here
                or location.get("method", "*") not in ("*", method)
                or location.get("statusCode", "*") not in ("*", status)
            ):
                continue
            rank = (len(at), location.get("method", "*") != "*", location.get("statusCode", "*") != "*")
            if best is None or rank > best[0]:
                best = rank, part
        return {} if best is None else dict(orjson.loads(best[1]["properties"]))


def documented(made: Document, properties: Document) -> Document:
    """A thing of an OpenAPI document with what documents it; what describes its structure stays."""
    return made | {
        name: value for name, value in properties.items() if name not in made or name in ("description", "summary", "tags")
    }


def undocumented(resources: Iterable[Document], models: Iterable[Document], authorizers: Iterable[Document]) -> Iterator[Document]:
    """The locations of all that an API has, whether documented or not."""
    yield {"type": "API"}
    for kind, named in (("MODEL", models), ("AUTHORIZER", authorizers)):
        for each in named:
            yield {"type": kind, "name": each["name"]}
    for resource in resources:
        path = resource["path"]
        yield {"type": "RESOURCE", "path": path}
        for method, document in (resource.get("resourceMethods") or {}).items():
            at = {"path": path, "method": "*" if method == "ANY" else method}
            yield {"type": "METHOD"} | at
            for expression in document.get("requestParameters") or ():
                _, _, place, name = expression.split(".", 3)
                kind = _PARAMETERS.get(place.removeprefix("multivalue").removesuffix("string"), "")
                if kind:
                    yield {"type": kind} | at | {"name": name}
            for status in document.get("methodResponses") or ():
                yield {"type": "RESPONSE"} | at | {"statusCode": status}


def _described(path: str, item: Document) -> Iterator[tuple[Document, Document]]:
    """What OpenAPI's own fields say of a path."""
    for word, operation in item.items():
        method = word.upper() if word.upper() in METHODS else "*" if word == "x-amazon-apigateway-any-method" else None
        if method is None or not isinstance(operation, dict):
            continue
        at: Document = {"path": path, "method": method}
        told = {name: operation[name] for name in _OF_METHODS if operation.get(name)}
        if told:
            yield {"type": "METHOD"} | at, told
        for parameter in [*(item.get("parameters") or ()), *(operation.get("parameters") or ())]:
            kind = _PARAMETERS.get(parameter.get("in"))
            if kind and parameter.get("description"):
                named = {} if kind == "REQUEST_BODY" else {"name": parameter["name"]}
                yield {"type": kind} | at | named, {"description": parameter["description"]}
        for status, response in (operation.get("responses") or {}).items():
            if str(status).isdigit() and response.get("description"):
                yield {"type": "RESPONSE"} | at | {"statusCode": str(status)}, {"description": response["description"]}
            for name, header in (response.get("headers") or {}).items() if str(status).isdigit() else ():
                if header.get("description"):
                    place = at | {"statusCode": str(status), "name": name}
                    yield {"type": "RESPONSE_HEADER"} | place, {"description": header["description"]}
