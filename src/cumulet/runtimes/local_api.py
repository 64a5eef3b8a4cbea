"""What the programs of one environment may ask of the node, over HTTP inside the jail: the Runtime, Extensions and Telemetry APIs;
and the phases of the environment's life that they share in: init, invoke, shutdown.
"""

import asyncio
import contextlib
import math
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol

from cumulet.runtimes.api_server import ApiConnection, ApiRequest, ApiServer, BodySink, Refusal
from cumulet.runtimes.contract import Answer, Call, EnvironmentLost, FunctionSpec
from cumulet.runtimes.extensions import PREFIX, Extension, Extensions
from cumulet.runtimes.faults import error_document
from cumulet.runtimes.process import ProcessTree
from cumulet.runtimes.telemetry import PATHS, Telemetry

_SHUTDOWN_S = 2.0
"""How long external extensions have for the shutdown phase, as on Lambda."""
_RUNTIME_STOP_S = 0.3
"""Of that, how long the runtime has after SIGTERM."""


class RuntimeRoutes(Protocol):
    """The Runtime API's part, served for programs that speak it."""

    def handle(self, request: ApiRequest, connection: ApiConnection) -> None: ...
    def sink_of(self, request: ApiRequest, connection: ApiConnection) -> BodySink | None: ...
    def disconnected(self, connection: ApiConnection) -> None: ...


