"""Values in XML: results of the query protocol, and both directions of rest-xml. No DTD is ever read."""

from typing import TYPE_CHECKING, Any

from cumulet.wire.models import Shape
from cumulet.wire.values import (
    SerializationFault,
    format_blob,
    format_scalar,
    format_timestamp,
    parse_blob,
    parse_scalar,
    parse_timestamp,
)

if TYPE_CHECKING:
    from xml.etree import ElementTree

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def escape(text: str) -> str:
    """As an element's content. (The standard library's function of that name brings half of urllib along.)"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _quoted(text: str) -> str:
    """As an attribute's value."""
    text = escape(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;")
    return f'"{text}"'


def encode_xml(shape: Shape, value: Any, name: str, timestamp_style: str = "iso8601") -> str:
    """`value` as the element `name`."""
    attributes, content = _content(shape, value, timestamp_style)
    namespace = shape.serialization.get("xmlNamespace")
    if isinstance(namespace, dict):
        prefix = f":{namespace['prefix']}" if namespace.get("prefix") else ""
        attributes = f" xmlns{prefix}={_quoted(namespace['uri'])}" + attributes
    elif isinstance(namespace, str):
        attributes = f" xmlns={_quoted(namespace)}" + attributes
    return f"<{name}{attributes}>{content}</{name}>"


def encode_members(shape: Shape, value: dict[str, Any], names: list[str] | None = None, timestamp_style: str = "iso8601") -> str:
    """The elements of a structure's members, one after the other."""
    parts = []
    for name, member in shape.members.items():
        item = value.get(name)
        if item is None or (names is not None and name not in names) or member.serialization.get("xmlAttribute"):
            continue
        wire_name = member.serialization.get("name", name)
        if member.serialization.get("flattened") and member.type_name == "list":
            item_name = member.member.serialization.get("name") or wire_name
            parts += [encode_xml(member.member, each, item_name, timestamp_style) for each in item]
        elif member.serialization.get("flattened") and member.type_name == "map":
            parts += [f"<{wire_name}>{_entry(member, key, each, timestamp_style)}</{wire_name}>" for key, each in item.items()]
        else:
            parts.append(encode_xml(member, item, wire_name, timestamp_style))
    return "".join(parts)


def _content(shape: Shape, value: Any, style: str) -> tuple[str, str]:
    """(attributes, inner text) of an element."""
    kind = shape.type_name
    if kind == "structure":
        attributes = "".join(
            f" {member.serialization.get('name', name)}={_quoted(str(value[name]))}"
            for name, member in shape.members.items()
            if member.serialization.get("xmlAttribute") and value.get(name) is not None
        )
        return attributes, encode_members(shape, value, timestamp_style=style)
    if kind == "list":
        item_name = shape.member.serialization.get("name", "member")
        return "", "".join(encode_xml(shape.member, item, item_name, style) for item in value)
    if kind == "map":
        return "", "".join(f"<entry>{_entry(shape, key, item, style)}</entry>" for key, item in value.items())
    if kind == "timestamp":
        return "", format_timestamp(value, shape.serialization.get("timestampFormat", style))
    if kind == "blob":
        return "", format_blob(value)
    return "", escape(_printable(format_scalar(kind, value))).replace("\r", "&#xD;").replace("\n", "&#xA;")


def _entry(shape: Shape, key: str, value: Any, style: str) -> str:
    key_name = shape.key.serialization.get("name", "key")
    value_name = shape.value.serialization.get("name", "value")
    return encode_xml(shape.key, key, key_name, style) + encode_xml(shape.value, value, value_name, style)


def _printable(text: str) -> str:
    """XML cannot hold control characters at all, not even escaped."""
    return "".join(c if c >= " " or c in "\t\n\r" else "\ufffd" for c in text) if not text.isprintable() else text


def parse_xml(data: bytes) -> "ElementTree.Element":
    """The root element, names without their namespaces. Raises SerializationFault."""
    from xml.etree import ElementTree

    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise SerializationFault("document type declarations are not allowed")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, UnicodeError, ValueError, RecursionError) as error:
        raise SerializationFault(f"the document is not XML: {error}") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def decode_xml(shape: Shape, element: "ElementTree.Element", where: str = "") -> Any:
    """The value of a shape in an element."""
    kind = shape.type_name
    if kind == "structure":
        return decode_members(shape, element, list(shape.members), where)
    if kind == "list":
        return [decode_xml(shape.member, item, where) for item in element]
    if kind == "map":
        return dict(_decode_entry(shape, entry, where) for entry in element)
    text = element.text or ""
    if kind == "timestamp":
        return parse_timestamp(text, where)
    if kind == "blob":
        return parse_blob(text, where)
    return parse_scalar(kind, text, where)


def decode_members(shape: Shape, element: "ElementTree.Element", names: list[str], where: str = "") -> dict[str, Any]:
    """The members of a structure that are children of the element."""
    result: dict[str, Any] = {}
    for name in names:
        member = shape.members[name]
        wire_name = member.serialization.get("name", name)
        if member.serialization.get("xmlAttribute"):
            found = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}.get(wire_name.rpartition(":")[2])
            if found is not None:
                result[name] = found
        elif member.serialization.get("flattened"):
            item_name = (member.member.serialization.get("name") if member.type_name == "list" else None) or wire_name
            items = element.findall(item_name)
            if items and member.type_name == "list":
                result[name] = [decode_xml(member.member, item, name) for item in items]
            elif items:
                result[name] = dict(_decode_entry(member, item, name) for item in items)
        elif (child := element.find(wire_name)) is not None:
            result[name] = decode_xml(member, child, f"{where}.{name}" if where else name)
    return result


def _decode_entry(shape: Shape, entry: "ElementTree.Element", where: str) -> tuple[str, Any]:
    key = entry.find(shape.key.serialization.get("name", "key"))
    value = entry.find(shape.value.serialization.get("name", "value"))
    if key is None or value is None:
        raise SerializationFault(f"{where} has an entry without key or value")
    return key.text or "", decode_xml(shape.value, value, where)
