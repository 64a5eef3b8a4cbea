"""Lambda's Extensions API: who has registered, which events they wait for, and when all of them are done.

External extensions are programs of a layer (`/opt/extensions/*`), started before the runtime; internal ones are parts of the
runtime's own process. Knows nothing of processes: what it decides is told by callables and futures.
"""

import asyncio
import json
import secrets
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cumulet.runtimes.api_server import ApiConnection, ApiRequest, Refusal
from cumulet.runtimes.contract import Call, FunctionSpec

PREFIX = "/2020-01-01/extension/"
_EVENTS = frozenset(("INVOKE", "SHUTDOWN"))
_MOST_EXTENSIONS = 10


@dataclass(slots=True, eq=False)
class Extension:
    """One that has registered. `is_waiting`: it has asked for its next event, and so is done with the last."""

    name: str
    is_external: bool
    events: frozenset[str]
    id: str = field(default_factory=lambda: str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)))
    connection: ApiConnection | None = None
    is_waiting: bool = False
    queue: deque[dict[str, Any]] = field(default_factory=deque)


class Extensions:
    """`expected` are the names of the external ones. `on_error` takes (error type, document) of one that gives up."""

    def __init__(self, spec: FunctionSpec, expected: tuple[str, ...], on_error: Callable[[str, bytes], None]) -> None:
        self._spec = spec
        self._expected = expected
        self._on_error = on_error
        self._by_id: dict[str, Extension] = {}
        self._changed: list[asyncio.Future[None]] = []
        self.is_registration_open = True
        self.on_registered: Callable[[Extension], None] = lambda extension: None

    def find(self, request: ApiRequest) -> Extension:
        """Who asks. Raises Refusal."""
        identifier = request.headers.get("lambda-extension-identifier")
        if identifier is None:
            raise Refusal(403, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
        extension = self._by_id.get(identifier)
        if extension is None:
            raise Refusal(403, "Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier[:64]}")
        return extension

    def listening_for(self, event: str) -> list[Extension]:
        return [extension for extension in self._by_id.values() if event in extension.events]

    def are_registered(self) -> bool:
        """All external ones have."""
        registered = {extension.name for extension in self._by_id.values() if extension.is_external}
        return registered >= set(self._expected)

    def are_waiting(self) -> bool:
        """All are done with what they were told."""
        return self.are_registered() and all(each.is_waiting and not each.queue for each in self._by_id.values())

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._changed.append(changed)
            await changed

    def tell_invoke(self, call: Call) -> None:
        event: dict[str, Any] = {
            "eventType": "INVOKE",
            "deadlineMs": call.deadline_ms,
            "requestId": call.request_id,
            "invokedFunctionArn": call.invoked_arn,
        }
        if call.trace_id:
            event["tracing"] = {"type": "X-Amzn-Trace-Id", "value": call.trace_id}
        self._tell("INVOKE", event)

    def tell_shutdown(self, reason: str, deadline_ms: int) -> None:
        self._tell("SHUTDOWN", {"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": deadline_ms})

    def handle(self, request: ApiRequest, connection: ApiConnection) -> None:
        """A request below the prefix."""
        what = request.path[len(PREFIX) :]
        method = {"register": "POST", "event/next": "GET", "init/error": "POST", "exit/error": "POST"}.get(what)
        if method is None:
            raise Refusal(404, "InvalidRequest", "no such path")
        if request.method != method:
            raise Refusal(405, "InvalidRequest", f"{request.method} is not for this path")
        if what == "register":
            self._register(request, connection)
        elif what == "event/next":
            self._next(self.find(request), connection)
        else:
            self._give_up(request, connection)

    def disconnected(self, connection: ApiConnection) -> None:
        extension = connection.waits_for
        if isinstance(extension, Extension) and extension.connection is connection:
            extension.connection = None

    def _register(self, request: ApiRequest, connection: ApiConnection) -> None:
        name = request.headers.get("lambda-extension-name", "")
        if not name:
            raise Refusal(403, "Extension.InvalidExtensionName", "Empty extension name")
        try:
            events = json.loads(request.body or b"{}").get("events") or []
            unknown = [event for event in events if event not in _EVENTS]
        except (ValueError, AttributeError, TypeError):
            raise Refusal(400, "InvalidRequestFormat", "the body is no JSON object with a list of events") from None
        registered = {extension.name for extension in self._by_id.values()}
        is_external = name in self._expected
        if not is_external and "SHUTDOWN" in events:
            unknown = ["SHUTDOWN"]  # an internal one ends with its runtime
        if unknown:
            raise Refusal(400, "Extension.InvalidEventType", f"{unknown[0]}: invalid event type")
        if not self.is_registration_open:
            raise Refusal(403, "Extension.RegistrationClosed", "Extensions register during the init phase")
        if name in registered:
            raise Refusal(403, "Extension.AlreadyRegistered", f"{name} is already registered")
        if len(registered) >= _MOST_EXTENSIONS:
            raise Refusal(403, "Extension.TooManyExtensions", f"Extension limit ({_MOST_EXTENSIONS}) reached")
        extension = Extension(name, is_external, frozenset(events))
        self._by_id[extension.id] = extension
        told = {"functionName": self._spec.name, "functionVersion": self._spec.version, "handler": self._spec.handler}
        if "accountid" in request.headers.get("lambda-extension-accept-feature", "").lower():
            told["accountId"] = self._spec.account
        connection.respond(200, json.dumps(told).encode(), {"Lambda-Extension-Identifier": extension.id})
        self.on_registered(extension)
        self._note_change()

    def _give_up(self, request: ApiRequest, connection: ApiConnection) -> None:
        self.find(request)
        error_type = request.headers.get("lambda-extension-function-error-type")
        if not error_type:
            raise Refusal(400, "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type header is missing")
        connection.accept()
        self._on_error(error_type, request.body)

    def _next(self, extension: Extension, connection: ApiConnection) -> None:
        extension.is_waiting = True
        if extension.queue:
            self._give(extension, connection)
        else:
            extension.connection = connection
            connection.waits_for = extension
        self._note_change()

    def _tell(self, kind: str, event: dict[str, Any]) -> None:
        for extension in self.listening_for(kind):
            extension.queue.append(event)
            if extension.connection is not None:
                self._give(extension, extension.connection)

    def _give(self, extension: Extension, connection: ApiConnection) -> None:
        event = extension.queue.popleft()
        extension.connection = None
        extension.is_waiting = False
        connection.waits_for = None
        connection.respond(200, json.dumps(event).encode(), {"Lambda-Extension-Event-Identifier": str(uuid.uuid4())})

    def _note_change(self) -> None:
        changed, self._changed = self._changed, []
        for each in changed:
            if not each.done():
                each.set_result(None)
