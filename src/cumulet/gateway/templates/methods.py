"""The methods that templates may call on strings, numbers, lists and maps: a closed list, and no way to anything else. Pure.

What Java would throw for (an index out of range, a wrong type) gives null, as Velocity makes of it.
"""

from collections.abc import Callable
from typing import Any

from cumulet.core.patterns import PatternError, compile_pattern
from cumulet.gateway.templates.errors import TemplateError
from cumulet.gateway.templates.values import Callables, JavaList, QuietMap, are_equal, bounded, quieted, to_text

MAXIMUM_ITEMS = 10_000


class NoMethod(Exception):
    """The value has no such method, or not with these arguments."""


def call_method(value: Any, name: str, arguments: list[Any]) -> Any:
    """Raises NoMethod, TemplateError."""
    table = _table_of(value)
    method = table.get(name)
    if method is None:
        raise NoMethod(name)
    try:
        if isinstance(value, Callables):
            return method(*arguments)
        return method(value, *arguments)
    except (TypeError, AttributeError, IndexError, KeyError, ValueError, OverflowError, PatternError) as error:
        raise NoMethod(name) from error


def get_property(value: Any, name: str) -> Any:
    """`$value.name`: a map's key, else what `getName()`, `name()` or `isName()` would say. Raises NoMethod."""
    if isinstance(value, dict):
        if isinstance(value, QuietMap):
            return quieted(value.get(name))
        if name in value:
            return value[name]
        if name in ("empty",):
            return not value
        raise NoMethod(name)
    if isinstance(value, Callables):
        if name in value.properties:
            return value.properties[name]
        raise NoMethod(name)
    if isinstance(value, list | str) and name == "empty":
        return not value
    if isinstance(value, str) and name == "bytes":
        return JavaList(byte - 256 if byte > 127 else byte for byte in value.encode("utf-8", "replace"))
    raise NoMethod(name)


def get_index(value: Any, at: Any) -> Any:
    """`$value[at]`. Raises NoMethod."""
    if isinstance(value, list) and isinstance(at, int) and -len(value) <= at < len(value):
        return value[at]
    if isinstance(value, dict) and isinstance(at, str | int | float | bool):
        key = at if at in value else to_text(at)
        if isinstance(value, QuietMap):
            return quieted(value.get(str(key)))
        if key in value:
            return value[key]
    raise NoMethod("get")


def set_index(value: Any, at: Any, new: Any) -> None:
    """Raises NoMethod, TemplateError."""
    if isinstance(value, list) and isinstance(at, int) and not isinstance(at, bool) and -len(value) <= at < len(value):
        value[at] = new
    elif isinstance(value, dict) and isinstance(at, str | int | float):
        _room(value)
        value[at if isinstance(at, str) else to_text(at)] = new
    else:
        raise NoMethod("set")


def _room(value: Any) -> None:
    if len(value) >= MAXIMUM_ITEMS:
        raise TemplateError(f"a list or map may have {MAXIMUM_ITEMS} members")


