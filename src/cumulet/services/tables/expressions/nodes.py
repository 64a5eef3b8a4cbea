"""What expressions parse to: trees that know nothing of the request's names and values yet, so that they can be shared.

In a path, a string that begins with `#` stands for a name of the request; a value is always a placeholder (`:v`).
"""

from dataclasses import dataclass

Parts = tuple[str | int, ...]


class Invalid(Exception):
    """An expression that breaks a rule, in the service's words but for which expression it was."""


@dataclass(frozen=True, slots=True)
class Path:
    parts: Parts


@dataclass(frozen=True, slots=True)
class ValueName:
    name: str


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    arguments: "tuple[Operand, ...]"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`+` or `-` of an update."""

    operator: str
    left: "Operand"
    right: "Operand"


Operand = Path | ValueName | Function | Arithmetic


@dataclass(frozen=True, slots=True)
class Comparison:
    """=, <>, <, <=, >, >=; BETWEEN with three operands; IN with the first and its candidates."""

    operator: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Both:
    members: "tuple[ConditionNode, ...]"


@dataclass(frozen=True, slots=True)
class Either:
    members: "tuple[ConditionNode, ...]"


@dataclass(frozen=True, slots=True)
class Negation:
    member: "ConditionNode"


ConditionNode = Comparison | Function | Both | Either | Negation


@dataclass(frozen=True, slots=True)
class Assignment:
    """One action of an update; `operand` is None for REMOVE."""

    section: str
    path: Path
    operand: Operand | None


def path_text(parts: Parts) -> str:
    """`[a, [0], b]`, as messages spell a path."""
    return "[" + ", ".join(f"[{part}]" if isinstance(part, int) else part for part in parts) + "]"
