"""What the operators and functions of conditions mean, on normalised values. Pure.

An operand that is missing in the item is None. Whatever does not fit (other types, nothing there) is false, never an error.
"""

from base64 import b64decode
from collections.abc import Callable

from cumulet.services.tables import sizes
from cumulet.services.tables.values import ORDERED, Value, compare, equals, type_of

Maybe = Value | None


def is_equal(left: Maybe, right: Maybe) -> bool:
    return left is not None and right is not None and equals(left, right)


def is_different(left: Maybe, right: Maybe) -> bool:
    """True, too, where one or both are missing."""
    return not is_equal(left, right)


def is_less(left: Maybe, right: Maybe) -> bool:
    return _are_ordered(left, right) and compare(left, right) < 0  # type: ignore[arg-type]


def is_at_most(left: Maybe, right: Maybe) -> bool:
    return _are_ordered(left, right) and compare(left, right) <= 0  # type: ignore[arg-type]


def is_greater(left: Maybe, right: Maybe) -> bool:
    return is_less(right, left)


def is_at_least(left: Maybe, right: Maybe) -> bool:
    return is_at_most(right, left)


def is_between(value: Maybe, low: Maybe, high: Maybe) -> bool:
    return is_at_most(low, value) and is_at_most(value, high)


def begins_with(value: Maybe, beginning: Maybe) -> bool:
    if value is None or beginning is None:
        return False
    if "S" in value and "S" in beginning:
        return bool(value["S"].startswith(beginning["S"]))
    if "B" in value and "B" in beginning:
        return b64decode(value["B"]).startswith(b64decode(beginning["B"]))
    return False


def contains(container: Maybe, member: Maybe) -> bool:
    """A part of a string or binary, an element of a set or list."""
    if container is None or member is None:
        return False
    kind = type_of(member)
    held = type_of(container)
    if held == "L":
        return any(equals(element, member) for element in container["L"])
    if held == kind == "S":
        return member["S"] in container["S"]
    if held == kind == "B":
        return b64decode(member["B"]) in b64decode(container["B"])
    return held == kind + "S" and member[kind] in container[held]


def is_of_type(value: Maybe, kind: Maybe) -> bool:
    return value is not None and kind is not None and kind.get("S") in value


def size_of(value: Maybe) -> Maybe:
    """Of what has one: UTF-16 units of a string, bytes of a binary, members of a set, list or map."""
    if value is None:
        return None
    ((kind, inner),) = value.items()
    if kind in ("N", "BOOL", "NULL"):
        return None
    if kind == "S":
        return {"N": str(len(inner) if inner.isascii() else len(inner.encode("utf-16-le")) // 2)}
    return {"N": str(sizes.binary_size(inner) if kind == "B" else len(inner))}


def _are_ordered(left: Maybe, right: Maybe) -> bool:
    if left is None or right is None:
        return False
    kind = type_of(left)
    return kind in ORDERED and kind in right


COMPARISONS: dict[str, Callable[[Maybe, Maybe], bool]] = {
    "=": is_equal,
    "<>": is_different,
    "<": is_less,
    "<=": is_at_most,
    ">": is_greater,
    ">=": is_at_least,
}
