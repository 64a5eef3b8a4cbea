"""A parsed template: plain values, made by the parser and walked by the interpreter."""

from dataclasses import dataclass
from typing import Any, Union


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Property:
    name: str


@dataclass(frozen=True, slots=True)
class Method:
    name: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Index:
    at: "Expression"


@dataclass(frozen=True, slots=True)
class Reference:
    """`$name.property.method(…)[index]`. `source` is how it is written: what is shown when it has no value."""

    name: str
    accesses: tuple[Property | Method | Index, ...]
    is_quiet: bool
    source: str
    backslashes: int = 0


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A string in double quotes: a template of its own."""

    block: "Block"


@dataclass(frozen=True, slots=True)
class ListLiteral:
    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class RangeLiteral:
    first: "Expression"
    last: "Expression"


@dataclass(frozen=True, slots=True)
class MapLiteral:
    items: tuple[tuple["Expression", "Expression"], ...]


@dataclass(frozen=True, slots=True)
class Not:
    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Set:
    target: Reference
    value: "Expression"


@dataclass(frozen=True, slots=True)
class If:
    branches: tuple[tuple["Expression", "Block"], ...]
    otherwise: "Block | None"


@dataclass(frozen=True, slots=True)
class Foreach:
    name: str
    over: "Expression"
    body: "Block"


@dataclass(frozen=True, slots=True)
class Define:
    name: str
    body: "Block"


@dataclass(frozen=True, slots=True)
class Macro:
    name: str
    parameters: tuple[str, ...]
    body: "Block"


@dataclass(frozen=True, slots=True)
class MacroCall:
    """`source` is shown when there is no such macro: Velocity lets `#anything` stand as text."""

    name: str
    arguments: tuple["Expression", ...]
    source: str
    body: "Block | None" = None


@dataclass(frozen=True, slots=True)
class Break:
    pass


@dataclass(frozen=True, slots=True)
class Stop:
    pass


Expression = Union[Reference, Literal, Interpolated, ListLiteral, RangeLiteral, MapLiteral, Not, Binary]  # noqa: UP007
Node = Union[Text, Reference, Set, If, Foreach, Define, Macro, MacroCall, Break, Stop]  # noqa: UP007
Block = tuple[Node, ...]
