"""Names and values of a request: their form, and that each is used."""

from typing import Any

import pytest

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import Placeholders, parse_condition, parse_projection, parse_update
from cumulet.services.tables.legacy import refuse_mixing


@pytest.mark.parametrize(
    ("names", "values", "message"),
    [
        ({}, None, "ExpressionAttributeNames must not be empty"),
        (None, {}, "ExpressionAttributeValues must not be empty"),
        ({"a": "a"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"'),
        ({"#a-b": "a"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "#a-b"'),
        ({"#": "a"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "#"'),
        (None, {"v": {"S": "x"}}, 'ExpressionAttributeValues contains invalid key: Syntax error; key: "v"'),
        (None, {":v\n": {"S": "x"}}, 'ExpressionAttributeValues contains invalid key: Syntax error; key: ":v\n"'),
        ({"#a": ""}, None, "ExpressionAttributeNames contains invalid value: Empty attribute name for key #a"),
        (
            {"#a": "x" * 65536},
            None,
            "ExpressionAttributeNames contains invalid value: "
            "Attribute name is too large, must be less than 65536 bytes for key #a",
        ),
        (
            {"#" + "a" * 300: "x"},
            None,
            "ExpressionAttributeNames contains invalid key: "
            "The expression attribute map contains a key that is too long; size of key: 301",
        ),
        (
            None,
            {":v": {"N": "x"}},
            "ExpressionAttributeValues contains invalid value: The parameter cannot be converted to a numeric value: x for key :v",
        ),
        (
            None,
            {":v": {}},
            "ExpressionAttributeValues contains invalid value: "
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes for key :v",
        ),
    ],
)
def test_their_form(names: Any, values: Any, message: str):
    with pytest.raises(ValidationFault) as fault:
        Placeholders(names, values)
    assert fault.value.message == message


def test_what_no_expression_of_the_request_uses_is_refused():
    placeholders = Placeholders({"#a": "a", "#c": "c", "#b": "b"}, {":v": {"S": "x"}, ":w": {"S": "y"}})
    parse_update("SET #a = :v", placeholders)
    parse_condition("attribute_exists(#b)", placeholders)
    with pytest.raises(ValidationFault) as fault:
        placeholders.check_all_used()
    assert fault.value.message == "Value provided in ExpressionAttributeNames unused in expressions: keys: {#c}"
    parse_projection("x.#c", placeholders)
    with pytest.raises(ValidationFault) as fault:
        placeholders.check_all_used()
    assert fault.value.message == "Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"UpdateExpression": "x", "AttributeUpdates": {}, "Expected": {}},
            "Can not use both expression and non-expression parameters in the same request: "
            "Non-expression parameters: {AttributeUpdates, Expected} Expression parameters: {UpdateExpression}",
        ),
        ({"ExpressionAttributeNames": {}}, "ExpressionAttributeNames can only be specified when using expressions"),
        (
            {"ExpressionAttributeValues": {}},
            "ExpressionAttributeValues can only be specified when using expressions: "
            "UpdateExpression and ConditionExpression are null",
        ),
    ],
)
def test_the_two_languages_do_not_mix(request_: dict[str, Any], message: str):
    with pytest.raises(ValidationFault) as fault:
        refuse_mixing(request_, ["UpdateExpression", "ConditionExpression"], ["AttributeUpdates", "Expected"])
    assert fault.value.message == message


def test_key_conditions_may_stand_beside_a_filter_expression():
    expressions = ["ProjectionExpression", "FilterExpression", "KeyConditionExpression"]
    legacy = ["AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"]
    refuse_mixing({"KeyConditions": {}, "FilterExpression": "x"}, expressions, legacy)
    with pytest.raises(ValidationFault):
        refuse_mixing({"KeyConditions": {}, "KeyConditionExpression": "x"}, expressions, legacy)
