"""Identifiers that must not be guessed or repeated, in the forms that clients expect."""

import base64
import os
import secrets
import string
import uuid

_UPPER32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_LOWER_ALNUM = string.ascii_lowercase + string.digits


def request_id() -> str:
    """A random UUID, version 4."""
    return str(uuid.UUID(bytes=os.urandom(16), version=4))


def upper_id(prefix: str, length: int) -> str:
    """`prefix` and random letters and digits, `length` characters in all: the form of AKIA…, ASIA…, AROA… ids."""
    return prefix + "".join(secrets.choice(_UPPER32) for _ in range(length - len(prefix)))


def lower_id(length: int) -> str:
    """Random lower-case letters and digits: the form of function URL and API ids."""
    return "".join(secrets.choice(_LOWER_ALNUM) for _ in range(length))


def secret_key() -> str:
    """A secret access key: 40 characters."""
    return base64.b64encode(os.urandom(30)).decode()
