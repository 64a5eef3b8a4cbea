"""The invoker: concurrency, an environment, the call, the report."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from cumulet.core.clock import Clock
from cumulet.core.errors import Fault
from cumulet.invoke import reports
from cumulet.invoke.concurrency import ACCOUNT_LIMIT_REASON, Concurrency
from cumulet.invoke.contract import Invocation, InvocationResult, LogSink
from cumulet.invoke.crash_loops import CrashLoops
from cumulet.invoke.deadlines import Deadlines
from cumulet.invoke.faults import TooManyRequests
from cumulet.invoke.keep_alive import KeepAlive
from cumulet.invoke.lines import PATIENCE_S, Place, Start, Starts
from cumulet.invoke.output import OutputLines
from cumulet.invoke.pool import Member, Pool
from cumulet.invoke.room import MOST_WAITING
from cumulet.runtimes.contract import (
    Answer,
    Call,
    EnvironmentLost,
    FunctionSpec,
    InitError,
    Launch,
    ProcessesUsedUp,
    Runtimes,
    StartUnwanted,
)
from cumulet.runtimes.faults import error_document, exit_document, exit_words
from cumulet.tenancy.limits import HoldBack, LogRate
from cumulet.tenancy.quotas import Quotas
from cumulet.tenancy.turns import FairRounds

Credentials = Callable[[FunctionSpec], tuple[str, str, str]]
"""The temporary credentials of a function's role: key id, secret, session token."""

_EXPIRY_INTERVAL_S = 1.0
_PREWARMED_AT_ONCE = 4
_INIT_LIMIT_S = 10.0
_MOST_PATIENT = 5
"""How many times in all a caller waits for short calls to end while enough environments are being started."""
_CALLS_A_ROUND = 16
"""Invocations that begin in one round of the event loop."""


class FailedStart(InitError):
    """An InitError with the output of what failed, whose tail belongs to the answer."""

    def __init__(self, error: InitError, output: OutputLines) -> None:
        super().__init__(error.error_type, error.payload, error.init_ms, error.exit)
        self.output = output


