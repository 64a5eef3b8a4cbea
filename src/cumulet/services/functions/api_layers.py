"""Operations on layers and their permissions, and the layers that a function's configuration names."""

import re
import uuid
from collections.abc import Sequence
from typing import Any

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions.code import CodeLinks, CodeStore
from cumulet.services.functions.errors import (
    NO_SUCH_RESOURCE,
    AccessDenied,
    CodeStorageExceeded,
    InvalidParameterValue,
    ResourceNotFound,
    stale_revision,
)
from cumulet.services.functions.model import LayerUse, LimitsOf
from cumulet.services.functions.model_layers import LayerVersion, is_web_adapter
from cumulet.services.functions.model_policy import Policy, layer_statement, present, statement_text
from cumulet.services.functions.names import Place, place_of
from cumulet.services.functions.storage import Edit, FunctionStorage, View

_ARN = re.compile(r"arn:aws[a-zA-Z-]*:lambda:([a-z0-9-]+):(\d{12}):layer:([a-zA-Z0-9_-]{1,140})(?::(\d{1,15}))?")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,140}")


class LayerUses:
    """Turns the layer ARNs of a configuration into what running needs of them."""

    def __init__(self, storage: FunctionStorage) -> None:
        self._storage = storage

    async def of(self, place: Place, arns: Sequence[str]) -> list[LayerUse]:
        """In the same order. Raises InvalidParameterValue for one that is not there or not for this account."""
        return [await self._use(place, arn) for arn in arns]

    async def _use(self, place: Place, arn: str) -> LayerUse:
        owner, name, number = _version_of_arn(arn)
        if owner.region != place.region:
            raise InvalidParameterValue(f"Layer version {arn} lies in another region than the function: {place.region} is needed.")
        layer, policy = await self._storage.read(
            owner, lambda view: (view.find_layer_version(name, number), view.find_layer_policy(name, number))
        )
        is_shared = owner.account == place.account or (policy is not None and policy.allows_account(place.account))
        if layer is None and is_web_adapter(owner.account, name):
            return LayerUse(owner.layer_arn(name, number), "", 0, 0)
        if layer is None or not is_shared:
            raise InvalidParameterValue(f"Layer version {arn} does not exist.")
        return LayerUse(owner.layer_arn(name, number), layer.sha256, layer.code_bytes, layer.unzipped_bytes)


