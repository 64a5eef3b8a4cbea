"""What the layers above say to the invoker: an invocation goes in, a result comes out as a value."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from cumulet.runtimes.contract import FunctionSpec
from cumulet.runtimes.streams import ResponseStream

LogLines = list[tuple[int, str]]
"""(Unix milliseconds, message) pairs."""

LogSink = Callable[[str, str, str, str, LogLines], None]
"""(account, region, group, stream, lines): keeps the lines; never blocks, never raises, cuts floods with a marker."""


class Invocation(NamedTuple):
    """One request to run a function. `invoked_arn` is the ARN as the caller qualified it; the contexts are JSON texts.

    What a function streams goes to `stream` while it runs; without one it is gathered into the result's payload.
    """

    request_id: str
    payload: bytes
    invoked_arn: str
    client_context: str | None = None
    cognito_identity: str | None = None
    trace_id: str | None = None
    is_log_tail_wanted: bool = False
    stream: ResponseStream | None = None


class InvocationResult(NamedTuple):
    """`function_error` None: `payload` is what the function returned; "Unhandled": it is Lambda's error document.

    `log_tail` is the last 4 KB of the invocation's log when asked for. `phases` are milliseconds by name (`queue`, `fork`,
    `jail`, `mount`, `init`, `invoke`); only the last two and `queue` are there for a warm start.
    """

    payload: bytes
    executed_version: str
    function_error: Literal["Unhandled", "Handled"] | None = None
    log_tail: bytes = b""
    duration_ms: float = 0.0
    billed_ms: int = 0
    is_cold_start: bool = False
    phases: Mapping[str, float] = MappingProxyType({})


class Invoker(Protocol):
    """From "invoke this" to "here is the result"."""

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> InvocationResult:
        """Run the function synchronously. Raises the Fault TooManyRequests (429, with `Reason`) when no concurrency is left.

        Cancelling ends the invocation, and its environment with it: whoever only stops waiting does not cancel.
        """
        ...


@dataclass(frozen=True, slots=True)
class AsyncSettings:
    """How an asynchronous invocation is retried and where its outcome goes (ARNs or None)."""

    maximum_retries: int = 2
    maximum_age_s: int = 21_600
    on_success: str | None = None
    on_failure: str | None = None
    dead_letter: str | None = None


Resolve = Callable[[str, str, str, str | None], Awaitable[tuple[FunctionSpec, AsyncSettings]]]
"""(account, region, function name, qualifier) -> what to run now; raises the Fault ResourceNotFound."""


class AsyncInvoker(Protocol):
    """Accepts events durably and runs them later, at least once."""

    async def accept(self, *, account: str, region: str, name: str, qualifier: str | None, invocation: Invocation) -> None:
        """Returns when the event survives `kill -9`."""
        ...
