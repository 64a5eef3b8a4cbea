"""Operations on event source mappings. Pollers act on them elsewhere; here they are kept and judged."""

import uuid
from typing import Any, Protocol

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions import model_event_sources
from cumulet.services.functions.errors import NO_SUCH_RESOURCE, InvalidParameterValue, ResourceConflict, ResourceNotFound
from cumulet.services.functions.model_event_sources import EventSourceMapping
from cumulet.services.functions.model_tags import judge_tags
from cumulet.services.functions.names import LATEST, Place, function_ref, place_of
from cumulet.services.functions.storage import Edit, FunctionStorage, View


class EventSources(Protocol):
    """Whatever reads sources for mappings: it is asked about them, and told of every change after its commit."""

    def has_poller(self, kind: str) -> bool:
        """Whether something on this node reads events of a kind of source (`sqs`, `dynamodb`, …)."""
        ...

    async def exists(self, source_arn: str) -> bool:
        """False when the source is of a kind that is read here, and isn't there."""
        ...

    def last_result(self, uuid: str) -> str:
        """What the last processing for a mapping came to, in words."""
        ...

    async def changed(self, place: Place, mapping: EventSourceMapping) -> None:
        """A mapping is new or changed; the caller is answered afterwards."""
        ...

    async def removed(self, place: Place, mapping: EventSourceMapping) -> None: ...


class NoEventSources:
    """Nothing is read: mappings are only kept."""

    def has_poller(self, kind: str) -> bool:
        return False

    async def exists(self, source_arn: str) -> bool:
        return True

    def last_result(self, uuid: str) -> str:
        return "No records processed"

    async def changed(self, place: Place, mapping: EventSourceMapping) -> None: ...

    async def removed(self, place: Place, mapping: EventSourceMapping) -> None: ...


class EventSourceOperations:
    def __init__(self, storage: FunctionStorage, clock: Clock, sources: EventSources) -> None:
        self._storage = storage
        self._clock = clock
        self._sources = sources

    @operation("CreateEventSourceMapping")
    async def create_event_source_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), function_ref(ctx, req["FunctionName"])
        judge_tags(req.get("Tags") or {})
        mapping = model_event_sources.created(req, str(uuid.uuid4()), ref.name, ref.qualifier, self._clock.now_ms())

        def create(edit: Edit) -> None:
            edit.get_target(ref)
            _check_is_new(edit, mapping)
            edit.put_mapping(mapping)

        if mapping.source_arn and not await self._sources.exists(mapping.source_arn):
            raise InvalidParameterValue(f"Stream not found: {mapping.source_arn}")
        await self._storage.write_apart(place, create)
        await self._sources.changed(place, mapping)
        return self._described(mapping, place, state="Creating")

    @operation("GetEventSourceMapping")
    async def get_event_source_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place = place_of(ctx)
        return self._described(await self._storage.read(place, lambda view: _present(view, req["UUID"])), place)

    @operation("UpdateEventSourceMapping")
    async def update_event_source_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place = place_of(ctx)
        ref = function_ref(ctx, req["FunctionName"]) if req.get("FunctionName") else None
        now_ms = self._clock.now_ms()

        def update(edit: Edit) -> EventSourceMapping:
            before = _present(edit, req["UUID"])
            if ref is not None:
                edit.get_target(ref)
            function, qualifier = (ref.name, ref.qualifier) if ref is not None else (before.function, before.qualifier)
            after = before.changed(req, function, qualifier, now_ms)
            _check_is_new(edit, after)
            edit.put_mapping(after)
            return after

        mapping = await self._storage.write_apart(place, update)
        await self._sources.changed(place, mapping)
        return self._described(mapping, place, state="Updating")

    @operation("DeleteEventSourceMapping")
    async def delete_event_source_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place = place_of(ctx)

        def delete(edit: Edit) -> EventSourceMapping:
            mapping = _present(edit, req["UUID"])
            edit.delete_mapping(mapping.uuid)
            return mapping

        mapping = await self._storage.write_apart(place, delete)
        answer = self._described(mapping, place, state="Deleting")
        await self._sources.removed(place, mapping)
        return answer

    @operation("ListEventSourceMappings")
    async def list_event_source_mappings(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, source = place_of(ctx), req.get("EventSourceArn")
        ref = function_ref(ctx, req["FunctionName"]) if req.get("FunctionName") else None
        marker, most = req.get("Marker") or "", min(req.get("MaxItems") or 100, 100)

        def is_wanted(mapping: EventSourceMapping) -> bool:
            if source is not None and mapping.source_arn != source:
                return False
            return ref is None or (mapping.function == ref.name and (mapping.qualifier or LATEST) == (ref.qualifier or LATEST))

        fitting = await self._storage.read(
            place, lambda view: [each for each in view.mappings() if each.uuid > marker and is_wanted(each)]
        )
        found: dict[str, Any] = {"EventSourceMappings": [self._described(each, place) for each in fitting[:most]]}
        return found | ({"NextMarker": fitting[most - 1].uuid} if len(fitting) > most else {})

    def _described(self, mapping: EventSourceMapping, place: Place, state: str | None = None) -> dict[str, Any]:
        has_poller, last_result = self._sources.has_poller(mapping.kind), self._sources.last_result(mapping.uuid)
        return mapping.described(place, state=state, has_poller=has_poller, last_result=last_result)


def _present(view: View, mapping_id: str) -> EventSourceMapping:
    mapping = view.find_mapping(mapping_id)
    if mapping is None:
        raise ResourceNotFound(NO_SUCH_RESOURCE)
    return mapping


def _check_is_new(view: View, mapping: EventSourceMapping) -> None:
    """One source feeds one function (or alias) through one mapping."""
    if not mapping.source_arn:
        return
    for other in view.mappings():
        is_same = (other.source_arn, other.function, other.qualifier) == (mapping.source_arn, mapping.function, mapping.qualifier)
        if is_same and other.uuid != mapping.uuid and other.settings.get("Topics") == mapping.settings.get("Topics"):
            raise ResourceConflict(
                f'An event source mapping with {mapping.kind} arn (" {mapping.source_arn} ") and function (" {mapping.function} ") '
                f"already exists. Please update or delete the existing mapping with UUID {other.uuid}"
            )
