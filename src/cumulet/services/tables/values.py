"""Attribute values: `{"S": "x"}`, `{"N": "1"}` … as the wire has them. What is valid, what is equal, what is less. Pure.

A normalised value has one type, canonical numbers and canonical base64, so that equality needs no parsing. Normalising never
changes a value in place.
"""

import binascii
from base64 import b64decode
from typing import Any

from cumulet.services.tables import numbers, sizes
from cumulet.services.tables.errors import SerializationFault, ValidationFault

Value = dict[str, Any]
Item = dict[str, Value]

TYPES = ("S", "N", "B", "SS", "NS", "BS", "M", "L", "BOOL", "NULL")
ORDERED = ("S", "N", "B")
SETS = ("SS", "NS", "BS")
MAXIMUM_NESTING = 32
_EMPTY = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
_SEVERAL = "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
_INVALID = "One or more parameter values were invalid: "


def normalise_item(item: Item) -> tuple[Item, int]:
    """A whole item and the bytes it counts for. Raises ValidationFault, also where that is more than 400 KB."""
    if "" in item:
        raise ValidationFault(_INVALID + "Empty attribute name")
    size = 0
    changed: Item | None = None
    for name, value in item.items():
        size += len(name) if name.isascii() else _text_bytes(name)
        plain = _plain_size(value)
        if plain >= 0:
            size += plain
            continue
        new, bytes_ = _normalised(value, 1)
        size += bytes_
        if new is not value:
            changed = dict(item) if changed is None else changed
            changed[name] = new
    if size > sizes.MAXIMUM_ITEM_BYTES:
        raise ValidationFault("Item size has exceeded the maximum allowed size")
    return item if changed is None else changed, size


def _plain_size(value: Any) -> int:
    """Of what most values are, ASCII text or digits that need no change: the bytes they count for. -1: look closer."""
    if type(value) is not dict or len(value) != 1:
        return -1
    for kind in value:
        inner = value[kind]
        if type(inner) is not str or not inner.isascii():
            return -1
        if kind == "S":
            return len(inner)
        if kind == "N" and inner.isdigit() and len(inner) <= 38 and inner[0] != "0":
            return 1 + (len(inner) + 1) // 2 if inner[-1] != "0" else numbers.size(inner)
    return -1


def normalise(value: Any) -> Value:
    """One value. Raises ValidationFault in DynamoDB's words, SerializationFault for JSON of another shape."""
    return _normalised(value, 1)[0]


def check_updated(item: Item) -> int:
    """What an update made is within the limits, too: the bytes it counts for. Raises ValidationFault."""
    size = sizes.item_size(item)
    if size > sizes.MAXIMUM_ITEM_BYTES:
        raise ValidationFault("Item size to update has exceeded the maximum allowed size")
    for value in item.values():
        check_nesting(value)
    return size


def check_nesting(value: Value, depth: int = 1) -> None:
    if depth > MAXIMUM_NESTING:
        raise ValidationFault(
            "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
        )
    if "M" in value:
        for inner in value["M"].values():
            check_nesting(inner, depth + 1)
    elif "L" in value:
        for inner in value["L"]:
            check_nesting(inner, depth + 1)


def type_of(value: Value) -> str:
    """The one type that a normalised value has."""
    return next(iter(value))


def equals(left: Value, right: Value) -> bool:
    """Of normalised values: the same type and content; a set has no order."""
    if left == right:
        return True
    kind = type_of(left)
    if kind != type_of(right):
        return False
    mine, other = left[kind], right[kind]
    if kind in SETS:
        return len(mine) == len(other) and set(mine) == set(other)
    if kind == "L":
        return len(mine) == len(other) and all(map(equals, mine, other))
    if kind == "M":
        return mine.keys() == other.keys() and all(equals(inner, other[name]) for name, inner in mine.items())
    return False


def compare(left: Value, right: Value) -> int:
    """-1, 0 or 1; of normalised values of one type, S (by UTF-8 bytes), N or B (by unsigned bytes)."""
    kind = type_of(left)
    mine, other = left[kind], right[kind]
    if mine == other:
        return 0
    if kind == "N":
        return numbers.compare(mine, other)
    if kind == "B":
        return -1 if b64decode(mine) < b64decode(other) else 1
    return -1 if mine.encode() < other.encode() else 1


def _text_bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise SerializationFault("a string is not valid UTF-8") from None


def _normalised(value: Any, depth: int) -> tuple[Value, int]:
    """(the value, its bytes). The value itself where nothing had to change."""
    if type(value) is not dict:
        raise SerializationFault("Unexpected value type in payload")
    if len(value) != 1:
        value = _single(value)
    ((kind, inner),) = value.items()
    if depth > MAXIMUM_NESTING:
        raise ValidationFault(
            "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
        )
    if kind == "M":
        return _map(value, inner, depth)
    if kind == "L":
        return _list(value, inner, depth)
    normalise_kind = _KINDS.get(kind)
    if normalise_kind is None or inner is None:
        raise ValidationFault(_EMPTY)
    new, size = normalise_kind(inner)
    return (value if new is inner else {kind: new}), size


