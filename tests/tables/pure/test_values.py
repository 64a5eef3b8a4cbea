"""Attribute values: what is valid, in the service's words; sizes; equality and order; keys as bytes."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.core.errors import Fault
from cumulet.services.tables import keys, sizes, values
from cumulet.services.tables.errors import SerializationFault, ValidationFault

texts = st.text(st.characters(codec="utf-8"), max_size=8)
blobs = st.binary(max_size=8).map(lambda raw: base64.b64encode(raw).decode())
numerals = st.integers(-(10**20), 10**20).map(str)
scalars = st.one_of(
    texts.map(lambda text: {"S": text}),
    numerals.map(lambda text: {"N": text}),
    blobs.map(lambda text: {"B": text}),
    st.booleans().map(lambda is_true: {"BOOL": is_true}),
    st.just({"NULL": True}),
    st.lists(texts, min_size=1, max_size=3, unique=True).map(lambda members: {"SS": members}),
    st.lists(numerals, min_size=1, max_size=3, unique=True).map(lambda members: {"NS": members}),
)
documents: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda members: {"L": members}),
        st.dictionaries(texts.filter(bool), inner, max_size=3).map(lambda members: {"M": members}),
    ),
    max_leaves=8,
)
items = st.dictionaries(texts.filter(bool), documents, max_size=5)


@given(items)
def test_a_normalised_item_stays_as_it_is_and_counts_its_size(item: values.Item):
    before = orjson.dumps(item)
    normalised, size = values.normalise_item(item)
    assert orjson.dumps(item) == before
    assert values.normalise_item(normalised) == (normalised, size)
    assert size == sizes.item_size(normalised)
    assert all(values.normalise(value) == normalised[name] for name, value in item.items())


@given(documents, documents)
def test_equality_is_symmetric_and_sees_itself(left: values.Value, right: values.Value):
    assert values.equals(left, orjson.loads(orjson.dumps(left)))
    assert values.equals(left, right) == values.equals(right, left)


def test_sets_are_equal_in_any_order_at_any_depth():
    assert values.equals({"L": [{"SS": ["a", "b"]}]}, {"L": [{"SS": ["b", "a"]}]})
    assert values.equals({"M": {"x": {"NS": ["1", "2"]}}}, {"M": {"x": {"NS": ["2", "1"]}}})
    assert not values.equals({"SS": ["a", "b"]}, {"SS": ["a", "c"]})
    assert not values.equals({"SS": ["1"]}, {"NS": ["1"]})
    assert not values.equals({"L": [{"S": "a"}, {"S": "b"}]}, {"L": [{"S": "b"}, {"S": "a"}]})


def test_numbers_in_documents_and_sets_become_canonical_and_the_given_stays():
    given_value = {"M": {"a": {"L": [{"N": "1.0"}, {"S": "x"}]}, "b": {"NS": ["1E3", "2"]}}}
    assert values.normalise(given_value) == {"M": {"a": {"L": [{"N": "1"}, {"S": "x"}]}, "b": {"NS": ["1000", "2"]}}}
    assert given_value["M"]["a"]["L"][0] == {"N": "1.0"}


INVALID = "One or more parameter values were invalid: "
EMPTY = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, EMPTY),
        ({"S": None}, EMPTY),
        ({"X": "a"}, EMPTY),
        ({"M": None}, EMPTY),
        (
            {"S": "a", "N": "1"},
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
        ),
        ({"NULL": False}, INVALID + "Null attribute value types must have the value of true"),
        ({"SS": []}, INVALID + "An string set  may not be empty"),
        ({"NS": []}, INVALID + "An number set  may not be empty"),
        ({"BS": []}, INVALID + "Binary sets should not be empty"),
        ({"SS": ["a", "a"]}, INVALID + "Input collection [a, a] contains duplicates."),
        ({"NS": ["1", "1.0"]}, "Input collection contains duplicates"),
        ({"BS": ["YQ==", "YQ=="]}, INVALID + "Input collection [YQ==, YQ==]of type BS contains duplicates."),
        ({"NS": ["1", "x"]}, "The parameter cannot be converted to a numeric value: x"),
        ({"L": [{"N": "x"}]}, "The parameter cannot be converted to a numeric value: x"),
        ({"M": {"a": {}}}, EMPTY),
        ({"M": {"": {"S": "a"}}}, INVALID + "Empty attribute name"),
    ],
)
def test_invalid_values_are_refused_in_the_services_words(value: Any, message: str):
    for check in (lambda: values.normalise(value), lambda: values.normalise_item({"a": value})):
        with pytest.raises(ValidationFault) as refused:
            check()
        assert refused.value.message == message


@pytest.mark.parametrize(
    "value",
    [None, 1, "x", [], {"S": 1}, {"N": 1}, {"B": "a"}, {"B": "é==="}, {"BOOL": "true"}, {"NULL": 1}, {"L": {}}, {"M": []},
     {"SS": "a"}, {"SS": [1]}, {"S": "\ud800"}],
)  # fmt: skip
def test_json_of_another_shape_is_a_serialization_fault(value: Any):
    with pytest.raises(SerializationFault):
        values.normalise(value)
    with pytest.raises(SerializationFault):
        values.normalise_item({"a": value})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*values.TYPES, "X", ""]) | st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=10,
)


@given(json_values)
def test_any_json_is_a_value_or_a_fault(value: Any):
    try:
        values.normalise_item({"a": value})
    except Fault as fault:
        assert fault.status == 400


def nested(depth: int) -> values.Value:
    value: values.Value = {"S": "a"}
    for _ in range(depth - 1):
        value = {"L": [value]}
    return value


def test_nesting_ends_at_32_levels():
    values.normalise(nested(32))
    with pytest.raises(ValidationFault, match="Nesting Levels have exceeded supported limits"):
        values.normalise(nested(33))
    with pytest.raises(ValidationFault, match="Nesting Levels have exceeded supported limits"):
        values.check_updated({"a": nested(33)})


def test_items_end_at_400_kilobytes():
    fits = {"id": {"S": "a"}, "x": {"S": "y" * (400 * 1024 - 4)}}
    assert values.normalise_item(fits)[1] == 400 * 1024
    fits["x"]["S"] += "y"
    with pytest.raises(ValidationFault, match=r"^Item size has exceeded the maximum allowed size$"):
        values.normalise_item(fits)
    with pytest.raises(ValidationFault, match=r"^Item size to update has exceeded the maximum allowed size$"):
        values.check_updated(fits)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "é😀"}, 6),
        ({"B": "YWJj"}, 3),
        ({"B": ""}, 0),
        ({"BOOL": False}, 1),
        ({"NULL": True}, 1),
        ({"N": "100"}, 2),
        ({"L": []}, 3),
        ({"M": {}}, 3),
        ({"L": [{"S": "ab"}, {"N": "1"}]}, 9),
        ({"M": {"é": {"S": "ab"}}}, 8),
        ({"SS": ["ab", "c"]}, 3),
        ({"NS": ["1", "22"]}, 4),
        ({"BS": ["YQ==", "YWI="]}, 3),
    ],
)
def test_sizes(value: values.Value, size: int):
    assert sizes.value_size(value) == size
    assert values.normalise_item({"a": value})[1] == size + 1


strings = st.text(st.characters(codec="utf-8"), max_size=6) | st.text("a\x00\x01\xff", max_size=4)
binaries = st.binary(max_size=6) | st.lists(st.sampled_from([0, 1, 254, 255]), max_size=4).map(bytes)


@given(strings, strings)
def test_string_keys_sort_by_their_utf8_bytes(left: str, right: str):
    check_order(left.encode(), {"S": left}, right.encode(), {"S": right})


@given(binaries, binaries)
def test_binary_keys_sort_by_unsigned_bytes(left: bytes, right: bytes):
    check_order(left, {"B": base64.b64encode(left).decode()}, right, {"B": base64.b64encode(right).decode()})


def check_order(left: bytes, one: values.Value, right: bytes, two: values.Value) -> None:
    mine, other = keys.encode(one), keys.encode(two)
    expected = (left > right) - (left < right)
    assert (mine > other) - (mine < other) == expected == values.compare(one, two)
    assert mine == other or not (mine.startswith(other) or other.startswith(mine))
    assert mine.startswith(keys.encode_beginning(two)) == left.startswith(right)


OPERATORS = {
    "=": lambda value, one, two: value == one,
    "<": lambda value, one, two: value < one,
    "<=": lambda value, one, two: value <= one,
    ">": lambda value, one, two: value > one,
    ">=": lambda value, one, two: value >= one,
    "BETWEEN": lambda value, one, two: one <= value <= two,
    "begins_with": lambda value, one, two: value.startswith(one),
}


@given(st.sampled_from(sorted(OPERATORS)), binaries, binaries, binaries, st.binary(max_size=3))
def test_bounds_hold_exactly_what_the_operator_selects(operator: str, raw: bytes, one: bytes, two: bytes, behind: bytes):
    low, high = sorted([one, two])
    arguments = [{"B": base64.b64encode(bound).decode()} for bound in (low, high)]
    start, end = keys.bounds(operator, arguments)
    key = keys.encode({"B": base64.b64encode(raw).decode()}) + behind
    assert (start <= key and (end is None or key < end)) == OPERATORS[operator](raw, low, high)


@pytest.mark.parametrize(
    ("value", "is_hash", "message"),
    [
        ({"S": ""}, True, "The AttributeValue for a key attribute cannot contain an empty string value. Key: k"),
        ({"B": ""}, False, "The AttributeValue for a key attribute cannot contain an empty binary value. Key: k"),
        ({"S": "é" * 1025}, True, "Size of hashkey has exceeded the maximum size limit of2048 bytes"),
        ({"S": "x" * 1025}, False, "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"),
    ],
)
def test_keys_are_neither_empty_nor_too_long(value: values.Value, is_hash: bool, message: str):
    with pytest.raises(ValidationFault) as refused:
        keys.validate_key("k", value, is_hash=is_hash)
    assert refused.value.message == INVALID + message


@pytest.mark.parametrize(("value", "is_hash"), [({"S": "x" * 2048}, True), ({"S": "x" * 1024}, False), ({"N": "0"}, True)])
def test_keys_up_to_the_limit_pass(value: values.Value, is_hash: bool):
    keys.validate_key("k", value, is_hash=is_hash)
