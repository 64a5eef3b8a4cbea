"""Values of templates: how they print, compare and count, as Java's do. Pure.

Values are None, bool, int, float, str, list, dict and a few objects of our own; nothing else ever gets in.
"""

from collections.abc import Callable
from typing import Any

import orjson

from cumulet.gateway.templates.errors import TemplateError

MAXIMUM_STRING = 10 * 1024 * 1024
_MAXIMUM_BITS = 4096


class JavaList(list[Any]):
    """A list made in the template: it prints as Java's lists do, while an array that came out of JSON prints as JSON."""


class QuietMap(dict[str, Any]):
    """A map whose missing keys are empty, and so are those of the maps in it: `$context` and `$stageVariables`."""


class Overrides(dict[str, Any]):
    """What a template sets of the request or response: a map that stays the one that it is, wherever it is found."""


def quieted(value: Any) -> Any:
    """A value found in a quiet map."""
    if type(value) is dict:
        return QuietMap(value)
    return "" if value is None else value


class Callables:
    """An object with methods and properties, such as `$util`. `weight` is how many steps a call of it counts for."""

    def __init__(self, methods: dict[str, Callable[..., Any]], properties: dict[str, Any] | None = None, weight: int = 0) -> None:
        self.weight = weight
        self.methods = methods
        self.properties = properties or {}


def to_json(value: Any) -> str:
    """Raises TemplateError for what is no JSON, or has itself in it."""
    try:
        return orjson.dumps(_plain(value, 0)).decode()
    except (TypeError, ValueError) as error:
        raise TemplateError(f"a value cannot be written as JSON: {error}") from None


def _plain(value: Any, depth: int) -> Any:
    if depth > 100:
        raise TemplateError("a value is nested too deeply")
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 64:
        return float(value)
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {to_text(key): _plain(item, depth + 1) for key, item in value.items()}
    return value if isinstance(value, bool | int | float | None) else to_text(value)


def to_text(value: Any, depth: int = 0) -> str:
    """As Java prints it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, int):
        return str(value)
    if depth > 50:
        raise TemplateError("a value is nested too deeply")
    if isinstance(value, list) and not isinstance(value, JavaList):
        return to_json(value)
    if isinstance(value, list):
        return bounded("[" + ", ".join(to_text(item, depth + 1) for item in value) + "]")
    if isinstance(value, dict):
        return bounded("{" + ", ".join(f"{to_text(key)}={to_text(item, depth + 1)}" for key, item in value.items()) + "}")
    return ""


def bounded(text: str) -> str:
    if len(text) > MAXIMUM_STRING:
        raise TemplateError(f"a string may have {MAXIMUM_STRING} characters")
    return text


def _float_text(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = repr(value)
        if "e" not in text:
            return text
        return f"{value:.20f}".rstrip("0")
    mantissa, _, exponent = f"{value:e}".partition("e")
    digits = repr(value).partition("e")[0] if "e" in repr(value) else mantissa.rstrip("0")
    if "e" not in repr(value):
        scaled = repr(value / 10 ** int(exponent))
        digits = scaled if "e" not in scaled else digits
    return f"{digits if '.' in digits else digits + '.0'}E{int(exponent)}".replace(".E", ".0E")


def is_true(value: Any) -> bool:
    """Everything but null and false."""
    return value is not None and value is not False


def are_equal(left: Any, right: Any) -> bool:
    """Numbers by value, equals of one kind as they are, different kinds by their text."""
    if left is None or right is None:
        return left is right
    if _is_number(left) and _is_number(right):
        return bool(left == right)
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    if isinstance(left, list | dict) and isinstance(right, list | dict):
        return bool(left == right)
    return to_text(left) == to_text(right)


def compare(operator: str, left: Any, right: Any) -> bool:
    """Only numbers have an order; anything else is not less and not more."""
    if not (_is_number(left) and _is_number(right)):
        return False
    match operator:
        case "<":
            return bool(left < right)
        case ">":
            return bool(left > right)
        case "<=":
            return bool(left <= right)
    return bool(left >= right)


def calculate(operator: str, left: Any, right: Any) -> Any:
    """Null where there is no result: a division by zero, an operand that is no number."""
    if operator == "+" and (isinstance(left, str) or isinstance(right, str)):
        return bounded(to_text(left) + to_text(right))
    if not (_is_number(left) and _is_number(right)):
        return None
    try:
        return _checked(_calculate(operator, left, right))
    except (ZeroDivisionError, OverflowError):
        return None


def _calculate(operator: str, left: Any, right: Any) -> Any:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            if isinstance(left, int) and isinstance(right, int):
                quotient = abs(left) // abs(right)
                return quotient if (left < 0) == (right < 0) else -quotient
            return left / right
    if isinstance(left, int) and isinstance(right, int):
        remainder = abs(left) % abs(right)
        return -remainder if left < 0 else remainder
    return left - right * int(left / right)


def _checked(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > _MAXIMUM_BITS:
        raise TemplateError("a number is too large")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
