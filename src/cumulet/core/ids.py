"""Identifiers that must not be guessed or repeated, in the forms that clients expect."""

import base64
import os
import secrets
import string

_UPPER32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_LOWER_ALNUM = string.ascii_lowercase + string.digits


_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


_spare: list[str] = []


def request_id() -> str:
    """A random UUID, version 4. Every request has one: spelled here at a fifth of what the `uuid` module takes, and the system is
    asked for randomness once for 256 of them."""
    try:
        digits = _spare.pop()
    except IndexError:
        fresh = os.urandom(4096).hex()
        _spare.extend([fresh[at : at + 32] for at in range(32, len(fresh), 32)])
        digits = fresh[:32]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:]}"


def extended_request_id(request_id: str) -> str:
    """API Gateway's second id of a request: 15 characters and a `=`, taken from the first."""
    return f"{request_id[:8]}{request_id[9:13]}{request_id[24:27]}="


os.register_at_fork(after_in_child=_spare.clear)


def upper_id(prefix: str, length: int) -> str:
    """`prefix` and random letters and digits, `length` characters in all: the form of AKIA…, ASIA…, AROA… ids."""
    return prefix + "".join([_UPPER32[byte & 31] for byte in os.urandom(length - len(prefix))])


def lower_id(length: int) -> str:
    """Random lower-case letters and digits: the form of function URL and API ids."""
    return "".join(secrets.choice(_LOWER_ALNUM) for _ in range(length))


def secret_key() -> str:
    """A secret access key: 40 characters."""
    return base64.b64encode(os.urandom(30)).decode()
