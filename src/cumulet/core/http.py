"""An HTTP request and response as plain data, below any socket and above any service."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Request:
    """A whole request. `path` and `query` are as sent (still percent-encoded, `query` without "?").

    `headers` keeps order and repeats, names in lower case; `names` are the same names as the client spelled them, in the same
    order, or empty where nobody knows.
    """

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    source_ip: str = "127.0.0.1"
    scheme: str = "http"
    names: list[bytes] = field(default_factory=list)

    def header(self, name: str, default: str = "") -> str:
        """The first value of a header (name in lower case), or `default`."""
        for key, value in self.headers:
            if key == name:
                return value
        return default


@dataclass(slots=True)
class Response:
    """A response. A body that is an iterator is sent chunked as it comes. Content-Length is the server's affair."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""
