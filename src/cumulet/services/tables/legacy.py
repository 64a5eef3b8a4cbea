"""The parameters that were there before expressions: Expected, AttributeUpdates, KeyConditions, QueryFilter, AttributesToGet. Pure.

They become the very objects that expressions become.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LegacyConditionalParameters.html
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import key_conditions, operators
from cumulet.services.tables.expressions.conditions import Condition, Test, all_of, any_of
from cumulet.services.tables.expressions.key_conditions import Clause, KeyCondition
from cumulet.services.tables.expressions.operators import Maybe
from cumulet.services.tables.expressions.projections import Projection
from cumulet.services.tables.expressions.updates import Action, Compute, Update, added, deleted, removed
from cumulet.services.tables.values import SETS, Item, Value, compare, normalise, type_of

_INVALID = "One or more parameter values were invalid: "
_COUNTS = {"NULL": 0, "NOT_NULL": 0, "BETWEEN": 2}
_SCALARS = frozenset({"S", "N", "B"})
_ANY = frozenset({"S", "N", "B", "SS", "NS", "BS", "L", "M", "BOOL", "NULL"})
_TYPES = {
    **dict.fromkeys(("EQ", "NE"), _ANY),
    **dict.fromkeys(("LE", "LT", "GE", "GT", "IN", "BETWEEN"), _SCALARS),
    **dict.fromkeys(("CONTAINS", "NOT_CONTAINS"), _SCALARS | {"BOOL", "NULL"}),
    "BEGINS_WITH": frozenset({"S", "B"}),
}
_KEY_OPERATORS = {"EQ": "=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">=", "BETWEEN": "BETWEEN", "BEGINS_WITH": "begins_with"}
OPERATORS = ("IN", "NULL", "BETWEEN", "LT", "NOT_CONTAINS", "EQ", "GT", "NOT_NULL", "NE", "LE", "BEGINS_WITH", "GE", "CONTAINS")


def refuse_mixing(request: Mapping[str, Any], expressions: Sequence[str], legacy: Sequence[str]) -> None:
    """One request speaks one of the two languages, and brings placeholders only for expressions. Raises ValidationFault.

    `expressions` and `legacy` name the operation's parameters of either kind, in the order of its documentation.
    """
    used = [name for name in expressions if request.get(name) is not None]
    old = [name for name in legacy if request.get(name) is not None]
    if old and used and not (old == ["KeyConditions"] and "KeyConditionExpression" not in used):
        if "KeyConditionExpression" not in used and "KeyConditions" in old:
            old.remove("KeyConditions")
        raise ValidationFault(
            "Can not use both expression and non-expression parameters in the same request: "
            f"Non-expression parameters: {{{', '.join(old)}}} Expression parameters: {{{', '.join(used)}}}"
        )
    if request.get("ExpressionAttributeNames") is not None and not used:
        raise ValidationFault("ExpressionAttributeNames can only be specified when using expressions")
    valued = [name for name in expressions if name != "ProjectionExpression"]
    if valued and request.get("ExpressionAttributeValues") is not None and not any(name in used for name in valued):
        verb = "are" if len(valued) > 1 else "is"
        raise ValidationFault(
            f"ExpressionAttributeValues can only be specified when using expressions: {' and '.join(valued)} {verb} null"
        )


def condition_of(expected: Mapping[str, Mapping[str, Any]], conditional_operator: str | None = None) -> Condition:
    """`Expected` of a write. Raises ValidationFault."""
    tests = [_expectation(name, dict(given)) for name, given in expected.items()]
    check_operator(len(expected), conditional_operator)
    return _joined(tests, expected, conditional_operator)


def filter_of(conditions: Mapping[str, Mapping[str, Any]], conditional_operator: str | None = None) -> Condition:
    """`QueryFilter` or `ScanFilter`. Raises ValidationFault."""
    tests = []
    for name, given in conditions.items():
        operator = str(given.get("ComparisonOperator"))
        tests.append(_test(name, operator, _checked(operator, given.get("AttributeValueList") or [])))
    check_operator(len(conditions), conditional_operator)
    return _joined(tests, conditions, conditional_operator)


def key_condition_of(
    conditions: Mapping[str, Mapping[str, Any]], hash_attributes: Mapping[str, str], range_attributes: Mapping[str, str]
) -> KeyCondition:
    """`KeyConditions`; attributes as in `expressions.parse_key_condition`. Raises ValidationFault."""
    clauses: dict[str, Clause] = {}
    for name, given in conditions.items():
        operator = str(given.get("ComparisonOperator"))
        values = _checked(operator, given.get("AttributeValueList") or [])
        clauses[name] = Clause(name, _KEY_OPERATORS.get(operator, operator), tuple(values))
    if not clauses:
        raise ValidationFault("Conditions can be of length 1 or 2 only")
    return key_conditions.fitted(clauses, hash_attributes, range_attributes)


def projection_of(attributes: Sequence[str]) -> Projection:
    """`AttributesToGet`. Raises ValidationFault."""
    for at, name in enumerate(attributes):
        if name in attributes[:at]:
            raise ValidationFault(f"{_INVALID}Duplicate value in attribute name: {name}")
    return Projection([(name,) for name in attributes])


def update_of(updates: Mapping[str, Mapping[str, Any]]) -> Update:
    """`AttributeUpdates`. Raises ValidationFault."""
    return Update([_action(name, given) for name, given in updates.items()])


def _action(name: str, given: Mapping[str, Any]) -> Action:
    kind = given.get("Action") or "PUT"
    if given.get("Value") is None:
        if kind != "DELETE":
            raise ValidationFault(_INVALID + "Only DELETE action is allowed when no attribute value is specified")
        return Action((name,), removed)
    value = normalise(given["Value"])
    held = type_of(value)
    if kind == "PUT":
        return Action((name,), lambda item, old: value, held)
    if kind == "DELETE":
        if held not in SETS:
            raise ValidationFault(f"{_INVALID}DELETE action with value is not supported for the type {held}")
        return Action((name,), _worded(deleted(value), value))
    if held not in ("N", "L", *SETS):
        raise ValidationFault(f"{_INVALID}ADD action is not supported for the type {held}")
    return Action((name,), _worded(_appended(value) if held == "L" else added(value), value), held)


def _worded(compute: Compute, value: Value) -> Compute:
    """The same, with this language's words for a stored value of another type."""
    kind = type_of(value)

    def result(item: Item, old: Maybe) -> Maybe:
        if old is not None and kind not in old:
            raise ValidationFault("Type mismatch for attribute to update")
        return compute(item, old)

    return result