class LayerOperations:
    def __init__(self, storage: FunctionStorage, clock: Clock, code: CodeStore, links: CodeLinks, limits_of: LimitsOf) -> None:
        self._storage = storage
        self._clock = clock
        self._code = code
        self._links = links
        self._limits_of = limits_of

    @operation("PublishLayerVersion")
    async def publish_layer_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = _own_layer(ctx, req["LayerName"])
        code = await self._code.keep(req["Content"], "PublishLayerVersion")
        now_ms = self._clock.now_ms()

        def publish(edit: Edit) -> LayerVersion:
            layer = LayerVersion(
                name=name,
                version=edit.last_layer_version(name) + 1,
                description=req.get("Description") or "",
                created_ms=now_ms,
                sha256=code.sha256,
                code_bytes=code.code_bytes,
                unzipped_bytes=code.unzipped_bytes,
                runtimes=req.get("CompatibleRuntimes") or [],
                architectures=req.get("CompatibleArchitectures") or [],
                license=req.get("LicenseInfo"),
            )
            edit.put_layer_version(layer)
            if edit.count(code_bytes=code.code_bytes)["code_bytes"] > self._limits_of(place.account).total_code_bytes:
                raise CodeStorageExceeded("Code storage limit exceeded.")
            return layer

        return self._described(ctx, place, await self._storage.write_apart(place, publish))

    @operation("GetLayerVersion")
    async def get_layer_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = _layer(ctx, req["LayerName"])
        return await self._answer(ctx, place, name, req["VersionNumber"])

    @operation("GetLayerVersionByArn")
    async def get_layer_version_by_arn(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._answer(ctx, *_version_of_arn(req["Arn"]))

    @operation("ListLayers")
    async def list_layers(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place = place_of(ctx)
        runtime, architecture = req.get("CompatibleRuntime"), req.get("CompatibleArchitecture")

        def read(view: View) -> list[LayerVersion]:
            fitting = (
                [each for each in view.layer_versions(name) if each.suits(runtime, architecture)] for name in view.layer_names()
            )
            return [versions[0] for versions in fitting if versions]

        newest = await self._storage.read(place, read)
        chosen, marker = _page(newest, [layer.name for layer in newest], req)
        found: dict[str, Any] = {
            "Layers": [
                {
                    "LayerName": layer.name,
                    "LayerArn": place.layer_arn(layer.name),
                    "LatestMatchingVersion": layer.summary(place),
                }
                for layer in chosen
            ]
        }
        return found | ({"NextMarker": marker} if marker else {})

    @operation("ListLayerVersions")
    async def list_layer_versions(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = _layer(ctx, req["LayerName"])
        runtime, architecture = req.get("CompatibleRuntime"), req.get("CompatibleArchitecture")
        _check_own(ctx, place)
        fitting = await self._storage.read(
            place, lambda view: [each for each in view.layer_versions(name) if each.suits(runtime, architecture)]
        )
        chosen, marker = _page(fitting, [str(layer.version) for layer in fitting], req)
        found: dict[str, Any] = {"LayerVersions": [layer.summary(place) for layer in chosen]}
        return found | ({"NextMarker": marker} if marker else {})

    @operation("DeleteLayerVersion")
    async def delete_layer_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """Functions that use it keep running: they have what they need of it. Deleting what is not there is no error."""
        place, name = _own_layer(ctx, req["LayerName"])
        number = req["VersionNumber"]

        def delete(edit: Edit) -> None:
            layer = edit.find_layer_version(name, number)
            if layer is not None:
                edit.delete_layer_version(name, number)
                edit.count(code_bytes=-layer.code_bytes)

        await self._storage.write_apart(place, delete)
        return {}

    @operation("AddLayerVersionPermission")
    async def add_layer_version_permission(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = _own_layer(ctx, req["LayerName"])
        number = req["VersionNumber"]
        statement = layer_statement(req, place.layer_arn(name, number))

        def add(edit: Edit) -> Policy:
            _present_layer(edit, name, number)
            before = edit.find_layer_policy(name, number)
            if req.get("RevisionId") and (before is None or before.revision_id != req["RevisionId"]):
                raise stale_revision()
            after = (before or Policy("")).with_statement(statement, str(uuid.uuid4()))
            edit.put_layer_policy(name, number, after)
            return after

        policy = await self._storage.write_apart(place, add)
        return {"Statement": statement_text(statement), "RevisionId": policy.revision_id}

    @operation("RemoveLayerVersionPermission")
    async def remove_layer_version_permission(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = _own_layer(ctx, req["LayerName"])
        number = req["VersionNumber"]

        def remove(edit: Edit) -> None:
            policy = present(edit.find_layer_policy(name, number))
            policy.check_revision(req.get("RevisionId"))
            edit.put_layer_policy(name, number, policy.without_statement(req["StatementId"], str(uuid.uuid4())))

        await self._storage.write_apart(place, remove)
        return {}

    @operation("GetLayerVersionPolicy")
    async def get_layer_version_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = _own_layer(ctx, req["LayerName"])
        policy = present(await self._storage.read(place, lambda view: view.find_layer_policy(name, req["VersionNumber"])))
        return {"Policy": policy.document(), "RevisionId": policy.revision_id}

    async def _answer(self, ctx: Context, place: Place, name: str, number: int) -> dict[str, Any]:
        layer, policy = await self._storage.read(
            place, lambda view: (view.find_layer_version(name, number), view.find_layer_policy(name, number))
        )
        if place.account != ctx.account and not (policy is not None and policy.allows_account(ctx.account)):
            raise _not_shared(ctx, place)
        if layer is None:
            raise ResourceNotFound(NO_SUCH_RESOURCE)
        return self._described(ctx, place, layer)

    def _described(self, ctx: Context, place: Place, layer: LayerVersion) -> dict[str, Any]:
        return layer.description_with(place, self._links.link(ctx.endpoint, layer.sha256))


def _layer(ctx: Context, text: str) -> tuple[Place, str]:
    parts = _ARN.fullmatch(text)
    if parts is not None:
        return Place(parts[2], parts[1]), parts[3]
    if not _NAME.fullmatch(text):
        raise InvalidParameterValue(f"{text} is no name of a layer.")
    return place_of(ctx), text


def _own_layer(ctx: Context, text: str) -> tuple[Place, str]:
    place, name = _layer(ctx, text)
    _check_own(ctx, place)
    return place, name


def _check_own(ctx: Context, place: Place) -> None:
    if place != place_of(ctx):
        raise _not_shared(ctx, place)


def _not_shared(ctx: Context, place: Place) -> AccessDenied:
    return AccessDenied(
        f"User: {ctx.principal.arn} is not authorized to use this layer of account {place.account} in {place.region}"
    )


def _version_of_arn(arn: str) -> tuple[Place, str, int]:
    parts = _ARN.fullmatch(arn)
    if parts is None or parts[4] is None:
        raise InvalidParameterValue(f"{arn} is no ARN of a layer version.")
    return Place(parts[2], parts[1]), parts[3], int(parts[4])


def _present_layer(view: View, name: str, number: int) -> LayerVersion:
    layer = view.find_layer_version(name, number)
    if layer is None:
        raise ResourceNotFound(f"Layer version {view.place.layer_arn(name, number)} does not exist.")
    return layer


def _page(layers: list[LayerVersion], names: list[str], req: dict[str, Any]) -> tuple[list[LayerVersion], str | None]:
    """The part after the name that the marker gives, at most MaxItems of it, and the next marker."""
    marker, most = req.get("Marker"), req.get("MaxItems") or 50
    start = names.index(marker) + 1 if marker in names else 0
    if marker and marker not in names:
        raise InvalidParameterValue("The Marker is not one that this service gave.")
    stop = start + most
    return layers[start:stop], names[stop - 1] if stop < len(layers) else None
