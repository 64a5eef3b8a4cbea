"""Running a function whose answer is passed on while it runs."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from cumulet.invoke.contract import Invocation, InvocationResult, Invoker
from cumulet.runtimes.contract import FunctionSpec
from cumulet.runtimes.streams import ResponseStream


@dataclass(frozen=True, slots=True)
class StreamedInvocation:
    """An invocation under way. `is_streamed` False: the function has ended and answered as a whole."""

    is_streamed: bool
    content_type: str
    result: "asyncio.Task[InvocationResult]"
    _stream: ResponseStream

    async def parts(self) -> AsyncGenerator[bytes]:
        """What the function sends, as it comes; then `result` is done. Left early, the function still runs to its end."""
        try:
            async for part in self._stream.parts():
                yield part
            result = await asyncio.shield(self.result)
            if not self.is_streamed and result.function_error is None and result.payload:
                yield result.payload
        finally:
            self._stream.abandon()


_running: set["asyncio.Task[InvocationResult]"] = set()
"""Invocations whose client may have gone: the loop itself holds tasks only weakly."""


async def invoke_streamed(
    invoker: Invoker, spec: FunctionSpec, invocation: Invocation, stream: ResponseStream | None = None
) -> StreamedInvocation:
    """Start it; returns when the function begins to stream or has ended. Raises what `Invoker.invoke` raises before that."""
    stream = stream or ResponseStream()
    task = asyncio.ensure_future(invoker.invoke(spec, invocation._replace(stream=stream)))
    _running.add(task)
    task.add_done_callback(_running.discard)
    task.add_done_callback(lambda _: stream.finish())
    is_streamed = await stream.wait_begun()
    if not is_streamed:
        await task
    return StreamedInvocation(is_streamed, stream.content_type, task, stream)
