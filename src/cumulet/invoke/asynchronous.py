"""Asynchronous invocations: accepted durably, run at least once, retried, and settled together with what must be delivered next."""

import asyncio
import heapq
import itertools
from collections import Counter
from functools import partial

from cumulet.core.arn import Arn
from cumulet.core.clock import Clock
from cumulet.core.errors import Fault
from cumulet.core.ids import request_id as new_request_id
from cumulet.delivery.outbox import Outbox
from cumulet.delivery.targets import Target, Targets
from cumulet.invoke import events
from cumulet.invoke.backlog import Backlog, Waiting
from cumulet.invoke.contract import AsyncSettings, Invocation, InvocationResult, Invoker, Resolve
from cumulet.invoke.events import Event
from cumulet.runtimes.contract import FunctionSpec
from cumulet.store.contract import Reader, Store, Txn
from cumulet.store.keys import pack, prefix_range
from cumulet.tenancy.fair_queue import FairQueue, Waiter
from cumulet.tenancy.quotas import Quotas

_PREFIX = "async/"
_MAX_RUNNING = 256
"""Events that run at once on a node; the others wait, and accounts take turns."""
_MOST_OF_ONE = 224
"""Of these, how many may be one account's: the rest is for others."""


class DurableAsyncInvoker:
    """See the contract `AsyncInvoker`. Events of an account and region are one shard."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        invoker: Invoker,
        resolve: Resolve,
        targets: Targets,
        quotas: Quotas | None = None,
    ) -> None:
        quotas = quotas or Quotas()
        self._store = store
        self._clock = clock
        self._invoker = invoker
        self._resolve = resolve
        self._outbox = Outbox(store, targets)
        self._backlog = Backlog(quotas)
        self._due: list[tuple[int, int, Waiting]] = []
        self._order = itertools.count()
        self._ready: FairQueue[Waiting] = FairQueue(quotas.weight_of, most=1 << 40)  # all of them are in the store already
        self._running_of: Counter[str] = Counter()
        self._woken = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Take up what an earlier run of the node left: also what was running when it was killed."""
        for shard in await self._store.list_shards():
            if shard.startswith(_PREFIX):
                for waiting in await self._store.read(shard, self._waiting_events):
                    self._schedule(waiting)
                await self._outbox.recover(shard)

    async def accept(self, *, account: str, region: str, name: str, qualifier: str | None, invocation: Invocation) -> None:
        """Raises TooManyRequests when as many of the account's events wait as may."""
        now_ms = self._clock.now_ms()
        event = Event(
            request_id=invocation.request_id,
            account=account,
            region=region,
            name=name,
            qualifier=qualifier,
            invoked_arn=invocation.invoked_arn,
            payload=invocation.payload,
            accepted_ms=now_ms,
            due_ms=now_ms,
            client_context=invocation.client_context,
            trace_id=invocation.trace_id,
        )
        self._backlog.admit(event)
        try:
            await self._keep(event)
        except BaseException:
            self._backlog.forget(account, len(event.payload))
            raise
        self._schedule(self._backlog.hold(event))

    async def run(self, stop: asyncio.Event) -> None:
        """Run events as they fall due, until told to stop; then wait for those that are running."""
        stopped = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                self._woken.clear()
                self._start_due()
                woken = asyncio.ensure_future(self._woken.wait())
                await asyncio.wait((stopped, woken), timeout=self._until_next_s(), return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
        finally:
            stopped.cancel()
            if self._running:
                await asyncio.wait(self._running, timeout=5)
            for task in self._running:
                task.cancel()  # these events stay in the store, and run again
            await self._outbox.close()

    def wake(self) -> None:
        """Look again at what is due: for a clock that was moved."""
        self._woken.set()

    @property
    def backlog(self) -> int:
        """Events that wait or run."""
        return self._backlog.events

    def _schedule(self, waiting: Waiting) -> None:
        heapq.heappush(self._due, (waiting.due_ms, next(self._order), waiting))
        self._woken.set()

    def _until_next_s(self) -> float | None:
        if not self._due or len(self._running) >= _MAX_RUNNING:
            return None
        return max(0.0, (self._due[0][0] - self._clock.now_ms()) / 1000)

    def _start_due(self) -> None:
        while self._due and self._due[0][0] <= self._clock.now_ms():
            _, _, waiting = heapq.heappop(self._due)
            self._ready.push(waiting.account, waiting)
        while len(self._running) < _MAX_RUNNING and (waiter := self._ready.first(self._has_most)) is not None:
            self._ready.take(waiter)
            task = asyncio.get_running_loop().create_task(self._run_event(waiter.item))
            self._running.add(task)
            self._running_of[waiter.account] += 1
            task.add_done_callback(partial(self._finished, waiter.account))

    def _has_most(self, waiter: Waiter[Waiting]) -> bool:
        return self._running_of[waiter.account] >= _MOST_OF_ONE

    def _finished(self, account: str, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._running_of[account] -= 1
        if not self._running_of[account]:
            del self._running_of[account]
        self._woken.set()
        if not task.cancelled():
            task.result()  # a bug here must not pass unseen: the loop's exception handler logs it

    async def _run_event(self, waiting: Waiting) -> None:
        """One try, and what follows from how it went."""
        event = self._backlog.let_go(waiting) or await self._read(waiting)
        try:
            spec, settings = await self._resolve(event.account, event.region, event.name, event.qualifier)
        except Fault as fault:
            if fault.status >= 500:
                return await self._postpone(event.after_refusal(self._clock.now_ms()))
            return await self._settle(event, "RetriesExhausted", AsyncSettings(), None)  # the function is gone
        if event.is_too_old(settings, self._clock.now_ms()):
            return await self._settle(event, "EventAgeExceeded", settings, None)
        try:
            result = await self._invoke(spec, event)
        except Fault:
            return await self._postpone(event.after_refusal(self._clock.now_ms()))
        if result.function_error is None:
            return await self._settle(event, "Success", settings, result)
        if events.is_last_attempt(event, settings):
            return await self._settle(event, "RetriesExhausted", settings, result)
        return await self._postpone(event.after_error(self._clock.now_ms()))

    async def _invoke(self, spec: FunctionSpec, event: Event) -> InvocationResult:
        invocation = Invocation(
            event.request_id, event.payload, event.invoked_arn, client_context=event.client_context, trace_id=event.trace_id
        )
        return await self._invoker.invoke(spec, invocation)

    async def _postpone(self, event: Event) -> None:
        await self._keep(event)
        self._schedule(self._backlog.hold(event))

    async def _settle(
        self, event: Event, condition: events.Condition, settings: AsyncSettings, result: InvocationResult | None
    ) -> None:
        """The event is done with: gone, and its deliveries there, in one transaction."""
        outgoing = events.deliveries(event, condition, settings, result, self._clock.now_ms())
        shard = _shard_of(event)

        def settle(txn: Txn) -> list[bytes]:
            txn.delete(pack("event", event.request_id))
            return self._outbox.add(txn, outgoing)

        self._outbox.send(shard, await self._store.write(shard, settle))
        self._backlog.forget(event.account, len(event.payload))

    async def _keep(self, event: Event) -> None:
        value = events.encode(event)
        await self._store.write(_shard_of(event), lambda txn: txn.put(pack("event", event.request_id), value))

    async def _read(self, waiting: Waiting) -> Event:
        value = await self._store.read(_shard_of(waiting), lambda reader: reader.get(pack("event", waiting.request_id)))
        assert value is not None, "an event goes from the store when it is settled, and then waits no longer"
        return events.decode(value)

    def _waiting_events(self, reader: Reader) -> list[Waiting]:
        found = []
        for _, value in reader.scan(*prefix_range("event")):
            event = events.decode(value)
            self._backlog.count(event)
            found.append(self._backlog.hold(event))
        return found


def function_target(asynchronous: DurableAsyncInvoker) -> Target:
    """For `Targets.register("lambda", …)`: an event to a function's ARN is an asynchronous invocation of it."""

    async def deliver(arn: Arn, event: bytes) -> None:
        parts = arn.resource.split(":")  # function:NAME[:QUALIFIER]
        qualifier = parts[2] if len(parts) > 2 else None
        invocation = Invocation(new_request_id(), event, str(arn))
        await asynchronous.accept(account=arn.account, region=arn.region, name=parts[1], qualifier=qualifier, invocation=invocation)

    return deliver


def _shard_of(event: Event | Waiting) -> str:
    return f"{_PREFIX}{event.account}/{event.region}"
