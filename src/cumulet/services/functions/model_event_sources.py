"""Event source mappings: which settings a kind of source takes, what it defaults to, and how a mapping reads on the wire. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from cumulet.core.event_patterns import InvalidPattern, compile_pattern
from cumulet.services.functions.errors import InvalidParameterValue
from cumulet.services.functions.names import Place

_STREAMS = ("kinesis", "dynamodb")
_KAFKA = ("kafka", "self-managed-kafka")
_DEFAULT_BATCH = {"sqs": 10}
_SETTINGS = (
    "BatchSize",
    "FilterCriteria",
    "KMSKeyArn",
    "MetricsConfig",
    "LoggingConfig",
    "ScalingConfig",
    "MaximumBatchingWindowInSeconds",
    "ParallelizationFactor",
    "StartingPosition",
    "StartingPositionTimestamp",
    "DestinationConfig",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "TumblingWindowInSeconds",
    "Topics",
    "Queues",
    "SourceAccessConfigurations",
    "SelfManagedEventSource",
    "FunctionResponseTypes",
    "AmazonManagedKafkaEventSourceConfig",
    "SelfManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "ProvisionedPollerConfig",
)
_STREAM_ONLY = (
    "ParallelizationFactor",
    "BisectBatchOnFunctionError",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "TumblingWindowInSeconds",
)


@dataclass(frozen=True, slots=True)
class EventSourceMapping:
    """`source_arn` is empty for a self-managed source; `settings` are the wire's members by name."""

    uuid: str
    source_arn: str
    function: str
    qualifier: str | None
    is_enabled: bool
    modified_ms: int
    settings: Mapping[str, Any]
    tags: Mapping[str, str]

    @property
    def kind(self) -> str:
        """The service that the events come from."""
        return kind_of(self.source_arn)

    def described(self, place: Place, *, state: str | None = None, has_poller: bool, last_result: str) -> dict[str, Any]:
        """The wire's EventSourceMappingConfiguration. `state` names a change under way; None: settled."""
        reason = (
            "USER_INITIATED"
            if self.is_enabled is False or has_poller
            else f"This node has no poller for {self.kind}: no events are read"
        )
        found = {
            **self.settings,
            "UUID": self.uuid,
            "EventSourceMappingArn": mapping_arn(place, self.uuid),
            "FunctionArn": place.function_arn(self.function, self.qualifier),
            "LastModified": self.modified_ms / 1000,
            "LastProcessingResult": last_result,
            "State": state or ("Enabled" if self.is_enabled else "Disabled"),
            "StateTransitionReason": reason,
        }
        if self.source_arn:
            found["EventSourceArn"] = self.source_arn
        return found

    def changed(self, req: Mapping[str, Any], function: str, qualifier: str | None, now_ms: int) -> "EventSourceMapping":
        """After an update: what the request does not name stays."""
        settings = {**self.settings, **_named(req)}
        if req.get("FilterCriteria") is not None and not req["FilterCriteria"].get("Filters"):
            settings.pop("FilterCriteria", None)
        _judge(self.kind, self.source_arn, settings)
        is_enabled = self.is_enabled if req.get("Enabled") is None else bool(req["Enabled"])
        return replace(self, function=function, qualifier=qualifier, is_enabled=is_enabled, modified_ms=now_ms, settings=settings)


def created(req: Mapping[str, Any], uuid: str, function: str, qualifier: str | None, now_ms: int) -> EventSourceMapping:
    """The mapping that a request asks for. Raises InvalidParameterValue."""
    source = req.get("EventSourceArn") or ""
    if not source and not req.get("SelfManagedEventSource"):
        raise InvalidParameterValue("Event source ARN is required for this event source.")
    kind = kind_of(source)
    settings = {**_defaults(kind), **_named(req)}
    _judge(kind, source, settings)
    return EventSourceMapping(
        uuid=uuid,
        source_arn=source,
        function=function,
        qualifier=qualifier,
        is_enabled=req.get("Enabled") is not False,
        modified_ms=now_ms,
        settings=settings,
        tags=dict(req.get("Tags") or {}),
    )


def kind_of(source_arn: str) -> str:
    parts = source_arn.split(":")
    return parts[2] if len(parts) > 5 else "self-managed-kafka"


def mapping_arn(place: Place, uuid: str) -> str:
    return f"arn:aws:lambda:{place.region}:{place.account}:event-source-mapping:{uuid}"


def _named(req: Mapping[str, Any]) -> dict[str, Any]:
    return {member: _plain(req[member]) for member in _SETTINGS if req.get(member) is not None}


def _plain(value: Any) -> Any:
    """A timestamp as Unix seconds: records are JSON."""
    return value.timestamp() if hasattr(value, "timestamp") else value


def _defaults(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {"BatchSize": _DEFAULT_BATCH.get(kind, 100), "MaximumBatchingWindowInSeconds": 0}
    if kind in _STREAMS:
        found |= {
            "ParallelizationFactor": 1,
            "BisectBatchOnFunctionError": False,
            "MaximumRecordAgeInSeconds": -1,
            "MaximumRetryAttempts": -1,
            "TumblingWindowInSeconds": 0,
            "DestinationConfig": {"OnFailure": {}},
        }
    if kind in ("sqs", *_STREAMS):
        found["FunctionResponseTypes"] = []
    return found


def _judge(kind: str, source: str, settings: Mapping[str, Any]) -> None:
    if kind in (*_STREAMS, *_KAFKA) and not settings.get("StartingPosition"):
        raise InvalidParameterValue(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null."
        )
    if kind == "sqs" and settings.get("StartingPosition"):
        raise InvalidParameterValue("StartingPosition is not valid for SQS event sources.")
    if kind == "dynamodb" and settings.get("StartingPosition") == "AT_TIMESTAMP":
        raise InvalidParameterValue(f"Unsupported starting position for arn type: {source}")
    if settings.get("StartingPosition") == "AT_TIMESTAMP" and not settings.get("StartingPositionTimestamp"):
        raise InvalidParameterValue("StartingPositionTimestamp is required when StartingPosition is AT_TIMESTAMP.")
    if kind not in _STREAMS:
        for member in _STREAM_ONLY:
            if member in settings:
                raise InvalidParameterValue(f"{member} is not supported for event sources of {kind}.")
    _judge_batch(kind, source, settings)
    for each in (settings.get("FilterCriteria") or {}).get("Filters") or ():
        _judge_filter(each.get("Pattern", ""))


def _judge_batch(kind: str, source: str, settings: Mapping[str, Any]) -> None:
    batch, window = settings["BatchSize"], settings.get("MaximumBatchingWindowInSeconds") or 0
    if kind == "sqs" and source.endswith(".fifo"):
        if batch > 10 or window:
            raise InvalidParameterValue("A FIFO queue takes batches of at most 10, and no MaximumBatchingWindowInSeconds.")
    elif kind == "sqs" and batch > 10 and window < 1:
        raise InvalidParameterValue(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )


def _judge_filter(pattern: str) -> None:
    """`{}` lets everything through. Lambda does not say what is wrong with a pattern."""
    try:
        if orjson.loads(pattern) != {}:
            compile_pattern(pattern)
    except (orjson.JSONDecodeError, InvalidPattern):
        raise InvalidParameterValue("Invalid filter pattern definition.") from None
