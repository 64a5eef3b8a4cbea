"""Numbers as tables hold them: 38 significant digits, magnitudes from 1E-130 to 9.99…E+125, exact.

A number is its canonical text: plain digits, no exponent, no leading or trailing zeros, so that equal numbers are equal texts.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes.Number
"""

import re
from decimal import Context, Decimal, Inexact

from cumulet.services.tables.errors import ValidationFault

MAXIMUM_DIGITS = 38
MAXIMUM_EXPONENT = 125
MINIMUM_EXPONENT = -130
_NUMBER = re.compile(r"([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(?:[eE]([+-]?[0-9]{1,10}))?\Z")
# Wide enough that a sum of any two numbers is exact: 256 places of magnitude and 38 digits below the smallest.
_EXACT = Context(prec=320, traps=[Inexact], Emax=400, Emin=-400)


def canonical(text: str) -> str:
    """The one text of that number. Raises ValidationFault: no number, out of range, or too many digits."""
    if text.isdigit() and len(text) <= MAXIMUM_DIGITS and text[0] != "0" and text.isascii():
        return text
    return _canonical(text)


def _canonical(text: str) -> str:
    match = _NUMBER.match(text)
    if match is None:
        detail = f": {text}" if text else ""
        raise ValidationFault(f"The parameter cannot be converted to a numeric value{detail}")
    sign, whole, fraction, bare_fraction, exponent = match.groups()
    whole, fraction = whole or "", fraction or bare_fraction or ""
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return "0"
    point = len(digits) - len(fraction) + int(exponent or 0)  # digits before the decimal point; may lie outside of them
    digits = digits.rstrip("0")
    _check(len(digits), point - 1)
    plain = _plain(digits, point)
    return f"-{plain}" if sign == "-" else plain


def _check(digits: int, exponent: int) -> None:
    if exponent > MAXIMUM_EXPONENT:
        raise ValidationFault("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if exponent < MINIMUM_EXPONENT:
        raise ValidationFault("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    if digits > MAXIMUM_DIGITS:
        raise ValidationFault("Attempting to store more than 38 significant digits in a Number")


def _plain(digits: str, point: int) -> str:
    """Digits without zeros at either end, and where the point stands."""
    if point <= 0:
        return "0." + "0" * -point + digits
    if point >= len(digits):
        return digits + "0" * (point - len(digits))
    return f"{digits[:point]}.{digits[point:]}"


def scientific(text: str) -> tuple[bool, str, int]:
    """Of a canonical text: whether it is negative, its significant digits ("" for zero), and the exponent of the first."""
    is_negative = text[0] == "-"
    whole, _, fraction = text.lstrip("-").partition(".")
    if whole == "0":
        digits = fraction.lstrip("0")
        return is_negative, digits, len(digits) - len(fraction) - 1
    return is_negative, (whole + fraction).rstrip("0"), len(whole) - 1


def add(left: str, right: str) -> str:
    """The exact sum of two canonical texts. Raises ValidationFault where it is no number of this kind."""
    return canonical(format(_EXACT.add(Decimal(left), Decimal(right)), "f"))


def subtract(left: str, right: str) -> str:
    return canonical(format(_EXACT.subtract(Decimal(left), Decimal(right)), "f"))


def compare(left: str, right: str) -> int:
    """-1, 0 or 1; of canonical texts."""
    if left == right:
        return 0
    return -1 if Decimal(left) < Decimal(right) else 1


def size(text: str) -> int:
    """Bytes that a canonical text counts for: one for two digits (from the decimal point), one more, and one for a sign."""
    if text.isdigit():
        is_negative, digits, exponent = False, text.rstrip("0"), len(text) - 1
    else:
        is_negative, digits, exponent = scientific(text)
    if not digits:
        return 1
    count = len(digits)
    return 1 + (count + 1) // 2 + (0 if count % 2 or exponent % 2 else 1) + is_negative


def ordered(text: str) -> bytes:
    """Bytes of a canonical text that sort as the numbers do; none is the beginning of another.

    A byte for the sign, one for the exponent, two digits a byte (as hexadecimal digits, plus one), and 0; all but the first
    inverted below zero.
    """
    if text.isdigit():
        is_negative, digits, exponent = False, text.rstrip("0"), len(text) - 1
    else:
        is_negative, digits, exponent = scientific(text)
    if not digits:
        return b"\x01"
    pairs = bytes.fromhex(digits + "0" if len(digits) % 2 else digits).translate(_PLUS_ONE)
    body = _EXPONENTS[exponent - MINIMUM_EXPONENT] + pairs + b"\x00"
    return b"\x00" + body.translate(_INVERTED) if is_negative else b"\x02" + body


_PLUS_ONE = bytes((byte + 1) % 256 for byte in range(256))
_INVERTED = bytes(255 - byte for byte in range(256))
_EXPONENTS = [bytes([exponent]) for exponent in range(MAXIMUM_EXPONENT - MINIMUM_EXPONENT + 1)]
