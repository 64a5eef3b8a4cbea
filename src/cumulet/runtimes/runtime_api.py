"""An environment whose program asks for events over Lambda's Runtime API, which the node serves.

The listening socket was made inside the jail; the node accepts on it. One call is under way at a time, so the state is small:
who waits for an event, which call is out, and who waits for its answer.
"""

import asyncio
import contextlib
import json
import re
import socket
import time
from typing import cast

import httptools

from cumulet.runtimes.contract import Answer, Call, EnvironmentLost, Exit, FunctionSpec, InitError
from cumulet.runtimes.faults import error_document, exit_document
from cumulet.runtimes.process import ProcessTree

_PATH = re.compile(r"/2018-06-01/runtime/(?:invocation/(?:(next)|([^/]+)/(response|error))|(init/error))")
_MAX_ANSWER_BYTES = 6 * 1024 * 1024 + 100
_MAX_CONNECTIONS = 64
_ACCEPTED = b'{"status":"OK"}\n'


class RuntimeApiEnvironment:
    """See the contract `Environment`."""

    def __init__(self, id: str, spec: FunctionSpec, tree: ProcessTree, phases: dict[str, float]) -> None:
        self.id = id
        self.spec = spec
        self.phases = phases
        self.init_ms = 0.0
        self.exited = tree.exited
        self._tree = tree
        self._loop = asyncio.get_running_loop()
        self._asked: asyncio.Future[None] = self._loop.create_future()  # done: the program waits for an event
        self._call: Call | None = None
        self._is_given = False
        self._answer: asyncio.Future[Answer] = self._loop.create_future()
        self._asking: list[_Connection] = []
        self._init_error: tuple[str, bytes] | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self.exited.add_done_callback(lambda _: self._on_exit())

    async def initialise(self, timeout_s: float) -> None:
        """Wait for the program to ask for its first event. Raises InitError, or JailFailed."""
        started = time.monotonic()
        await self._tree.jailed
        self.phases["jail"] = self._tree.jail_ms
        await self._serve(await self._tree.listener)
        try:
            await asyncio.wait_for(asyncio.shield(self._asked), timeout_s)
        except TimeoutError:
            self.kill()
            await self.exited
            raise InitError("Sandbox.Timedout", b"", (time.monotonic() - started) * 1000, Exit(signal=9)) from None
        except EnvironmentLost as lost:
            spent_ms = (time.monotonic() - started) * 1000
            raise InitError(*self._why_init_failed(lost.exit), spent_ms, lost.exit) from None
        self.init_ms = (time.monotonic() - started) * 1000 - self._tree.jail_ms
        self.phases["init"] = self.init_ms

    async def invoke(self, call: Call) -> Answer:
        if self.exited.done():
            raise EnvironmentLost(self.exited.result())
        self._call = call
        self._is_given = False
        self._answer = self._loop.create_future()
        if self._asking:
            self._asking.pop().give(call)
        answer = await self._answer
        # The call is over when the program asks again: by then it has written all that it had to say about it.
        with contextlib.suppress(TimeoutError, EnvironmentLost):
            await asyncio.wait_for(asyncio.shield(self._asked), 1.0)
        self._tree.drain_output()
        return answer

    def expire(self) -> None:
        if not self._answer.done():
            self._answer.set_exception(TimeoutError())

    def kill(self) -> None:
        self._tree.kill()

    def max_memory_mb(self, ran_s: float) -> int:
        return self._tree.max_memory_mb(ran_s)

    async def _serve(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._server = await self._loop.create_server(lambda: _Connection(self), sock=listener.dup())

    def _why_init_failed(self, exit: Exit) -> tuple[str, bytes]:
        if self._init_error is not None:
            return self._init_error
        if exit.code == 126:  # what an init says whose program could not be started
            return "Runtime.InvalidEntrypoint", error_document("Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s)", "")
        return exit_document("", exit)

    def asks(self, connection: "_Connection") -> None:
        """The program is ready for an event."""
        if not self._asked.done():
            self._asked.set_result(None)
        if self._call is not None and not self._is_given:
            connection.give(self._call)
        else:
            self._asking.append(connection)

    def given(self) -> None:
        """The event is with the program; from now on asking again means that it is done with it."""
        self._is_given = True
        self._asked = self._loop.create_future()

    def answers(self, request_id: str, answer: Answer) -> bool:
        """The program's answer; False when it answers what was not asked."""
        if self._call is None or self._call.request_id != request_id or self._answer.done():
            return False
        self._call = None
        self._answer.set_result(answer)
        return True

    def fails_init(self, error_type: str, document: bytes) -> None:
        self._init_error = (error_type, document)

    def connected(self, connection: "_Connection") -> bool:
        self._connections.add(connection)
        return len(self._connections) <= _MAX_CONNECTIONS

    def disconnected(self, connection: "_Connection") -> None:
        self._connections.discard(connection)
        if connection in self._asking:
            self._asking.remove(connection)

    def _on_exit(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()
        for waiting in (self._asked, self._answer):
            if not waiting.done():
                waiting.set_exception(EnvironmentLost(self.exited.result()))
                waiting.exception()


class _Connection(asyncio.Protocol):
    """One HTTP connection of the program's."""

    def __init__(self, environment: RuntimeApiEnvironment) -> None:
        self._environment = environment
        self._parser = httptools.HttpRequestParser(self)
        self._keeps_alive = False
        self._begin()

    def _begin(self) -> None:
        self._url, self._body, self._error_type, self._is_too_large = b"", bytearray(), "", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._environment.connected(self):
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._environment.disconnected(self)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._respond(400, _error("InvalidRequest", "not HTTP"))
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"lambda-runtime-function-error-type":
            self._error_type = value.decode("latin-1")
        elif name.lower() == b"expect" and value.lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if len(self._body) + len(body) > _MAX_ANSWER_BYTES:
            self._is_too_large = True
            return
        self._body += body

    def on_message_complete(self) -> None:
        match = _PATH.fullmatch(self._url.decode("latin-1").partition("?")[0])
        method = self._parser.get_method()
        self._keeps_alive = self._parser.should_keep_alive()  # known only now, and an answer may be long in coming
        body, error_type, is_too_large = bytes(self._body), self._error_type, self._is_too_large
        self._begin()
        if match is None:
            self._respond(404, _error("InvalidRequest", "no such path"))
        elif match[1]:
            self._environment.asks(self) if method == b"GET" else self._respond(405, _error("InvalidRequest", "GET it"))
        elif match[4]:
            self._environment.fails_init(error_type or "Runtime.Unknown", body)
            self._respond(202, _ACCEPTED)
        else:
            self._take_answer(match[2], match[3] == "error", body, error_type, is_too_large)

    def _take_answer(self, request_id: str, is_error: bool, body: bytes, error_type: str, is_too_large: bool) -> None:
        if is_too_large:
            message = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
            too_large = Answer(error_document("Function.ResponseSizeTooLarge", message, ""), "Function.ResponseSizeTooLarge")
            self._environment.answers(request_id, too_large)
            self._respond(413, _error("RequestEntityTooLarge", message))
            return
        answer = Answer(body, (error_type or _error_type_of(body)) if is_error else None)
        if self._environment.answers(request_id, answer):
            self._respond(202, _ACCEPTED)
        else:
            self._respond(400, _error("InvalidRequestID", "Invalid request ID"))

    def give(self, call: Call) -> None:
        """The event, as the answer to `next`."""
        headers = [
            ("Lambda-Runtime-Aws-Request-Id", call.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(call.deadline_ms)),
            ("Lambda-Runtime-Invoked-Function-Arn", call.invoked_arn),
            ("Lambda-Runtime-Trace-Id", call.trace_id),
            ("Lambda-Runtime-Client-Context", call.client_context),
            ("Lambda-Runtime-Cognito-Identity", call.cognito_identity),
        ]
        self._environment.given()
        self._respond(200, call.payload, [(name, value) for name, value in headers if value])

    def _respond(self, status: int, body: bytes, headers: list[tuple[str, str]] | None = None) -> None:
        reason = {200: "OK", 202: "Accepted", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 413: "Too Large"}[
            status
        ]
        keep = "keep-alive" if self._keeps_alive else "close"
        head = (
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nConnection: {keep}\r\nContent-Length: {len(body)}\r\n"
        )
        head += "".join(f"{name}: {_header_text(value)}\r\n" for name, value in headers or ())
        self._transport.write(head.encode("latin-1") + b"\r\n" + body)
        if keep == "close":
            self._transport.close()


def _header_text(value: str) -> str:
    """A header's value: one line of Latin-1. JSON texts stay JSON: what does not fit is escaped as JSON escapes it."""
    return re.sub(r"[^\x20-\x7e]", lambda found: json.dumps(found[0])[1:-1], value)


def _error(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


def _error_type_of(body: bytes) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(body).get("errorType") or "Unknown")
    return "Unknown"
