"""Patterns that users write: they mean what is documented, and none of them takes long."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.core.patterns import PatternError, compile_pattern, wildcards

_text = st.text(alphabet="ab*\n.", max_size=12)


@given(_text, st.text(alphabet="ab\n.", max_size=12))
def test_wildcards_mean_what_the_expression_would(pattern, value):
    expression = re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
    assert wildcards(pattern)(value) is (expression.fullmatch(value) is not None)


def test_no_pattern_takes_long():
    started = time.thread_time()
    assert not wildcards("*a" * 40 + "*b")("a" * 8000)
    assert compile_pattern("(a+)+$").search("a" * 8000 + "b") is None
    assert time.thread_time() - started < 1.0


def test_what_cannot_be_matched_in_linear_time_is_refused():
    for text in (r"(a)\1", "(?=a)", "("):
        with pytest.raises(PatternError):
            compile_pattern(text)
