"""JSON-patch operations as API Gateway takes them: a table per noun says which paths may be changed, and how.

Paths are JSON pointers (`~1` is a slash, `~0` a tilde). Values are always strings. Pure.
https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from cumulet.services.rest_apis.errors import BadRequest
from cumulet.services.rest_apis.model import Document

Change = Callable[[Document, Sequence[str], str, str | None], None]
"""(document, path, op, value): changes the document. Raises BadRequest."""

PatchTable = Mapping[str, Change]
"""{path template: change}; a segment `*` stands for any one segment, a last `**` for one or more."""


def patched(document: Document, operations: Sequence[Mapping[str, Any]] | None, table: PatchTable) -> Document:
    """The document after all operations, in their order. Raises BadRequest naming the operation that cannot be."""
    result = deepcopy(document)
    for operation in operations or ():
        op, path = operation.get("op"), operation.get("path")
        if op not in ("add", "replace", "remove", "copy"):
            raise BadRequest(f"Invalid patch operation specified. Must be one of: [add, remove, replace, copy], but was: {op}")
        if not path or not path.startswith("/"):
            raise BadRequest("Invalid patch path: it must begin with '/'")
        segments = split_path(path)
        value = operation.get("value")
        if op == "copy":
            op, value = "replace", _read(result, split_path(operation.get("from") or ""))
        _rule_for(table, segments, path, op)(result, segments, op, value)
    return result


def split_path(path: str) -> list[str]:
    """A pointer's segments, unescaped."""
    return [segment.replace("~1", "/").replace("~0", "~") for segment in path.split("/")[1:]]


def text(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
    _set(document, path, op, value or "")


def needed(change: Change) -> Change:
    """A member that is always there: it is replaced, never removed."""

    def changed(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
        if op == "remove" or not value:
            raise BadRequest(f"Invalid patch operation '{op}' for '/{'/'.join(path)}': it must have a value")
        change(document, path, op, value)

    return changed


def boolean(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
    if op != "remove" and str(value).lower() not in ("true", "false"):
        raise BadRequest(f"Invalid value for '/{'/'.join(path)}': {value}. Must be true or false")
    _set(document, path, op, str(value).lower() == "true")


def integer(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
    try:
        _set(document, path, op, None if op == "remove" or value in (None, "") else int(value or 0))
    except ValueError:
        raise BadRequest(f"Invalid value for '/{'/'.join(path)}': {value}. Must be a number") from None


def number(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
    try:
        _set(document, path, op, None if op == "remove" else float(value or 0))
    except ValueError:
        raise BadRequest(f"Invalid value for '/{'/'.join(path)}': {value}. Must be a number") from None


def member(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
    """A list of strings whose member is the path's last segment: `/binaryMediaTypes/image~1png`."""
    members = _list_at(document, path[:-1])
    named = path[-1]
    if op == "add" and named not in members:
        members.append(named)
    elif op == "remove":
        _remove(members, named, path)
    elif op == "replace":
        _remove(members, named, path)
        members.append(str(value))


def member_value(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
    """A list of strings whose member is the value: op=add, path=/authorizationScopes, value=email."""
    if op == "replace":
        _set(document, path, op, [part for part in str(value).split(",") if part])
        return
    members = _list_at(document, path)
    if value is None:
        raise BadRequest(f"Invalid patch operation: value is required for op '{op}' at path '/{'/'.join(path)}'")
    if op == "add" and value not in members:
        members.append(value)
    elif op == "remove":
        _remove(members, str(value), path)


def item(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
    """A list's place by its number, or, as for `/endpointConfiguration/types/EDGE`, by what stands there."""
    members = _list_at(document, path[:-1])
    if op == "add":
        members.append(value)
        return
    at = int(path[-1]) if path[-1].isdigit() else members.index(path[-1]) if path[-1] in members else len(members)
    if at >= len(members):
        raise BadRequest(f"Invalid patch path '/{'/'.join(path)}': there is no such member")
    if op == "remove":
        del members[at]
    else:
        members[at] = value


def _rule_for(table: PatchTable, segments: Sequence[str], path: str, op: str) -> Change:
    for template, change in table.items():
        wanted = template.split("/")[1:]
        if wanted[-1] == "**":
            if len(segments) >= len(wanted) and _matches(wanted[:-1], segments[: len(wanted) - 1]):
                return change
        elif len(wanted) == len(segments) and _matches(wanted, segments):
            return change
    known = ", ".join(template for template in table)
    raise BadRequest(f"Invalid patch path  '{path}' specified for op '{op}'. Must be one of: [{known}]")


def _matches(wanted: Sequence[str], segments: Sequence[str]) -> bool:
    return all(want in ("*", segment) for want, segment in zip(wanted, segments, strict=True))


def _set(document: Document, path: Sequence[str], op: str, value: Any) -> None:
    place = document
    for segment in path[:-1]:
        place = place.setdefault(segment, {})
    if op == "remove" or value is None:
        place.pop(path[-1], None)
    else:
        place[path[-1]] = value


def _read(document: Document, path: Sequence[str]) -> str:
    """What stands at a path, as the text that a value of an operation is."""
    place: Any = document
    for segment in path:
        if not isinstance(place, dict) or segment not in place:
            raise BadRequest(f"Invalid patch path '/{'/'.join(path)}' to copy from")
        place = place[segment]
    if isinstance(place, dict | list) or place is None:
        raise BadRequest(f"Invalid patch path '/{'/'.join(path)}' to copy from")
    return str(place).lower() if isinstance(place, bool) else str(place)


def _list_at(document: Document, path: Sequence[str]) -> list[Any]:
    place: Any = document
    for segment in path[:-1]:
        place = place.setdefault(segment, {})
    found = place.setdefault(path[-1], [])
    if not isinstance(found, list):
        raise BadRequest(f"Invalid patch path '/{'/'.join(path)}'")
    return found


def _remove(members: list[Any], named: str, path: Sequence[str]) -> None:
    if named not in members:
        raise BadRequest(f"Invalid patch path '/{'/'.join(path)}': there is no such member")
    members.remove(named)
