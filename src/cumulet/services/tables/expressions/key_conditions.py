"""Key conditions: which keys a query selects. From a tree of conditions to values by attribute, checked against a schema. Pure.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.KeyConditionExpressions.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions.nodes import (
    Both,
    Comparison,
    ConditionNode,
    Function,
    Negation,
    Operand,
    Path,
    ValueName,
)
from cumulet.services.tables.expressions.placeholders import Substitution
from cumulet.services.tables.values import Value, type_of

OPERATORS = frozenset({"=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"})
_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WRONG_TYPE = "One or more parameter values were invalid: Condition parameter type does not match schema type"
_UNSUPPORTED = "Query key condition not supported"


@dataclass(frozen=True, slots=True)
class Clause:
    """What one key attribute must be. Operators: =, <, <=, >, >=, BETWEEN (two values), begins_with."""

    attribute: str
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class KeyCondition:
    """`hash_values`: of every hash attribute. `range_equal`: of the range attributes before the last one that is given, which
    only an index with several has. `range`: what the last one must be; None: any."""

    hash_values: dict[str, Value]
    range_equal: dict[str, Value] = field(default_factory=dict)
    range: Clause | None = None

    def attributes(self) -> tuple[str, ...]:
        last = () if self.range is None else (self.range.attribute,)
        return (*self.hash_values, *self.range_equal, *last)


def plain_clauses_of(node: ConditionNode, placeholders: Substitution) -> dict[str, Clause] | None:
    """Of what nearly all key conditions are: comparisons of different attributes with strings and numbers. None: look closer."""
    clauses: dict[str, Clause] = {}
    for part in node.members if isinstance(node, Both) else (node,):
        if not isinstance(part, Comparison) or part.operator not in _MIRRORED:
            return None
        path, value = part.operands
        if not isinstance(path, Path) or len(path.parts) > 1 or not isinstance(value, ValueName):
            return None
        attribute = str(placeholders.parts_of(path)[0])
        known = placeholders.value_of(value.name)
        if attribute in clauses or ("S" not in known and "N" not in known):
            return None
        clauses[attribute] = Clause(attribute, part.operator, (known,))
    return clauses


def clauses_of(node: ConditionNode, placeholders: Substitution) -> dict[str, Clause]:
    """By attribute. Raises ValidationFault for what a key condition may not say; Invalid for a placeholder."""
    clauses: dict[str, Clause] = {}
    for part in _parts(node):
        clause = _clause(part, placeholders)
        if clause.attribute in clauses:
            raise ValidationFault("KeyConditionExpressions must only contain one condition per key")
        clauses[clause.attribute] = clause
    return clauses


def _parts(node: ConditionNode) -> Iterator[Comparison | Function]:
    if isinstance(node, Both):
        for member in node.members:
            yield from _parts(member)
    elif isinstance(node, (Comparison, Function)):
        yield node
    else:
        operator = "NOT" if isinstance(node, Negation) else "OR"
        raise ValidationFault(f"Invalid operator used in KeyConditionExpression: {operator}")


def _clause(node: Comparison | Function, placeholders: Substitution) -> Clause:
    if isinstance(node, Comparison):
        operator, operands = node.operator, node.operands
        is_refused = operator in ("<>", "IN")
    else:
        operator, operands = node.name, node.arguments
        is_refused = operator != "begins_with"
    if is_refused:
        raise ValidationFault(f"Invalid operator used in KeyConditionExpression: {operator}")
    if operator in ("BETWEEN", "begins_with") and isinstance(operands[0], ValueName):
        raise ValidationFault(
            f"Invalid condition in KeyConditionExpression: {operator} operator must have the key attribute as its first operand"
        )
    if any(isinstance(operand, Function) for operand in operands):
        raise ValidationFault("KeyConditionExpressions cannot contain nested operations")
    paths = [operand for operand in operands if isinstance(operand, Path)]
    if len(paths) > 1:
        raise ValidationFault("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
    if not paths:
        raise ValidationFault("Invalid condition in KeyConditionExpression: No key attribute specified")
    if not isinstance(operands[0], Path):
        operator, operands = _MIRRORED[operator], operands[::-1]
    parts = placeholders.parts_of(paths[0])
    if len(parts) > 1:
        raise ValidationFault("KeyConditionExpressions cannot have conditions on nested attributes")
    return Clause(str(parts[0]), operator, tuple(_value(operand, placeholders) for operand in operands[1:]))


def _value(operand: Operand, placeholders: Substitution) -> Value:
    assert isinstance(operand, ValueName)
    return placeholders.value_of(operand.name)


def fitted(clauses: Mapping[str, Clause], hashes: Mapping[str, str], ranges: Mapping[str, str]) -> KeyCondition:
    """Clauses against a schema: names of key attributes to their types ("S", "N", "B"), in the schema's order.

    Every hash attribute is equal to something; range attributes are given from the first on, and all but the last one are equal
    to something. Raises ValidationFault.
    """
    known = len(hashes) + len(ranges)
    if len(clauses) > max(known, 2):
        limit = "1 or 2" if known <= 2 else f"1 to {known}"
        raise ValidationFault(f"Conditions can be of length {limit} only")
    for attribute, kind in hashes.items():
        if attribute not in clauses:
            raise ValidationFault(f"Query condition missed key schema element: {attribute}")
        _check_types(clauses[attribute], kind)
    given = [attribute for attribute in ranges if attribute in clauses]
    _check_no_gap(clauses, hashes, ranges, given)
    for attribute in given:
        _check_types(clauses[attribute], ranges[attribute])
        if clauses[attribute].operator not in OPERATORS:
            raise ValidationFault("Attempted conditional constraint is not an indexable operation")
    for attribute in (*hashes, *given[:-1]):
        if clauses[attribute].operator != "=":
            raise ValidationFault(_UNSUPPORTED)
    return KeyCondition(
        {attribute: clauses[attribute].values[0] for attribute in hashes},
        {attribute: clauses[attribute].values[0] for attribute in given[:-1]},
        clauses[given[-1]] if given else None,
    )


def _check_no_gap(clauses: Mapping[str, Clause], hashes: Mapping[str, str], ranges: Mapping[str, str], given: list[str]) -> None:
    """A condition on an attribute that is no key, or that leaves out a range attribute before one it names."""
    order = list(ranges)
    if given != order[: len(given)] or len(clauses) > len(hashes) + len(given):
        missed = next((attribute for attribute in order if attribute not in clauses), None)
        if missed is None:
            raise ValidationFault(_UNSUPPORTED)
        raise ValidationFault(f"Query condition missed key schema element: {missed}")


def _check_types(clause: Clause, kind: str) -> None:
    if any(type_of(value) != kind for value in clause.values):
        raise ValidationFault(_WRONG_TYPE)
    if clause.operator == "begins_with" and kind == "N":
        raise ValidationFault(_UNSUPPORTED)
