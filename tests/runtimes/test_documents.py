"""The guest's JSON says what the standard library's says, in values and in errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.guest import documents

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.booleans() | st.none(), inner) | st.tuples(inner)
    ),
    max_leaves=20,
)


def outcome(action, argument):
    try:
        return repr(action(argument))
    except ValueError as error:
        return str(error)


@given(VALUES)
def test_what_is_written(value):
    assert documents.write(value) == json.dumps(value, ensure_ascii=False)


@given(VALUES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-le"]), st.sampled_from(["", " ", "\n\t", "\0", "x"]))
def test_what_is_read(value, encoding, end):
    data = (json.dumps(value) + end).encode(encoding)
    assert outcome(documents.read, data) == outcome(json.loads, data)


@given(st.binary() | st.text('[]{}",:0123456789.eE-+truefalsn \\u\ud800').map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_what_cannot_be_read(data):
    assert outcome(documents.read, data) == outcome(json.loads, data)


def test_what_cannot_be_written_leaves_nothing_behind():
    ring = []
    ring.append(ring)
    inner = [object()]
    for _ in range(2):
        with pytest.raises(ValueError, match="Circular reference"):
            documents.write(ring)
        with pytest.raises(TypeError, match="not JSON serializable"):
            documents.write({"inner": inner})
    inner[0] = 1
    assert documents.write({"inner": inner}) == '{"inner": [1]}'
