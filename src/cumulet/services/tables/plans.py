"""Reads and writes of single items as requests ask for them, judged before any table is looked at. Pure.

One request of the data API, or one member of a batch or transaction, becomes one plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cumulet.services.tables import legacy
from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import (
    Condition,
    Placeholders,
    Projection,
    Update,
    parse_condition,
    parse_projection,
    parse_update,
)
from cumulet.services.tables.values import Item, normalise_item

WriteKind = Literal["Put", "Delete", "Update", "ConditionCheck"]
_NO_PLACEHOLDERS = Placeholders()


@dataclass(slots=True)
class WritePlan:
    """`item` and its `size` are of a Put, `key` is of the others. `returns` is ReturnValues. `is_removal` says that the update
    makes nothing, so that it doesn't make an item."""

    kind: WriteKind
    table: str
    item: Item | None = None
    size: int = 0
    key: Any = None
    condition: Condition | None = None
    update: Update | None = None
    returns: str = "NONE"
    tells_failed: bool = False
    is_removal: bool = False

    @property
    def is_blind(self) -> bool:
        """Whether the request itself doesn't depend on what is there."""
        return self.condition is None and self.update is None and self.returns == "NONE"


@dataclass(slots=True)
class ReadPlan:
    table: str
    key: Any
    projection: Projection | None = None
    is_consistent: bool = False


def placeholders_of(request: Mapping[str, Any]) -> Placeholders:
    names, values = request.get("ExpressionAttributeNames"), request.get("ExpressionAttributeValues")
    return _NO_PLACEHOLDERS if names is None and values is None else Placeholders(names, values)


def planned_put(table: str, request: Mapping[str, Any], *, is_single: bool = True) -> WritePlan:
    """Of PutItem, or of a transaction's Put. Raises ValidationFault."""
    if is_single:
        legacy.refuse_mixing(request, ("ConditionExpression",), ("Expected", "ConditionalOperator"))
    item, size = normalise_item(request["Item"])
    returns = _old_only(request)
    return WritePlan("Put", table, item, size, None, _condition(request), None, returns, _tells_failed(request))


def planned_delete(table: str, request: Mapping[str, Any], *, is_single: bool = True) -> WritePlan:
    if is_single:
        legacy.refuse_mixing(request, ("ConditionExpression",), ("Expected", "ConditionalOperator"))
    returns = _old_only(request)
    return WritePlan("Delete", table, None, 0, request["Key"], _condition(request), None, returns, _tells_failed(request))


def planned_check(table: str, request: Mapping[str, Any]) -> WritePlan:
    return WritePlan("ConditionCheck", table, None, 0, request["Key"], _condition(request), None, "NONE", _tells_failed(request))


def planned_update(table: str, request: Mapping[str, Any], *, is_single: bool = True) -> WritePlan:
    if is_single:
        legacy.refuse_mixing(
            request, ("UpdateExpression", "ConditionExpression"), ("AttributeUpdates", "Expected", "ConditionalOperator")
        )
    plan = WritePlan("Update", table, key=request["Key"], returns=request.get("ReturnValues", "NONE"))
    plan.tells_failed = _tells_failed(request)
    updates = request.get("AttributeUpdates")
    if updates is not None:
        plan.update = legacy.update_of(updates)
        plan.is_removal = bool(updates) and all(each.get("Action") == "DELETE" for each in updates.values())
        plan.condition = _condition(request)
        return plan
    placeholders = placeholders_of(request)
    expression = request.get("UpdateExpression")
    plan.update = parse_update(expression, placeholders) if expression is not None else Update(())
    plan.condition = _condition(request, placeholders)
    return plan


def planned_get(table: str, request: Mapping[str, Any]) -> ReadPlan:
    """Of GetItem, or of a transaction's Get."""
    return ReadPlan(table, request["Key"], projection_of(request), bool(request.get("ConsistentRead")))


def projection_of(request: Mapping[str, Any]) -> Projection | None:
    """Of a request whose only expression is the projection."""
    expression, attributes = request.get("ProjectionExpression"), request.get("AttributesToGet")
    if expression is None and attributes is None:
        if request.get("ExpressionAttributeNames") is not None:
            raise ValidationFault("ExpressionAttributeNames can only be specified when using expressions")
        return None
    legacy.refuse_mixing(request, ("ProjectionExpression",), ("AttributesToGet",))
    if expression is None:
        assert attributes is not None
        return legacy.projection_of(attributes)
    placeholders = placeholders_of(request)
    projection = parse_projection(expression, placeholders)
    placeholders.check_all_used()
    return projection


def _condition(request: Mapping[str, Any], placeholders: Placeholders | None = None) -> Condition | None:
    """The condition of a write, whose placeholders are then all read."""
    expected = request.get("Expected")
    if expected is not None:
        return legacy.condition_of(expected, request.get("ConditionalOperator"))
    if request.get("ConditionalOperator") is not None:
        return legacy.condition_of({}, request["ConditionalOperator"])
    placeholders = placeholders or placeholders_of(request)
    expression = request.get("ConditionExpression")
    condition = parse_condition(expression, placeholders, "ConditionExpression") if expression is not None else None
    placeholders.check_all_used()
    return condition


def _old_only(request: Mapping[str, Any]) -> str:
    returns: str = request.get("ReturnValues", "NONE")
    if returns not in ("NONE", "ALL_OLD"):
        raise ValidationFault("ReturnValues can only be ALL_OLD or NONE")
    return returns


def _tells_failed(request: Mapping[str, Any]) -> bool:
    return request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
