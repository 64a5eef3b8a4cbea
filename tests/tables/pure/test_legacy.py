"""Expected, filters, AttributeUpdates and AttributesToGet."""

from typing import Any

import pytest

from cumulet.services.tables import legacy
from cumulet.services.tables.errors import ValidationFault

ITEM: dict[str, Any] = {
    "id": {"S": "a"},
    "n": {"N": "2"},
    "s": {"S": "xyz"},
    "ss": {"SS": ["a", "b"]},
    "l": {"L": [{"N": "1"}]},
}
INVALID = "One or more parameter values were invalid: "


def compared(operator: str, *values: Any) -> dict[str, Any]:
    return {"ComparisonOperator": operator, "AttributeValueList": list(values)}


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("n", {"Value": {"N": "2.0"}}, True),
        ("n", {"Value": {"N": "2"}, "Exists": True}, True),
        ("n", {"Value": {"S": "2"}}, False),
        ("zz", {"Exists": False}, True),
        ("n", {"Exists": False}, False),
        ("n", {"ComparisonOperator": "EQ", "Value": {"N": "2"}}, True),
        ("n", compared("EQ", {"N": "2"}), True),
        ("n", compared("NE", {"N": "2"}), False),
        ("zz", compared("NE", {"N": "2"}), True),
        ("n", compared("LT", {"N": "10"}), True),
        ("n", compared("LE", {"N": "2"}), True),
        ("n", compared("GT", {"N": "10"}), False),
        ("n", compared("GE", {"S": "1"}), False),
        ("zz", compared("GE", {"N": "1"}), False),
        ("n", compared("BETWEEN", {"N": "1"}, {"N": "3"}), True),
        ("n", compared("IN", {"N": "1"}, {"N": "2"}), True),
        ("n", compared("IN", {"N": "1"}), False),
        ("s", compared("BEGINS_WITH", {"S": "xy"}), True),
        ("s", compared("CONTAINS", {"S": "yz"}), True),
        ("ss", compared("CONTAINS", {"S": "a"}), True),
        ("ss", compared("NOT_CONTAINS", {"S": "c"}), True),
        ("zz", compared("NOT_CONTAINS", {"S": "c"}), False),
        ("n", {"ComparisonOperator": "NULL"}, False),
        ("zz", {"ComparisonOperator": "NULL"}, True),
        ("n", {"ComparisonOperator": "NOT_NULL"}, True),
    ],
)
def test_what_a_condition_means(name: str, given: dict[str, Any], expected: bool):
    assert legacy.condition_of({name: given}).matches(ITEM) is expected
    if "ComparisonOperator" in given and "Value" not in given:
        condition = legacy.filter_of({name: given})
        assert condition.matches(ITEM) is expected
        assert condition.paths() == {name}


def test_several_are_joined_by_and_or_by_or():
    both = {"n": compared("EQ", {"N": "2"}), "s": compared("EQ", {"S": "other"})}
    assert not legacy.filter_of(both).matches(ITEM)
    assert not legacy.filter_of(both, "AND").matches(ITEM)
    assert legacy.filter_of(both, "OR").matches(ITEM)
    assert legacy.condition_of(both, "OR").matches(ITEM)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, INVALID + "Value must be provided when Exists is null for Attribute: a"),
        ({"Exists": True}, INVALID + "Value must be provided when Exists is true for Attribute: a"),
        ({"Exists": False, "Value": {"S": "x"}}, INVALID + "Value cannot be used when Exists is false for Attribute: a"),
        (
            {"AttributeValueList": []},
            INVALID + "AttributeValueList can only be used with a ComparisonOperator for Attribute: a",
        ),
        (
            {"Value": {"S": "x"}, "AttributeValueList": []},
            INVALID + "Value and AttributeValueList cannot be used together for Attribute: a",
        ),
        (
            {"ComparisonOperator": "EQ", "Exists": True},
            INVALID + "Exists and ComparisonOperator cannot be used together for Attribute: a",
        ),
        (
            {"ComparisonOperator": "EQ"},
            INVALID + "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a",
        ),
        (compared("EQ"), INVALID + "Invalid number of argument(s) for the EQ ComparisonOperator"),
        (compared("NULL", {"S": "x"}), INVALID + "Invalid number of argument(s) for the NULL ComparisonOperator"),
        (compared("IN"), INVALID + "Invalid number of argument(s) for the IN ComparisonOperator"),
        (
            compared("IN", {"S": "x"}, {"N": "1"}),
            INVALID + "AttributeValues inside AttributeValueList must be of same type",
        ),
        (
            compared("LT", {"SS": ["x"]}),
            INVALID + "ComparisonOperator LT is not valid for SS AttributeValue type",
        ),
        (compared("EQ", {"N": "x"}), "The parameter cannot be converted to a numeric value: x"),
    ],
)
def test_conditions_that_are_wrong(given: dict[str, Any], message: str):
    with pytest.raises(ValidationFault) as fault:
        legacy.condition_of({"a": given})
    assert fault.value.message == message


