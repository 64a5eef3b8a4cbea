"""What the invoker and the runtimes say to each other: a function version to run, an execution environment, a call, an answer.

A runtime knows how code of one language becomes a process that asks for events. It knows nothing of queues, limits, retries
or logs: output of the user's code goes to the callable it was given.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from cumulet.runtimes.streams import ResponseStream


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """All that running one version of a function needs; immutable. Made by the functions service, read by everyone below.

    `config_id` changes with every change of code or configuration: environments are shared by equal
    (`function_id`, `version`, `config_id`) only. `code` and `layers` are SHA-256 hashes of zip archives in the blob store,
    `layers` in the order of the configuration. `reserved_concurrency` None: taken from the account's. `has_web_adapter`: it
    names the layer of AWS's Lambda Web Adapter, whose work the runtimes do themselves.
    """

    account: str
    region: str
    name: str
    function_id: str
    version: str
    config_id: str
    runtime: str
    handler: str
    code: str
    role: str
    layers: tuple[str, ...] = ()
    architecture: str = "x86_64"
    memory_mb: int = 128
    timeout_s: int = 3
    ephemeral_mb: int = 512
    environment: Mapping[str, str] = field(default_factory=dict)
    log_group: str = ""
    log_format: Literal["Text", "JSON"] = "Text"
    application_log_level: str = "INFO"
    system_log_level: str = "INFO"
    tracing: str = "PassThrough"
    reserved_concurrency: int | None = None
    provisioned_concurrency: int = 0
    is_snap_started: bool = False
    has_web_adapter: bool = False
    pool_key: tuple[str, str, str] = field(init=False, compare=False, repr=False)
    """Which environments may serve this spec."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool_key", (self.function_id, self.version, self.config_id))

    @property
    def function_arn(self) -> str:
        """The unqualified ARN."""
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}"


class Call(NamedTuple):
    """One event for one environment. `deadline_ms` is in Unix milliseconds; the contexts are JSON texts or None.

    What the code streams goes to `stream` as it comes; without one it is gathered into the answer.
    """

    request_id: str
    payload: bytes
    deadline_ms: int
    invoked_arn: str
    client_context: str | None = None
    cognito_identity: str | None = None
    trace_id: str | None = None
    stream: ResponseStream | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How an environment ended: an exit code, or a signal; `is_out_of_memory` when the kernel killed it for its limit."""

    code: int | None = None
    signal: int | None = None
    is_out_of_memory: bool = False


class Answer(NamedTuple):
    """What the user's code said. `error_type` None: it returned; else it raised, and `payload` is Lambda's error document
    (`{"errorMessage", "errorType", "requestId", "stackTrace"}`). What went to the call's stream is not in `payload`."""

    payload: bytes
    error_type: str | None = None


class EnvironmentLost(Exception):
    """The environment ended, or broke its protocol, before it answered: it serves nothing any more."""

    def __init__(self, exit: Exit, reason: str = ""):
        super().__init__(reason or str(exit))
        self.exit = exit
        self.reason = reason


class InitError(Exception):
    """The init phase failed. `payload` is Lambda's error document, `error_type` its errorType (`Runtime.ImportModuleError`,
    `Runtime.ExitError`, `Sandbox.Timedout`, …); `init_ms` what it took."""

    def __init__(self, error_type: str, payload: bytes, init_ms: float, exit: Exit | None = None):
        super().__init__(error_type)
        self.error_type = error_type
        self.payload = payload
        self.init_ms = init_ms
        self.exit = exit


class StartUnwanted(Exception):
    """Whoever asked for an environment has had another one meanwhile."""


class ProcessesUsedUp(Exception):
    """The account's environments have as many processes as they may: nothing more can be started for it."""


Output = Callable[[bytes], float | None]
"""Takes a chunk of what the user's code wrote to stdout and stderr, as it comes; must not block. Answers for how many seconds
no more should be read, so that who writes has to wait; 0 or None for no wait."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What an environment is told beside its spec. `id` is a 32-digit hexadecimal name, also the end of its log stream's.

    `endpoint` is where the node answers AWS calls, "" where it cannot be reached; `credentials` (key id, secret, session token) are
    those of the role. `init_timeout_s` bounds the init phase. `is_wanted` is asked once a start that
    had to wait for others may begin.
    """

    id: str
    log_stream: str
    endpoint: str
    credentials: tuple[str, str, str]
    initialization_type: Literal["on-demand", "provisioned-concurrency", "snap-start"] = "on-demand"
    init_timeout_s: float = 10.0
    is_wanted: Callable[[], bool] = lambda: True


class Environment(Protocol):
    """A process tree in its jail that serves `calls_at_once` calls at a time, nearly always 1. `phases` are milliseconds by
    name (`queue`, `fork`, `jail`, `mount`, `init`), in the order they happened; `exited` is done when the whole tree is gone."""

    id: str
    spec: FunctionSpec
    init_ms: float
    calls_at_once: int
    phases: dict[str, float]
    exited: "asyncio.Future[Exit]"

    async def invoke(self, call: Call) -> Answer:
        """Run one event. Raises EnvironmentLost, and TimeoutError when `expire` was called meanwhile."""
        ...

    def rest(self) -> None:
        """No call is under way, and none may come for a long time: what the code left running gets no CPU until `wake`."""
        ...

    def wake(self) -> None:
        """A call is about to come. Both are cheap, and may be called twice."""
        ...

    def expire(self) -> None:
        """Who waits for an answer waits no longer: the first of them, where there are several. The environment has to be killed
        then: it is still at work."""
        ...

    def kill(self) -> None:
        """SIGKILL to the whole tree: at once, or, the first time, after the shutdown phase of extensions that asked for one;
        `exited` tells when it is gone. May be called twice."""
        ...

    def max_memory_mb(self, ran_s: float) -> int:
        """Peak memory since the start, rounded up. `ran_s` is how long the code ran since this was last asked: after very short
        calls the answer may be a few milliseconds old."""
        ...


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """One runtime identifier on this machine, for `doctor`: what runs it, and what is missing (`notes`)."""

    runtime: str
    is_available: bool
    executable: str | None
    actual_version: str | None
    notes: tuple[str, ...] = ()


class Runtimes(Protocol):
    """All runtimes of the node."""

    async def open(self) -> None:
        """Start what is kept ready (zygotes); returns when the first can serve."""
        ...

    async def start(self, spec: FunctionSpec, launch: Launch, output: Output) -> Environment:
        """A new environment, initialised. Raises InitError; NotImplementedFault for a runtime that no installed program runs."""
        ...

    def expect(self, spec: FunctionSpec, launch: Launch, output: Output) -> None:
        """The function may be called soon: make ready what can be. What runs ahead of time runs as `launch`."""
        ...

    def retire(self, function_id: str) -> None:
        """The function is gone: nothing of it is kept ready."""
        ...

    def memory_mb(self) -> int:
        """What all environments really take together; 0 where nothing counts it."""
        ...

    def statuses(self) -> list[RuntimeStatus]: ...

    async def close(self) -> None:
        """Kill every environment and zygote; returns when all are gone, and their cgroups and folders with them."""
        ...
