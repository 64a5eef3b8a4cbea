"""Marker and MaxItems, as every list of Lambda's has them. Pure."""

import base64
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from cumulet.services.functions.errors import InvalidParameterValue

T = TypeVar("T")
DEFAULT_PAGE = 50


def page(items: Iterable[T], req: dict[str, Any], key: Callable[[T], str]) -> tuple[list[T], str | None]:
    """(this page's items, the next marker or None). The marker is the key of the last item shown."""
    limit = req.get("MaxItems") or DEFAULT_PAGE
    after = _read(req.get("Marker"))
    found: list[T] = []
    is_past = after is None
    for item in items:
        if not is_past:
            is_past = key(item) == after
            continue
        if len(found) == limit:
            return found, base64.urlsafe_b64encode(key(found[-1]).encode()).decode()
        found.append(item)
    return found, None


def paged(member: str, items: list[Any], marker: str | None) -> dict[str, Any]:
    return {member: items} | ({"NextMarker": marker} if marker else {})


def _read(marker: str | None) -> str | None:
    if not marker:
        return None
    try:
        return base64.urlsafe_b64decode(marker).decode()
    except ValueError:
        raise InvalidParameterValue("Invalid value for Marker") from None