def _appended(value: Value) -> Compute:
    return lambda item, old: value if old is None else {"L": old["L"] + value["L"]}


def check_operator(conditions: int, conditional_operator: str | None) -> None:
    """`ConditionalOperator` joins something. Raises ValidationFault."""
    if conditional_operator is None or conditions > 1:
        return
    if conditions:
        raise ValidationFault("ConditionalOperator can only be used when Filter or Expected has two or more elements")
    raise ValidationFault("ConditionalOperator cannot be used without Filter or Expected")


def _joined(tests: list[Test], conditions: Mapping[str, Any], conditional_operator: str | None) -> Condition:
    test = any_of(tests) if conditional_operator == "OR" else all_of(tests)
    return Condition(test, [(name,) for name in conditions])


def _expectation(name: str, given: dict[str, Any]) -> Test:
    value, values = given.get("Value"), given.get("AttributeValueList")
    operator, exists = given.get("ComparisonOperator"), given.get("Exists")
    if value is not None and values is not None:
        raise ValidationFault(f"{_INVALID}Value and AttributeValueList cannot be used together for Attribute: {name}")
    if operator is not None:
        if exists is not None:
            raise ValidationFault(f"{_INVALID}Exists and ComparisonOperator cannot be used together for Attribute: {name}")
        if operator not in ("NULL", "NOT_NULL") and value is None and values is None:
            raise ValidationFault(
                f"{_INVALID}Value or AttributeValueList must be used with ComparisonOperator: {operator} for Attribute: {name}"
            )
        return _test(name, operator, _checked(operator, values if values is not None else [value] if value is not None else []))
    if values is not None:
        raise ValidationFault(f"{_INVALID}AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}")
    if exists is False:
        if value is not None:
            raise ValidationFault(f"{_INVALID}Value cannot be used when Exists is false for Attribute: {name}")
        return _test(name, "NULL", [])
    if value is None:
        told = "null" if exists is None else "true"
        raise ValidationFault(f"{_INVALID}Value must be provided when Exists is {told} for Attribute: {name}")
    return _test(name, "EQ", [normalise(value)])


def _checked(operator: str, given: Sequence[Any]) -> list[Value]:
    """The values of one condition, normalised, of the number and types that its operator takes."""
    values = [normalise(value) for value in given]
    expected = _COUNTS.get(operator, 1)
    if len(values) != expected and not (operator == "IN" and values):
        raise ValidationFault(f"{_INVALID}Invalid number of argument(s) for the {operator} ComparisonOperator")
    kinds = {type_of(value) for value in values}
    if len(kinds) > 1:
        raise ValidationFault(_INVALID + "AttributeValues inside AttributeValueList must be of same type")
    for kind in kinds:
        if kind not in _TYPES[operator]:
            raise ValidationFault(f"{_INVALID}ComparisonOperator {operator} is not valid for {kind} AttributeValue type")
    if operator == "BETWEEN" and compare(values[0], values[1]) > 0:
        raise ValidationFault("The BETWEEN condition was provided a range where the lower bound is greater than the upper bound")
    return values


_COMPARISONS: dict[str, Callable[[Maybe, Maybe], bool]] = {
    "EQ": operators.is_equal,
    "NE": operators.is_different,
    "LT": operators.is_less,
    "LE": operators.is_at_most,
    "GT": operators.is_greater,
    "GE": operators.is_at_least,
    "BEGINS_WITH": operators.begins_with,
    "CONTAINS": operators.contains,
}


def _test(name: str, operator: str, values: Sequence[Value]) -> Test:
    if operator == "NULL":
        return lambda item: name not in item
    if operator == "NOT_NULL":
        return lambda item: name in item
    if operator == "IN":
        return lambda item: any(operators.is_equal(item.get(name), value) for value in values)
    if operator == "BETWEEN":
        return lambda item: operators.is_between(item.get(name), values[0], values[1])
    value = values[0]
    if operator == "NOT_CONTAINS":
        return lambda item: name in item and not operators.contains(item[name], value)
    test = _COMPARISONS[operator]
    return lambda item: test(item.get(name), value)
