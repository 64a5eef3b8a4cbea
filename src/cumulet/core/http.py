"""An HTTP request and response as plain data, below any socket and above any service."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True)
class Request:
    """A whole request. `path` and `query` are as sent (still percent-encoded, `query` without "?").

    `headers` keeps order and repeats, names in lower case; `names` are the same names as the client spelled them, in the same
    order, or empty where nobody knows. `kept` is for what readers work out from the headers, the scheme and the source alone: a
    connection that asks the same way again has it already.
    """

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    source_ip: str = "127.0.0.1"
    scheme: str = "http"
    names: list[bytes] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)

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


class ByteStream(Protocol):
    """A connection that has left HTTP: bytes both ways, in order."""

    async def read(self) -> bytes:
        """What came since the last call, waiting for some; b"" once the client has ended or is gone. Reading slowly slows the
        client down: little is kept ahead."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, and wait while the client does not take it. Raises ConnectionError when the client is gone."""
        ...

    def close(self) -> None:
        """End the connection after what was written. May be called twice."""
        ...


@dataclass(slots=True)
class Upgrade(Response):
    """An answer after which the connection is no longer HTTP's (`status` 101, with the headers that the other protocol wants):
    `run` has it until it returns or raises, and is cancelled when the node stops. Only for HTTP/1.1 requests that asked for it."""

    run: Callable[[ByteStream], Awaitable[None]] | None = None