class LocalApi:
    """`names` are the external extensions that the environment starts with. `reason` is why it will end; `crash` is (error type,
    document) when an extension has ended it."""

    def __init__(self, spec: FunctionSpec, tree: ProcessTree, names: tuple[str, ...] = ()) -> None:
        self.runtime: RuntimeRoutes | None = None
        self.reason: Literal["spindown", "timeout", "failure"] = "spindown"
        self.crash: tuple[str, bytes] | None = None
        self._spec = spec
        self._tree = tree
        self._names = names
        self._server = ApiServer(self)
        self._extensions = Extensions(spec, names, self._on_extension_error)
        self._extensions.on_registered = self._on_registered
        self._telemetry = Telemetry(tree.dial)
        self._ending: asyncio.Task[None] | None = None
        self._call_started_s = 0.0
        self.on_crash: Callable[[], None] = lambda: None
        if names:
            self._write = tree.output
            tree.output = partial(self._on_output, "function")
            tree.extension_output = partial(self._on_output, "extension")
            tree.on_extension_end = self._on_extension_end
            tree.on_runtime_end = self._on_runtime_end
            tree.is_settled = self._is_settled

    @property
    def is_ending(self) -> bool:
        return self._ending is not None or self.crash is not None

    # The phases

    async def open(self) -> None:
        """Serve; then wait for the external extensions to register, and let the runtime start. Raises EnvironmentLost."""
        await self._server.open(await self._tree.listener)
        if self._names:
            await self._until(self._extensions.are_registered)
            self._telemetry.emit("platform.initStart", self._init_record())
            self._tree.tell({"start_runtime": True})

    async def extensions_ready(self) -> None:
        """Wait until every extension has asked for its first event: the init phase is over then. Raises EnvironmentLost."""
        await self._until(self._extensions.are_waiting)
        self._extensions.is_registration_open = False

    def initialised(self, init_ms: float) -> None:
        init = {"initializationType": "on-demand", "phase": "init"}
        self._telemetry.emit("platform.initRuntimeDone", init | {"status": "success"})
        self._telemetry.emit("platform.initReport", init | {"status": "success", "metrics": {"durationMs": round(init_ms, 3)}})

    async def begin_call(self, call: Call) -> None:
        """Tell the extensions, once all of them are done with the call before."""
        if self.is_ending:
            raise EnvironmentLost(await self._tree.exited)
        if not self._extensions.are_waiting():
            await self._until(self._extensions.are_waiting)
        self._extensions.tell_invoke(call)
        self._call_started_s = time.monotonic()
        if self._telemetry.is_wanted:
            self._telemetry.emit("platform.start", {"requestId": call.request_id, "version": self._spec.version})

    def end_call(self, call: Call, answer: Answer) -> None:
        """Tell who listens how the call went."""
        if not self._telemetry.is_wanted:
            return
        duration_ms = (time.monotonic() - self._call_started_s) * 1000
        status = "success" if answer.error_type is None else "error"
        about = {"requestId": call.request_id, "status": status}
        if answer.error_type is not None:
            about["errorType"] = answer.error_type
        metrics = {"durationMs": round(duration_ms, 3), "producedBytes": len(answer.payload)}
        self._telemetry.emit("platform.runtimeDone", about | {"metrics": metrics})
        self._telemetry.emit("platform.end", {"requestId": call.request_id})
        used = {
            "durationMs": round(duration_ms, 3),
            "billedDurationMs": max(1, math.ceil(duration_ms)),
            "memorySizeMB": self._spec.memory_mb,
            "maxMemoryUsedMB": self._tree.max_memory_mb(duration_ms / 1000),
        }
        self._telemetry.emit("platform.report", about | {"metrics": used})

    def _is_settled(self, rested_s: float) -> bool:
        """Between two calls: all extensions are done with the last one, or have had the time of a call for it, and who listens has
        been told."""
        if not self._extensions.are_waiting() and rested_s < self._spec.timeout_s:
            return False
        return self._telemetry.is_told() or rested_s > self._spec.timeout_s

    def end(self) -> None:
        """End the environment: with a shutdown phase if an extension has registered for it, else, or when asked again, at once."""
        if self._ending is not None or self.crash is not None or not self._extensions.listening_for("SHUTDOWN"):
            self._tree.kill()
        elif not self._tree.exited.done():
            self._tree.wake()
            self._ending = asyncio.get_running_loop().create_task(self._shut_down())

    def close(self) -> None:
        """The environment is gone."""
        self._server.close()
        self._telemetry.close()
        if self._ending is not None:
            self._ending.cancel()

    async def _shut_down(self) -> None:
        """SIGTERM to the runtime, SHUTDOWN to the extensions, and SIGKILL to whatever is left at the end of it."""
        deadline_s = time.monotonic() + _SHUTDOWN_S
        # What has run out of time, or broken, is not asked; a process that ended well may still want to say goodbye.
        self._tree.tell({"signal_runtime": int(signal.SIGTERM if self.reason == "spindown" else signal.SIGKILL)})
        if self.reason == "spindown":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._tree.runtime_ended), _RUNTIME_STOP_S)
            self._tree.tell({"signal_runtime": int(signal.SIGKILL)})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, deadline_s - time.monotonic()) / 2):
                await self._telemetry.flush()
        left_s = max(0.0, deadline_s - time.monotonic())
        self._extensions.tell_shutdown(self.reason, int((time.time() + left_s) * 1000))
        await asyncio.wait([self._tree.exited], timeout=left_s)
        self._tree.kill()

    # What is asked

    def handle(self, request: ApiRequest, connection: ApiConnection) -> None:
        if request.path.startswith(PREFIX):
            self._extensions.handle(request, connection)
        elif request.path in PATHS:
            extension = self._extensions.find(request)
            self._telemetry.subscribe(extension, PATHS[request.path], request, connection)
        elif self.runtime is not None:
            self.runtime.handle(request, connection)
        else:
            raise Refusal(404, "InvalidRequest", "no such path")

    def sink_of(self, request: ApiRequest, connection: ApiConnection) -> BodySink | None:
        return self.runtime.sink_of(request, connection) if self.runtime is not None else None

    def disconnected(self, connection: ApiConnection) -> None:
        self._extensions.disconnected(connection)
        if self.runtime is not None:
            self.runtime.disconnected(connection)

    # What happens

    def _on_output(self, family: str, data: bytes) -> float | None:
        self._telemetry.output(family, data)
        return self._write(data)

    def _on_registered(self, extension: Extension) -> None:
        self._telemetry.emit(
            "platform.extension", {"name": extension.name, "state": "Registered", "events": sorted(extension.events)}
        )

    def _on_extension_error(self, error_type: str, document: bytes) -> None:
        self._crash(error_type, document or error_document(error_type, "the extension gave up", ""))

    def _on_extension_end(self, name: str, words: str) -> None:
        if self._ending is None:
            self._crash("Extension.Crash", error_document("Extension.Crash", f"extension {name}: {words}", ""))

    def _on_runtime_end(self) -> None:
        """The runtime has ended by itself: its extensions get their shutdown phase."""
        if self._ending is None:
            self.reason = "failure"
            self.end()

    def _crash(self, error_type: str, document: bytes) -> None:
        if self.crash is None:
            self.crash = (error_type, document)
            self.on_crash()
            self._tree.kill()

    async def _until(self, condition: Callable[[], bool]) -> None:
        waiting = asyncio.ensure_future(self._extensions.wait_until(condition))
        try:
            await asyncio.wait((waiting, self._tree.exited), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise EnvironmentLost(self._tree.exited.result())
        finally:
            waiting.cancel()

    def _init_record(self) -> dict[str, str]:
        return {
            "initializationType": "on-demand",
            "phase": "init",
            "functionName": self._spec.name,
            "functionVersion": self._spec.version,
            "runtimeVersion": self._spec.runtime,
        }
