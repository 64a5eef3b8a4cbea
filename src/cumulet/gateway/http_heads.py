"""The head of an answer, made safe: what handlers answer is not trusted to keep to its line, nor to leave the framing alone."""

import functools
import re
from http import HTTPStatus

from cumulet.core.http import Response

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_OURS = frozenset(
    ("connection", "content-length", "date", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)

_CODES = {413: "RequestEntityTooLargeException", 429: "TooManyRequestsException", 503: "ServiceUnavailable"}


@functools.lru_cache(maxsize=4096)
def _header_prefix(name: str) -> str:
    """`Name: ` as it is sent, or "" for a name that is ours to send or no token."""
    return "" if name.lower() in _OURS or not _TOKEN.match(name) else name + ": "


def status_line(status: int) -> str:
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status\r\n"


def clean(value: str) -> str:
    """A header value that cannot end its line: what handlers answer is not trusted."""
    return value.translate({0: None, 10: 32, 13: 32})


def header_lines(headers: list[tuple[str, str]]) -> str:
    text, count = "", 0
    for name, value in headers:
        prefix = _header_prefix(name)
        if prefix:
            text += f"{prefix}{value}\r\n"
            count += 1
    if text.count("\n") == count and text.count("\r") == count and "\0" not in text:
        return text
    return "".join([f"{prefix}{clean(value)}\r\n" for name, value in headers if (prefix := _header_prefix(name))])


def sound_headers(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same for HTTP/2: (name in lower case, value) of what may be sent."""
    return [(name.lower(), clean(value).strip(" \t")) for name, value in headers if _header_prefix(name)]


def refusal(status: int) -> Response:
    """What a client is told whose bytes are no request for anybody; in JSON, which most clients here can read."""
    code = _CODES.get(status, "BadRequest")
    headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)]
    return Response(status, headers, b'{"message":"%b"}' % HTTPStatus(status).phrase.encode())


async def close_body(response: Response) -> None:
    close = getattr(response.body, "aclose", None)
    if close is not None:
        await close()
