"""How much may be called: API keys, usage plans with their throttles and quotas, and the throttles of a stage.

All in memory. Quota counts are kept in the store by whoever owns them (`UsageCounts`): this asks it and never waits.
"""

from dataclasses import dataclass
from typing import Protocol

from cumulet.core.clock import Clock
from cumulet.gateway.buckets import Buckets
from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.rest_api.refusals import Refusal
from cumulet.services.rest_apis.live import LiveUsage
from cumulet.services.rest_apis.model import Document, Place


class Counts(Protocol):
    """How often a key was used under a plan."""

    def take(self, place: Place, plan: Document, key_id: str, now_ms: int) -> bool:
        """Count one request; False, and nothing counted, when the plan's quota is used up."""
        ...


@dataclass(slots=True)
class _Keys:
    """A place's keys by value, and its plans by key and API stage."""

    by_value: dict[str, Document]
    plans: dict[tuple[str, str, str], Document]


class Meter:
    def __init__(self, clock: Clock, counts: Counts) -> None:
        self._counts = counts
        self._buckets = Buckets(clock)
        self._places: dict[Place, _Keys] = {}

    def publish(self, place: Place, usage: LiveUsage) -> None:
        """The place's keys and plans are these now."""
        plans = {
            (key_id, stage["apiId"], stage["stage"]): live.plan
            for live in usage.plans
            for stage in live.plan.get("apiStages") or ()
            for key_id in live.keys
        }
        self._places[place] = _Keys({key["value"]: key for key in usage.keys}, plans)

    def check(self, call: Call) -> None:
        """Raises Refusal: no key, throttled, or over the quota."""
        settings = call.stage.settings_of(call.method)
        if call.method.is_key_required:
            self._check_key(call)
        if settings.rate_per_s is not None:
            name = ("stage", call.stage.api_id, call.stage.name, call.method.resource_path, call.method.name)
            if not self._buckets.take(name, settings.rate_per_s, settings.burst or 0):
                raise _throttled()

    def _check_key(self, call: Call) -> None:
        if call.stage.deployment.key_source == "HEADER":
            call.api_key = call.header("x-api-key")
        keys = self._places.get(call.stage.place)
        key = keys.by_value.get(call.api_key or "") if keys else None
        if keys is None or key is None or not key["enabled"]:
            raise _no_key()
        call.context["identity"]["apiKey"] = call.api_key
        call.context["identity"]["apiKeyId"] = key["id"]
        plan = keys.plans.get((key["id"], call.stage.api_id, call.stage.name))
        if plan is None:
            if f"{call.stage.api_id}/{call.stage.name}" in (key.get("stageKeys") or ()):
                return  # a key made for a stage, from before there were plans
            raise _no_key()
        self._check_plan(call, plan, key["id"])

    def _check_plan(self, call: Call, plan: Document, key_id: str) -> None:
        stage = next(each for each in plan["apiStages"] if (each["apiId"], each["stage"]) == (call.stage.api_id, call.stage.name))
        method = f"{call.method.resource_path}/{call.method.name}".replace("//", "/", 1)
        own = (stage.get("throttle") or {}).get(method)
        name = ("plan", plan["id"], key_id)
        for limit, bucket in ((own, (*name, call.stage.api_id, method)), (plan.get("throttle"), name)):
            if limit and not self._buckets.take(bucket, limit.get("rateLimit") or 0, limit.get("burstLimit") or 0):
                raise _throttled()
        if not self._counts.take(call.stage.place, plan, key_id, call.now_ms):
            raise Refusal("QUOTA_EXCEEDED", "Limit Exceeded")


def _no_key() -> Refusal:
    return Refusal("INVALID_API_KEY", "Forbidden")


def _throttled() -> Refusal:
    return Refusal("THROTTLED", "Too Many Requests")
