"""An environment that speaks frames over a socket pair: Python and Node."""

import asyncio
import time
from functools import partial
from typing import Literal, cast

import orjson

from cumulet.runtimes import frames
from cumulet.runtimes.contract import Answer, Call, EnvironmentLost, Exit, FunctionSpec, InitError
from cumulet.runtimes.faults import MAX_ANSWER_BYTES, exit_document, too_large
from cumulet.runtimes.local_api import LocalApi
from cumulet.runtimes.process import ProcessTree
from cumulet.runtimes.streams import MAX_STREAM_BYTES, Tunnel

_LAST_WORDS_S = 0.5
"""How long an environment whose runtime has ended may take to end itself."""


class Parts:
    """What one call streams: passed on as it comes, or gathered for a caller who wants it whole."""

    def __init__(self, call: Call, transport: asyncio.Transport) -> None:
        self._is_begun = False
        self._call = call
        self._transport = transport
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._is_paused = False

    def take(self, frame: frames.Frame) -> None:
        _, head, body = frame
        stream = self._call.stream
        if stream is None:
            self._gathered_bytes += len(body)
            if self._gathered_bytes <= MAX_ANSWER_BYTES:
                self._gathered.append(body)
        else:
            if not self._is_begun:
                stream.on_drained = self._resume
                stream.begin(str(head.get("content_type", "application/octet-stream")))
            stream.feed(body)
            if stream.is_full and not self._is_paused:
                self._is_paused = True
                self._transport.pause_reading()
        self._is_begun = True

    def _resume(self) -> None:
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def answer(self) -> Answer:
        """What the call comes to when its code ended well."""
        stream = self._call.stream
        is_too_large = self._gathered_bytes > MAX_ANSWER_BYTES if stream is None else stream.is_too_large
        if is_too_large:
            return too_large(MAX_ANSWER_BYTES if stream is None else MAX_STREAM_BYTES)
        return Answer(b"".join(self._gathered))


