"""Marker, MaxItems and IsTruncated, as IAM's lists have them. Pure."""

import base64
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from cumulet.services.identity.errors import InvalidInput

T = TypeVar("T")


def paged(
    member: str, items: Iterable[T], req: dict[str, Any], key: Callable[[T], str], show: Callable[[T], Any]
) -> dict[str, Any]:
    """The answer's page: items after the marker's key, at most MaxItems."""
    limit = req.get("MaxItems") or 100
    try:
        after = base64.urlsafe_b64decode(req["Marker"]).decode() if req.get("Marker") else ""
    except ValueError:
        raise InvalidInput("Invalid Marker.") from None
    rest = [item for item in items if key(item) > after]
    answer: dict[str, Any] = {member: [show(item) for item in rest[:limit]], "IsTruncated": len(rest) > limit}
    if len(rest) > limit:
        answer["Marker"] = base64.urlsafe_b64encode(key(rest[limit - 1]).encode()).decode()
    return answer