def _single(value: dict[str, Any]) -> Value:
    """Members that are null or unknown do not count, as in any AWS protocol."""
    given = {kind: inner for kind, inner in value.items() if inner is not None and kind in TYPES}
    if not given:
        raise ValidationFault(_EMPTY)
    if len(given) > 1:
        raise ValidationFault(_SEVERAL)
    return given


def _string(inner: Any) -> tuple[str, int]:
    if type(inner) is not str:
        raise SerializationFault(f"{_json_type(inner)} cannot be converted to String")
    return inner, len(inner) if inner.isascii() else _text_bytes(inner)


def _number(inner: Any) -> tuple[str, int]:
    if type(inner) is not str:
        raise SerializationFault(f"{_json_type(inner)} cannot be converted to String")
    text = numbers.canonical(inner)
    return text, numbers.size(text)


def _binary(inner: Any) -> tuple[str, int]:
    if type(inner) is not str:
        raise SerializationFault("only base-64-encoded strings are convertible to bytes")
    try:
        raw = b64decode(inner, validate=True)
    except (binascii.Error, ValueError):
        raise SerializationFault("Invalid base64 encoded string") from None
    canonical = binascii.b2a_base64(raw, newline=False).decode()
    return (inner if canonical == inner else canonical), len(raw)


def _boolean(inner: Any) -> tuple[bool, int]:
    if type(inner) is not bool:
        raise SerializationFault(f"{_json_type(inner)} cannot be converted to Boolean")
    return inner, 1


def _null(inner: Any) -> tuple[bool, int]:
    if type(inner) is not bool:
        raise SerializationFault(f"{_json_type(inner)} cannot be converted to Boolean")
    if not inner:
        raise ValidationFault(_INVALID + "Null attribute value types must have the value of true")
    return inner, 1


def _string_set(inner: Any) -> tuple[list[str], int]:
    members, size = _members(inner, _string)
    if not members:
        raise ValidationFault(_INVALID + "An string set  may not be empty")
    if len(set(members)) != len(members):
        raise ValidationFault(f"{_INVALID}Input collection [{', '.join(members)}] contains duplicates.")
    return members, size


def _number_set(inner: Any) -> tuple[list[str], int]:
    members, size = _members(inner, _number)
    if not members:
        raise ValidationFault(_INVALID + "An number set  may not be empty")
    if len(set(members)) != len(members):
        raise ValidationFault("Input collection contains duplicates")
    return members, size


def _binary_set(inner: Any) -> tuple[list[str], int]:
    members, size = _members(inner, _binary)
    if not members:
        raise ValidationFault(_INVALID + "Binary sets should not be empty")
    if len(set(members)) != len(members):
        raise ValidationFault(f"{_INVALID}Input collection [{', '.join(members)}]of type BS contains duplicates.")
    return members, size


def _members(inner: Any, normalise_member: Any) -> tuple[list[str], int]:
    if type(inner) is not list:
        raise SerializationFault("Unexpected field type")
    members, size = [], 0
    for member in inner:
        if member is None:
            raise ValidationFault(_INVALID + "An AttributeValue may not contain an empty set member")
        text, bytes_ = normalise_member(member)
        members.append(text)
        size += bytes_
    return (inner if members == inner else members), size


def _map(value: Value, inner: Any, depth: int) -> tuple[Value, int]:
    if type(inner) is not dict:
        raise ValidationFault(_EMPTY) if inner is None else SerializationFault("Unexpected field type")
    size = 3 + len(inner)
    changed: dict[str, Value] = {}
    for name, member in inner.items():
        if not name:
            raise ValidationFault(_INVALID + "Empty attribute name")
        size += len(name) if name.isascii() else _text_bytes(name)
        plain = _plain_size(member)
        if plain >= 0 and depth < MAXIMUM_NESTING:
            size += plain
            continue
        new, bytes_ = _normalised(member, depth + 1)
        size += bytes_
        if new is not member:
            changed[name] = new
    return ({"M": {**inner, **changed}} if changed else value), size


def _list(value: Value, inner: Any, depth: int) -> tuple[Value, int]:
    if type(inner) is not list:
        raise ValidationFault(_EMPTY) if inner is None else SerializationFault("Unexpected field type")
    size = 3 + len(inner)
    members, is_changed = [], False
    for member in inner:
        plain = _plain_size(member)
        if plain >= 0 and depth < MAXIMUM_NESTING:
            size += plain
            members.append(member)
            continue
        new, bytes_ = _normalised(member, depth + 1)
        size += bytes_
        members.append(new)
        is_changed = is_changed or new is not member
    return ({"L": members} if is_changed else value), size


def _json_type(inner: Any) -> str:
    """How the service names what JSON had there."""
    if isinstance(inner, bool):
        return "TRUE_VALUE" if inner else "FALSE_VALUE"
    if isinstance(inner, int):
        return "NUMBER_VALUE"
    if isinstance(inner, float):
        return "DECIMAL_VALUE"
    if isinstance(inner, str):
        return "STRING_VALUE"
    return "START_ARRAY" if isinstance(inner, list) else "START_OBJECT"


_KINDS = {
    "S": _string,
    "N": _number,
    "B": _binary,
    "BOOL": _boolean,
    "NULL": _null,
    "SS": _string_set,
    "NS": _number_set,
    "BS": _binary_set,
}