class FramedEnvironment(asyncio.Protocol):
    """See the contract `Environment`. Anything unexpected on the channel ends the environment."""

    def __init__(
        self, id: str, spec: FunctionSpec, tree: ProcessTree, phases: dict[str, float], api: LocalApi | None = None
    ) -> None:
        self.id = id
        self.spec = spec
        self.phases = phases
        self.init_ms = 0.0
        self.exited = tree.exited
        self._tree = tree
        self._api = api
        self._loop = asyncio.get_running_loop()
        self.rest, self.wake = tree.rest, tree.wake
        self.max_memory_mb = tree.max_memory_mb
        self._decoder = frames.Decoder()
        self.calls_at_once = 1
        self._ready: asyncio.Future[frames.Frame] = self._loop.create_future()
        self._pending: dict[str, tuple[asyncio.Future[frames.Frame], Call]] = {}  # by request id, the oldest first
        self._parts: dict[str, Parts] = {}  # of those calls that stream
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Future[None] | None = None
        self._broken = ""
        if api is not None:
            api.on_crash = self._fail_call
            self.exited.add_done_callback(lambda _: api.close())

    def specialise(self, variables: dict[str, str]) -> None:
        """Tell a shell's program whose it is now: it loads the handler."""
        assert self._transport is not None
        self._transport.write(frames.encode(frames.SPECIALISE, {}, orjson.dumps(variables)))

    async def initialise(self, timeout_s: float) -> None:
        """Wait for the runtime to have loaded the handler. Raises InitError, or JailFailed."""
        started = time.monotonic()
        try:
            await self._tree.jailed
            async with asyncio.timeout(timeout_s):
                if self._api is not None:
                    await self._api.open()
                kind, head, body = await self._ready
                if self._api is not None and kind == frames.READY:
                    await self._api.extensions_ready()
        except TimeoutError:
            self._reason("timeout")
            self.kill()
            await self.exited
            spent_ms = (time.monotonic() - started) * 1000
            raise InitError("Sandbox.Timedout", b"", spent_ms, Exit(signal=9)) from None
        except EnvironmentLost as lost:
            spent_ms = (time.monotonic() - started) * 1000
            error_type, document = exit_document("", lost.exit)
            if self._api is not None and self._api.crash is not None:
                error_type, document = self._api.crash
            raise InitError(error_type, document, spent_ms, lost.exit) from None
        now = time.monotonic()
        self._tree.hear()  # what its first process has said before, on a socket of its own
        self.phases["jail"] = self._tree.jail_ms
        told_ms = head.get("init_ms")
        if isinstance(told_ms, float):  # it began before it was waited for; but it cannot have taken longer than it has lived
            self.init_ms = max(0.0, min(told_ms, (now - self._tree.made_s) * 1000))
        else:
            self.init_ms = max(0.0, (now - started) * 1000 - self._tree.jail_ms * self._tree.specialised.done())
        self.phases["init"] = self.init_ms
        self._tree.drain_output()
        if kind == frames.READY:
            self.calls_at_once = max(1, int(head.get("calls_at_once", 1)))
            if self._api is not None:
                self._api.initialised(self.init_ms)
            return
        self.kill()
        await self.exited
        if kind == frames.INIT_ERROR:
            raise InitError(str(head.get("error_type", "Unknown")), body, self.init_ms)
        raise InitError("Runtime.Unknown", b"{}", self.init_ms)

    async def invoke(self, call: Call) -> Answer:
        if self._transport is None or self._broken or self.exited.done():
            raise await self._lost()
        waiting: asyncio.Future[frames.Frame] = self._loop.create_future()
        self._pending[call.request_id] = (waiting, call)
        parts = None
        try:
            if self._api is not None:
                await self._api.begin_call(call)
            if call.stream is not None and isinstance(call.stream, Tunnel):
                call.stream.send = partial(self._send_input, call.request_id)
            self._transport.write(_invoke_frame(call))
            kind, answered, body = await waiting
        finally:
            del self._pending[call.request_id]
            if self._parts:
                parts = self._parts.pop(call.request_id, None)
        self._tree.drain_output()
        if kind not in (frames.RESULT, frames.ERROR):
            self._break("what is no answer")
            raise await self._lost()
        if kind == frames.RESULT and parts is not None:
            answer = parts.answer()
        else:
            answer = Answer(body, str(answered.get("error_type", "Unknown")) if kind == frames.ERROR else None)
        if self._api is not None:
            self._api.end_call(call, answer)
        return answer

    async def _send_input(self, request_id: str, data: bytes) -> None:
        """What the client of a call says that has become a connection; of no interest once the call is over."""
        if request_id in self._pending and self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames.encode(frames.INPUT, {"request_id": request_id}, data))
            if self._writable is not None:
                await asyncio.shield(self._writable)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    def expire(self) -> None:
        for waiting, _ in self._pending.values():  # the oldest is the one whose time is over
            if not waiting.done():
                self._reason("timeout")
                waiting.set_exception(TimeoutError())
                return

    def kill(self) -> None:
        if self._api is not None:
            self._api.end()
        else:
            self._tree.kill()

    def _reason(self, reason: Literal["timeout", "failure"]) -> None:
        if self._api is not None:
            self._api.reason = reason

    def _fail_call(self) -> None:
        """An extension has ended the environment, and with it what is under way."""
        if self._api is not None and self._api.crash is not None:
            kind, document = self._api.crash
            for waiting, _ in self._pending.values():
                if not waiting.done():
                    waiting.set_result((frames.ERROR, {"error_type": kind}, document))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                if not self._ready.done():
                    self._ready.set_result(frame)
                    continue
                waiting, call = self._pending.get(str(frame[1].get("request_id")), (None, None))
                if waiting is None or call is None or waiting.done():
                    return self._break("an answer that nobody waits for")
                if frame[0] == frames.PART:
                    self._parts_of(call).take(frame)
                else:
                    waiting.set_result(frame)
        except frames.ProtocolError as error:
            self._break(str(error))

    def _parts_of(self, call: Call) -> Parts:
        assert self._transport is not None
        parts = self._parts.get(call.request_id)
        if parts is None:
            parts = self._parts[call.request_id] = Parts(call, self._transport)
        return parts

    def connection_lost(self, error: Exception | None) -> None:
        self.resume_writing()
        # The runtime has ended, and its init is about to say how: only one that goes on without its channel is killed.
        self._loop.call_later(_LAST_WORDS_S, self.kill)
        self._give_up("the channel was closed")

    def _break(self, reason: str) -> None:
        """Nothing more can be believed of this environment: end it."""
        self._reason("failure")
        self.kill()
        self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        """No more calls; who waits is told once the environment is gone."""
        self._broken = self._broken or reason
        if self._transport is not None:
            self._transport.close()
        self.exited.add_done_callback(lambda _: self._fail_waiting())

    def _fail_waiting(self) -> None:
        for waiting in (self._ready, *(waiting for waiting, _ in self._pending.values())):
            if not waiting.done():
                waiting.set_exception(EnvironmentLost(self.exited.result(), self._broken))
                waiting.exception()

    async def _lost(self) -> EnvironmentLost:
        return EnvironmentLost(await self.exited, self._broken)


def _invoke_frame(call: Call) -> bytes:
    """What is not there is left out: both sides read less."""
    head: dict[str, object] = {
        "request_id": call.request_id,
        "deadline_ms": call.deadline_ms,
        "invoked_arn": call.invoked_arn,
    }
    if call.client_context is not None:
        head["client_context"] = call.client_context
    if call.cognito_identity is not None:
        head["cognito_identity"] = call.cognito_identity
    if call.trace_id is not None:
        head["trace_id"] = call.trace_id
    if call.stream is not None:
        head["is_streamed"] = call.stream.takes_streams
        head["offers_tunnel"] = isinstance(call.stream, Tunnel)
    return frames.encode(frames.INVOKE, head, call.payload)
