"""Claims about event patterns: what each operator wants, what arrays and absent fields mean, and what refusals say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.core.event_patterns import InvalidPattern, compile_pattern


def matches(pattern, event):
    return compile_pattern(json.dumps(pattern)).matches(event)


@pytest.mark.parametrize(
    ("wanted", "fitting", "unfitting"),
    [
        (["a"], ["a", ["b", "a"], [["a"]]], ["b", 1, None, {"a": "a"}, [], {}]),
        ([1], [1, 1.0, [2, 1]], ["1", True, None]),
        ([1.5e3], [1500], [1501]),
        ([True], [True], ["true", 1, False]),
        ([None], [None, [None]], ["", 0, "null"]),
        (["", "x"], ["", "x"], [None, " "]),
        ([{"prefix": "ab"}], ["ab", "abc"], ["a", "cab", 1, None]),
        ([{"prefix": {"equals-ignore-case": "aB"}}], ["Abc"], ["cab"]),
        ([{"suffix": ".png"}], [".png", "a.png"], ["a.png2"]),
        ([{"suffix": {"equals-ignore-case": ".PNG"}}], ["a.png"], ["png"]),
        ([{"equals-ignore-case": "Straße"}], ["STRASSE", "straße"], ["strase"]),
        ([{"wildcard": "a*b*c"}], ["abc", "axxbyyc", "abbcc", "a\nbc"], ["ab", "abcd", "xabc"]),
        ([{"wildcard": "a\\*b\\\\c*"}], ["a*b\\c", "a*b\\cd"], ["axb\\c"]),
        ([{"wildcard": "*"}], ["", "any"], [1, None]),
        ([{"numeric": ["=", 5]}], [5, 5.0], ["5", 6]),
        ([{"numeric": [">", 0, "<=", 5]}], [0.1, 5], [0, 5.1, None, True]),
        ([{"numeric": ["<", -1.5]}], [-2], [-1.5]),
        ([{"anything-but": "a"}], ["b", 1, None, ["a", "b"]], ["a", {}, ["a"]]),
        ([{"anything-but": ["a", "b"]}], ["c"], ["a", "b"]),
        ([{"anything-but": [1, 2]}], [3, "1"], [1, 2.0]),
        ([{"anything-but": {"prefix": "a"}}], ["b", 1], ["ab"]),
        ([{"anything-but": {"prefix": ["a", "b"]}}], ["c"], ["ax", "bx"]),
        ([{"anything-but": {"suffix": "z"}}], ["za"], ["az"]),
        ([{"anything-but": {"equals-ignore-case": ["A", "b"]}}], ["c"], ["a", "B"]),
        ([{"anything-but": {"wildcard": "*/lib/*"}}], ["a/b"], ["a/lib/b"]),
        ([{"exists": True}], ["a", None, [1]], [{}, {"b": 1}, []]),
        ([{"cidr": "10.0.0.0/24"}], ["10.0.0.0", "10.0.0.255"], ["10.0.1.0", "x", 1, "::1"]),
        ([{"cidr": "2001:db8::/32"}], ["2001:0db8:1::1"], ["2001:db9::1"]),
        (["a", {"prefix": "x"}, {"numeric": [">", 9]}], ["a", "xy", 10], ["b", 9]),
    ],
)
def test_what_an_operator_wants(wanted, fitting, unfitting):
    for value in fitting:
        assert matches({"detail": {"a": wanted}}, {"detail": {"a": value}, "other": 1}), value
    for value in unfitting:
        assert not matches({"detail": {"a": wanted}}, {"detail": {"a": value}, "other": 1}), value


def test_absent_fields():
    wanted = {"a": {"b": [{"exists": False}]}}
    for event in ({}, {"a": 1}, {"a": {}}, {"a": {"b": {"c": 1}}}, {"a": {"b": []}}, {"a": [{"c": 1}]}):
        assert matches(wanted, event), event
    for event in ({"a": {"b": None}}, {"a": [{"c": 1}, {"b": 1}]}):
        assert not matches(wanted, event), event
    assert matches({"a": [{"exists": False}, "x"]}, {"a": "x"})
    assert not matches({"a": [{"anything-but": "x"}]}, {})


def test_fields_are_anded_alternatives_are_ored_and_an_arrays_fields_are_of_one_element():
    wanted = {"source": ["s"], "$or": [{"a": [1]}, {"b": [2], "c": [3]}]}
    assert matches(wanted, {"source": "s", "a": 1})
    assert matches(wanted, {"source": "s", "b": 2, "c": 3})
    assert not matches(wanted, {"source": "s", "b": 2})
    assert not matches(wanted, {"a": 1})
    nested = {"x": {"$or": [{"a": [1]}, {"$or": [{"b": [1]}, {"c": [1]}]}]}}
    assert matches(nested, {"x": {"c": 1}}) and not matches(nested, {"c": 1})
    people = {"people": {"name": ["ann"], "age": [30]}}
    assert matches(people, {"people": [{"name": "bob"}, {"name": "ann", "age": 30}]})
    assert not matches(people, {"people": [{"name": "ann", "age": 20}, {"name": "bob", "age": 30}]})


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ('{"source":["x"],"detail":{"lenderId":"LenderA"}}', '"lenderId" must be an object or an array\n at [Source: (String)'),
        ('{"source":"a"}', '"{"source":"a"}"; line: 1, column: 12]'),
        ('{\n "a": [\n ]}', "line: 3, column: 3]"),
        ("[]", "Filter is not an object"),
        ("{}", "Empty objects are not allowed"),
        ('{"a":{}}', "Empty objects are not allowed"),
        ('{"a":[[1]]}', "Match value must be String, number, true, false, or null"),
        ('{"a":[{"foo":1}]}', "Unrecognized match type foo"),
        ('{"a":[{"prefix":1}]}', "prefix match pattern must be a string"),
        ('{"a":[{"prefix":"x","b":1}]}', "Only one key allowed in match expression"),
        ('{"a":[{"exists":"true"}]}', "exists match pattern must be either true or false."),
        ('{"a":[{"numeric":5}]}', "Value of numeric must be an array."),
        ('{"a":[{"numeric":["!",5]}]}', "Unrecognized numeric range operator: !"),
        ('{"a":[{"numeric":[">","5"]}]}', "Value of > must be numeric"),
        ('{"a":[{"numeric":[">",5,"<",1]}]}', "Bottom must be less than top"),
        ('{"a":[{"numeric":["<",5,6]}]}', "Too many elements in numeric expression"),
        ('{"a":[{"anything-but":["a",1]}]}', "mixed type is not supported"),
        ('{"a":[{"anything-but":null}]}', "Value of anything-but must be an array or single string/number value."),
        ('{"a":[{"anything-but":{"prefix":""}}]}', "Null prefix/suffix not allowed"),
        ('{"a":[{"wildcard":"a**"}]}', "Consecutive wildcard characters at pos 2"),
        ('{"a":[{"wildcard":"a\\\\b"}]}', "Invalid escape character at pos 2"),
        ('{"a":[{"cidr":"10.0.0.0"}]}', "Malformed CIDR, one '/' required"),
        ('{"$or":[{"a":[1]}]}', "There must have at least 2 Objects in $or relationship."),
        ('{"$or":[1,2]}', "Only JSON object is allowed in array of $or relationship."),
        ('{"a":[1]', "Invalid JSON"),
        ('{"a":[1]} x', "Invalid JSON"),
        ("{'a':[1]}", "Invalid JSON"),
        ('{"a":[1] "b":[1]}', "Invalid JSON"),
    ],
)
def test_refusals_say_what_and_where(pattern, reason):
    with pytest.raises(InvalidPattern) as refusal:
        compile_pattern(pattern)
    assert reason in str(refusal.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
EVENTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def leaf_paths(value, path=()):
    """(path, leaf) pairs, an array's elements under the array's own path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaf_paths(inner, (*path, name))
    elif isinstance(value, list):
        for inner in value:
            yield from leaf_paths(inner, path)
    else:
        yield path, value


def nested(path, wanted):
    for name in reversed(path):
        wanted = {name: wanted}
    return wanted


@given(EVENTS, st.lists(st.sampled_from("abc"), min_size=1, max_size=3), st.integers(-3, 3) | st.text(max_size=2) | st.none())
def test_one_leaf_is_found_exactly_where_it_is(event, path, value):
    """Against a walk over all leaves, which is what a pattern means."""
    path = tuple(path)
    found = list(leaf_paths(event))
    here = [leaf for where, leaf in found if where == path]
    assert matches(nested(path, [value]), event) == any(type(leaf) is type(value) and leaf == value for leaf in here)
    assert matches(nested(path, [{"exists": True}]), event) == bool(here)
    assert matches(nested(path, [{"exists": False}]), event) == (not here)
    for where, leaf in found:
        assert matches(nested(where, [leaf]), event)


@given(st.text('{}[]":,$or* \\a1.-e\ntrufalsn', max_size=40))
def test_any_text_is_a_pattern_or_refused(text):
    try:
        compile_pattern(text).matches({"a": ["x", {"b": 1}]})
    except InvalidPattern:
        pass
    else:
        assert isinstance(json.loads(text), dict)
