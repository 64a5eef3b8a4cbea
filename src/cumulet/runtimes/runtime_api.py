"""An environment whose program asks for events over Lambda's Runtime API, which the node serves.

One call is under way at a time, so the state is small: who waits for an event, which call is out, and who waits for its answer.
"""

import asyncio
import base64
import binascii
import contextlib
import json
import re
import time

from cumulet.runtimes.api_server import ApiConnection, ApiRequest, Refusal
from cumulet.runtimes.contract import Answer, Call, EnvironmentLost, Exit, FunctionSpec, InitError
from cumulet.runtimes.faults import MAX_ANSWER_BYTES, error_document, exit_document, too_large
from cumulet.runtimes.local_api import LocalApi
from cumulet.runtimes.process import ProcessTree
from cumulet.runtimes.streams import MAX_STREAM_BYTES

_PATH = re.compile(r"/2018-06-01/runtime/(?:invocation/(?:(next)|([^/]+)/(response|error))|(init|restore)/(error)|restore/(next))")


class RuntimeApiEnvironment:
    """See the contract `Environment`."""

    def __init__(self, id: str, spec: FunctionSpec, tree: ProcessTree, phases: dict[str, float], api: LocalApi) -> None:
        self.id = id
        self.spec = spec
        self.phases = phases
        self.init_ms = 0.0
        self.calls_at_once = 1
        self.exited = tree.exited
        self._tree = tree
        self._api = api
        self._loop = asyncio.get_running_loop()
        self._asked: asyncio.Future[None] = self._loop.create_future()  # done: the program waits for an event
        self._call: Call | None = None
        self._is_given = False
        self._answer: asyncio.Future[Answer] = self._loop.create_future()
        self._asking: list[ApiConnection] = []
        self._init_error: tuple[str, bytes] | None = None
        api.runtime = self
        api.on_crash = self._fail_call
        self.exited.add_done_callback(lambda _: self._on_exit())

    async def initialise(self, timeout_s: float) -> None:
        """Wait for the program to ask for its first event. Raises InitError, or JailFailed."""
        started = time.monotonic()
        await self._tree.jailed
        self.phases["jail"] = self._tree.jail_ms
        jailed = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                await self._api.open()
                await asyncio.shield(self._asked)
                await self._api.extensions_ready()
        except TimeoutError:
            self._api.reason = "timeout"
            self.kill()
            await self.exited
            raise InitError("Sandbox.Timedout", b"", (time.monotonic() - started) * 1000, Exit(signal=9)) from None
        except EnvironmentLost as lost:
            spent_ms = (time.monotonic() - started) * 1000
            raise InitError(*self._why_init_failed(lost.exit), spent_ms, lost.exit) from None
        self.init_ms = (time.monotonic() - jailed) * 1000
        self.phases["init"] = self.init_ms
        self._api.initialised(self.init_ms)

    async def invoke(self, call: Call) -> Answer:
        if self.exited.done():
            raise EnvironmentLost(self.exited.result())
        self._answer = self._loop.create_future()
        await self._api.begin_call(call)
        self._call = call
        self._is_given = False
        if self._asking:
            self._give(self._asking.pop(), call)
        answer = await self._answer
        # The call is over when the program asks again: by then it has written all that it had to say about it.
        with contextlib.suppress(TimeoutError, EnvironmentLost):
            await asyncio.wait_for(asyncio.shield(self._asked), 1.0)
        self._tree.drain_output()
        self._api.end_call(call, answer)
        return answer

    def expire(self) -> None:
        if not self._answer.done():
            self._api.reason = "timeout"
            self._answer.set_exception(TimeoutError())

    def kill(self) -> None:
        self._api.end()

    def _fail_call(self) -> None:
        """An extension has ended the environment, and with it the call under way."""
        if self._api.crash is not None and self._call is not None:
            kind, document = self._api.crash
            self.answers(self._call.request_id, Answer(document, kind))

    def rest(self) -> None:
        self._tree.rest()

    def wake(self) -> None:
        self._tree.wake()

    def max_memory_mb(self, ran_s: float) -> int:
        return self._tree.max_memory_mb(ran_s)

    def _why_init_failed(self, exit: Exit) -> tuple[str, bytes]:
        if self._api.crash is not None:
            return self._api.crash
        if self._init_error is not None:
            return self._init_error
        if exit.code == 126:  # what an init says whose program could not be started
            return "Runtime.InvalidEntrypoint", error_document("Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s)", "")
        return exit_document("", exit)

    # What the program asks

    def handle(self, request: ApiRequest, connection: ApiConnection) -> None:
        match = _PATH.fullmatch(request.path)
        if match is None:
            raise Refusal(404, "InvalidRequest", "no such path")
        is_asking = bool(match[1] or match[6])
        if request.method != ("GET" if is_asking else "POST"):
            raise Refusal(405, "InvalidRequest", f"{request.method} is not for this path")
        if match[1]:
            self._asks(connection)
        elif match[6] or match[4] == "restore":
            raise Refusal(403, "InvalidStateTransition", "this environment was not restored from a snapshot")
        elif match[5]:
            kind = request.headers.get("lambda-runtime-function-error-type") or _error_type_of(request.body)
            self._init_error = (kind if kind != "Unknown" else "Runtime.Unknown", request.body)
            connection.accept()
        else:
            self._take_answer(match[2], match[3] == "error", request, connection)

    def sink_of(self, request: ApiRequest, connection: ApiConnection) -> "_StreamedAnswer | None":
        """For an answer that the program streams."""
        match = _PATH.fullmatch(request.path)
        if match is None or match[3] != "response" or request.method != "POST":
            return None
        if request.headers.get("lambda-runtime-function-response-mode", "").lower() != "streaming":
            return None
        if self._call is None or self._call.request_id != match[2]:
            return None
        return _StreamedAnswer(self, self._call, request.headers.get("content-type", ""), connection)

    def disconnected(self, connection: ApiConnection) -> None:
        if connection in self._asking:
            self._asking.remove(connection)

    def answers(self, request_id: str, answer: Answer) -> bool:
        """The program's answer; False when it answers what was not asked."""
        if self._call is None or self._call.request_id != request_id or self._answer.done():
            return False
        self._call = None
        self._answer.set_result(answer)
        return True

    def _asks(self, connection: ApiConnection) -> None:
        """The program is ready for an event."""
        if not self._asked.done():
            self._asked.set_result(None)
        if self._call is not None and not self._is_given:
            self._give(connection, self._call)
        else:
            self._asking.append(connection)

    def _give(self, connection: ApiConnection, call: Call) -> None:
        """The event, as the answer to `next`. From now on asking again means that the program is done with it."""
        headers = {
            "Lambda-Runtime-Aws-Request-Id": call.request_id,
            "Lambda-Runtime-Deadline-Ms": str(call.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": call.invoked_arn,
            "Lambda-Runtime-Trace-Id": call.trace_id,
            "Lambda-Runtime-Client-Context": call.client_context,
            "Lambda-Runtime-Cognito-Identity": call.cognito_identity,
        }
        self._is_given = True
        self._asked = self._loop.create_future()
        connection.respond(200, call.payload, {name: value for name, value in headers.items() if value})

    def _take_answer(self, request_id: str, is_error: bool, request: ApiRequest, connection: ApiConnection) -> None:
        if request.is_too_large:
            answer = too_large(MAX_ANSWER_BYTES)
            self.answers(request_id, answer)
            connection.respond(413, answer.payload)
            return
        kind = request.headers.get("lambda-runtime-function-error-type") or _error_type_of(request.body)
        if self.answers(request_id, Answer(request.body, kind if is_error else None)):
            connection.accept()
        else:
            raise Refusal(400, "InvalidRequestID", "Invalid request ID")

    def _on_exit(self) -> None:
        self._api.close()
        for waiting in (self._asked, self._answer):
            if not waiting.done():
                waiting.set_exception(EnvironmentLost(self.exited.result()))
                waiting.exception()


class _StreamedAnswer:
    """The body of an answer in streaming mode: passed on as it comes, or gathered for a caller who wants it whole."""

    def __init__(self, environment: RuntimeApiEnvironment, call: Call, content_type: str, connection: ApiConnection) -> None:
        self._environment = environment
        self._call = call
        self._connection = connection
        self._gathered = bytearray()
        self._is_too_large = False
        if call.stream is not None:
            call.stream.on_drained = connection.resume
            call.stream.begin(content_type or "application/octet-stream")

    def feed(self, data: bytes) -> None:
        stream = self._call.stream
        if stream is not None:
            stream.feed(data)
            if stream.is_full:
                self._connection.pause()
            return
        self._is_too_large = self._is_too_large or len(self._gathered) + len(data) > MAX_ANSWER_BYTES
        if not self._is_too_large:
            self._gathered += data

    def finish(self, trailers: dict[str, str]) -> None:
        stream = self._call.stream
        error_type = trailers.get("lambda-runtime-function-error-type")
        if error_type:
            answer = Answer(_error_body(trailers, error_type), error_type)
        elif self._is_too_large or (stream is not None and stream.is_too_large):
            answer = too_large(MAX_ANSWER_BYTES if stream is None else MAX_STREAM_BYTES)
        else:
            answer = Answer(bytes(self._gathered))
        if self._environment.answers(self._call.request_id, answer):
            self._connection.accept()
        else:
            raise Refusal(400, "InvalidRequestID", "Invalid request ID")

    def broken(self) -> None:
        message = "The runtime closed the connection before its streamed response was complete"
        document = error_document("Runtime.TruncatedResponse", message, self._call.request_id)
        self._environment.answers(self._call.request_id, Answer(document, "Runtime.TruncatedResponse"))


def _error_body(trailers: dict[str, str], error_type: str) -> bytes:
    """The error document that a runtime puts, as base64, behind what it has streamed."""
    try:
        return base64.b64decode(trailers.get("lambda-runtime-function-error-body", ""), validate=True) or b"{}"
    except (binascii.Error, ValueError):
        return error_document(error_type, "the runtime's error trailer cannot be read", "")


def _error_type_of(body: bytes) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(body).get("errorType") or "Unknown")
    return "Unknown"
