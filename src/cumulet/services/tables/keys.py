"""Key values as bytes that sort as the values do, so that an index of the store is an index of the table. Pure.

No encoding is the beginning of another of its type: keys of several parts are their parts one after the other.
"""

from base64 import b64decode
from collections.abc import Sequence

from cumulet.services.tables import numbers, sizes
from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.values import Value

MAXIMUM_HASH_BYTES = 2048
MAXIMUM_RANGE_BYTES = 1024
_END = b"\x00\x01"
_NUL = b"\x00\xff"


def encode(value: Value) -> bytes:
    """Of a normalised S, N or B. Strings sort by their UTF-8 bytes, numbers by value, binaries by unsigned bytes."""
    for kind, inner in value.items():
        if kind == "N":
            return numbers.ordered(inner)
        raw: bytes = inner.encode() if kind == "S" else b64decode(inner)
        return (raw.replace(b"\x00", _NUL) if b"\x00" in raw else raw) + _END
    raise ValueError("an empty value")


def encode_beginning(value: Value) -> bytes:
    """What the encodings of all values that begin with this S or B begin with."""
    return encode(value)[: -len(_END)]


def bounds(operator: str, values: Sequence[Value]) -> tuple[bytes, bytes | None]:
    """[first, end) of the encodings, whatever follows them, that `operator` selects; no end where nothing bounds it.

    Operators: =, <, <=, >, >=, BETWEEN, begins_with.
    """
    if operator == "begins_with":
        beginning = encode_beginning(values[0])
        return beginning, after(beginning)
    low = encode(values[0])
    if operator == "=":
        return low, after(low)
    if operator == "<":
        return b"", low
    if operator == "<=":
        return b"", after(low)
    if operator == ">":
        end = after(low)
        return (end if end is not None else low), None
    if operator == ">=":
        return low, None
    return low, after(encode(values[1]))


def after(beginning: bytes) -> bytes | None:
    """The least key that is greater than all that begin so; None: there is none."""
    stripped = beginning.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


def validate_key(name: str, value: Value, *, is_hash: bool, of_item: bool = False) -> None:
    """A key attribute of the right type is neither empty nor too long. Raises ValidationFault.

    `of_item`: the attribute came in an item (PutItem), which words it otherwise than a key does.
    """
    for kind, inner in value.items():
        if kind == "N":
            return
        if not inner:
            what = "string" if kind == "S" else "binary"
            prefix = "One or more parameter values are not valid. " if of_item else "One or more parameter values were invalid: "
            raise ValidationFault(
                f"{prefix}The AttributeValue for a key attribute cannot contain an empty {what} value. Key: {name}"
            )
        size = sizes.text_size(inner) if kind == "S" else sizes.binary_size(inner)
        if is_hash and size > MAXIMUM_HASH_BYTES:
            raise ValidationFault(
                "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes"
            )
        if not is_hash and size > MAXIMUM_RANGE_BYTES:
            raise ValidationFault(
                "One or more parameter values were invalid: "
                "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
            )
