"""Operations on function URLs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions.errors import NO_SUCH_RESOURCE, InvalidParameterValue, ResourceConflict, ResourceNotFound
from cumulet.services.functions.model_settings import UrlConfig
from cumulet.services.functions.names import LATEST, FunctionRef, Place, function_ref, is_version, place_of, unqualified
from cumulet.services.functions.storage import Edit, FunctionStorage, Page, View

UrlOf = Callable[[str, str], str]
"""(URL id, region) -> the URL as clients can reach it."""


class UrlOperations:
    def __init__(self, storage: FunctionStorage, clock: Clock, url_of: UrlOf) -> None:
        self._storage = storage
        self._clock = clock
        self._url_of = url_of

    @operation("CreateFunctionUrlConfig")
    async def create_function_url_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), _target(ctx, req)
        now_ms, qualifier = self._clock.now_ms(), ref.qualifier or LATEST
        config = UrlConfig(
            function=ref.name,
            qualifier=qualifier,
            url_id=ids.lower_id(32),
            auth_type=req["AuthType"],
            created_ms=now_ms,
            modified_ms=now_ms,
            invoke_mode=req.get("InvokeMode") or "BUFFERED",
            cors=req.get("Cors") or None,
        )

        def check(view: View) -> None:
            view.get_target(ref)
            if view.find_url(ref.name, qualifier) is not None:
                arn = place.function_arn(ref.name, ref.qualifier)
                raise ResourceConflict(
                    f"Failed to create function url config for [functionArn = {arn}]. Error message:  FunctionUrlConfig exists for "
                    "this Lambda function"
                )

        def create(edit: Edit) -> None:
            check(edit)
            edit.put_url(config)

        await self._storage.read(place, check)  # so that a refused request leaves no hint behind
        await self._storage.put_url_owner(config.url_id, place, FunctionRef(ref.name, qualifier))
        await self._storage.write(place, ref.name, create)
        described = self._described(config, place)
        del described["LastModifiedTime"]
        return described

    @operation("GetFunctionUrlConfig")
    async def get_function_url_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), _target(ctx, req)
        return self._described(await self._storage.read(place, lambda view: _present(view, ref)), place)

    @operation("UpdateFunctionUrlConfig")
    async def update_function_url_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), _target(ctx, req)
        now_ms, invoke_mode = self._clock.now_ms(), req.get("InvokeMode")

        def update(edit: Edit) -> UrlConfig:
            before = _present(edit, ref)
            after = replace(
                before,
                auth_type=req.get("AuthType") or before.auth_type,
                invoke_mode=invoke_mode or before.invoke_mode,
                cors=before.cors if req.get("Cors") is None else (req["Cors"] or None),
                modified_ms=now_ms,
            )
            edit.put_url(after)
            return after

        return self._described(await self._storage.write(place, ref.name, update), place)

    @operation("DeleteFunctionUrlConfig")
    async def delete_function_url_config(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), _target(ctx, req)

        def delete(edit: Edit) -> UrlConfig:
            config = _present(edit, ref)
            edit.delete_url(ref.name, config.qualifier)
            return config

        config = await self._storage.write(place, ref.name, delete)
        await self._storage.delete_url_owner(config.url_id)
        return {}

    @operation("ListFunctionUrlConfigs")
    async def list_function_url_configs(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name, page = place_of(ctx), unqualified(ctx, req["FunctionName"]), Page.of(req)

        def read(view: View) -> tuple[list[UrlConfig], str | None]:
            view.get_function(name)
            return view.urls(name, page)

        configs, marker = await self._storage.read(place, read)
        found: dict[str, Any] = {"FunctionUrlConfigs": [self._described(each, place) for each in configs]}
        return found | ({"NextMarker": marker} if marker else {})

    def _described(self, config: UrlConfig, place: Place) -> dict[str, Any]:
        return config.described(place, self._url_of(config.url_id, place.region))


def _target(ctx: Context, req: dict[str, Any]) -> FunctionRef:
    ref = function_ref(ctx, req["FunctionName"], req.get("Qualifier"))
    if ref.qualifier is not None and is_version(ref.qualifier):
        raise InvalidParameterValue("A function URL belongs to the function or to an alias, not to a version.")
    return ref


def _present(view: View, ref: FunctionRef) -> UrlConfig:
    config = view.find_url(ref.name, ref.qualifier or LATEST)
    if config is None:
        raise ResourceNotFound(NO_SUCH_RESOURCE)
    return config
