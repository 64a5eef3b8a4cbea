from hypothesis import given
from hypothesis import strategies as st

from cumulet.store.keys import after, pack, prefix_range, unpack

integers = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
keys = st.tuples(st.text(), st.binary(), integers, st.text())


@given(keys)
def test_unpack_reverses_pack(key):
    assert unpack(pack(*key)) == key


@given(keys, keys)
def test_packed_keys_sort_as_tuples(one, other):
    # Text sorts by code points, as UTF-8 does.
    assert (pack(*one) < pack(*other)) == (one < other)


@given(keys, keys)
def test_a_prefix_range_holds_exactly_the_keys_with_that_prefix(prefix, key):
    start, end = prefix_range(*prefix[:2])
    assert (start <= pack(*key) < end) == (key[:2] == prefix[:2])
    assert start <= pack(*prefix) < end


@given(keys)
def test_after_is_the_next_key(key):
    assert pack(*key) < after(pack(*key)) < pack(*key) + b"\x00\x00"