class LocalInvoker:
    """Runs functions in this node's own environments."""

    def __init__(
        self,
        runtimes: Runtimes,
        clock: Clock,
        log_sink: LogSink,
        credentials_for: Credentials,
        endpoint: Callable[[], str],
        *,
        quotas: Quotas | None = None,
        most_waiting: int = MOST_WAITING,
        memory_budget_mb: int = 4096,
        keep_alive: KeepAlive | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._runtimes = runtimes
        self._clock = clock
        self._log_sink = log_sink
        self._credentials_for = credentials_for
        self._endpoint = endpoint
        self._outputs: dict[str, OutputLines] = {}
        self._deadlines = Deadlines()
        self._running = 0
        self._none_runs: asyncio.Event | None = None  # while somebody waits for it
        self._provisioned: dict[tuple[str, str, str], tuple[FunctionSpec, int]] = {}
        self._provisioning: set[asyncio.Task[None]] = set()
        self._starts: Starts[Member] = Starts()
        self.started_ahead = 0
        self._prewarming: set[asyncio.Task[None]] = set()
        quotas = quotas or Quotas()
        self._log_rate = LogRate(clock, quotas)
        self._rounds = FairRounds(_CALLS_A_ROUND, quotas.weight_of)
        self._hold_back = HoldBack(clock)
        self._crash_loops = CrashLoops(clock)
        self.concurrency = Concurrency(lambda account: quotas.of(account).concurrency)
        self.pool = Pool(clock, memory_budget_mb, keep_alive, quotas.weight_of, most_waiting, patience_s)
        self.pool.on_lost = self._on_lost
        self.pool.on_served = self._starts.leave

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> InvocationResult:
        """See the contract."""
        if (turn := self._rounds.enter(spec.account)) is not None:
            await turn
        try:
            is_reserved = self.concurrency.acquire(spec)
        except TooManyRequests:
            await asyncio.sleep(self._hold_back.delay_s(spec.account))
            raise
        self._running += 1
        member = self.pool.lease(spec)
        try:
            if member is not None:
                return await self._call(spec, invocation, member, {"queue": 0.0}, is_cold=False)
            started_s = self._clock.monotonic_s()
            member, is_cold = await self._next_environment(spec)
            phases = self._waited_phases(member, started_s, is_cold)
            return await self._call(spec, invocation, member, phases, is_cold)
        except FailedStart as failed:
            return self._report_failed_init(spec, invocation, failed)
        except asyncio.CancelledError:
            if member is not None:
                member.is_retired = True
            raise
        finally:
            if member is not None:
                self.pool.release(member)
            self.concurrency.release(spec, is_reserved)
            self._running -= 1
            if self._none_runs is not None and not self._running:
                self._none_runs.set()

    def expect(self, spec: FunctionSpec) -> None:
        """A function was made, or changed, and may be called soon."""
        launch = self._launch(spec, is_provisioned=False)
        self._runtimes.expect(spec, launch, self._open_output(spec, launch).feed)

    def retire(self, function_id: str, keep: tuple[str, str, str] | None = None) -> None:
        """A function changed or is gone; see the pool's."""
        self.pool.retire(function_id, keep)
        if keep is None:
            self._runtimes.retire(function_id)

    async def run(self, stop: asyncio.Event) -> None:
        """Scale to zero, and up again before calls that are expected, until told to stop."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _EXPIRY_INTERVAL_S)
            self.keep()

    def keep(self) -> None:
        """What falls due by now: environments that go, for their keep-alive or for memory, and that come."""
        self.pool.expire()
        self.pool.relieve(self._runtimes.memory_mb())
        while len(self._prewarming) < _PREWARMED_AT_ONCE and (spec := self.pool.pop_expected()) is not None:
            self._start_prewarming(spec)

    async def drain(self, limit_s: float) -> None:
        """Wait for what is running, for at most `limit_s`."""
        if self._running:
            self._none_runs = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_runs.wait(), limit_s)

    def set_provisioned(self, spec: FunctionSpec, count: int) -> None:
        """Keep `count` environments of a version initialised, from now on; 0 for none."""
        if count:
            self._provisioned[spec.pool_key] = (spec, count)
            self._start_provisioning(spec.pool_key)
        else:
            self._provisioned.pop(spec.pool_key, None)
            for member in self.pool.provisioned(spec.pool_key):
                self.pool.unprovision(member)

    def ready_provisioned(self, spec: FunctionSpec) -> int:
        """How many of them are initialised now."""
        return len(self.pool.provisioned(spec.pool_key))

    def _waited_phases(self, member: Member, started_s: float, is_cold: bool) -> dict[str, float]:
        """Of a call that had to wait for its environment: in which phases. Where it was another's start, or call, just in line."""
        phases = member.environment.phases if is_cold else {}
        waited_ms = (self._clock.monotonic_s() - started_s) * 1000
        return {"queue": max(0.0, waited_ms - sum(phases.values())), **phases}

    async def _call(
        self, spec: FunctionSpec, invocation: Invocation, member: Member, phases: dict[str, float], is_cold: bool
    ) -> InvocationResult:
        """Run one event in a leased environment and report it."""
        environment, output = member.environment, self._outputs[member.environment.id]
        is_provisioned = member.is_provisioned
        request_id = invocation.request_id
        now_ms = self._clock.now_ms()
        output.begin_call(reports.start_line(spec, request_id, now_ms), now_ms, is_tail_wanted=invocation.is_log_tail_wanted)
        call = Call(  # by position, as everything that is made once a call: names cost as much as the rest of it
            request_id,
            invocation.payload,
            now_ms + spec.timeout_s * 1000,
            invocation.invoked_arn,
            invocation.client_context,
            invocation.cognito_identity,
            invocation.trace_id,
            invocation.stream,
        )
        started_s = self._clock.monotonic_s()
        last_words = None
        deadline = self._deadlines.begin(spec.timeout_s, environment.expire)
        try:
            answer = await environment.invoke(call)
            status = "success" if answer.error_type is None else "error"
            if self._crash_loops:
                self._crash_loops.succeeded(spec.pool_key)
        except TimeoutError:
            member.is_retired = True
            environment.kill()
            status = "timeout"
            message = f"Task timed out after {spec.timeout_s:.2f} seconds"
            answer = Answer(error_document("Sandbox.Timedout", message, request_id), "Sandbox.Timedout")
            last_words = reports.timeout_line(request_id, spec.timeout_s, self._clock.now_ms())
        except EnvironmentLost as lost:
            self._crash_loops.crashed(spec.pool_key)
            member.is_retired = True
            environment.kill()
            status = "error"
            error_type, document = exit_document(request_id, lost.exit)
            answer = Answer(document, error_type)
            last_words = reports.exit_line(request_id, exit_words(lost.exit))
        finally:
            self._deadlines.end(spec.timeout_s, deadline)
        duration_ms = (self._clock.monotonic_s() - started_s) * 1000
        max_memory_mb = environment.max_memory_mb(duration_ms / 1000)
        self.pool.learn(member, max_memory_mb, duration_ms / 1000)
        phases["invoke"] = duration_ms
        report = reports.Report(
            request_id,
            min(duration_ms, spec.timeout_s * 1000.0),
            spec.memory_mb,
            max_memory_mb,
            environment.init_ms if is_cold and not is_provisioned else None,
            status,
            answer.error_type,
            invocation.trace_id if spec.tracing == "Active" else None,
            phases,
        )
        now_ms = self._clock.now_ms()
        output.end_call(reports.lines_of(spec, report, now_ms, last_words), now_ms)
        return InvocationResult(
            answer.payload,
            spec.version,
            None if answer.error_type is None else "Unhandled",
            output.take_tail() if invocation.is_log_tail_wanted else b"",
            report.duration_ms,
            report.billed_ms,
            is_cold,
            phases,
        )

    async def _next_environment(self, spec: FunctionSpec) -> tuple[Member, bool]:
        """What is there first: one that is given back, or one that is started for the caller, and whether it is that. Raises what
        that start does. A start goes on when who asked for it needs it no more: it is then the next one's who would ask for one.
        One that has not begun is dropped when who asked for it has got another."""
        place, patience_s = self.pool.line_up(spec)
        place.left = _MOST_PATIENT if patience_s else 0
        try:
            if patience_s:
                self._start_later(spec, place, patience_s)
            else:
                self._start_for(spec, place)
            return await place.given, place.is_own
        except asyncio.CancelledError:
            if place.given.done() and not place.given.cancelled() and place.given.exception() is None:
                self.pool.release(place.given.result())
            raise
        finally:
            self.pool.leave_line(spec, place)
            if place.timer is not None:
                place.timer.cancel()
            self._starts.leave(place)

    def _start_later(self, spec: FunctionSpec, place: Place[Member], patience_s: float) -> None:
        place.left -= 1
        place.timer = asyncio.get_running_loop().call_later(patience_s, self._start_for, spec, place, patience_s)

    def _start_for(self, spec: FunctionSpec, place: Place[Member], patience_s: float = 0.0) -> None:
        if place.given.done():
            return
        if self._starts.adopt(spec.pool_key, place):
            return
        if place.left > 0 and self._starts.count(spec.pool_key) >= self.pool.most_starting(spec):
            self._start_later(spec, place, patience_s)
            return
        start = self._starts.begin(spec.pool_key, place)
        start.task = asyncio.get_running_loop().create_task(self._start(spec, start=start))
        start.task.add_done_callback(partial(self._hand_over, start))

    def _hand_over(self, start: Start[Member], task: "asyncio.Task[Member]") -> None:
        """To whom it was started for, or else to the first in line."""
        self._starts.end(start)
        place = start.place
        if task.cancelled():
            place.given.cancel()
        elif (error := task.exception()) is not None:
            if not place.given.done():
                place.given.set_exception(error)
        elif place.given.done():
            self.pool.release(task.result())
        else:
            place.is_own = True
            place.given.set_result(task.result())

    async def _start(self, spec: FunctionSpec, *, is_provisioned: bool = False, start: Start[Member] | None = None) -> Member:
        """A new environment, leased to the caller. Raises FailedStart; its output is on its way to the log either way."""
        if self._crash_loops and (delay_s := self._crash_loops.delay_s(spec.pool_key)):
            await asyncio.sleep(delay_s)
            if start is not None and not start.is_wanted():
                raise StartUnwanted
        if start is not None:
            start.set_in_room(True)
        await self.pool.make_room(spec)
        if start is not None:
            start.set_in_room(False)
        return await self._start_in_room(spec, is_provisioned=is_provisioned, start=start)

    async def _start_in_room(
        self, spec: FunctionSpec, *, is_provisioned: bool = False, is_prewarmed: bool = False, start: Start[Member] | None = None
    ) -> Member:
        launch = self._launch(spec, is_provisioned)
        if start is not None:
            launch = replace(launch, is_wanted=start.is_wanted)
        output = self._open_output(spec, launch)
        try:
            environment = await self._runtimes.start(spec, launch, output.feed)
        except BaseException as error:
            self.pool.abandon(spec)
            if isinstance(error, InitError):
                self._crash_loops.crashed(spec.pool_key)
                raise FailedStart(error, output) from error
            if isinstance(error, ProcessesUsedUp):
                raise TooManyRequests(ACCOUNT_LIMIT_REASON) from None
            raise
        self._outputs[environment.id] = output
        cold_ms = sum(environment.phases.values())
        return self.pool.add(environment, cold_ms, is_provisioned=is_provisioned, is_prewarmed=is_prewarmed)

    def _launch(self, spec: FunctionSpec, is_provisioned: bool) -> Launch:
        name = secrets.token_hex(16)
        day = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).strftime("%Y/%m/%d")
        return Launch(
            id=name,
            log_stream=f"{day}/[{spec.version}]{name}",
            endpoint=self._endpoint(),
            credentials=self._credentials_for(spec),
            initialization_type="provisioned-concurrency" if is_provisioned else "on-demand",
            # Lambda gives the first try 10 s and, when that fails, a second one within the function's own timeout.
            init_timeout_s=max(_INIT_LIMIT_S, float(spec.timeout_s)),
        )

    def _open_output(self, spec: FunctionSpec, launch: Launch) -> OutputLines:
        emit = partial(self._log_sink, spec.account, spec.region, spec.log_group, launch.log_stream)
        return OutputLines(self._clock.now_ms, emit, partial(self._log_rate.take, spec.account))

    def _report_failed_init(self, spec: FunctionSpec, invocation: Invocation, error: FailedStart) -> InvocationResult:
        """The init phase's error is the first invocation's answer."""
        output, payload = error.output, error.payload
        now_ms, last_words = self._clock.now_ms(), None
        if error.error_type == "Sandbox.Timedout":
            message = f"Task timed out after {error.init_ms / 1000:.2f} seconds"
            payload = error_document("Sandbox.Timedout", message, invocation.request_id)
            last_words = reports.timeout_line(invocation.request_id, error.init_ms / 1000, now_ms)
        elif error.exit is not None and error.error_type in ("Runtime.ExitError", "Runtime.OutOfMemory"):
            payload = exit_document(invocation.request_id, error.exit)[1]
            last_words = reports.exit_line(invocation.request_id, exit_words(error.exit))
        report = reports.Report(
            request_id=invocation.request_id,
            duration_ms=error.init_ms,
            memory_mb=spec.memory_mb,
            max_memory_mb=0,
            status="timeout" if error.error_type == "Sandbox.Timedout" else "error",
            error_type=error.error_type,
            phases={"init": error.init_ms},
        )
        start = reports.start_line(spec, invocation.request_id, now_ms)
        output.end_call((start, *reports.lines_of(spec, report, now_ms, last_words)), now_ms)
        return InvocationResult(
            payload=payload,
            executed_version=spec.version,
            function_error="Unhandled",
            log_tail=output.take_tail() if invocation.is_log_tail_wanted else b"",
            duration_ms=error.init_ms,
            billed_ms=report.billed_ms,
            is_cold_start=True,
            phases=report.phases,
        )

    def _on_lost(self, member: Member) -> None:
        self._outputs.pop(member.environment.id, None)
        if member.is_provisioned:
            self._start_provisioning(member.environment.spec.pool_key)

    def _start_provisioning(self, key: tuple[str, str, str]) -> None:
        task = asyncio.get_running_loop().create_task(self._provision(key))
        self._provisioning.add(task)
        task.add_done_callback(self._provisioning.discard)

    def _start_prewarming(self, spec: FunctionSpec) -> None:
        """Ahead of a call, where there is room for it without evicting anyone."""
        if self.pool.find_room(spec):
            task = asyncio.get_running_loop().create_task(self._prewarm(spec))
            self._prewarming.add(task)
            task.add_done_callback(self._prewarming.discard)

    async def _prewarm(self, spec: FunctionSpec) -> None:
        with contextlib.suppress(InitError, Fault):  # the call will tell, if it comes
            self.pool.release(await self._start_in_room(spec, is_prewarmed=True))
            self.started_ahead += 1

    async def _provision(self, key: tuple[str, str, str]) -> None:
        """Start what is missing of a version's provisioned environments, one after the other; a broken init is tried again."""
        while key in self._provisioned:
            spec, count = self._provisioned[key]
            ready = self.pool.provisioned(key)
            for surplus in ready[count:]:
                self.pool.unprovision(surplus)
            if len(ready) >= count:
                return
            try:
                self.pool.release(await self._start(spec, is_provisioned=True))
            except (InitError, Fault):
                await asyncio.sleep(1.0)