def _text_of(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a string was expected")
    return value


def _java_replacement(text: str) -> str:
    """Java's `$1` as RE2's `\\1`; a backslash takes the next character as it is."""
    made, at = "", 0
    while at < len(text):
        sign = text[at]
        following = text[at + 1] if at + 1 < len(text) else ""
        if sign == "\\":
            made += "\\\\" if following == "\\" else following
            at += 2
        elif sign == "$" and following.isdigit() and following.isascii():
            made += f"\\{following}"
            at += 2
        else:
            made += sign
            at += 1
    return made


def _replace_all(value: str, pattern: str, replacement: str, count: int = 0) -> str:
    found = compile_pattern(_text_of(pattern))
    return bounded(str(found.sub(_java_replacement(_text_of(replacement)), value, count)))


def _replace(value: str, old: str, new: str) -> str:
    old, new = _text_of(old), _text_of(new)
    if len(value) + value.count(old) * len(new) > 10 * 1024 * 1024:
        raise TemplateError("a string is too long")
    return value.replace(old, new)


def _split(value: str, pattern: str, limit: int = 0) -> list[str]:
    """Java's: without the empty strings at the end."""
    if pattern == "":
        parts = list(value)
    else:
        parts = [part or "" for part in compile_pattern(_text_of(pattern)).split(value, max(0, limit - 1))]
        if parts and parts[0] == "" and not value:
            parts = [""]
    if len(parts) > MAXIMUM_ITEMS:
        raise TemplateError(f"a list or map may have {MAXIMUM_ITEMS} members")
    while limit == 0 and len(parts) > 1 and parts[-1] == "":
        parts.pop()
    return JavaList(parts)


def _substring(value: str, first: int, last: int | None = None) -> str:
    last = len(value) if last is None else last
    if not 0 <= first <= last <= len(value):
        raise IndexError
    return value[first:last]


def _char_at(value: str, at: int) -> str:
    if not 0 <= at < len(value):
        raise IndexError
    return value[at]


def _hash(value: str) -> int:
    found = 0
    for character in value:
        found = (31 * found + ord(character)) & 0xFFFFFFFF
    return found - (1 << 32) if found >= 1 << 31 else found


def _compare(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


_STRING: dict[str, Callable[..., Any]] = {
    "length": len,
    "toString": lambda value: value,
    "equals": lambda value, other: isinstance(other, str) and value == other,
    "equalsIgnoreCase": lambda value, other: isinstance(other, str) and value.lower() == other.lower(),
    "contains": lambda value, part: _text_of(part) in value,
    "startsWith": lambda value, part, at=0: value.startswith(_text_of(part), at),
    "endsWith": lambda value, part: value.endswith(_text_of(part)),
    "indexOf": lambda value, part, at=0: value.find(_text_of(part), max(0, at)),
    "lastIndexOf": lambda value, part: value.rfind(_text_of(part)),
    "substring": _substring,
    "subSequence": _substring,
    "trim": lambda value: value.strip(" \t\r\n\f\v\0"),
    "strip": lambda value: value.strip(),
    "toLowerCase": lambda value: value.lower(),
    "toUpperCase": lambda value: value.upper(),
    "replace": _replace,
    "replaceAll": _replace_all,
    "replaceFirst": lambda value, pattern, replacement: _replace_all(value, pattern, replacement, 1),
    "split": _split,
    "matches": lambda value, pattern: compile_pattern(_text_of(pattern)).fullmatch(value) is not None,
    "isEmpty": lambda value: not value,
    "isBlank": lambda value: not value.strip(),
    "charAt": _char_at,
    "concat": lambda value, other: bounded(value + _text_of(other)),
    "compareTo": lambda value, other: _compare(value, _text_of(other)),
    "hashCode": _hash,
    "toCharArray": lambda value: JavaList(value[:MAXIMUM_ITEMS]),
    "parseInt": lambda value, text: int(_text_of(text)),
}


def _parse_int(value: Any, text: Any) -> int:
    text = to_text(text)
    if len(text) > 20 or not text.lstrip("+-").isdigit() or not text.isascii():
        raise ValueError
    return int(text)


def _parse_float(value: Any, text: Any) -> float:
    text = to_text(text)
    if len(text) > 400:
        raise ValueError
    return float(text)


_NUMBER: dict[str, Callable[..., Any]] = {
    "toString": lambda value, *other: to_text(other[0] if other else value),
    "equals": are_equal,
    "compareTo": lambda value, other: _compare(value, other + 0),
    "intValue": int,
    "longValue": int,
    "doubleValue": float,
    "floatValue": float,
    "hashCode": int,
    # The way that templates reach Java's static methods: #set($Integer = 0) $Integer.parseInt("7")
    "parseInt": _parse_int,
    "parseLong": _parse_int,
    "valueOf": lambda value, text: _parse_float(value, text) if isinstance(value, float) else _parse_int(value, text),
    "parseDouble": _parse_float,
    "parseFloat": _parse_float,
}

_BOOLEAN: dict[str, Callable[..., Any]] = {
    "toString": to_text,
    "equals": lambda value, other: value is other,
    "booleanValue": lambda value: value,
    "compareTo": lambda value, other: _compare(value, other),
    "parseBoolean": lambda value, text: to_text(text).lower() == "true",
}


def _list_get(value: list[Any], at: int) -> Any:
    if not 0 <= at < len(value):
        raise IndexError
    return value[at]


def _list_add(value: list[Any], *arguments: Any) -> Any:
    _room(value)
    if len(arguments) == 1:
        value.append(arguments[0])
        return True
    at, item = arguments
    if not 0 <= at <= len(value):
        raise IndexError
    value.insert(at, item)
    return ""


def _list_add_all(value: list[Any], others: list[Any]) -> bool:
    items = list(others)
    if len(value) + len(items) > MAXIMUM_ITEMS:
        raise TemplateError(f"a list or map may have {MAXIMUM_ITEMS} members")
    value.extend(items)
    return bool(items)


def _list_set(value: list[Any], at: int, item: Any) -> Any:
    old = _list_get(value, at)
    value[at] = item
    return old


def _list_remove(value: list[Any], what: Any) -> Any:
    if isinstance(what, int) and not isinstance(what, bool):
        return value.pop(what) if 0 <= what < len(value) else _list_get(value, what)
    at = _list_index(value, what)
    if at >= 0:
        del value[at]
    return at >= 0


def _list_index(value: list[Any], item: Any) -> int:
    return next((at for at, each in enumerate(value) if are_equal(each, item)), -1)


def _clear(value: Any) -> str:
    value.clear()
    return ""


def _sub_list(value: list[Any], first: int, last: int) -> list[Any]:
    if not 0 <= first <= last <= len(value):
        raise IndexError
    return JavaList(value[first:last])


_LIST: dict[str, Callable[..., Any]] = {
    "size": len,
    "length": len,
    "get": _list_get,
    "set": _list_set,
    "add": _list_add,
    "addAll": _list_add_all,
    "remove": _list_remove,
    "clear": _clear,
    "contains": lambda value, item: _list_index(value, item) >= 0,
    "containsAll": lambda value, others: all(_list_index(value, item) >= 0 for item in others),
    "indexOf": _list_index,
    "isEmpty": lambda value: not value,
    "subList": _sub_list,
    "iterator": JavaList,
    "toArray": JavaList,
    "toString": to_text,
    "equals": are_equal,
}


def _map_put(value: dict[Any, Any], key: Any, item: Any) -> Any:
    _room(value)
    key = key if isinstance(key, str) else to_text(key)
    old = value.get(key)
    value[key] = item
    return old


def _map_put_all(value: dict[Any, Any], others: dict[Any, Any]) -> str:
    if len(value) + len(others) > MAXIMUM_ITEMS:
        raise TemplateError(f"a list or map may have {MAXIMUM_ITEMS} members")
    value.update(others)
    return ""


def _map_get(value: dict[Any, Any], key: Any, default: Any = None) -> Any:
    if isinstance(key, list | dict | Callables) or key is None:
        return default
    found = value.get(key, value.get(to_text(key), default))
    return quieted(found) if isinstance(value, QuietMap) else found


def _has_key(value: dict[Any, Any], key: Any) -> bool:
    return not isinstance(key, list | dict | Callables) and (key in value or to_text(key) in value)


def entry(key: Any, item: Any) -> Callables:
    """One of a map's entries."""
    methods = {"getKey": lambda: key, "getValue": lambda: item, "toString": lambda: f"{to_text(key)}={to_text(item)}"}
    return Callables(methods, {"key": key, "value": item})


_MAP: dict[str, Callable[..., Any]] = {
    "get": _map_get,
    "getOrDefault": _map_get,
    "put": _map_put,
    "putAll": _map_put_all,
    "keySet": JavaList,
    "values": lambda value: JavaList(value.values()),
    "entrySet": lambda value: JavaList(entry(key, item) for key, item in value.items()),
    "size": len,
    "isEmpty": lambda value: not value,
    "containsKey": _has_key,
    "containsValue": lambda value, item: any(are_equal(each, item) for each in value.values()),
    "remove": lambda value, key: value.pop(key, None),
    "clear": _clear,
    "toString": to_text,
    "equals": are_equal,
}


def _table_of(value: Any) -> dict[str, Callable[..., Any]]:
    if isinstance(value, str):
        return _STRING
    if isinstance(value, bool):
        return _BOOLEAN
    if isinstance(value, int | float):
        return _NUMBER
    if isinstance(value, list):
        return _LIST
    if isinstance(value, dict):
        return _MAP
    return value.methods if isinstance(value, Callables) else {}
