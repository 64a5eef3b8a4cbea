"""Operations on event source mappings. Pollers read them elsewhere; here they are kept and judged."""

import uuid
from collections.abc import Callable
from typing import Any

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions import model_event_sources
from cumulet.services.functions.errors import NO_SUCH_RESOURCE, ResourceConflict, ResourceNotFound
from cumulet.services.functions.model_event_sources import EventSourceMapping
from cumulet.services.functions.model_tags import judge_tags
from cumulet.services.functions.names import LATEST, Place, function_ref, place_of
from cumulet.services.functions.storage import Edit, FunctionStorage, View

HasPoller = Callable[[str], bool]
"""Whether something on this node reads events of a kind of source (`sqs`, `kinesis`, …)."""


class EventSourceOperations:
    def __init__(self, storage: FunctionStorage, clock: Clock, has_poller: HasPoller) -> None:
        self._storage = storage
        self._clock = clock
        self._has_poller = has_poller

    @operation("CreateEventSourceMapping")
    async def create_event_source_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), function_ref(ctx, req["FunctionName"])
        judge_tags(req.get("Tags") or {})
        mapping = model_event_sources.created(req, str(uuid.uuid4()), ref.name, ref.qualifier, self._clock.now_ms())

        def create(edit: Edit) -> None:
            edit.get_target(ref)
            _check_is_new(edit, mapping)
            edit.put_mapping(mapping)

        await self._storage.write_apart(place, create)
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

        return self._described(await self._storage.write_apart(place, update), place, state="Updating")

    @operation("DeleteEventSourceMapping")
    async def delete_event_source_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place = place_of(ctx)

        def delete(edit: Edit) -> EventSourceMapping:
            mapping = _present(edit, req["UUID"])
            edit.delete_mapping(mapping.uuid)
            return mapping

        return self._described(await self._storage.write_apart(place, delete), place, state="Deleting")

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
        return mapping.described(place, state=state, has_poller=self._has_poller(mapping.kind))


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
