"""Lambda's Telemetry API, and the Logs API before it: what happens in an environment, sent in batches to an extension's own port.

An extension's listener stands inside the jail, so the connection to it is made there, by the environment's first process, and
handed out. An extension that does not take its batches loses them, with a record that says how many.
"""

import asyncio
import contextlib
import json
import re
import socket
import urllib.parse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cumulet.runtimes.api_server import ApiConnection, ApiRequest, Refusal
from cumulet.runtimes.extensions import Extension

_LINE_END = re.compile(rb"(?<!\0)\n")
"""A zero byte before a newline: the record goes on."""
PATHS = {"/2022-07-01/telemetry": "telemetry", "/2020-08-15/logs": "logs"}
_TYPES = frozenset(("platform", "function", "extension"))
_HOSTS = frozenset(("sandbox.localdomain", "sandbox"))
_MAX_WAITING_BYTES = 8 << 20
_DELIVERY_S = 5.0
_LOGS_NAMES = {"platform.telemetrySubscription": "platform.logsSubscription"}
_LOGS_PLATFORM = frozenset(("start", "end", "report", "fault", "extension", "logsSubscription", "logsDropped", "runtimeDone"))

Dial = Callable[[int], Awaitable[socket.socket]]
"""A connection to a port inside the jail. Raises OSError."""


@dataclass(slots=True, eq=False)
class Subscription:
    """One extension's wish, with what waits for its next batch."""

    name: str
    api: str
    types: frozenset[str]
    port: int
    path: str
    most_items: int
    most_bytes: int
    wait_s: float
    waiting: list[bytes] = field(default_factory=list)
    waiting_bytes: int = 0
    dropped: int = 0
    timer: asyncio.TimerHandle | None = None
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)


class InvalidSubscription(ValueError):
    """The request to subscribe is wrong, and the message says why."""


def parse_subscription(name: str, api: str, body: bytes) -> Subscription:
    """The subscription that a request's body describes. Raises InvalidSubscription."""
    try:
        wish = json.loads(body)
        types = frozenset(wish["types"])
        destination = wish["destination"]
        protocol, uri = destination["protocol"], urllib.parse.urlsplit(destination["URI"])
        buffering = wish.get("buffering") or {}
        most_items = int(buffering.get("maxItems", 10_000))
        most_bytes = int(buffering.get("maxBytes", 262_144))
        wait_ms = int(buffering.get("timeoutMs", 1000))
        port = uri.port or 80
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSubscription(f"the body cannot be read: {error!r}") from None
    if not types or not types <= _TYPES:
        raise InvalidSubscription(f"types must be some of {sorted(_TYPES)}")
    if protocol != "HTTP":
        raise InvalidSubscription("only destinations with the protocol HTTP are served")
    if uri.scheme != "http" or uri.hostname not in _HOSTS:
        raise InvalidSubscription("the destination's URI must be http://sandbox.localdomain:PORT[/PATH]")
    if not (1000 <= most_items <= 10_000 and 262_144 <= most_bytes <= 1_048_576 and 25 <= wait_ms <= 30_000):
        raise InvalidSubscription("buffering: maxItems 1000 to 10000, maxBytes 262144 to 1048576, timeoutMs 25 to 30000")
    return Subscription(name, api, types, port, uri.path or "/", most_items, most_bytes, wait_ms / 1000)


class Telemetry:
    """All subscriptions of one environment."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._subscriptions: list[Subscription] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._lines: dict[str, bytearray] = {"function": bytearray(), "extension": bytearray()}

    @property
    def is_wanted(self) -> bool:
        return bool(self._subscriptions)

    def subscribe(self, extension: Extension, api: str, request: ApiRequest, connection: ApiConnection) -> None:
        """Answer a request to subscribe; a second one replaces the first."""
        if request.method != "PUT":
            raise Refusal(405, "InvalidRequest", "PUT it")
        try:
            wished = parse_subscription(extension.name, api, request.body)
        except InvalidSubscription as error:
            raise Refusal(400, "ValidationError", str(error)) from None
        self._subscriptions = [each for each in self._subscriptions if (each.name, each.api) != (wished.name, api)]
        self._subscriptions.append(wished)
        connection.respond(200, b'"OK"')
        self.emit("platform.telemetrySubscription", {"name": extension.name, "state": "Subscribed", "types": sorted(wished.types)})

    def emit(self, kind: str, record: Any) -> None:
        """One event for everyone who wants its kind."""
        if not self._subscriptions:
            return
        family, _, _name = kind.partition(".")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        for each in self._subscriptions:
            if family not in each.types:
                continue
            told = _LOGS_NAMES.get(kind, kind) if each.api == "logs" else kind
            if each.api == "logs" and family == "platform" and told.partition(".")[2] not in _LOGS_PLATFORM:
                continue
            self._add(each, json.dumps({"time": now, "type": told, "record": record}).encode())

    def output(self, family: str, data: bytes) -> None:
        """What the function's or an extension's code wrote, as lines."""
        if not self._subscriptions:
            return
        buffer = self._lines[family]
        buffer += data
        *lines, rest = _LINE_END.split(bytes(buffer))
        self._lines[family] = bytearray(rest[-262_144:])
        for line in lines:
            self.emit(family, line.replace(b"\0\n", b"\n").decode("utf-8", "replace") + "\n")

    async def flush(self) -> None:
        """Send what waits, and wait until it is taken."""
        await asyncio.gather(*(self._send(each) for each in self._subscriptions))

    def is_told(self) -> bool:
        """Whether nothing waits; what does is sent now, before its time."""
        for each in self._subscriptions:
            if each.waiting and not each.sending.locked():
                self._send_soon(each)
        return not self._sending

    def close(self) -> None:
        for each in self._subscriptions:
            if each.timer is not None:
                each.timer.cancel()
        for task in self._sending:
            task.cancel()

    def _add(self, to: Subscription, event: bytes) -> None:
        if to.waiting_bytes + len(event) > _MAX_WAITING_BYTES:
            to.dropped += 1
            return
        to.waiting.append(event)
        to.waiting_bytes += len(event)
        if len(to.waiting) >= to.most_items or to.waiting_bytes >= to.most_bytes:
            self._send_soon(to)
        elif to.timer is None:
            to.timer = asyncio.get_running_loop().call_later(to.wait_s, self._send_soon, to)

    def _send_soon(self, to: Subscription) -> None:
        task = asyncio.get_running_loop().create_task(self._send(to))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, to: Subscription) -> None:
        if to.timer is not None:
            to.timer.cancel()
            to.timer = None
        async with to.sending:
            if not to.waiting:
                return
            events, to.waiting, to.waiting_bytes = to.waiting, [], 0
            if to.dropped:
                record = {"reason": "the extension took its records too slowly", "droppedRecords": to.dropped}
                events.append(json.dumps({"type": "platform.logsDropped", "record": record}).encode())
                to.dropped = 0
            body = b"[" + b",".join(events) + b"]"
            try:
                async with asyncio.timeout(_DELIVERY_S):
                    await self._post(to, body)
            except (OSError, TimeoutError):
                to.dropped += len(events)

    async def _post(self, to: Subscription, body: bytes) -> None:
        reader, writer = await asyncio.open_connection(sock=await self._dial(to.port))
        try:
            head = f"POST {to.path} HTTP/1.1\r\nHost: sandbox.localdomain:{to.port}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            await writer.drain()
            await reader.readline()  # the status: whatever it is, the batch has been seen
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
