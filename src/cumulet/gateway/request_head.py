"""The head of an HTTP/1 request as the parser has taken it apart: what of it decides where the message ends, and is refused where
another server might read it differently. Pure.
"""

import functools
import re
from typing import Any, NamedTuple

from cumulet.gateway.http_limits import HttpLimits

_TARGET = re.compile(rb"[\x21\x22\x24-\x7e]+\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?\Z")
_ABSOLUTE = re.compile(r"https?://([^/?]+)(.*)\Z", re.IGNORECASE)

RawHeaders = list[tuple[bytes, bytes]]
"""(name, value) as they came."""


class HeadRefused(Exception):
    """Not a head of a request to be answered; `status` says why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Head(NamedTuple):
    """All header lines together. `headers` and `names` as in `Request`, which nobody changes in place; `hosts` above 1: too many,
    or one that is none; `length` is the body's, where it is told; `size` is that of the lines; `kept` as
    in `Request`."""

    headers: list[tuple[str, str]]
    names: list[bytes]
    hosts: int
    length: int
    is_chunked: bool
    is_expecting: bool
    size: int
    kept: dict[str, Any]


class Target(NamedTuple):
    """What is asked for. `host` is there where the target names one, which then replaces the header."""

    path: str
    query: str
    host: str | None = None


def read_head(raw: RawHeaders, limits: HttpLimits) -> Head:
    """Raises HeadRefused."""
    size = sum([len(name) + len(value) + 4 for name, value in raw])
    if len(raw) > limits.headers or size > limits.head_bytes:
        raise HeadRefused(431)
    headers = [(_lower_name(name), value.decode("latin-1")) for name, value in raw]
    length, is_chunked, hosts, is_expecting = 0, False, 0, False
    for name, value in headers:
        if name == "host":
            hosts += 1 if is_host(value) else 2
        elif name == "content-length":
            length = int(value)
        elif name == "transfer-encoding":
            if is_chunked or value.lower() != "chunked":
                raise HeadRefused(400)
            is_chunked = True
        elif name == "expect":
            is_expecting = value.lower() == "100-continue"
    return Head(headers, [name for name, _ in raw], hosts, length, is_chunked, is_expecting, size, {})


def check_version(head: Head, version: str) -> None:
    """Raises HeadRefused for what this version of HTTP does not have."""
    if version == "1.1":
        if head.hosts != 1:
            raise HeadRefused(400)
    elif version != "1.0" or head.is_chunked or head.hosts > 1:
        raise HeadRefused(400)


def read_target(target: bytes, method: str) -> Target:
    """Path and query as sent, also of an absolute target (`GET http://host/path`). Raises HeadRefused."""
    if not _TARGET.match(target):
        raise HeadRefused(400)
    text, host = target.decode("ascii"), None
    if not text.startswith("/"):
        if text == "*" and method == "OPTIONS":
            return Target("*", "")
        absolute = _ABSOLUTE.match(text)
        if absolute is None or method == "CONNECT" or not is_host(absolute[1]):
            raise HeadRefused(400)
        host, text = absolute[1], absolute[2] if absolute[2].startswith("/") else "/" + absolute[2]
    path, _, query = text.partition("?")
    return Target(path, query, host)


def with_host(head: Head, host: str) -> Head:
    """An absolute target replaces the Host header, as RFC 9112 wants."""
    headers = [("host", host), *[(name, value) for name, value in head.headers if name != "host"]]
    names = [b"Host", *[name for name in head.names if name.lower() != b"host"]]
    return head._replace(headers=headers, names=names, kept={})


@functools.lru_cache(maxsize=1024)
def _lower_name(name: bytes) -> str:
    return name.decode("latin-1").lower()


@functools.lru_cache(maxsize=1024)
def is_host(value: str) -> bool:
    """Whether a Host header can be one: what others may take for a path, a user or a second host is none."""
    return _HOST.match(value) is not None
