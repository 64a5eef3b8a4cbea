"""Updates: SET, REMOVE, ADD and DELETE bound to a request, applied to an item. Pure.

Every operand reads the item as it was; every path is found in it before anything changes, so that list indexes mean the old
list, and an index behind its end appends.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cumulet.services.tables import numbers
from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions.conditions import Bound, literal, reader
from cumulet.services.tables.expressions.nodes import (
    Arithmetic,
    Assignment,
    Function,
    Invalid,
    Operand,
    Parts,
    Path,
    ValueName,
)
from cumulet.services.tables.expressions.operators import Maybe
from cumulet.services.tables.expressions.paths import check_apart, find, step
from cumulet.services.tables.expressions.placeholders import Substitution
from cumulet.services.tables.expressions.projections import Projection
from cumulet.services.tables.values import SETS, Item, Value, type_of

_WRONG_PATH = "The document path provided in the update expression is invalid for update"
_WRONG_TYPE = "An operand in the update expression has an incorrect data type"
_MISSING = "The provided expression refers to an attribute that does not exist in the item"
_TYPE_NAMES = {"S": "STRING", "N": "NUMBER", "B": "BINARY", "NULL": "NULL", "BOOL": "BOOLEAN", "L": "LIST", "M": "MAP"}
Compute = Callable[[Item, Maybe], Maybe]


@dataclass(frozen=True, slots=True)
class Action:
    """`compute(item, what is at the path)` is what shall be there; None: nothing."""

    path: Parts
    compute: Compute
    kind: str | None = None
    """The type of the new value where that is known ahead."""


class Update:
    def __init__(self, actions: Sequence[Action]):
        self.actions = tuple(actions)
        self._is_flat = all(len(action.path) == 1 for action in actions)

    def apply(self, item: Item) -> Item:
        """A new item; the old one is left as it is. Raises ValidationFault: what it finds does not fit."""
        new = dict(item)
        if self._is_flat:
            for action in self.actions:
                _put(new, str(action.path[0]), action.compute(item, item.get(str(action.path[0]))))
            return new
        return self._apply_nested(item, new)

    def paths(self) -> tuple[Parts, ...]:
        """What it writes, in the order of the text."""
        return tuple(action.path for action in self.actions)

    def touches(self, attribute: str) -> bool:
        """Whether it writes that attribute or something in it."""
        return any(action.path[0] == attribute for action in self.actions)

    def nested(self) -> frozenset[str]:
        """The attributes inside of which it writes."""
        return frozenset(str(action.path[0]) for action in self.actions if len(action.path) > 1)

    def kind_of(self, attribute: str) -> str | None:
        """The type that the attribute gets, where the request alone tells it: a key of an index must be of the index's."""
        return next((action.kind for action in self.actions if action.path == (attribute,)), None)

    def touched(self, item: Item) -> Item:
        """The parts of the item that it writes: UPDATED_OLD of the old one, UPDATED_NEW of the new."""
        return Projection(self.paths()).apply(item)

    def _apply_nested(self, item: Item, new: Item) -> Item:
        for action in self.actions:
            _home(item, action.path)
        values = [action.compute(item, find(item, action.path)) for action in self.actions]
        for name in {str(action.path[0]) for action in self.actions if len(action.path) > 1}:
            if name in new:
                new[name] = copied(new[name])
        homes = [_home(new, action.path) for action in self.actions]
        lists: dict[int, tuple[list[Value], list[tuple[int, Maybe]]]] = {}
        for action, home, value in zip(self.actions, homes, values, strict=True):
            last: Any = action.path[-1]
            if isinstance(home, list):
                lists.setdefault(id(home), (home, []))[1].append((last, value))
            else:
                _put(home, last, value)
        for elements, changes in lists.values():
            _change(elements, changes)
        return new


def _put(members: dict[str, Value], name: str, value: Maybe) -> None:
    if value is None:
        members.pop(name, None)
    else:
        members[name] = value


def _change(elements: list[Value], changes: list[tuple[int, Maybe]]) -> None:
    """Indexes are of the list as it is; behind its end stands what is appended, in the order of the indexes."""
    count = len(elements)
    changes.sort(key=lambda change: change[0])
    for index, value in changes:
        if value is not None and index < count:
            elements[index] = value
    elements.extend(value for index, value in changes if value is not None and index >= count)
    for index, value in reversed(changes):
        if value is None and index < count:
            del elements[index]


def _home(item: Item, path: Parts) -> dict[str, Value] | list[Value]:
    """The map's members or the list's elements in which the last part of the path stands."""
    if len(path) == 1:
        return item
    value = item.get(str(path[0]))
    for part in path[1:-1]:
        value = None if value is None else step(value, part)
    inner = None if value is None else value.get("L" if isinstance(path[-1], int) else "M")
    if inner is None:
        raise ValidationFault(_WRONG_PATH)
    return inner  # type: ignore[no-any-return]


def copied(value: Value) -> Value:
    """Its own maps and lists, all the way down; scalars and sets are shared, as nothing changes them in place."""
    if "M" in value:
        return {"M": {name: copied(inner) for name, inner in value["M"].items()}}
    if "L" in value:
        return {"L": [copied(inner) for inner in value["L"]]}
    return value


