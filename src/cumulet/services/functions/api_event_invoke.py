"""Operations on how asynchronous events are retried and where their outcome goes."""

from dataclasses import replace
from typing import Any

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions.errors import InvalidParameterValue, ResourceNotFound
from cumulet.services.functions.model_settings import EventInvokeConfig, destination
from cumulet.services.functions.names import LATEST, FunctionRef, function_ref, place_of, unqualified
from cumulet.services.functions.storage import Edit, FunctionStorage, Page, View

_MEMBERS = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")


class EventInvokeOperations:
    def __init__(self, storage: FunctionStorage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    @operation("PutFunctionEventInvokeConfig")
    async def put_function_event_invoke_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._save(ctx, req, is_merged=False)

    @operation("UpdateFunctionEventInvokeConfig")
    async def update_function_event_invoke_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._save(ctx, req, is_merged=True)

    @operation("GetFunctionEventInvokeConfig")
    async def get_function_event_invoke_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), function_ref(ctx, req["FunctionName"], req.get("Qualifier"))
        config = await self._storage.read(place, lambda view: _present(view, ref))
        return config.described(place)

    @operation("DeleteFunctionEventInvokeConfig")
    async def delete_function_event_invoke_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), function_ref(ctx, req["FunctionName"], req.get("Qualifier"))

        def delete(edit: Edit) -> None:
            edit.delete_event_invoke(ref.name, _present(edit, ref).qualifier)

        await self._storage.write(place, ref.name, delete)
        return {}

    @operation("ListFunctionEventInvokeConfigs")
    async def list_function_event_invoke_configs(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name, page = place_of(ctx), unqualified(ctx, req["FunctionName"]), Page.of(req)

        def read(view: View) -> tuple[list[EventInvokeConfig], str | None]:
            view.get_function(name)
            return view.event_invokes(name, page)

        configs, marker = await self._storage.read(place, read)
        found: dict[str, Any] = {"FunctionEventInvokeConfigs": [each.described(place) for each in configs]}
        return found | ({"NextMarker": marker} if marker else {})

    async def _save(self, ctx: Context, req: dict[str, Any], *, is_merged: bool) -> dict[str, Any]:
        place, ref = place_of(ctx), function_ref(ctx, req["FunctionName"], req.get("Qualifier"))
        if all(req.get(member) is None for member in _MEMBERS):
            raise InvalidParameterValue("You must specify at least one of error handling or destination setting.")
        changes: dict[str, Any] = {"modified_ms": self._clock.now_ms()}
        if req.get("MaximumRetryAttempts") is not None:
            changes["maximum_retries"] = req["MaximumRetryAttempts"]
        if req.get("MaximumEventAgeInSeconds") is not None:
            changes["maximum_age_s"] = req["MaximumEventAgeInSeconds"]
        if req.get("DestinationConfig") is not None:
            changes["on_success"] = destination(req["DestinationConfig"], "OnSuccess")
            changes["on_failure"] = destination(req["DestinationConfig"], "OnFailure")

        def save(edit: Edit) -> EventInvokeConfig:
            edit.get_target(ref)
            empty = EventInvokeConfig(ref.name, ref.qualifier or LATEST, 0)
            config = replace(_present(edit, ref) if is_merged else empty, **changes)
            edit.put_event_invoke(config)
            return config

        return (await self._storage.write(place, ref.name, save)).described(place)


def _present(view: View, ref: FunctionRef) -> EventInvokeConfig:
    view.get_target(ref)
    config = view.find_event_invoke(ref.name, ref.qualifier or LATEST)
    if config is None:
        arn = view.place.function_arn(ref.name, ref.qualifier or LATEST)
        raise ResourceNotFound(f"The function {arn} doesn't have an EventInvokeConfig")
    return config
