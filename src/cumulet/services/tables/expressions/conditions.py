"""Conditions and filters: a tree bound to the names and values of a request becomes a test of items. Pure.

What can be known without an item (types of values, counts of operands) is checked here, in the service's order and words.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import operators
from cumulet.services.tables.expressions.nodes import (
    Both,
    Comparison,
    ConditionNode,
    Function,
    Invalid,
    Negation,
    Operand,
    Parts,
    Path,
    ValueName,
    path_text,
)
from cumulet.services.tables.expressions.operators import COMPARISONS, Maybe
from cumulet.services.tables.expressions.paths import find
from cumulet.services.tables.expressions.placeholders import Substitution
from cumulet.services.tables.values import ORDERED, TYPES, Item, Value, compare, type_of

Test = Callable[[Item], bool]
Read = Callable[[Item], Maybe]
_OPERAND_COUNTS = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
    "size": 1,
}
_SIZELESS = ("N", "BOOL", "NULL")


class Condition:
    """A test of an item that may be absent."""

    def __init__(self, test: Test, paths: Iterable[Parts]):
        self._test = test
        self._paths = tuple(dict.fromkeys(paths))

    def matches(self, item: Item | None) -> bool:
        return self._test(item if item is not None else {})

    def paths(self) -> frozenset[str]:
        """The attributes of the item that it reads."""
        return frozenset(str(parts[0]) for parts in self._paths)

    def nested(self) -> frozenset[str]:
        """The attributes that it looks into, by `.` or `[]`: a key attribute cannot be one."""
        return frozenset(str(parts[0]) for parts in self._paths if len(parts) > 1)

    def check_scalars(self, keys: Iterable[str], *, what: str = "Key") -> None:
        """It does not look into those attributes. Raises ValidationFault. `what`: `Key`, or `IndexKey` for those of an index."""
        nested = self.nested()
        for name in keys:
            if name in nested:
                raise ValidationFault(
                    f"Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: {what}: {name}"
                )


@dataclass(slots=True)
class Bound:
    """An operand of a request: how to read it from an item, and what is known of it before."""

    read: Read
    kind: str | None = None
    path: Parts | None = None
    literal: Value | None = None


def bind(node: ConditionNode, placeholders: Substitution) -> Condition:
    """Raises Invalid."""
    binder = Binder(placeholders)
    return Condition(binder.condition(node), binder.paths)


class Binder:
    def __init__(self, placeholders: Substitution):
        self.placeholders = placeholders
        self.paths: list[Parts] = []

    def condition(self, node: ConditionNode) -> Test:
        if isinstance(node, Comparison):
            return self._comparison(node)
        if isinstance(node, Function):
            return self._function(node)
        if isinstance(node, Negation):
            test = self.condition(node.member)
            return lambda item: not test(item)
        tests: list[Test] = []
        for member in node.members:  # no comprehension: it would cost a frame of the interpreter's stack for each level
            tests.append(self.condition(member))
        return all_of(tests) if isinstance(node, Both) else any_of(tests)

    def operand(self, node: Operand) -> Bound:
        if isinstance(node, ValueName):
            return literal(self.placeholders.value_of(node.name))
        if isinstance(node, Path):
            parts = self.placeholders.parts_of(node)
            self.paths.append(parts)
            return Bound(reader(parts), path=parts)
        assert isinstance(node, Function)
        argument = self._arguments(node)[0]
        if argument.kind in _SIZELESS:
            raise _wrong_type("size", argument.kind)
        read = argument.read
        return Bound(lambda item: operators.size_of(read(item)), kind="N")

    def _comparison(self, node: Comparison) -> Test:
        bound = [self.operand(operand) for operand in node.operands]
        if node.operator not in ("=", "<>", "IN"):
            for operand in bound:
                if operand.kind is not None and operand.kind not in ORDERED:
                    raise _wrong_type(node.operator, operand.kind)
        check_distinct(node.operator, bound)
        if node.operator == "IN":
            return _in(bound)
        if node.operator == "BETWEEN":
            return _between(bound)
        return comparison(node.operator, bound[0], bound[1])

    def _arguments(self, node: Function) -> list[Bound]:
        bound = [self.operand(argument) for argument in node.arguments]
        if len(bound) != _OPERAND_COUNTS[node.name]:
            raise Invalid(
                "Incorrect number of operands for operator or function; "
                f"operator or function: {node.name}, number of operands: {len(bound)}"
            )
        check_distinct(node.name, bound)
        return bound

    def _function(self, node: Function) -> Test:
        bound = self._arguments(node)
        read = bound[0].read
        if node.name in ("attribute_exists", "attribute_not_exists"):
            if bound[0].path is None:
                raise Invalid(f"Operator or function requires a document path; operator or function: {node.name}")
            if node.name == "attribute_exists":
                return lambda item: read(item) is not None
            return lambda item: read(item) is None
        other = bound[1].read
        if node.name == "attribute_type":
            _check_type_name(bound[1])
            return lambda item: operators.is_of_type(read(item), other(item))
        if node.name == "begins_with":
            for operand in bound:
                if operand.kind not in (None, "S", "B"):
                    raise _wrong_type("begins_with", operand.kind)
            return lambda item: operators.begins_with(read(item), other(item))
        return lambda item: operators.contains(read(item), other(item))


def reader(parts: Parts) -> Read:
    if len(parts) == 1:
        name: Any = parts[0]
        return lambda item: item.get(name)
    return lambda item: find(item, parts)


def literal(value: Value) -> Bound:
    return Bound(lambda item: value, kind=type_of(value), literal=value)


def comparison(operator: str, left: Bound, right: Bound) -> Test:
    test, read, other = COMPARISONS[operator], left.read, right.read
    if right.literal is not None:
        value = right.literal
        return lambda item: test(read(item), value)
    return lambda item: test(read(item), other(item))


def all_of(tests: Sequence[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda item: first(item) and second(item)

    def test(item: Item) -> bool:
        for each in tests:  # noqa: SIM110  (`all` would cost a second frame of the stack for each level)
            if not each(item):
                return False
        return True

    return test


def any_of(tests: Sequence[Test]) -> Test:
    def test(item: Item) -> bool:
        for each in tests:  # noqa: SIM110
            if each(item):
                return True
        return False

    return test


def _in(bound: Sequence[Bound]) -> Test:
    read, candidates = bound[0].read, [operand.read for operand in bound[1:]]

    def test(item: Item) -> bool:
        value = read(item)
        return value is not None and any(operators.is_equal(value, candidate(item)) for candidate in candidates)

    return test


def _between(bound: Sequence[Bound]) -> Test:
    value, low, high = bound
    if low.literal is not None and high.literal is not None:
        check_bounds(low.literal, high.literal)
    read, read_low, read_high = value.read, low.read, high.read
    return lambda item: operators.is_between(read(item), read_low(item), read_high(item))


def check_bounds(low: Value, high: Value) -> None:
    """Raises Invalid."""
    if type_of(low) != type_of(high):
        raise Invalid(f"The BETWEEN operator requires same data type for lower and upper bounds; {_told(low, high)}")
    if compare(low, high) > 0:
        raise Invalid(f"The BETWEEN operator requires upper bound to be greater than or equal to lower bound; {_told(low, high)}")


def _told(low: Value, high: Value) -> str:
    (low_kind, low_inner), (high_kind, high_inner) = *low.items(), *high.items()
    return (
        f"lower bound operand: AttributeValue: {{{low_kind}:{low_inner}}}, "
        f"upper bound operand: AttributeValue: {{{high_kind}:{high_inner}}}"
    )


def check_distinct(operator: str, bound: Sequence[Bound]) -> None:
    first = bound[0].path
    if first is not None and any(operand.path == first for operand in bound[1:]):
        raise Invalid(
            "The first operand must be distinct from the remaining operands for this operator or function; "
            f"operator: {operator}, first operand: {path_text(first)}"
        )


def _check_type_name(operand: Bound) -> None:
    if operand.literal is None or operand.kind != "S":
        kind = operand.kind or "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}"
        raise _wrong_type("attribute_type", kind)
    name = operand.literal["S"]
    if name not in TYPES:
        raise Invalid(f"Invalid attribute type name found; type: {name}, valid types: {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}")


def _wrong_type(operator: str, kind: str | None) -> Invalid:
    return Invalid(f"Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}")
