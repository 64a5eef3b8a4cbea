"""Key conditions, in both languages, against the schema of a table and of an index with several attributes a key."""

from typing import Any

import pytest

from cumulet.services.tables import legacy
from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import Clause, KeyCondition, Placeholders, parse_key_condition

VALUES: dict[str, Any] = {":s": {"S": "x"}, ":n": {"N": "1"}, ":m": {"N": "5"}, ":bool": {"BOOL": True}, ":l": {"L": []}}
X, ONE, FIVE = VALUES[":s"], VALUES[":n"], VALUES[":m"]


def parsed(text: str, hashes: dict[str, str] | None = None, ranges: dict[str, str] | None = None) -> KeyCondition:
    values = {name: value for name, value in VALUES.items() if f"{name} " in f"{text} ".replace(")", " ").replace(",", " ")}
    names = {"#id": "id"} if "#id" in text else None
    return parse_key_condition(text, Placeholders(names, values or None), hashes or {"id": "S"}, ranges or {"r": "N"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id = :s", None),
        (":s = #id", None),
        ("id = :s AND r = :n", Clause("r", "=", (ONE,))),
        ("r > :n and id = :s", Clause("r", ">", (ONE,))),
        ("(id = :s) AND (:n < r)", Clause("r", ">", (ONE,))),
        ("(id = :s AND r BETWEEN :n AND :m)", Clause("r", "BETWEEN", (ONE, FIVE))),
    ],
)
def test_what_a_key_condition_says(text: str, expected: Clause | None):
    assert parsed(text) == KeyCondition({"id": X}, {}, expected)


def test_begins_with_is_for_strings_and_binaries():
    assert parsed("id = :s AND begins_with(r, :s)", ranges={"r": "S"}).range == Clause("r", "begins_with", (X,))


UNSUPPORTED = "Query key condition not supported"
TYPE = "One or more parameter values were invalid: Condition parameter type does not match schema type"
OPERATOR = "Invalid operator used in KeyConditionExpression: "
CONDITION = "Invalid condition in KeyConditionExpression: "
INVALID = "Invalid KeyConditionExpression: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", INVALID + "The expression can not be empty;"),
        ("id", INVALID + 'Syntax error; token: "<EOF>", near: "id"'),
        ("r = :n", "Query condition missed key schema element: id"),
        ("id = :s and x = :n", "Query condition missed key schema element: r"),
        ("id = :s and r = :n and x = :n", "Conditions can be of length 1 or 2 only"),
        ("id = :s and id = :s", "KeyConditionExpressions must only contain one condition per key"),
        ("id = :s or r = :n", OPERATOR + "OR"),
        ("not id = :s", OPERATOR + "NOT"),
        ("id <> :s", OPERATOR + "<>"),
        ("id in (:s)", OPERATOR + "IN"),
        ("id = :s and attribute_exists(r)", OPERATOR + "attribute_exists"),
        ("id > :s", UNSUPPORTED),
        ("begins_with(id, :s)", UNSUPPORTED),
        ("id = :n", TYPE),
        ("id > :n", TYPE),
        ("id = :l", TYPE),
        ("id = :s and begins_with(r, :s)", TYPE),
        ("id = :s and size(r) = :n", "KeyConditionExpressions cannot contain nested operations"),
        ("id = r", CONDITION + "Multiple attribute names used in one condition"),
        ("id = :s and :n = :n", CONDITION + "No key attribute specified"),
        (
            "id = :s and begins_with(:s, r)",
            CONDITION + "begins_with operator must have the key attribute as its first operand",
        ),
        (
            "id[0] = :s",
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: id",
        ),
        ("id = :s and x.y = :s", "KeyConditionExpressions cannot have conditions on nested attributes"),
        (
            "id = :s and r > :bool",
            INVALID + "Incorrect operand type for operator or function; operator or function: >, operand type: BOOL",
        ),
        (
            "id = :s and r = r",
            INVALID + "The first operand must be distinct from the remaining operands for this operator or function; "
            "operator: =, first operand: [r]",
        ),
        ("name = :s", INVALID + "Attribute name is a reserved keyword; reserved keyword: name"),
    ],
)
def test_what_is_wrong_is_told_in_the_services_words(text: str, message: str):
    with pytest.raises(ValidationFault) as fault:
        parsed(text)
    assert fault.value.message == message


