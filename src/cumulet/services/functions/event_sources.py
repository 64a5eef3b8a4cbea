"""Event source mappings: which source feeds which function. Kept and shown; the pollers that read sources are not here yet."""

from typing import Any

from cumulet.core import ids
from cumulet.core.arn import parse_arn
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions import storage
from cumulet.services.functions.errors import InvalidParameterValue, ResourceConflict, ResourceNotFound
from cumulet.services.functions.names import function_arn, parse_function_name
from cumulet.services.functions.paging import page
from cumulet.services.functions.registry import Registry, check_qualifier, get_function
from cumulet.store.contract import Reader, Txn

_SETTINGS = (
    "EventSourceArn",
    "BatchSize",
    "FilterCriteria",
    "MaximumBatchingWindowInSeconds",
    "ParallelizationFactor",
    "StartingPosition",
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
    "ScalingConfig",
    "KMSKeyArn",
    "MetricsConfig",
)
_BATCH_SIZES = {"sqs": 10, "dynamodb": 100, "kinesis": 100}
_STREAM_DEFAULTS = {
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "BisectBatchOnFunctionError": False,
    "TumblingWindowInSeconds": 0,
}


class EventSourceOperations:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("CreateEventSourceMapping")
    async def create_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = parse_function_name(ctx, req["FunctionName"])
        source = _source_service(req)
        settings = {key: req[key] for key in _SETTINGS if req.get(key) is not None}
        settings = {"BatchSize": _BATCH_SIZES.get(source, 100), "MaximumBatchingWindowInSeconds": 0} | settings
        if source in ("dynamodb", "kinesis"):
            if "StartingPosition" not in settings:
                raise InvalidParameterValue(
                    "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint"
                )
            settings = _STREAM_DEFAULTS | settings
        if req.get("StartingPositionTimestamp") is not None:
            settings["StartingPositionTimestamp"] = req["StartingPositionTimestamp"].timestamp()
        uuid = ids.request_id()
        document = {
            "name": target.name,
            "qualifier": target.qualifier,
            "settings": settings,
            "enabled": req.get("Enabled", True),
            "modified_ms": self._registry.clock.now_ms(),
            "tags": req.get("Tags") or {},
        }

        def create(txn: Txn) -> None:
            check_qualifier(txn, ctx, get_function(txn, ctx, target.name), target.qualifier)
            for (other,), mapping in storage.list_documents(txn, "mapping"):
                same = (mapping["name"], mapping["qualifier"], mapping["settings"].get("EventSourceArn"))
                if same == (target.name, target.qualifier, settings.get("EventSourceArn")) and same[2]:
                    raise ResourceConflict(
                        f'An event source mapping with {source} arn (" {same[2]} ") and function (" {target.name} ") '
                        f"already exists. Please update or delete the existing mapping with UUID {other}"
                    )
            storage.put_document(txn, "mapping", uuid, document=document)

        await self._registry.write(ctx, create)
        return _shown(ctx, uuid, document)

    @operation("GetEventSourceMapping")
    async def get_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return _shown(ctx, req["UUID"], await self._registry.read(ctx, lambda reader: _get(reader, req["UUID"])))

    @operation("UpdateEventSourceMapping")
    async def update_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> dict[str, Any]:
            document = _get(txn, req["UUID"])
            document["settings"] |= {key: req[key] for key in _SETTINGS if req.get(key) is not None}
            if req.get("Enabled") is not None:
                document["enabled"] = req["Enabled"]
            if req.get("FunctionName"):
                target = parse_function_name(ctx, req["FunctionName"])
                check_qualifier(txn, ctx, get_function(txn, ctx, target.name), target.qualifier)
                document |= {"name": target.name, "qualifier": target.qualifier}
            document["modified_ms"] = self._registry.clock.now_ms()
            storage.put_document(txn, "mapping", req["UUID"], document=document)
            return document

        return _shown(ctx, req["UUID"], await self._registry.write(ctx, update))

    @operation("DeleteEventSourceMapping")
    async def delete_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> dict[str, Any]:
            document = _get(txn, req["UUID"])
            storage.delete_document(txn, "mapping", req["UUID"])
            return document

        return _shown(ctx, req["UUID"], await self._registry.write(ctx, delete)) | {"State": "Deleting"}

    @operation("ListEventSourceMappings")
    async def list_mappings(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        wanted = parse_function_name(ctx, req["FunctionName"]) if req.get("FunctionName") else None

        def read(reader: Reader) -> dict[str, Any]:
            found = [
                (uuid, document)
                for (uuid,), document in storage.list_documents(reader, "mapping")
                if (wanted is None or wanted.name == document["name"])
                and req.get("EventSourceArn") in (None, document["settings"].get("EventSourceArn"))
            ]
            shown, marker = page(found, req, lambda pair: pair[0])
            rendered = [_shown(ctx, uuid, document) for uuid, document in shown]
            return {"EventSourceMappings": rendered} | ({"NextMarker": marker} if marker else {})

        mappings: dict[str, Any] = await self._registry.read(ctx, read)
        return mappings


def _source_service(req: dict[str, Any]) -> str:
    if not req.get("EventSourceArn"):
        if req.get("SelfManagedEventSource"):
            return "kafka"
        raise InvalidParameterValue("Unrecognized event source, must be kinesis, dynamodb stream or sqs.")
    try:
        service = parse_arn(req["EventSourceArn"]).service
    except ValueError:
        raise InvalidParameterValue(f"{req['EventSourceArn']} is not an ARN.") from None
    if service not in ("sqs", "dynamodb", "kinesis", "kafka", "mq", "rds"):
        raise InvalidParameterValue("Unrecognized event source, must be kinesis, dynamodb stream or sqs.")
    return service


def _get(reader: Reader, uuid: str) -> dict[str, Any]:
    document: dict[str, Any] | None = storage.find_document(reader, "mapping", uuid)
    if document is None:
        raise ResourceNotFound("The resource you requested does not exist.")
    return document


def _shown(ctx: Context, uuid: str, document: dict[str, Any]) -> dict[str, Any]:
    return {
        "UUID": uuid,
        "EventSourceMappingArn": f"arn:aws:lambda:{ctx.region}:{ctx.account}:event-source-mapping:{uuid}",
        "FunctionArn": function_arn(ctx, document["name"], document["qualifier"]),
        "State": "Enabled" if document["enabled"] else "Disabled",
        "StateTransitionReason": "USER_INITIATED",
        "LastModified": document["modified_ms"] / 1000,
        "LastProcessingResult": "No records processed",
        **document["settings"],
    }