def bind(assignments: Iterable[Assignment], placeholders: Substitution) -> Update:
    """Raises Invalid."""
    binder = _Binder(placeholders)
    bound = [binder.action(assignment) for assignment in assignments]
    check_apart([action.path for action in bound])
    if binder.found is not None:
        raise Invalid(binder.found)
    return Update(bound)


class _Binder:
    """Names and values must all be there first; what is wrong about types is told after that (`found`)."""

    def __init__(self, placeholders: Substitution):
        self.placeholders = placeholders
        self.found: str | None = None

    def action(self, assignment: Assignment) -> Action:
        path = self.placeholders.parts_of(assignment.path)
        if assignment.operand is None:
            return Action(path, removed)
        operand = self._operand(assignment.operand)
        if assignment.section == "SET":
            read = operand.read
            return Action(path, lambda item, old: _present(read(item)), operand.kind)
        assert operand.literal is not None and operand.kind is not None
        if assignment.section == "ADD":
            fits, compute = operand.kind in ("N", *SETS), added
        else:
            fits, compute = operand.kind in SETS, deleted
        if not fits:
            self._complain(
                "Incorrect operand type for operator or function; "
                f"operator: {assignment.section}, operand type: {_TYPE_NAMES.get(operand.kind, operand.kind)}, "
                f"typeSet: ALLOWED_FOR_{assignment.section}_OPERAND"
            )
            return Action(path, removed)
        return Action(path, compute(operand.literal), operand.kind)

    def _operand(self, node: Operand) -> Bound:
        if isinstance(node, ValueName):
            return literal(self.placeholders.value_of(node.name))
        if isinstance(node, Path):
            parts = self.placeholders.parts_of(node)
            return Bound(reader(parts), path=parts)
        if isinstance(node, Arithmetic):
            left, right = self._operand(node.left), self._operand(node.right)
            for operand in (left, right):
                self._check_kind(node.operator, operand, "N")
            return Bound(_arithmetic(node.operator, left, right), kind="N")
        return self._function(node)

    def _function(self, node: Function) -> Bound:
        bound = [self._operand(argument) for argument in node.arguments]
        if len(bound) != 2:
            self._complain(
                "Incorrect number of operands for operator or function; "
                f"operator or function: {node.name}, number of operands: {len(bound)}"
            )
            return bound[0]
        if node.name == "list_append":
            for operand in bound:
                self._check_kind("list_append", operand, "L")
            return Bound(_list_append(bound[0], bound[1]), kind="L")
        if bound[0].path is None:
            self._complain("Operator or function requires a document path; operator or function: if_not_exists")
        first, second = bound[0].read, bound[1].read

        def read(item: Item) -> Maybe:
            found, default = first(item), _present(second(item))  # the default must be there even where it is not needed
            return default if found is None else found

        return Bound(read)

    def _check_kind(self, operator: str, operand: Bound, kind: str) -> None:
        if operand.kind not in (None, kind):
            self._complain(
                f"Incorrect operand type for operator or function; operator or function: {operator}, operand type: {operand.kind}"
            )

    def _complain(self, message: str) -> None:
        if self.found is None:
            self.found = message


def removed(item: Item, old: Maybe) -> Maybe:
    return None


def added(value: Value) -> Compute:
    """ADD: to a number, or to a set; what is not there yet begins as the value itself."""
    kind = type_of(value)
    inner = value[kind]

    def compute(item: Item, old: Maybe) -> Maybe:
        if old is None:
            return value
        if kind not in old:
            raise ValidationFault(_WRONG_TYPE)
        if kind == "N":
            return {"N": numbers.add(old["N"], inner)}
        return {kind: list(dict.fromkeys(old[kind] + inner))}

    return compute


def deleted(value: Value) -> Compute:
    """DELETE: members of a set; of an emptied set nothing remains."""
    kind = type_of(value)
    inner = set(value[kind])

    def compute(item: Item, old: Maybe) -> Maybe:
        if old is None:
            return None
        if kind not in old:
            raise ValidationFault(_WRONG_TYPE)
        left = [member for member in old[kind] if member not in inner]
        return {kind: left} if left else None

    return compute


def _present(value: Maybe) -> Value:
    if value is None:
        raise ValidationFault(_MISSING)
    return value


def _arithmetic(operator: str, left: Bound, right: Bound) -> Callable[[Item], Maybe]:
    compute = numbers.add if operator == "+" else numbers.subtract
    read, other = left.read, right.read

    def result(item: Item) -> Maybe:
        one, two = _present(read(item)), _present(other(item))
        if "N" not in one or "N" not in two:
            raise ValidationFault(_WRONG_TYPE)
        return {"N": compute(one["N"], two["N"])}

    return result


def _list_append(left: Bound, right: Bound) -> Callable[[Item], Maybe]:
    read, other = left.read, right.read

    def result(item: Item) -> Maybe:
        one, two = _present(read(item)), _present(other(item))
        if "L" not in one or "L" not in two:
            raise ValidationFault(_WRONG_TYPE)
        return {"L": one["L"] + two["L"]}

    return result
