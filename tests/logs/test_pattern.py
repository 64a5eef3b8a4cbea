import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.services.logs.errors import InvalidParameter
from cumulet.services.logs.pattern import compile_pattern

RECORD = json.dumps({"level": "ERROR", "n": 7, "user": {"name": "ann", "tags": ["a", "b"]}, "nothing": None, "on": True})


@pytest.mark.parametrize(
    ("pattern", "message", "is_wanted"),
    [
        ("", "anything", True),
        ("ERROR", "an ERROR here", True),
        ("ERROR", "an error here", False),
        ("ERROR disk", "ERROR: the disk", True),
        ("ERROR disk", "ERROR: the net", False),
        ("ERROR -disk", "ERROR: the disk", False),
        ("?ERROR ?WARN", "WARN: x", True),
        ("?ERROR ?WARN", "INFO: x", False),
        ('"two words"', "has two words in it", True),
        ('"two words"', "two other words", False),
        ("%E[0-9]+%", "code E42", True),
        ("%E[0-9]+%", "code Ex", False),
        ("[ip, user, status=4*, size]", "1.2.3.4 ann 404 12", True),
        ("[ip, user, status=4*, size]", "1.2.3.4 ann 200 12", False),
        ("[ip, user, status, size > 100]", "1.2.3.4 ann 200 101", True),
        ("[ip, ..., size > 100]", "1.2.3.4 a b c d 101", True),
        ("[ip, ..., size > 100]", "1.2.3.4 a b c d 99", False),
        ("[w = a || w = b, x]", "b 1", True),
        ("{ $.level = ERROR }", RECORD, True),
        ('{ $.level = "ERR*" }', RECORD, True),
        ("{ $.level != ERROR }", RECORD, False),
        ("{ $.n > 6 && $.n <= 7 }", RECORD, True),
        ("{ $.n > 7 || $.level = ERROR }", RECORD, True),
        ("{ ($.n = 1 || $.n = 7) && $.user.name = ann }", RECORD, True),
        ("{ $.user.tags[1] = b }", RECORD, True),
        ("{ $.nothing IS NULL }", RECORD, True),
        ("{ $.on IS TRUE }", RECORD, True),
        ("{ $.absent NOT EXISTS }", RECORD, True),
        ("{ $.level EXISTS }", RECORD, True),
        ("{ $.user.name = %^a% }", RECORD, True),
        ("{ $.n = 7 }", "no JSON at all", False),
    ],
)
def test_what_a_pattern_wants(pattern, message, is_wanted):
    assert compile_pattern(pattern)(message) is is_wanted


@pytest.mark.parametrize("pattern", ["{ $.a = ", "{ $.a }", "{ a = 1 }", "[a", "{ ($.a = 1 }", "{ $.a > x }", "%(%"])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(InvalidParameter):
        compile_pattern(pattern)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_a_pattern_or_is_refused(pattern, message):
    try:
        wants = compile_pattern(pattern)
    except InvalidParameter:
        return
    assert wants(message) in (True, False)


@given(st.text("abc xyz", min_size=1, max_size=10).filter(str.strip), st.text("abc xyz", max_size=30))
def test_a_quoted_text_is_wanted_where_it_stands(text, message):
    assert compile_pattern(f'"{text}"')(message) == (text in message)


def test_a_regular_expression_does_not_hold_up_the_node():
    assert not compile_pattern("%(a+)+$%")("a" * 40 + "b")
    with pytest.raises(InvalidParameter):
        compile_pattern("%(?=a)%")
