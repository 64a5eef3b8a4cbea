"""An invoker that counts what the one behind it does."""

from cumulet.core.clock import Clock
from cumulet.core.errors import Fault
from cumulet.gateway.metrics import Metrics
from cumulet.invoke.contract import Invocation, InvocationResult, Invoker
from cumulet.runtimes.contract import FunctionSpec


class MeteredInvoker:
    """Passes everything on unchanged."""

    def __init__(self, invoker: Invoker, metrics: Metrics, clock: Clock) -> None:
        self._invoker = invoker
        self._metrics = metrics
        self._clock = clock

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> InvocationResult:
        started = self._clock.monotonic_s()
        try:
            result = await self._invoker.invoke(spec, invocation)
        except Fault as fault:
            if fault.status == 429:
                self._metrics.throttles.add(str(fault.fields.get("Reason", "")))
            raise
        cold = "true" if result.is_cold_start else "false"
        self._metrics.invocations.add(spec.runtime, cold, result.function_error or "")
        self._metrics.invocation_seconds.observe(self._clock.monotonic_s() - started, spec.runtime, cold)
        if result.is_cold_start:
            for phase, took_ms in result.phases.items():
                self._metrics.phase_seconds.observe(took_ms / 1000, spec.runtime, phase)
        return result
