"""The names and values that the expressions of one request share, and which of them are used. Pure.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ExpressionAttributeNames.html
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from cumulet.services.tables.errors import SerializationFault, ValidationFault
from cumulet.services.tables.expressions.nodes import Invalid, Parts, Path
from cumulet.services.tables.values import Value, normalise

_NAME = re.compile(r"#[0-9A-Za-z_]+\Z")
_VALUE = re.compile(r":[0-9A-Za-z_]+\Z")
_MAXIMUM_KEY_BYTES = 255
_MAXIMUM_NAME_BYTES = 65535


class Substitution(Protocol):
    """What the names and values of a tree stand for, in one request."""

    def parts_of(self, path: Path) -> Parts: ...

    def value_of(self, name: str) -> Value: ...


class Placeholders:
    """`ExpressionAttributeNames` and `ExpressionAttributeValues` as they came; either may be None. Raises ValidationFault."""

    def __init__(self, names: Mapping[str, str] | None = None, values: Mapping[str, Value] | None = None):
        self._names = _checked_names(names) if names is not None else {}
        self._values = _checked_values(values) if values is not None else {}
        self._unused_names = set(self._names)
        self._unused_values = set(self._values)

    def parts_of(self, path: Path) -> Parts:
        """The path with the request's names in it. Raises Invalid."""
        return tuple([self._name(part) if isinstance(part, str) and part[0] == "#" else part for part in path.parts])

    def value_of(self, name: str) -> Value:
        """Raises Invalid."""
        value = self._values.get(name)
        if value is None:
            raise Invalid(f"An expression attribute value used in expression is not defined; attribute value: {name}")
        self._unused_values.discard(name)
        return value

    def check_all_used(self) -> None:
        """After all expressions of the request were read: nothing is given that none of them names. Raises ValidationFault."""
        for kind, unused in (("Names", self._unused_names), ("Values", self._unused_values)):
            if unused:
                raise ValidationFault(
                    f"Value provided in ExpressionAttribute{kind} unused in expressions: keys: {{{', '.join(sorted(unused))}}}"
                )

    def _name(self, name: str) -> str:
        real = self._names.get(name)
        if real is None:
            raise Invalid(f"An expression attribute name used in the document path is not defined; attribute name: {name}")
        self._unused_names.discard(name)
        return real


def _checked_names(names: Mapping[str, str]) -> dict[str, str]:
    if not names:
        raise ValidationFault("ExpressionAttributeNames must not be empty")
    for key, name in names.items():
        _check_key("ExpressionAttributeNames", _NAME, key)
        if type(name) is not str:
            raise SerializationFault("ExpressionAttributeNames holds names: a value is not a string")
        if not name:
            raise ValidationFault(f"ExpressionAttributeNames contains invalid value: Empty attribute name for key {key}")
        if len(name) > _MAXIMUM_NAME_BYTES:
            raise ValidationFault(
                "ExpressionAttributeNames contains invalid value: "
                f"Attribute name is too large, must be less than 65536 bytes for key {key}"
            )
    return dict(names)


def _checked_values(values: Mapping[str, Any]) -> dict[str, Value]:
    if not values:
        raise ValidationFault("ExpressionAttributeValues must not be empty")
    for key in values:
        _check_key("ExpressionAttributeValues", _VALUE, key)
    checked: dict[str, Value] = {}
    for key, value in values.items():
        try:
            checked[key] = normalise(value)
        except ValidationFault as fault:
            raise ValidationFault(f"ExpressionAttributeValues contains invalid value: {fault.message} for key {key}") from None
    return checked


def _check_key(what: str, pattern: re.Pattern[str], key: str) -> None:
    if not pattern.match(key):
        raise ValidationFault(f'{what} contains invalid key: Syntax error; key: "{key}"')
    if len(key) > _MAXIMUM_KEY_BYTES:
        raise ValidationFault(
            f"{what} contains invalid key: The expression attribute map contains a key that is too long; size of key: {len(key)}"
        )
