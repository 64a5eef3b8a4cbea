"""The values of one execution of a statement: its literals and the request's parameters. Pure.

Conditions and updates are bound with it as they are with the placeholders of an expression; names need none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions.nodes import Parts, Path
from cumulet.services.tables.values import Value, normalise


@dataclass(frozen=True, slots=True)
class Parameter:
    """The place of a `?` in a literal."""

    number: int


class Bindings:
    """`literals` are the statement's, in which parameters may stand. Raises ValidationFault."""

    def __init__(self, literals: Sequence[Any], parameters: int, given: Sequence[Any] | None):
        values = [normalise(value) for value in given or ()]
        if len(values) < parameters:
            raise ValidationFault("Number of parameters in request and statement don't match.")
        self._values = values
        self._literals = literals

    def parts_of(self, path: Path) -> Parts:
        return path.parts

    def value_of(self, name: str) -> Value:
        """`name` is the kind (`?` a parameter, `:` a literal) and the number."""
        number = int(name[1:])
        if name[0] == "?":
            return self._values[number]
        literal: Any = self._literals[number]
        return normalise(self._filled(literal)) if isinstance(literal, Unfilled) else literal

    def _filled(self, literal: Any) -> Any:
        if isinstance(literal, Parameter):
            return self._values[literal.number]
        if isinstance(literal, Unfilled):
            ((kind, inner),) = literal.value.items()
            if kind == "M":
                return {"M": {name: self._filled(member) for name, member in inner.items()}}
            members = [self._filled(member) for member in inner]
            return {"L": members} if kind == "L" else set_of(members)
        return literal


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A map, list or set (`BAG`) in which parameters stand somewhere."""

    value: dict[str, Any]


def set_of(members: Sequence[Value]) -> Value:
    """A set of strings, numbers or binaries. Raises ValidationFault for any other collection."""
    kinds = {kind for member in members for kind in member}
    if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
        raise ValidationFault("Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags")
    kind = kinds.pop()
    return {kind + "S": [member[kind] for member in members]}
