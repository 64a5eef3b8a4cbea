"""What functions and destinations are sent, and what a function's answer says about its batch. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from datetime import UTC, datetime
from typing import Any

import orjson

from cumulet.invoke.contract import InvocationResult
from cumulet.invoke.reports import timestamp
from cumulet.pollers.contract import SourceMapping
from cumulet.pollers.lanes import Batch, Drop, Failed, FailedFrom, Outcome, Succeeded
from cumulet.pollers.settings import StreamSettings

_BATCH_INFO = {"dynamodb": "DDBStreamBatchInfo", "kinesis": "KinesisBatchInfo"}


def event(batch: Batch, mapping: SourceMapping, shard_id: str, tumbling_ms: int | None, state: Any) -> bytes:
    """The payload of an invocation."""
    found: dict[str, Any] = {"Records": [record.body for record in batch.records]}
    if batch.window_ms is not None and tumbling_ms is not None:
        found |= {
            "window": {"start": _moment(batch.window_ms), "end": _moment(batch.window_ms + tumbling_ms)},
            "state": state,
            "shardId": shard_id,
            "eventSourceARN": mapping.source_arn,
            "isFinalInvokeForWindow": batch.is_final,
            "isWindowTerminatedEarly": batch.is_early,
        }
    return orjson.dumps(found)


def outcome(result: InvocationResult, batch: Batch, settings: StreamSettings) -> Outcome:
    """What an invocation's result says about its batch."""
    if result.function_error is not None:
        return Failed()
    if not settings.reports_item_failures and settings.tumbling_ms is None:
        return Succeeded()
    try:
        answer = orjson.loads(result.payload or b"null")
    except orjson.JSONDecodeError:
        return Failed()
    state, state_bytes = None, 0
    if settings.tumbling_ms is not None and not batch.is_final:
        if not isinstance(answer, dict) or "state" not in answer:
            return Failed()
        state, state_bytes = answer["state"], len(orjson.dumps(answer["state"]))
    if not settings.reports_item_failures or not answer:
        return Succeeded(state, state_bytes)
    first = _first_failed(answer, batch)
    if first is None:
        return Succeeded(state, state_bytes)
    return Failed() if first < 0 else FailedFrom(first, state, state_bytes)


def _first_failed(answer: Any, batch: Batch) -> int | None:
    """The index of the first record that is reported; None for none, -1 for an answer that cannot be understood."""
    if not isinstance(answer, dict):
        return -1
    failures = answer.get("batchItemFailures")
    if not failures:
        return None
    if not isinstance(failures, list):
        return -1
    index = {record.sequence: number for number, record in enumerate(batch.records)}
    reported = [each.get("itemIdentifier") if isinstance(each, dict) else None for each in failures]
    return min(index.get(each, -1) if isinstance(each, str) else -1 for each in reported)


def failure_record(
    drop: Drop, mapping: SourceMapping, shard_id: str, request_id: str, result: InvocationResult | None, now_ms: int
) -> bytes:
    """What the on-failure destination is sent: where the records are, not the records."""
    service = mapping.source_arn.split(":")[2]
    first, last = drop.batch.records[0], drop.batch.records[-1]
    found: dict[str, Any] = {
        "requestContext": {
            "requestId": request_id,
            "functionArn": mapping.function_arn,
            "condition": drop.condition,
            "approximateInvokeCount": drop.batch.invokes,
        }
    }
    if result is not None:
        context: dict[str, Any] = {"statusCode": 200, "executedVersion": result.executed_version}
        context["functionError"] = result.function_error
        found["responseContext"] = context
    found |= {
        "version": "1.0",
        "timestamp": timestamp(now_ms),
        _BATCH_INFO.get(service, "StreamBatchInfo"): {
            "shardId": shard_id,
            "startSequenceNumber": first.sequence,
            "endSequenceNumber": last.sequence,
            "approximateArrivalOfFirstRecord": _moment(first.created_ms),
            "approximateArrivalOfLastRecord": _moment(last.created_ms),
            "batchSize": len(drop.batch.records),
            "streamArn": mapping.source_arn,
        },
    }
    return orjson.dumps(found)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
