"""How many bytes an item counts for: in limits, in capacity, in pages of 1 MB.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""

from typing import Any

from cumulet.services.tables import numbers

MAXIMUM_ITEM_BYTES = 400 * 1024
_CONTAINER_BYTES = 3


def item_size(item: dict[str, Any]) -> int:
    """Names and values, in UTF-8. Of a normalised item."""
    return sum(text_size(name) + value_size(value) for name, value in item.items())


def value_size(value: dict[str, Any]) -> int:
    ((kind, inner),) = value.items()
    if kind == "S":
        return text_size(inner)
    if kind == "N":
        return numbers.size(inner)
    if kind == "B":
        return binary_size(inner)
    if kind in ("BOOL", "NULL"):
        return 1
    if kind == "M":
        return _CONTAINER_BYTES + len(inner) + item_size(inner)
    if kind == "L":
        return _CONTAINER_BYTES + len(inner) + sum(map(value_size, inner))
    if kind == "SS":
        return sum(map(text_size, inner))
    if kind == "NS":
        return sum(map(numbers.size, inner))
    return sum(map(binary_size, inner))


def text_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def binary_size(text: str) -> int:
    """Of canonical base64."""
    return len(text) // 4 * 3 - text.count("=", -2)
