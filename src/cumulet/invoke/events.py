"""Asynchronous events as records, and the rules of their retries. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

import base64
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import orjson

from cumulet.invoke.contract import AsyncSettings, InvocationResult
from cumulet.invoke.reports import timestamp

Condition = Literal["Success", "RetriesExhausted", "EventAgeExceeded"]

_FUNCTION_ERROR_DELAYS_MS = (60_000, 120_000)
_FIRST_THROTTLE_DELAY_MS = 1000
_MAX_THROTTLE_DELAY_MS = 300_000


@dataclass(frozen=True, slots=True)
class Event:
    """One accepted event. `attempts` counts runs of the function, `refusals` tries that did not reach it in a row."""

    request_id: str
    account: str
    region: str
    name: str
    qualifier: str | None
    invoked_arn: str
    payload: bytes
    accepted_ms: int
    due_ms: int
    attempts: int = 0
    refusals: int = 0
    client_context: str | None = None
    trace_id: str | None = None

    def after_error(self, now_ms: int) -> "Event":
        """To be run again: one minute after the first failure, two after the second."""
        delay_ms = _FUNCTION_ERROR_DELAYS_MS[min(self.attempts, len(_FUNCTION_ERROR_DELAYS_MS) - 1)]
        return replace(self, attempts=self.attempts + 1, refusals=0, due_ms=now_ms + delay_ms)

    def after_refusal(self, now_ms: int) -> "Event":
        """Throttled, or refused by a fault of the node: again after 1 s, doubling up to 5 minutes."""
        delay_ms = min(_FIRST_THROTTLE_DELAY_MS << min(self.refusals, 16), _MAX_THROTTLE_DELAY_MS)
        return replace(self, refusals=self.refusals + 1, due_ms=now_ms + delay_ms)

    def is_too_old(self, settings: AsyncSettings, now_ms: int) -> bool:
        return now_ms - self.accepted_ms > settings.maximum_age_s * 1000


def is_last_attempt(event: Event, settings: AsyncSettings) -> bool:
    """True when the run that has just failed was the last."""
    return event.attempts >= settings.maximum_retries


def encode(event: Event) -> bytes:
    return orjson.dumps(asdict(event) | {"payload": base64.b64encode(event.payload).decode()})


def decode(data: bytes) -> Event:
    fields = orjson.loads(data)
    return Event(**fields | {"payload": base64.b64decode(fields["payload"])})


def destination_record(event: Event, condition: Condition, result: InvocationResult | None, now_ms: int) -> bytes:
    """What an on-success or on-failure destination is sent."""
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": timestamp(now_ms),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": event.invoked_arn if event.qualifier else f"{event.invoked_arn}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": event.attempts + (1 if result is not None else 0),
        },
        "requestPayload": _json_or_text(event.payload),
    }
    if result is not None:
        context: dict[str, Any] = {"statusCode": 200, "executedVersion": result.executed_version}
        if result.function_error:
            context["functionError"] = result.function_error
        record["responseContext"] = context
        record["responsePayload"] = _json_or_text(result.payload)
    return orjson.dumps(record)


def deliveries(
    event: Event, condition: Condition, settings: AsyncSettings, result: InvocationResult | None, now_ms: int
) -> list[tuple[str, bytes]]:
    """(ARN, document) pairs to be sent when an event is settled. A dead-letter queue gets the event itself."""
    if condition == "Success":
        return [(settings.on_success, destination_record(event, condition, result, now_ms))] if settings.on_success else []
    found = [(settings.on_failure, destination_record(event, condition, result, now_ms))] if settings.on_failure else []
    return found + ([(settings.dead_letter, event.payload)] if settings.dead_letter else [])


def _json_or_text(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")
