"""Numbers against `decimal.Decimal`: one text each, exact sums, and bytes that sort as the numbers do."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.services.tables import keys, numbers
from cumulet.services.tables.errors import ValidationFault


@st.composite
def decimals(draw: st.DrawFn) -> Decimal:
    """Every magnitude a table holds, small integers most often."""
    if draw(st.booleans()):
        return Decimal(draw(st.integers(-(10**6), 10**6)))
    digits = draw(st.integers(1, 10**38 - 1))
    exponent = draw(st.integers(-130, 126 - len(str(digits))))
    return Decimal(digits).scaleb(exponent) * draw(st.sampled_from([1, -1]))


def spellings(number: Decimal) -> st.SearchStrategy[str]:
    return st.sampled_from(
        [str(number), format(number, "f"), format(number, "E"), f"{number:e}", f"+{abs(number)}" * (number >= 0)]
    )


@given(st.data(), decimals())
def test_every_spelling_of_a_number_has_one_text(data: st.DataObject, number: Decimal):
    spelled = data.draw(spellings(number)) or str(number)
    text = numbers.canonical(spelled)
    assert Decimal(text) == number
    assert numbers.canonical(text) == text
    assert "E" not in text and (text == "0" or not text.startswith(("-0.0-", "00", "+")))


@given(decimals(), decimals())
def test_equal_numbers_are_equal_texts_and_bytes_sort_as_numbers(left: Decimal, right: Decimal):
    one, two = numbers.canonical(str(left)), numbers.canonical(str(right))
    assert (one == two) == (left == right)
    assert numbers.compare(one, two) == (left > right) - (left < right)
    mine, other = keys.encode({"N": one}), keys.encode({"N": two})
    assert (mine > other) - (mine < other) == (left > right) - (left < right)
    assert mine == other or not (mine.startswith(other) or other.startswith(mine))


@given(decimals(), decimals())
def test_sums_are_exact_or_refused(left: Decimal, right: Decimal):
    one, two = numbers.canonical(str(left)), numbers.canonical(str(right))
    for compute, exact in ((numbers.add, exactly(left) + exactly(right)), (numbers.subtract, exactly(left) - exactly(right))):
        digits = str(abs(exact)).strip("0")
        if len(digits) > 38 or abs(exact) >= 10**256:
            with pytest.raises(ValidationFault):
                compute(one, two)
        else:
            assert exactly(Decimal(compute(one, two))) == exact


def exactly(number: Decimal) -> int:
    """In units of 1E-130, as an integer that needs no context."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    value = int("".join(map(str, digits)))
    shift = exponent + 130
    scaled = value * 10**shift if shift >= 0 else value // 10**-shift
    assert shift >= 0 or scaled * 10**-shift == value
    return -scaled if sign else scaled


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("000.000", "0"),
        ("0E500", "0"),
        ("00012", "12"),
        ("+1", "1"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1.0", "1"),
        ("1E3", "1000"),
        ("1e+5", "100000"),
        ("-12.3400", "-12.34"),
        ("1E-130", "0." + "0" * 129 + "1"),
        ("9.9E125", "99" + "0" * 124),
    ],
)
def test_known_spellings(text: str, canonical: str):
    assert numbers.canonical(text) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The parameter cannot be converted to a numeric value"),
        ("abc", "The parameter cannot be converted to a numeric value: abc"),
        (" 1", "The parameter cannot be converted to a numeric value:  1"),
        ("1\n", "The parameter cannot be converted to a numeric value: 1\n"),
        ("1_0", "The parameter cannot be converted to a numeric value: 1_0"),
        ("٣", "The parameter cannot be converted to a numeric value: ٣"),
        ("NaN", "The parameter cannot be converted to a numeric value: NaN"),
        ("1E126", "Number overflow. Attempting to store a number with magnitude larger than supported range"),
        ("-1E9999999999", "Number overflow. Attempting to store a number with magnitude larger than supported range"),
        ("9.9E-131", "Number underflow. Attempting to store a number with magnitude smaller than supported range"),
        ("1" * 39, "Attempting to store more than 38 significant digits in a Number"),
    ],
)
def test_what_is_no_number_is_refused_in_the_services_words(text: str, message: str):
    with pytest.raises(ValidationFault) as refused:
        numbers.canonical(text)
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("text", "size"), [("0", 1), ("1", 2), ("12", 2), ("123", 3), ("-1", 3), ("100", 2), ("10", 2), ("1.5", 3), ("0.01", 2)]
)
def test_sizes(text: str, size: int):
    assert numbers.size(text) == size
