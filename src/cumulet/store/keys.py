"""Order-preserving keys from tuples: the only place that knows how a composite key is spelled in bytes.

Strings and bytes are escaped (0x00 becomes 0x00 0xFF) and end with 0x00 0x01, so that ("a", "b") sorts before ("a!",) and no
key is a false prefix of another; integers are 8 bytes, sign bit flipped, big-endian. A tuple sorts as Python sorts it,
within one type per place.
"""

from typing import TypeAlias

Part: TypeAlias = str | bytes | int

_TEXT, _BYTES, _INT = b"\x02", b"\x03", b"\x04"
_END = b"\x00\x01"


def pack(*parts: Part) -> bytes:
    """The key of a tuple. Integers must fit in 64 bits, signed."""
    return b"".join([_pack_part(part) for part in parts])


def pack_integer(number: int) -> bytes:
    """`pack(number)`, for those who make many."""
    return _INT + (number + (1 << 63)).to_bytes(8, "big")


def unpack(key: bytes) -> tuple[Part, ...]:
    """The tuple of a key that `pack` made."""
    parts: list[Part] = []
    at = 0
    while at < len(key):
        kind, at = key[at : at + 1], at + 1
        if kind == _INT:
            parts.append(int.from_bytes(key[at : at + 8], "big") - (1 << 63))
            at += 8
            continue
        end = key.index(_END, at)
        raw = key[at:end].replace(b"\x00\xff", b"\x00")
        parts.append(raw.decode("utf-8", "surrogatepass") if kind == _TEXT else raw)
        at = end + len(_END)
    return tuple(parts)


def prefix_range(*parts: Part) -> tuple[bytes, bytes]:
    """(start, end) of all keys whose tuple begins with `parts`: for `scan`."""
    prefix = pack(*parts)
    return prefix, prefix + b"\xff"


def after(key: bytes) -> bytes:
    """The smallest key greater than `key`: where the next page starts."""
    return key + b"\x00"


def _pack_part(part: Part) -> bytes:
    if isinstance(part, str):
        return _TEXT + part.encode("utf-8", "surrogatepass").replace(b"\x00", b"\x00\xff") + _END
    if isinstance(part, bytes):
        return _BYTES + part.replace(b"\x00", b"\x00\xff") + _END
    return pack_integer(part)