HASHES = {"h1": "S", "h2": "N"}
RANGES = {"r1": "S", "r2": "N", "r3": "N"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h1 = :s AND h2 = :n", KeyCondition({"h1": X, "h2": ONE})),
        ("r1 = :s AND h2 = :n AND h1 = :s", KeyCondition({"h1": X, "h2": ONE}, {}, Clause("r1", "=", (X,)))),
        (
            "h1 = :s AND h2 = :n AND r1 = :s AND r2 > :n",
            KeyCondition({"h1": X, "h2": ONE}, {"r1": X}, Clause("r2", ">", (ONE,))),
        ),
        (
            "h1 = :s AND h2 = :n AND r1 = :s AND r2 = :n AND r3 BETWEEN :n AND :m",
            KeyCondition({"h1": X, "h2": ONE}, {"r1": X, "r2": ONE}, Clause("r3", "BETWEEN", (ONE, FIVE))),
        ),
    ],
)
def test_an_index_with_several_attributes_a_key(text: str, expected: KeyCondition):
    assert parsed(text, HASHES, RANGES) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("h1 = :s", "Query condition missed key schema element: h2"),
        ("h1 = :s AND h2 = :n AND r2 = :n", "Query condition missed key schema element: r1"),
        ("h1 = :s AND h2 = :n AND r1 > :s AND r2 = :n", UNSUPPORTED),
        ("h1 = :s AND h2 > :n", UNSUPPORTED),
        ("h1 = :s AND h2 = :n AND r1 = :n", TYPE),
    ],
)
def test_its_attributes_are_given_from_the_first_on(text: str, message: str):
    with pytest.raises(ValidationFault) as fault:
        parsed(text, HASHES, RANGES)
    assert fault.value.message == message


def test_key_conditions_of_the_older_language_are_the_same():
    conditions = {
        "id": {"ComparisonOperator": "EQ", "AttributeValueList": [X]},
        "r": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [{"N": "1.0"}, FIVE]},
    }
    assert legacy.key_condition_of(conditions, {"id": "S"}, {"r": "N"}) == parsed("id = :s AND r BETWEEN :n AND :m")


@pytest.mark.parametrize(
    ("id_", "range_", "message"),
    [
        ({"ComparisonOperator": "GT", "AttributeValueList": [X]}, None, UNSUPPORTED),
        ({"ComparisonOperator": "EQ", "AttributeValueList": [ONE]}, None, TYPE),
        (None, {"ComparisonOperator": "EQ", "AttributeValueList": [ONE]}, "Query condition missed key schema element: id"),
        (
            {"ComparisonOperator": "EQ", "AttributeValueList": [X]},
            {"ComparisonOperator": "NE", "AttributeValueList": [ONE]},
            "Attempted conditional constraint is not an indexable operation",
        ),
        (
            {"ComparisonOperator": "EQ", "AttributeValueList": [X]},
            {"ComparisonOperator": "BETWEEN", "AttributeValueList": [ONE]},
            "One or more parameter values were invalid: Invalid number of argument(s) for the BETWEEN ComparisonOperator",
        ),
        (
            {"ComparisonOperator": "EQ", "AttributeValueList": [X]},
            {"ComparisonOperator": "BETWEEN", "AttributeValueList": [FIVE, ONE]},
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
        ),
        (None, None, "Conditions can be of length 1 or 2 only"),
    ],
)
def test_key_conditions_of_the_older_language_that_are_wrong(id_: Any, range_: Any, message: str):
    given = {name: condition for name, condition in (("id", id_), ("r", range_)) if condition}
    with pytest.raises(ValidationFault) as fault:
        legacy.key_condition_of(given, {"id": "S"}, {"r": "N"})
    assert fault.value.message == message
