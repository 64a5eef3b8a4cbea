"""PartiQL statements as plans of reads and writes, once the table that they name is known. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import Condition, conditions, updates
from cumulet.services.tables.expressions.conditions import Test
from cumulet.services.tables.expressions.nodes import ConditionNode, Invalid
from cumulet.services.tables.item_keys import ItemKeys
from cumulet.services.tables.partiql import Bindings, Delete, Exists, Insert, Select, Statement, Update, parse
from cumulet.services.tables.partiql.access import check_key_types, key_of
from cumulet.services.tables.plans import ReadPlan, WritePlan
from cumulet.services.tables.values import normalise_item


@dataclass(frozen=True, slots=True)
class Execution:
    """A statement and the values it is executed with."""

    statement: Statement
    bindings: Bindings
    is_consistent: bool = False
    tells_failed: bool = False

    @property
    def is_read(self) -> bool:
        return isinstance(self.statement, Select)


def execution_of(request: Mapping[str, Any]) -> Execution:
    """Of `Statement`, `Parameters` and their company, in a request or a member of one. Raises ValidationFault."""
    statement = parse(request["Statement"])
    bindings = Bindings(statement.literals, statement.parameters, request.get("Parameters"))
    tells_failed = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    return Execution(statement, bindings, bool(request.get("ConsistentRead")), tells_failed)


def planned_write(execution: Execution, keys: ItemKeys) -> WritePlan:
    """Raises ValidationFault."""
    statement, bindings, table = execution.statement, execution.bindings, keys.table
    types = {name: table.types[name] for name in keys.names}
    if isinstance(statement, Insert):
        item, size = normalise_item(bindings.value_of(statement.item)["M"])
        check_key_types(item, types)
        hash_name = keys.hash_name
        absent = Condition(lambda stored: hash_name not in stored, [(hash_name,)])
        return WritePlan("Put", table.name, item, size, None, absent, tells_failed=execution.tells_failed)
    assert isinstance(statement, (Update, Delete, Exists))
    key, rest = key_of(statement.where, types, bindings)
    plan = WritePlan("Delete", table.name, key=key, tells_failed=execution.tells_failed)
    plan.condition = condition_of(rest, bindings, keys, must_exist=not isinstance(statement, Delete))
    if isinstance(statement, Exists):
        if rest is None:
            raise ValidationFault("EXISTS() must contain a single item read with additional condition")
        plan.kind = "ConditionCheck"
        return plan
    plan.returns = statement.returns
    if isinstance(statement, Update):
        plan.kind = "Update"
        plan.update = _update_of(statement, bindings)
    return plan


def planned_read(execution: Execution, keys: ItemKeys) -> ReadPlan | None:
    """Of a SELECT of one item by its whole key; None for any other."""
    select = execution.statement
    assert isinstance(select, Select)
    if select.index is not None:
        return None
    try:
        key, rest = key_of(select.where, {name: keys.table.types[name] for name in keys.names}, execution.bindings)
    except ValidationFault:
        return None
    if rest is not None:
        return None
    return ReadPlan(keys.table.name, key, select.projection(), execution.is_consistent)


def condition_of(node: ConditionNode | None, bindings: Bindings, keys: ItemKeys, *, must_exist: bool = False) -> Condition | None:
    """What is left of a clause, as a condition; `must_exist`: that the item is there, too. Raises ValidationFault."""
    hash_name = keys.hash_name
    if node is None:
        return Condition(lambda item: hash_name in item, [(hash_name,)]) if must_exist else None
    try:
        condition = conditions.bind(node, bindings)
    except Invalid as error:
        raise ValidationFault(str(error)) from None
    condition.check_scalars(keys.names)
    return Condition(_there(hash_name, condition), [(name,) for name in condition.paths()]) if must_exist else condition


def _there(hash_name: str, condition: Condition) -> Test:
    return lambda item: hash_name in item and condition.matches(item)


def _update_of(statement: Update, bindings: Bindings) -> updates.Update:
    try:
        return updates.bind(statement.actions, bindings)
    except Invalid as error:
        raise ValidationFault(str(error)) from None
