"""Operations on the tags of functions and event source mappings."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cumulet.core.context import Context
from cumulet.core.errors import NotImplementedFault
from cumulet.core.operations import operation
from cumulet.services.functions.errors import NO_SUCH_RESOURCE, InvalidParameterValue, ResourceNotFound
from cumulet.services.functions.model_tags import judge_tags
from cumulet.services.functions.names import LATEST, function_ref, place_of
from cumulet.services.functions.storage import Edit, FunctionStorage, View

_RESOURCE = re.compile(r"arn:aws[a-zA-Z-]*:lambda:([a-z0-9-]+):(\d{12}):([a-z-]+):(.+)")
_Change = Callable[[dict[str, str]], dict[str, str]]


class TagOperations:
    def __init__(self, storage: FunctionStorage) -> None:
        self._storage = storage

    @operation("TagResource")
    async def tag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._change(ctx, req["Resource"], lambda tags: judge_tags({**tags, **req["Tags"]}))
        return {}

    @operation("UntagResource")
    async def untag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        gone = set(req["TagKeys"])
        await self._change(ctx, req["Resource"], lambda tags: {key: value for key, value in tags.items() if key not in gone})
        return {}

    @operation("ListTags")
    async def list_tags(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        kind, name = _resource(ctx, req["Resource"])
        tags = await self._storage.read(place_of(ctx), lambda view: _tags(view, kind, name))
        return {"Tags": tags}

    async def _change(self, ctx: Context, resource: str, change: _Change) -> None:
        kind, name = _resource(ctx, resource)

        def save(edit: Edit) -> None:
            tags = change(_tags(edit, kind, name))
            if kind == "function":
                edit.put_function(replace(edit.get_function(name), tags=tags))
            elif (mapping := edit.find_mapping(name)) is not None:
                edit.put_mapping(replace(mapping, tags=tags))

        if kind == "function":
            await self._storage.write(place_of(ctx), name, save)
        else:
            await self._storage.write_apart(place_of(ctx), save)


def _resource(ctx: Context, arn: str) -> tuple[str, str]:
    """(kind, name or UUID) of a resource of the caller's that can carry tags."""
    parts = _RESOURCE.fullmatch(arn)
    if parts is None:
        raise InvalidParameterValue(f"{arn} is no ARN of a resource that can have tags.")
    kind = parts[3]
    if kind == "function":
        ref = function_ref(ctx, arn)
        if ref.qualifier not in (None, LATEST):
            raise InvalidParameterValue("Tags on function aliases and versions are not supported. Please specify a function ARN.")
        return kind, ref.name
    if kind != "event-source-mapping":
        raise NotImplementedFault(f"Tags of a {kind} are not supported by this node")
    if (parts[2], parts[1]) != place_of(ctx):
        raise ResourceNotFound(NO_SUCH_RESOURCE)
    return kind, parts[4]


def _tags(view: View, kind: str, name: str) -> dict[str, str]:
    if kind == "function":
        return dict(view.get_function(name).tags)
    mapping = view.find_mapping(name)
    if mapping is None:
        raise ResourceNotFound(NO_SUCH_RESOURCE)
    return dict(mapping.tags)
