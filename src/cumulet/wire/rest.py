"""HTTP bindings of the REST protocols: paths, queries and headers of requests, headers of responses."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from cumulet.core.http import Request
from cumulet.wire.models import OperationModel, Shape
from cumulet.wire.values import (
    SerializationFault,
    format_blob,
    format_scalar,
    format_timestamp,
    parse_blob,
    parse_scalar,
    parse_timestamp,
)

_MOST_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Route:
    """An operation's method and path template, compiled. `query` are literals that must be in the query."""

    method: str
    pattern: re.Pattern[str]
    query: tuple[tuple[str, str], ...]
    rank: tuple[int, ...]
    operation: str


def compile_route(operation: OperationModel) -> Route:
    """The route of an operation; routes with a smaller rank are tried first: a path's end (with a slash or not) before literals
    before labels before greedy labels."""
    path, _, query = operation.http["requestUri"].partition("?")
    pattern, rank = "", []
    for segment in path.strip("/").split("/"):
        label = re.fullmatch(r"\{([^}+]+)(\+?)\}", segment)
        if label:
            pattern += f"/(?P<{_group(label[1])}>{'.+' if label[2] else '[^/]*'})"
            rank.append(2 if label[2] else 1)
        else:
            pattern += "/" + re.escape(segment)
            rank.append(0)
    literals = tuple(parse_qsl(query, keep_blank_values=True))
    # A path with more query literals is the more special one.
    return Route(operation.http["method"], re.compile(pattern + "/?"), literals, (*rank, -1, -len(literals)), operation.name)


def _group(label: str) -> str:
    """A label as the name of a group in a pattern."""
    return re.sub(r"\W", "_", label)


class Routes:
    """A service's routes. What paths without a query mean is remembered: clients ask again and again at few of them."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=lambda route: route.rank)
        self._known: dict[tuple[str, str], str | None] = {}

    def match(self, request: Request) -> str | None:
        """The operation that the request's method and path mean, None when there is none."""
        if request.query:
            return _match_route(self._routes, request)
        place = (request.method, request.path)
        if place not in self._known:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[place] = _match_route(self._routes, request)
        return self._known[place]


def _match_route(routes: list[Route], request: Request) -> str | None:
    for route in routes:
        if route.method == request.method and route.pattern.fullmatch(request.path):
            if route.query:
                given = dict(parse_qsl(request.query, keep_blank_values=True))
                if not all(given.get(name) == value for name, value in route.query):
                    continue
            return route.operation
    return None


