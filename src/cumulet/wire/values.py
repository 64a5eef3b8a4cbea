"""Scalars as the protocols spell them: timestamps, binary, numbers. Pure."""

import base64
import binascii
import math
from datetime import UTC, datetime
from typing import Any

from cumulet.core.errors import Fault
from cumulet.core.http_dates import http_date


class SerializationFault(Fault):
    """The request is not what its protocol allows."""

    code = "SerializationException"
    status = 400


def seconds_of(value: Any) -> float:
    """A result's timestamp, datetime or Unix seconds, as Unix seconds."""
    return value.timestamp() if isinstance(value, datetime) else float(value)


def format_timestamp(value: Any, style: str) -> str:
    """`style` is the model's: iso8601, rfc822 or unixTimestamp."""
    seconds = seconds_of(value)
    if style == "unixTimestamp":
        return str(int(seconds)) if seconds == int(seconds) else f"{seconds:.3f}"
    moment = datetime.fromtimestamp(seconds, UTC)
    if style == "rfc822":
        return http_date(seconds)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{moment.microsecond // 1000:03d}Z" if moment.microsecond else f"{text}Z"


def parse_timestamp(value: Any, where: str) -> datetime:
    """A request's timestamp, in whatever form it came. Raises SerializationFault."""
    try:
        if isinstance(value, bool):
            raise ValueError
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
        if value[:1].isdigit() and "-" in value:
            parsed = datetime.fromisoformat(value)
            return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        if "," in value:
            from email.utils import parsedate_to_datetime

            return parsedate_to_datetime(value)
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, TypeError, OverflowError, OSError, AttributeError):
        raise SerializationFault(f"{where} is not a timestamp") from None


def parse_blob(value: Any, where: str) -> bytes:
    """Base64 text. Raises SerializationFault."""
    if not isinstance(value, str):
        raise SerializationFault(f"{where} must be base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise SerializationFault(f"{where} is not base64") from None


def format_blob(value: bytes | str) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode("ascii")


def parse_scalar(kind: str, text: str, where: str) -> Any:
    """A number or boolean that came as text: in a path, a query, a header, XML or a form. Raises SerializationFault."""
    try:
        if kind in ("integer", "long"):
            return int(text)
        if kind in ("float", "double"):
            return float(text)
        if kind == "boolean":
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        raise SerializationFault(f"{where} is not of type {kind}") from None
    return text


def format_scalar(kind: str, value: Any) -> str:
    """The other way round."""
    if kind == "boolean":
        return "true" if value else "false"
    if kind in ("float", "double"):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
    return str(value)


SPECIAL_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
