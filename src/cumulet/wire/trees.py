"""Values in JSON and CBOR bodies: closures compiled once per shape, from and to plain trees of dicts, lists and scalars.

A tree comes from a parser and may hold anything; decoding checks every type and names the place that is wrong.
"""

from collections.abc import Callable
from typing import Any

from cumulet.wire.models import Shape
from cumulet.wire.values import (
    SPECIAL_FLOATS,
    SerializationFault,
    format_blob,
    format_scalar,
    format_timestamp,
    parse_blob,
    parse_timestamp,
    seconds_of,
)

Convert = Callable[[Any, str], Any]
"""(value, where it stands) -> value"""


class TreeCodec:
    """One format's decoders and encoders by shape. `is_binary`: the format has bytes, timestamps and NaN of its own (CBOR).

    Shapes named in `opaque`, and maps and lists of them, are neither read nor written: what the parser gave is handed on, and
    what the service gives goes out as it is.
    """

    def __init__(self, *, is_binary: bool, opaque: frozenset[str] = frozenset()) -> None:
        self._is_binary = is_binary
        self._opaque = opaque
        self._decoders: dict[str, Convert] = {}
        self._encoders: dict[str, Callable[[Any], Any]] = {}

    def decoder(self, shape: Shape) -> Convert:
        known = self._decoders.get(shape.name)
        if known is None:
            # Shapes may be recursive: a call by name stands in until the closure is there.
            self._decoders[shape.name] = lambda value, where: self._decoders[shape.name](value, where)
            known = self._decoders[shape.name] = self._make_decoder(shape)
        return known

    def encoder(self, shape: Shape) -> Callable[[Any], Any]:
        known = self._encoders.get(shape.name)
        if known is None:
            self._encoders[shape.name] = lambda value: self._encoders[shape.name](value)
            known = self._encoders[shape.name] = self._make_encoder(shape)
        return known

    def members(self, shape: Shape, names: list[str]) -> Convert:
        """A decoder of a structure's body of which only some members are in the body."""
        return self._structure_decoder(shape, names)

    def _make_decoder(self, shape: Shape) -> Convert:
        kind = shape.type_name
        if is_opaque(shape, self._opaque):
            return _opaque_decoder(kind)
        if kind == "structure":
            if getattr(shape, "is_document_type", False):
                return lambda value, where: value
            return self._structure_decoder(shape, list(shape.members))
        if kind == "list":
            return self._list_decoder(self.decoder(shape.member))
        if kind == "map":
            return self._map_decoder(self.decoder(shape.value))
        return {
            "string": _string,
            "character": _string,
            "boolean": _boolean,
            "integer": _integer,
            "long": _integer,
            "float": _float,
            "double": _float,
            "timestamp": parse_timestamp if not self._is_binary else _binary_timestamp,
            "blob": parse_blob if not self._is_binary else _bytes,
        }[kind]

    def _structure_decoder(self, shape: Shape, names: list[str]) -> Convert:
        fields = [(shape.members[name].serialization.get("name", name), name, self.decoder(shape.members[name])) for name in names]

        def decode(value: Any, where: str) -> Any:
            if not isinstance(value, dict):
                raise SerializationFault(f"{where or 'The request'} must be an object")
            result = {}
            for wire_name, name, convert in fields:
                found = value.get(wire_name)
                if found is not None:
                    result[name] = convert(found, f"{where}.{name}" if where else name)
            return result

        return decode

    def _list_decoder(self, convert: Convert) -> Convert:
        def decode(value: Any, where: str) -> Any:
            if not isinstance(value, list):
                raise SerializationFault(f"{where} must be a list")
            return [None if item is None else convert(item, where) for item in value]

        return decode

    def _map_decoder(self, convert: Convert) -> Convert:
        def decode(value: Any, where: str) -> Any:
            if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
                raise SerializationFault(f"{where} must be a map")
            return {key: convert(item, where) for key, item in value.items() if item is not None}

        return decode

    def _make_encoder(self, shape: Shape) -> Callable[[Any], Any]:
        kind = shape.type_name
        if is_opaque(shape, self._opaque):
            return lambda value: value
        if kind == "structure":
            if getattr(shape, "is_document_type", False):
                return lambda value: value
            fields = {
                name: (member.serialization.get("name", name), self.encoder(member)) for name, member in shape.members.items()
            }
            return lambda value: {
                fields[name][0]: fields[name][1](item) for name, item in value.items() if item is not None and name in fields
            }
        if kind == "list":
            each = self.encoder(shape.member)
            return lambda value: [each(item) for item in value]
        if kind == "map":
            of_value = self.encoder(shape.value)
            return lambda value: {key: of_value(item) for key, item in value.items() if item is not None}
        if kind == "timestamp":
            return self._timestamp_encoder(shape)
        if kind == "blob" and not self._is_binary:
            return format_blob
        if kind in ("float", "double") and not self._is_binary:
            return lambda value: value if value - value == 0 else format_scalar("double", value)
        return lambda value: value

    def _timestamp_encoder(self, shape: Shape) -> Callable[[Any], Any]:
        if self._is_binary:
            from datetime import UTC, datetime

            return lambda value: datetime.fromtimestamp(seconds_of(value), UTC)
        style = shape.serialization.get("timestampFormat", "unixTimestamp")
        if style == "unixTimestamp":

            def encode(value: Any) -> Any:
                seconds = seconds_of(value)
                return int(seconds) if seconds == int(seconds) else round(seconds, 3)

            return encode
        return lambda value: format_timestamp(value, style)


def is_opaque(shape: Shape, names: frozenset[str]) -> bool:
    """Whether a shape is one of `names`, or a map or list of such."""
    while shape.name not in names:
        if not names or shape.type_name not in ("map", "list"):
            return False
        shape = shape.value if shape.type_name == "map" else shape.member
    return True


def _opaque_decoder(kind: str) -> Convert:
    wanted, words = (list, "a list") if kind == "list" else (dict, "an object")

    def decode(value: Any, where: str) -> Any:
        if not isinstance(value, wanted):
            raise SerializationFault(f"{where} must be {words}")
        return value

    return decode


def _string(value: Any, where: str) -> Any:
    if not isinstance(value, str):
        raise SerializationFault(f"{where} must be a string")
    return value


def _boolean(value: Any, where: str) -> Any:
    if not isinstance(value, bool):
        raise SerializationFault(f"{where} must be true or false")
    return value


def _integer(value: Any, where: str) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise SerializationFault(f"{where} must be a whole number")
    return value


def _float(value: Any, where: str) -> Any:
    if isinstance(value, str) and value in SPECIAL_FLOATS:
        return SPECIAL_FLOATS[value]
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise SerializationFault(f"{where} must be a number")
    return float(value)


def _bytes(value: Any, where: str) -> Any:
    if not isinstance(value, bytes):
        raise SerializationFault(f"{where} must be a byte string")
    return value


def _binary_timestamp(value: Any, where: str) -> Any:
    from datetime import datetime

    return value if isinstance(value, datetime) else parse_timestamp(value, where)