class RequestBindings:
    """What of an operation's input is in the path, the query and the headers; `body_members` is what remains."""

    def __init__(self, operation: OperationModel, shape: Shape | None) -> None:
        route = compile_route(operation)
        self._pattern = route.pattern
        self._literals = {name for name, _ in route.query}
        self.payload = shape.serialization.get("payload") if shape is not None else None
        self.body_members: list[str] = []
        self._labels: list[tuple[str, str, Shape]] = []
        self._query: list[tuple[str, str, Shape]] = []
        self._headers: list[tuple[str, str, Shape]] = []
        self._header_names: set[str] = set()
        self._query_maps: list[tuple[str, Shape]] = []
        self._header_maps: list[tuple[str, str]] = []
        for name, member in shape.members.items() if shape is not None else ():
            wire_name = member.serialization.get("name", name)
            match member.serialization.get("location"):
                case "uri":
                    self._labels.append((name, wire_name, member))
                case "querystring" if member.type_name == "map":
                    self._query_maps.append((name, member))
                case "querystring":
                    self._query.append((name, wire_name, member))
                case "header":
                    self._headers.append((name, wire_name.lower(), member))
                    self._header_names.add(wire_name.lower())
                case "headers":
                    self._header_maps.append((name, wire_name.lower()))
                case _ if name != self.payload:
                    self.body_members.append(name)

    def decode(self, request: Request) -> dict[str, Any]:
        result: dict[str, Any] = {}
        if self._labels:
            match = self._pattern.fullmatch(request.path)
            for name, wire_name, member in self._labels:
                try:
                    text = unquote(match[_group(wire_name)], errors="strict") if match else ""
                except UnicodeDecodeError:
                    raise SerializationFault(f"{name} is not UTF-8") from None
                result[name] = _from_text(member, text, name, "iso8601")
        if request.query and (self._query or self._query_maps):
            self._decode_query(request.query, result)
        given: dict[str, str] = {}
        for key, value in request.headers:
            if key in self._header_names:
                given[key] = f"{given[key]},{value}" if key in given else value
        if given:
            for name, wire_name, member in self._headers:
                if wire_name in given:
                    result[name] = _from_text(member, given[wire_name], name, "rfc822")
        for name, prefix in self._header_maps:
            result[name] = {key[len(prefix) :]: value for key, value in request.headers if key.startswith(prefix)}
        return result

    def _decode_query(self, query: str, result: dict[str, Any]) -> None:
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=1000)
        except ValueError as error:
            raise SerializationFault(f"the query string cannot be read: {error}") from None
        for name, wire_name, member in self._query:
            found = [value for key, value in pairs if key == wire_name]
            if found and member.type_name == "list":
                result[name] = [_from_text(member.member, value, name, "iso8601") for value in found]
            elif found:
                result[name] = _from_text(member, found[0], name, "iso8601")
        taken = self._literals | {wire_name for _, wire_name, _ in self._query}
        for name, member in self._query_maps:
            rest: dict[str, Any] = {}
            for key, value in pairs:
                if key not in taken:
                    if member.value.type_name == "list":
                        rest.setdefault(key, []).append(value)
                    else:
                        rest[key] = value
            result[name] = rest


class ResponseBindings:
    """What of an operation's output is in the headers and the status; `body_members` is what remains."""

    def __init__(self, shape: Shape | None) -> None:
        self.payload = shape.serialization.get("payload") if shape is not None else None
        self.body_members: list[str] = []
        self._headers: list[tuple[str, str, Callable[[Any], str]]] = []
        self._header_maps: list[tuple[str, str]] = []
        self._status: str | None = None
        for name, member in shape.members.items() if shape is not None else ():
            wire_name = member.serialization.get("name", name)
            match member.serialization.get("location"):
                case "header":
                    self._headers.append((name, wire_name, _header_encoder(member)))
                case "headers":
                    self._header_maps.append((name, wire_name))
                case "statusCode":
                    self._status = name
                case _ if name != self.payload:
                    self.body_members.append(name)

    def encode(self, result: dict[str, Any]) -> tuple[int | None, list[tuple[str, str]]]:
        """(status or None, headers)."""
        headers = [(wire_name, encode(result[name])) for name, wire_name, encode in self._headers if result.get(name) is not None]
        for name, prefix in self._header_maps:
            headers += [(prefix + key, value) for key, value in (result.get(name) or {}).items()]
        return (result.get(self._status) if self._status else None), headers


def _from_text(shape: Shape, text: str, where: str, timestamp_style: str) -> Any:
    kind = shape.type_name
    if kind == "timestamp":
        return parse_timestamp(text, where)
    if kind == "blob":
        return parse_blob(text, where)
    if kind == "list":
        return [_from_text(shape.member, item.strip().strip('"'), where, timestamp_style) for item in text.split(",")]
    if kind == "string" and shape.serialization.get("jsonvalue"):
        try:
            return orjson.loads(parse_blob(text, where))
        except ValueError:
            raise SerializationFault(f"{where} is not JSON") from None
    return parse_scalar(kind, text, where)


def _header_encoder(shape: Shape) -> Callable[[Any], str]:
    kind = shape.type_name
    if kind == "timestamp":
        style = shape.serialization.get("timestampFormat", "rfc822")
        return lambda value: format_timestamp(value, style)
    if kind == "blob":
        return format_blob
    if kind == "list":
        each = _header_encoder(shape.member)
        return lambda value: ",".join(each(item) for item in value)
    if kind == "string" and shape.serialization.get("jsonvalue"):
        return lambda value: format_blob(orjson.dumps(value))
    return lambda value: format_scalar(kind, value)
