"""Query-protocol requests: `Name.member.1.Field=value` pairs into nested values."""

from typing import Any
from urllib.parse import parse_qsl

from cumulet.wire.models import Shape
from cumulet.wire.values import SerializationFault, parse_blob, parse_scalar, parse_timestamp

_MAX_PAIRS = 20_000
_MAX_DEPTH = 40

Tree = dict[str, Any]
"""A node: its children by name, and its own value under the name ""."""


def parse_form(text: str) -> Tree:
    """All pairs as a tree by their dotted names. Raises SerializationFault."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=_MAX_PAIRS, errors="strict")
    except ValueError as error:
        raise SerializationFault(f"the form cannot be read: {error}") from None
    root: Tree = {}
    for name, value in pairs:
        parts = name.split(".")
        if len(parts) > _MAX_DEPTH:
            raise SerializationFault("a parameter's name has too many parts")
        node = root
        for part in parts:
            node = node.setdefault(part, {}) if part else node
        node[""] = value
    return root


def decode_form(shape: Shape, node: Tree, where: str = "") -> Any:
    """The value of a shape at a node of the tree."""
    kind = shape.type_name
    if kind == "structure":
        result = {}
        for name, member in shape.members.items():
            found = node.get(_wire_name(name, member))
            if isinstance(found, dict):
                result[name] = decode_form(member, found, f"{where}.{name}" if where else name)
        return result
    if kind == "list":
        items = node if shape.serialization.get("flattened") else node.get(shape.member.serialization.get("name", "member"), {})
        return [decode_form(shape.member, item, where) for item in _numbered(items)]
    if kind == "map":
        entries = node if shape.serialization.get("flattened") else node.get("entry", {})
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        return {
            _text(entry.get(key_name, {}), where): decode_form(shape.value, entry.get(value_name, {"": ""}), where)
            for entry in _numbered(entries)
        }
    text = _text(node, where)
    if kind == "timestamp":
        return parse_timestamp(text, where)
    if kind == "blob":
        return parse_blob(text, where)
    return parse_scalar(kind, text, where)


def _wire_name(name: str, member: Shape) -> str:
    """A flattened list is called as its items are."""
    if member.type_name == "list" and member.serialization.get("flattened"):
        return str(member.member.serialization.get("name") or member.serialization.get("name", name))
    return str(member.serialization.get("name", name))


def _numbered(node: Tree) -> list[Tree]:
    numbers = sorted((int(name), name) for name in node if name.isdecimal())
    return [node[name] for _, name in numbers]


def _text(node: Tree, where: str) -> str:
    value = node.get("")
    if not isinstance(value, str):
        raise SerializationFault(f"{where} has no value")
    return value
