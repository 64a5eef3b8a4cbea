"""Any text, and any near miss of an expression, is an expression or a fault of the caller: never another error."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import (
    Placeholders,
    parse_condition,
    parse_key_condition,
    parse_projection,
    parse_update,
)

NAMES = {"#n": "n", "#m": "m"}
VALUES: dict[str, Any] = {":s": {"S": "x"}, ":n": {"N": "1"}, ":ss": {"SS": ["x"]}, ":l": {"L": []}, ":nul": {"NULL": True}}
ITEM: dict[str, Any] = {
    "n": {"N": "1"},
    "m": {"M": {"a": {"L": [{"N": "1"}]}}},
    "l": {"L": [{"S": "x"}]},
    "ss": {"SS": ["x"]},
    "b": {"B": "YQ=="},
    "nul": {"NULL": True},
    "bool": {"BOOL": True},
}
WORDS = (
    "n m l ss b nul bool zz name #n #m #x :s :n :ss :l :nul :x AND OR NOT BETWEEN IN SET REMOVE ADD DELETE size contains "
    "begins_with attribute_exists attribute_type if_not_exists list_append ( ) ( ) [ ] [0] [1] . , = <> < <= > >= + - 0 7 ' \" é @"
)
words = st.sampled_from(WORDS.split())
texts = st.one_of(
    st.text(max_size=30),
    st.lists(words, max_size=25).map(" ".join),
    st.lists(words, max_size=25).map(" ".join).map(lambda text: "SET n = " + text),
    st.lists(words, max_size=25).map(" ".join).map(lambda text: "n = :n AND " + text),
)


@given(texts)
@settings(max_examples=400)
def test_every_text_is_an_expression_or_a_fault(text: str):
    for use in (
        lambda held: parse_condition(text, held).matches(ITEM),
        lambda held: parse_update(text, held).apply(ITEM),
        lambda held: parse_projection(text, held).apply(ITEM),
        lambda held: parse_key_condition(text, held, {"n": "N"}, {"m": "S"}),
    ):
        try:
            use(Placeholders(NAMES, VALUES))
        except ValidationFault as fault:
            assert fault.message


@given(
    st.sampled_from(["(", "not ", "(not ", "size(", "a.", "a[0]", "a=b and ", "a=b or ", "a in (b,", "if_not_exists(a,", "#", ":"])
)
def test_repeated_pieces_end_in_a_fault(piece: str):
    for text in (piece * 4000, piece * 400, "SET a = " + piece * 400):
        for parse in (parse_condition, parse_update, parse_projection):
            try:
                parse(text[:4096], Placeholders(NAMES, VALUES))
            except ValidationFault as fault:
                assert fault.message


def test_many_paths_are_compared_in_no_more_time_than_they_take_to_read():
    text = "REMOVE " + ",".join(f"{letter}{number}" for letter in "abcdefgh" for number in range(115))
    assert len(parse_update(text[:4090].rpartition(",")[0], Placeholders()).paths()) > 800
