"""Conditions that boto3 writes: of any depth, they mean what Python means by the same words."""

import functools
import operator
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.conditions import And, Attr, ConditionBase, ConditionExpressionBuilder, Key, Not, Or
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from cumulet.services.tables.expressions import Clause, KeyCondition, Placeholders, parse_condition, parse_key_condition
from cumulet.services.tables.values import normalise_item

serialize = TypeSerializer().serialize
Values = dict[str, Any]
names = st.sampled_from(["a", "b", "name", "c.d", "size"])
scalars = st.one_of(st.integers(-3, 3), st.text("xyz", max_size=3), st.booleans(), st.none())
plain_items = st.dictionaries(st.sampled_from(["a", "b", "name", "size"]), scalars, max_size=4)


def bound(condition: ConditionBase, *, is_key: bool = False) -> tuple[str, Placeholders]:
    built = ConditionExpressionBuilder().build_expression(condition, is_key_condition=is_key)
    values = {name: serialize(value) for name, value in built.attribute_value_placeholders.items()}
    return built.condition_expression, Placeholders(built.attribute_name_placeholders or None, values or None)


def kind(value: Any) -> type:
    return Decimal if type(value) is int else type(value)


def same(item: Values, name: str, value: Any) -> bool:
    return name in item and kind(item[name]) is kind(value) and item[name] == value


def ordered(item: Values, name: str, value: Any, compare: Any) -> bool:
    return name in item and kind(item[name]) is kind(value) and compare(item[name], value)


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[ConditionBase, Any]:
    """(what boto3 has, the same as a function of an item)."""
    name, value = draw(names), draw(scalars)
    limit: Any = draw(st.one_of(st.integers(-3, 3), st.text("xyz", max_size=3)))
    attribute = Attr(name)
    choice = draw(st.integers(0, 8))
    if choice == 0:
        return attribute.eq(value), lambda item: same(item, name, value)
    if choice == 1:
        return attribute.ne(value), lambda item: not same(item, name, value)
    if choice == 2:
        return attribute.lt(limit), lambda item: ordered(item, name, limit, operator.lt)
    if choice == 3:
        return attribute.gte(limit), lambda item: ordered(item, name, limit, operator.ge)
    if choice == 4:
        return attribute.exists(), lambda item: name in item
    if choice == 5:
        return attribute.is_in([value, limit]), lambda item: same(item, name, value) or same(item, name, limit)
    if choice == 6:
        text = str(limit)
        return attribute.begins_with(text), lambda item: isinstance(item.get(name), str) and item[name].startswith(text)
    if choice == 7:
        low, high = sorted([draw(st.integers(-3, 3)), draw(st.integers(-3, 3))])
        return attribute.between(
            low, high
        ), lambda item: ordered(item, name, low, operator.ge) and ordered(item, name, high, operator.le)
    text = str(limit)
    return attribute.contains(text), lambda item: isinstance(item.get(name), str) and text in item[name]


def joined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(inner, inner).map(lambda two: (And(two[0][0], two[1][0]), lambda item: two[0][1](item) and two[1][1](item))),
        st.tuples(inner, inner).map(lambda two: (Or(two[0][0], two[1][0]), lambda item: two[0][1](item) or two[1][1](item))),
        inner.map(lambda one: (Not(one[0]), lambda item: not one[1](item))),
    )


@given(st.recursive(comparisons(), joined, max_leaves=8), plain_items)
def test_it_means_what_python_means(pair: tuple[ConditionBase, Any], plain: Values):
    condition, expected = pair
    text, placeholders = bound(condition)
    item, _ = normalise_item({name: serialize(value) for name, value in plain.items()})
    assert parse_condition(text, placeholders, "FilterExpression").matches(item) is bool(expected(plain))
    placeholders.check_all_used()


@pytest.mark.parametrize("join", [And, Or])
def test_a_list_of_a_hundred_and_fifty_joined_one_by_one(join: Any):
    """As `functools.reduce` makes it: parentheses 149 deep."""
    condition = functools.reduce(join, [Attr("a").eq(1)] * 150)
    text, placeholders = bound(condition)
    if len(text) > 4096:  # boto3 numbers each placeholder
        text = "(" * 149 + "a=:x" + (f" {join.expression_operator} a=:x)" * 149)
        placeholders = Placeholders(None, {":x": {"N": "1"}})
    assert parse_condition(text, placeholders).matches({"a": {"N": "1"}})


def test_key_conditions():
    text, placeholders = bound(Key("pk").eq("a") & Key("sk").between(1, 2), is_key=True)
    expected = KeyCondition({"pk": {"S": "a"}}, {}, Clause("sk", "BETWEEN", ({"N": "1"}, {"N": "2"})))
    assert parse_key_condition(text, placeholders, {"pk": "S"}, {"sk": "N"}) == expected
    text, placeholders = bound(Key("pk").eq("a") & Key("sk").begins_with("x"), is_key=True)
    expected = KeyCondition({"pk": {"S": "a"}}, {}, Clause("sk", "begins_with", ({"S": "x"},)))
    assert parse_key_condition(text, placeholders, {"pk": "S"}, {"sk": "S"}) == expected
