"""The opening handshake of RFC 6455: what is a WebSocket's request, what is wrong with it, and the answer that takes it. Pure."""

import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable, Sequence

from cumulet.core.http import ByteStream, Request, Upgrade

VERSION = "13"
_ACCEPTED = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def is_websocket(request: Request) -> bool:
    """Whether the client wants to leave HTTP for a WebSocket."""
    return (
        request.method == "GET"
        and "upgrade" in _tokens(request, "connection")
        and "websocket" in _tokens(request, "upgrade")
    )  # fmt: skip


def refuse(request: Request) -> tuple[int, list[tuple[str, str]], str] | None:
    """(status, headers, message) for what is no handshake that can be taken; None when it is one."""
    if not is_websocket(request):
        return 426, [], "Upgrade Required"
    versions = [value.strip() for name, value in request.headers if name == "sec-websocket-version"]
    if versions != [VERSION]:
        return 426, [("Sec-WebSocket-Version", VERSION)], "Unsupported WebSocket version"
    keys = [value.strip() for name, value in request.headers if name == "sec-websocket-key"]
    if len(keys) != 1 or not _is_key(keys[0]):
        return 400, [], "Invalid Sec-WebSocket-Key"
    return None


def subprotocols_of(request: Request) -> Sequence[str]:
    """What the client offers, best first."""
    offered = (part.strip() for name, value in request.headers if name == "sec-websocket-protocol" for part in value.split(","))
    return [part for part in offered if part]


def accept(request: Request, run: Callable[[ByteStream], Awaitable[None]], subprotocol: str | None = None) -> Upgrade:
    """The answer to a handshake that was not refused. A subprotocol that the client did not offer is left out."""
    key = request.header("sec-websocket-key").strip().encode("ascii")
    token = base64.b64encode(hashlib.sha1(key + _ACCEPTED, usedforsecurity=False).digest()).decode()
    headers = [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", token)]
    if subprotocol is not None and subprotocol in subprotocols_of(request):
        headers.append(("Sec-WebSocket-Protocol", subprotocol))
    return Upgrade(101, headers, run=run)


def _tokens(request: Request, name: str) -> set[str]:
    return {part.strip().lower() for known, value in request.headers if known == name for part in value.split(",")}


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key.encode("ascii"), validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
