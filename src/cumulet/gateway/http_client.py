"""Requests that leave the node: HTTP/1.1 over kept connections, whole bodies. For integrations that call other servers.

Follows no redirect, decodes no content encoding and keeps no cookies: what the other server says is handed on as it is.
"""

import asyncio
import contextlib
import ipaddress
import ssl
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httptools

from cumulet.core.http import Response

MAXIMUM_RESPONSE_BYTES = 10 * 1024 * 1024
_KEPT_EACH = 16
_CONNECT_S = 10.0
_CHUNK = 65_536
_METADATA_V6 = ipaddress.ip_address("fd00:ec2::254")


class HttpClientError(OSError):
    """There is no answer: no connection, no HTTP, or more of it than is taken."""


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: int = 0


@dataclass(slots=True)
class _Answer:
    """What the parser has seen so far."""

    method: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    is_complete: bool = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, data: bytes) -> None:
        self.size += len(data)
        self.pieces.append(data)

    def on_message_complete(self) -> None:
        self.is_complete = True


class HttpClient:
    """Kept connections by address. Time limits are the caller's."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str, int], list[_Connection]] = defaultdict(list)

    async def send(self, method: str, url: str, headers: list[tuple[str, str]], body: bytes) -> Response:
        """The whole response. Raises OSError when there is none."""
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise HttpClientError(f"not a URL: {url[:200]!r}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HttpClientError(f"not a URL: {url[:200]!r}")
        address = (parts.scheme, parts.hostname, port)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.rpartition("@")[2]
        message = _message(method, target, host, headers, body)
        while True:
            connection = await self._connect(address)
            try:
                return await self._talk(address, connection, method, message)
            except HttpClientError:
                connection.writer.close()
                raise
            except (OSError, EOFError) as error:
                connection.writer.close()
                if not connection.used:  # a kept connection may have been closed by the other side: that is tried anew
                    raise HttpClientError(str(error) or "the connection was closed") from error
            except BaseException:
                connection.writer.close()
                raise

    async def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.writer.close()
                with contextlib.suppress(OSError):
                    await connection.writer.wait_closed()
        self._idle.clear()

    async def _connect(self, address: tuple[str, str, int]) -> _Connection:
        kept = self._idle[address]
        while kept:
            connection = kept.pop()
            if not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.writer.close()
        scheme, host, port = address
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=_tls() if scheme == "https" else None)
        if _is_metadata(writer.get_extra_info("peername")):
            writer.close()
            raise HttpClientError("addresses of the machine's own metadata are not reached from here")
        return _Connection(reader, writer)

    async def _talk(self, address: tuple[str, str, int], connection: _Connection, method: str, message: bytes) -> Response:
        connection.writer.write(message)
        await connection.writer.drain()
        status, answer, can_be_kept = await _read(connection, method)
        if can_be_kept and len(self._idle[address]) < _KEPT_EACH:
            connection.used += 1
            self._idle[address].append(connection)
        else:
            connection.writer.close()
        return Response(status, answer.headers, b"".join(answer.pieces))


def _is_metadata(peer: Any) -> bool:
    """Whether a connection leads to link-local addresses, where clouds tell a machine its credentials: asked of the connection,
    not of the name, because a name may mean another address the next time."""
    try:
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    except (ValueError, TypeError, IndexError):
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_link_local or address == _METADATA_V6


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _message(method: str, target: str, host: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """The request's bytes. What could end a header line does not get into one."""
    lines = [f"{method} {target.replace(' ', '%20')} HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.append(f"Host: {host}")
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in headers]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise HttpClientError("a header or the URL has a line end in it")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace") + body


async def _read(connection: _Connection, method: str) -> tuple[int, _Answer, bool]:
    """(status, what came, whether the connection can serve again). Interim answers are skipped."""
    while True:
        answer = _Answer(method)
        parser = httptools.HttpResponseParser(answer)
        has_no_body = False
        while not answer.is_complete:
            data = await connection.reader.read(_CHUNK)
            if not data:
                if answer.headers and not any(
                    name.lower() in ("content-length", "transfer-encoding") for name, _ in answer.headers
                ):
                    return parser.get_status_code(), answer, False
                raise EOFError
            connection.used = 0  # from the first byte of an answer on, a broken connection is an error
            try:
                parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                raise HttpClientError(f"the answer is no HTTP: {error}") from error
            if answer.size > MAXIMUM_RESPONSE_BYTES:
                raise HttpClientError("the answer is too large")
            if method == "HEAD" and answer.headers and data.endswith(b"\r\n\r\n"):
                has_no_body = True
                break
        status = parser.get_status_code()
        if status >= 200:
            return status, answer, parser.should_keep_alive() and not has_no_body
