"""A second implementation of the runtimes' contract: environments that run plain Python coroutines in this process."""

import asyncio
import inspect
import json
import secrets

import pytest

from cumulet.core.clock import SystemClock
from cumulet.invoke.contract import Invocation
from cumulet.invoke.invoker import LocalInvoker
from cumulet.runtimes.contract import Answer, EnvironmentLost, Exit, FunctionSpec, InitError, StartUnwanted


class Crash(Exception):
    """What a handler raises to end its environment."""


class PlainEnvironment:
    def __init__(self, id, spec, handler, output, peak_mb):
        self.id, self.spec, self._handler, self._output, self._peak_mb = id, spec, handler, output, peak_mb
        self.init_ms, self.phases = 1.0, {"fork": 0.5, "jail": 0.5, "init": 1.0}
        self.calls_at_once = 1
        self.running = None
        self.exited = asyncio.get_running_loop().create_future()

    async def invoke(self, call):
        if self.exited.done():
            raise EnvironmentLost(self.exited.result())
        self.running = running = asyncio.ensure_future(self._run(call))
        await asyncio.wait((running, self.exited), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            running.cancel()
            raise EnvironmentLost(self.exited.result())
        if running.cancelled():
            raise TimeoutError
        return running.result()

    async def _run(self, call):
        try:
            result = self._handler(json.loads(call.payload), lambda text: self._output(text.encode()))
            if inspect.isawaitable(result):
                result = await result
        except Crash:
            self._end(Exit(code=1))
            raise EnvironmentLost(Exit(code=1)) from None
        except Exception as error:
            return Answer(
                json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)}).encode(), type(error).__name__
            )
        return Answer(json.dumps(result).encode())

    def kill(self):
        self._end(Exit(signal=9))

    def _end(self, exit):
        if not self.exited.done():
            self.exited.set_result(exit)

    def rest(self):
        pass

    def wake(self):
        pass

    def max_memory_mb(self, ran_s):
        return self._peak_mb

    def expire(self):
        if self.running is not None:
            self.running.cancel()


class PlainRuntimes:
    """`handlers` are coroutines or functions `(event, write)` by the spec's handler name; an exception instance fails the init."""

    def __init__(self):
        self.handlers = {}
        self.initialise = {}  # what else a handler's init does, given what writes to its output
        self.environments = []
        self.taken_mb = 0
        self.peak_mb = 10
        self.turn = asyncio.Semaphore(1000)  # who wants to start waits for it

    async def start(self, spec, launch, output):
        async with self.turn:
            if not launch.is_wanted():
                raise StartUnwanted
            await asyncio.sleep(0)
        handler = self.handlers[spec.handler]
        self.initialise.get(spec.handler, lambda write: None)(lambda text: output(text.encode()))
        if isinstance(handler, Exception):
            raise handler
        environment = PlainEnvironment(launch.id, spec, handler, output, self.peak_mb)
        self.environments.append(environment)
        return environment

    def expect(self, spec, launch, output):
        pass

    def retire(self, function_id):
        pass

    def memory_mb(self):
        return self.taken_mb

    @property
    def live(self):
        return [environment for environment in self.environments if not environment.exited.done()]


class Bench:
    def __init__(self, clock=None, **settings):
        self.runtimes = PlainRuntimes()
        self.logged = []
        self.invoker = LocalInvoker(
            self.runtimes,
            clock or SystemClock(),
            self._take,
            lambda spec: ("k", "s", "t"),
            lambda: "http://127.0.0.1:1",
            **settings,
        )

    def _take(self, account, region, group, stream, lines):
        self.logged += [message for _, message in lines]

    def spec(self, handler, **more):
        base = {"account": "000000000000", "function_id": handler, "config_id": "1", "memory_mb": 128, "timeout_s": 3}
        fixed = {
            "region": "r",
            "name": handler,
            "version": "$LATEST",
            "runtime": "python3.11",
            "code": "c",
            "role": "arn:aws:iam::0:role/r",
        }
        return FunctionSpec(handler=handler, **fixed, **(base | more))

    def define(self, name, handler, **more):
        self.runtimes.handlers[name] = handler
        return self.spec(name, **more)

    async def invoke(self, spec, event=None, **more):
        return await self.invoker.invoke(
            spec, Invocation(secrets.token_hex(8), json.dumps(event).encode(), spec.function_arn, **more)
        )


@pytest.fixture
def make_bench():
    return Bench


@pytest.fixture
async def bench():
    return Bench()


@pytest.fixture
def crash():
    return Crash


@pytest.fixture
def init_error():
    return lambda: InitError("Runtime.ImportModuleError", b'{"errorType":"Runtime.ImportModuleError"}', 5.0)


@pytest.fixture
def waits(monkeypatch):
    """How long the invoker would have slept, each time: it does not."""
    sleep, waited = asyncio.sleep, []

    async def count(delay_s):
        if delay_s:
            waited.append(delay_s)
        await sleep(0)

    monkeypatch.setattr("cumulet.invoke.invoker.asyncio.sleep", count)
    return waited
