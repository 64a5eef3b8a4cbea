"""How a WHERE clause reaches items: the one key of a write, the keys that a query reads, and what is left to filter. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions.key_conditions import Clause, KeyCondition
from cumulet.services.tables.expressions.nodes import Both, Comparison, ConditionNode, Function, Path, ValueName
from cumulet.services.tables.partiql.bindings import Bindings
from cumulet.services.tables.partiql.statements import Select
from cumulet.services.tables.values import Item, Value, equals, type_of

MAXIMUM_ALTERNATIVES = 100
_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Access:
    """`conditions`: what to query, one after the other; None: everything must be scanned. `rest`: what items must then fulfil."""

    conditions: tuple[KeyCondition, ...] | None
    rest: ConditionNode | None
    is_reverse: bool = False


@dataclass(slots=True)
class _Wanted:
    """What a conjunct says of one attribute: the `values` it may have (=, IN), or else a range."""

    node: ConditionNode
    clause: Clause
    values: tuple[Value, ...]


def key_of(where: ConditionNode | None, types: Mapping[str, str], bindings: Bindings) -> tuple[Item, ConditionNode | None]:
    """The whole key that a write's clause gives by equalities joined with AND, and the rest of the clause.

    `types` are the key attributes' in the table's order. Raises ValidationFault.
    """
    key: Item = {}
    rest: list[ConditionNode] = []
    for node in _conjuncts(where):
        clause = _clause_of(node, bindings)
        if clause is None or clause.operator != "=" or clause.attribute not in types:
            rest.append(node)
        elif not equals(key.setdefault(clause.attribute, clause.values[0]), clause.values[0]):
            raise ValidationFault(
                f"Multiple conditions on same key {clause.attribute}. Only single item Update/Insert/Delete are supported"
            )
    if len(key) < len(types):
        raise ValidationFault("Where clause does not contain a mandatory equality on all key attributes")
    check_key_types(key, types)
    return {name: key[name] for name in types}, _joined(rest)


def check_key_types(item: Item, types: Mapping[str, str]) -> None:
    """An item has its key, of the right types. Raises ValidationFault."""
    for name, kind in types.items():
        if name not in item:
            raise ValidationFault(f"Key attribute should be present in the item: Key {name}")
        if kind not in item[name]:
            raise ValidationFault(f"Key attribute's data type should match its data type in table's schema: Key {name}")


def access_of(select: Select, hashes: Mapping[str, str], ranges: Mapping[str, str], bindings: Bindings) -> Access:
    """`hashes` and `ranges` are the schema of the table or index: names to types. Raises ValidationFault."""
    wanted: dict[str, _Wanted] = {}
    rest: list[ConditionNode] = []
    for node in _conjuncts(select.where):
        clause = _clause_of(node, bindings)
        found = None
        if clause is not None and (clause.attribute in hashes or clause.attribute in ranges):
            found = _wanted_of(node, clause, hashes, ranges)
        if found is None or found.clause.attribute in wanted:
            rest.append(node)
        else:
            wanted[found.clause.attribute] = found
    conditions = _alternatives(wanted, hashes, ranges, rest)
    is_reverse = _check_order(select, hashes, ranges, conditions is not None)
    if conditions is None:
        return Access(None, select.where)
    if any(name in hashes and is_descending for name, is_descending in select.order):
        conditions = conditions[::-1]
    return Access(conditions, _joined(rest), is_reverse)


def _alternatives(
    wanted: Mapping[str, _Wanted], hashes: Mapping[str, str], ranges: Mapping[str, str], rest: list[ConditionNode]
) -> tuple[KeyCondition, ...] | None:
    """Each combination of the values that the hash attributes may have, and as much of the range attributes as lies in a row.

    What is not used goes to `rest`.
    """
    if any(name not in wanted or not wanted[name].values for name in hashes):
        return None
    many = 1
    for name in hashes:
        many *= len(wanted[name].values)
    equal: list[str] = []
    last: Clause | None = None
    in_row = True
    for name in ranges:
        given = wanted.get(name)
        if given is None or not in_row:
            in_row = False
            if given is not None:
                rest.append(given.node)
            continue
        if given.values and many * len(given.values) <= MAXIMUM_ALTERNATIVES:
            many *= len(given.values)
            equal.append(name)
            continue
        in_row = False
        if given.values:
            rest.append(given.node)
        else:
            last = given.clause
    if many > MAXIMUM_ALTERNATIVES:
        return None
    names = [*hashes, *equal]
    return tuple(_condition(names, chosen, len(hashes), last) for chosen in product(*[wanted[name].values for name in names]))


def _condition(names: list[str], values: tuple[Value, ...], hash_count: int, last: Clause | None) -> KeyCondition:
    given = dict(zip(names, values, strict=True))
    hashes = {name: given[name] for name in names[:hash_count]}
    equal = {name: given[name] for name in names[hash_count:]}
    if last is None and equal:
        name, value = equal.popitem()
        last = Clause(name, "=", (value,))
    return KeyCondition(hashes, equal, last)


def _check_order(select: Select, hashes: Mapping[str, str], ranges: Mapping[str, str], is_query: bool) -> bool:
    """Whether the range attributes are read backward."""
    is_reverse = False
    for name, is_descending in select.order:
        if name not in hashes and name not in ranges:
            raise ValidationFault(f"Variable reference {name} in ORDER BY clause must be part of the primary key")
        is_reverse = is_reverse or (name in ranges and is_descending)
    if select.order and not is_query:
        raise ValidationFault("Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.")
    return is_reverse


def _conjuncts(node: ConditionNode | None) -> Iterator[ConditionNode]:
    if isinstance(node, Both):
        for member in node.members:
            yield from _conjuncts(member)
    elif node is not None:
        yield node


def _joined(nodes: list[ConditionNode]) -> ConditionNode | None:
    if not nodes:
        return None
    return nodes[0] if len(nodes) == 1 else Both(tuple(nodes))


def _wanted_of(node: ConditionNode, clause: Clause, hashes: Mapping[str, str], ranges: Mapping[str, str]) -> _Wanted | None:
    """What a conjunct says of a key attribute, where an index can answer it. Raises ValidationFault for a value of another type."""
    is_hash, is_list = clause.attribute in hashes, clause.operator == "IN"
    kind = hashes[clause.attribute] if is_hash else ranges[clause.attribute]
    if any(type_of(value) != kind for value in clause.values):
        if clause.operator == "begins_with" or (is_list and not is_hash):
            return None
        if is_list:
            raise ValidationFault("One or more parameter values were invalid: Condition parameter type does not match schema type")
        raise ValidationFault(f"Key attribute's data type should match its data type in table's schema: Key {clause.attribute}")
    if is_list or clause.operator == "=":
        return _Wanted(node, clause, _distinct(clause.values))
    return None if is_hash else _Wanted(node, clause, ())


def _distinct(values: tuple[Value, ...]) -> tuple[Value, ...]:
    kept: list[Value] = []
    for value in values:
        if not any(equals(value, other) for other in kept):
            kept.append(value)
    return tuple(kept)


def _clause_of(node: ConditionNode, bindings: Bindings) -> Clause | None:
    """A comparison of an attribute with values that are known: =, <, <=, >, >=, BETWEEN, IN, begins_with."""
    if isinstance(node, Comparison) and node.operator != "<>":
        operator, operands = node.operator, node.operands
    elif isinstance(node, Function) and node.name == "begins_with" and len(node.arguments) == 2:
        operator, operands = "begins_with", node.arguments
    else:
        return None
    if isinstance(operands[0], ValueName) and operator in _MIRRORED:
        operator, operands = _MIRRORED[operator], operands[::-1]
    path, values = operands[0], operands[1:]
    if not isinstance(path, Path) or len(path.parts) != 1 or not all(isinstance(value, ValueName) for value in values):
        return None
    known = tuple(bindings.value_of(value.name) for value in values if isinstance(value, ValueName))
    return Clause(str(path.parts[0]), operator, known)