def test_a_conditional_operator_joins_something():
    for given, message in (
        ({}, "ConditionalOperator cannot be used without Filter or Expected"),
        (
            {"a": {"ComparisonOperator": "NULL"}},
            "ConditionalOperator can only be used when Filter or Expected has two or more elements",
        ),
    ):
        with pytest.raises(ValidationFault) as fault:
            legacy.condition_of(given, "OR")
        assert fault.value.message == message


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("n", {"Action": "PUT", "Value": {"N": "7"}}, {"N": "7"}),
        ("n", {"Value": {"S": "x"}}, {"S": "x"}),
        ("n", {"Action": "DELETE"}, None),
        ("n", {"Action": "ADD", "Value": {"N": "1.50"}}, {"N": "3.5"}),
        ("zz", {"Action": "ADD", "Value": {"N": "1.50"}}, {"N": "1.5"}),
        ("ss", {"Action": "ADD", "Value": {"SS": ["c", "a"]}}, {"SS": ["a", "b", "c"]}),
        ("ss", {"Action": "DELETE", "Value": {"SS": ["c", "a"]}}, {"SS": ["b"]}),
        ("ss", {"Action": "DELETE", "Value": {"SS": ["b", "a"]}}, None),
        ("l", {"Action": "ADD", "Value": {"L": [{"S": "x"}]}}, {"L": [{"N": "1"}, {"S": "x"}]}),
        ("zz", {"Action": "DELETE", "Value": {"SS": ["b"]}}, None),
    ],
)
def test_attribute_updates(name: str, given: dict[str, Any], expected: Any):
    update = legacy.update_of({name: given})
    assert update.apply(ITEM).get(name) == expected
    assert update.touches(name)
    assert not update.touches("id")


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("a", {"Action": "PUT"}, INVALID + "Only DELETE action is allowed when no attribute value is specified"),
        ("a", {"Action": "ADD", "Value": {"S": "x"}}, INVALID + "ADD action is not supported for the type S"),
        (
            "a",
            {"Action": "DELETE", "Value": {"N": "1"}},
            INVALID + "DELETE action with value is not supported for the type N",
        ),
        ("s", {"Action": "ADD", "Value": {"N": "1"}}, "Type mismatch for attribute to update"),
        ("l", {"Action": "DELETE", "Value": {"SS": ["a"]}}, "Type mismatch for attribute to update"),
    ],
)
def test_attribute_updates_that_are_wrong(name: str, given: dict[str, Any], message: str):
    with pytest.raises(ValidationFault) as fault:
        legacy.update_of({name: given}).apply(ITEM)
    assert fault.value.message == message


def test_attributes_to_get():
    assert legacy.projection_of(["n", "zz"]).apply(ITEM) == {"n": {"N": "2"}}
    with pytest.raises(ValidationFault) as fault:
        legacy.projection_of(["n", "s", "n"])
    assert fault.value.message == INVALID + "Duplicate value in attribute name: n"
