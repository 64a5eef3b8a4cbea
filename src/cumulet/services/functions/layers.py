"""Layers: publish, read, list, delete, and who may use them."""

from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions import model, rendering, storage
from cumulet.services.functions.code import CodeLinks
from cumulet.services.functions.errors import ResourceNotFound
from cumulet.services.functions.functions import take_code
from cumulet.services.functions.model import LayerVersion
from cumulet.services.functions.names import layer_arn, parse_layer_name, parse_layer_version_arn
from cumulet.services.functions.paging import page, paged
from cumulet.services.functions.policies import add_statement, policy_answer, remove_statement
from cumulet.services.functions.registry import Registry
from cumulet.store.contract import Reader, Txn


class LayerOperations:
    def __init__(self, registry: Registry, links: CodeLinks) -> None:
        self._registry = registry
        self._links = links

    @operation("PublishLayerVersion")
    async def publish_layer_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = parse_layer_name(ctx, req["LayerName"])
        code = await take_code(self._registry, req["Content"])
        created = model.when(self._registry.clock.now_ms())

        def publish(txn: Txn) -> LayerVersion:
            layer = LayerVersion(
                name=name,
                version=storage.take_layer_number(txn, name),
                code=code,
                created=created,
                description=req.get("Description", ""),
                runtimes=tuple(req.get("CompatibleRuntimes") or ()),
                architectures=tuple(req.get("CompatibleArchitectures") or ()),
                license=req.get("LicenseInfo"),
            )
            storage.put_layer_version(txn, layer)
            return layer

        return self._whole(ctx, await self._registry.write(ctx, publish))

    @operation("GetLayerVersion")
    async def get_layer_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = parse_layer_name(ctx, req["LayerName"])
        return self._whole(ctx, await self._get(ctx, name, req["VersionNumber"]))

    @operation("GetLayerVersionByArn")
    async def get_layer_version_by_arn(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place = parse_layer_version_arn(req["Arn"])
        if (place.account, place.region) != (ctx.account, ctx.region):
            raise ResourceNotFound(f"Layer version {req['Arn']} does not exist.")
        return self._whole(ctx, await self._get(ctx, place.name, place.version))

    @operation("ListLayerVersions")
    async def list_layer_versions(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = parse_layer_name(ctx, req["LayerName"])

        def read(reader: Reader) -> dict[str, Any]:
            layers = [layer for layer in storage.list_layer_versions(reader, name) if _is_wanted(layer, req)]
            shown, marker = page(layers, req, lambda layer: str(layer.version))
            return paged("LayerVersions", [rendering.layer_version(ctx, layer) for layer in shown], marker)

        found: dict[str, Any] = await self._registry.read(ctx, read)
        return found

    @operation("ListLayers")
    async def list_layers(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> dict[str, Any]:
            newest = []
            for name in storage.list_layer_names(reader):
                layer = next((each for each in storage.list_layer_versions(reader, name) if _is_wanted(each, req)), None)
                if layer is not None:
                    newest.append(layer)
            shown, marker = page(newest, req, lambda layer: layer.name)
            rendered = [
                {
                    "LayerName": each.name,
                    "LayerArn": layer_arn(ctx, each.name),
                    "LatestMatchingVersion": rendering.layer_version(ctx, each),
                }
                for each in shown
            ]
            return paged("Layers", rendered, marker)

        found: dict[str, Any] = await self._registry.read(ctx, read)
        return found

    @operation("DeleteLayerVersion")
    async def delete_layer_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = parse_layer_name(ctx, req["LayerName"])
        await self._registry.write(ctx, lambda txn: storage.delete_layer_version(txn, name, req["VersionNumber"]))
        return {}

    @operation("AddLayerVersionPermission")
    async def add_layer_version_permission(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name, version = parse_layer_name(ctx, req["LayerName"]), req["VersionNumber"]
        await self._get(ctx, name, version)
        principal = req["Principal"]
        statement: dict[str, Any] = {
            "Sid": req["StatementId"],
            "Effect": "Allow",
            "Principal": "*"
            if principal == "*"
            else {"AWS": f"arn:aws:iam::{principal}:root" if principal.isdecimal() else principal},
            "Action": req["Action"],
            "Resource": layer_arn(ctx, name, version),
        }
        if req.get("OrganizationId"):
            statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": req["OrganizationId"]}}
        place = ("layer-policy", name, str(version))
        revision_id = await self._registry.write(
            ctx, lambda txn: add_statement(txn, place, statement, req.get("RevisionId"), self._registry.revision_id())
        )
        return {"Statement": policy_answer(statement), "RevisionId": revision_id}

    @operation("RemoveLayerVersionPermission")
    async def remove_layer_version_permission(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place = ("layer-policy", parse_layer_name(ctx, req["LayerName"]), str(req["VersionNumber"]))
        new_id = self._registry.revision_id()
        await self._registry.write(ctx, lambda txn: remove_statement(txn, place, req["StatementId"], req.get("RevisionId"), new_id))
        return {}

    @operation("GetLayerVersionPolicy")
    async def get_layer_version_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = parse_layer_name(ctx, req["LayerName"])

        def read(reader: Reader) -> Any:
            return storage.find_document(reader, "layer-policy", name, str(req["VersionNumber"]))

        found = await self._registry.read(ctx, read)
        if found is None:
            raise ResourceNotFound("No policy is associated with the given resource.")
        return {"Policy": policy_answer(found["policy"]), "RevisionId": found["revision_id"]}

    async def _get(self, ctx: Context, name: str, version: int) -> LayerVersion:
        layer = await self._registry.read(ctx, lambda reader: storage.find_layer_version(reader, name, version))
        if layer is None:
            raise ResourceNotFound("The resource you requested does not exist.")
        found: LayerVersion = layer
        return found

    def _whole(self, ctx: Context, layer: LayerVersion) -> dict[str, Any]:
        content = {
            "Location": self._links.link(ctx.endpoint, layer.code.blob),
            "CodeSha256": layer.code.sha256,
            "CodeSize": layer.code.size,
        }
        return rendering.layer_version(ctx, layer) | {"LayerArn": layer_arn(ctx, layer.name), "Content": content}


def _is_wanted(layer: LayerVersion, req: dict[str, Any]) -> bool:
    runtime, architecture = req.get("CompatibleRuntime"), req.get("CompatibleArchitecture")
    return (runtime is None or runtime in layer.runtimes) and (architecture is None or architecture in layer.architectures)
