"""Operations on aliases."""

import uuid
from dataclasses import replace
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions.api_functions import ApplyProvisioned
from cumulet.services.functions.errors import InvalidParameterValue, ResourceConflict, stale_revision
from cumulet.services.functions.model import Alias, routing_weights
from cumulet.services.functions.names import Place, place_of, unqualified
from cumulet.services.functions.storage import Edit, FunctionStorage, Page, View


class AliasOperations:
    def __init__(self, storage: FunctionStorage, apply_provisioned: ApplyProvisioned) -> None:
        self._storage = storage
        self._apply_provisioned = apply_provisioned

    @operation("CreateAlias")
    async def create_alias(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = place_of(ctx), unqualified(ctx, req["FunctionName"])
        if req["Name"].isdigit():
            raise InvalidParameterValue("An alias must not look like a version: its name needs more than digits.")
        alias = Alias(
            function=name,
            name=req["Name"],
            version=req["FunctionVersion"],
            description=req.get("Description") or "",
            revision_id=str(uuid.uuid4()),
            weights=routing_weights(req["FunctionVersion"], req.get("RoutingConfig")),
        )

        def create(edit: Edit) -> None:
            edit.get_function(name)
            if edit.find_alias(name, alias.name) is not None:
                raise ResourceConflict(f"Alias already exists: {place.function_arn(name, alias.name)}")
            _check_versions(edit, alias)
            edit.put_alias(alias)

        await self._storage.write(place, name, create)
        return _described(alias, place)

    @operation("GetAlias")
    async def get_alias(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = place_of(ctx), unqualified(ctx, req["FunctionName"])
        return _described(await self._storage.read(place, lambda view: view.get_alias(name, req["Name"])), place)

    @operation("UpdateAlias")
    async def update_alias(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name = place_of(ctx), unqualified(ctx, req["FunctionName"])
        revision_id = str(uuid.uuid4())

        def update(edit: Edit) -> Alias:
            before = edit.get_alias(name, req["Name"])
            if req.get("RevisionId") and req["RevisionId"] != before.revision_id:
                raise stale_revision()
            version = req.get("FunctionVersion") or before.version
            routing = req.get("RoutingConfig")
            if routing is None:
                routing = {"AdditionalVersionWeights": before.weights}
            after = replace(
                before,
                version=version,
                description=before.description if req.get("Description") is None else req["Description"],
                weights=routing_weights(version, routing),
                revision_id=revision_id,
            )
            _check_versions(edit, after)
            edit.put_alias(after)
            return after

        alias = await self._storage.write(place, name, update)
        await self._apply_provisioned(place, name)  # the alias's environments move to the version it points to now
        return _described(alias, place)

    @operation("DeleteAlias")
    async def delete_alias(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """Deleting an alias that is not there is no error, as on AWS; its function must be."""
        place, name = place_of(ctx), unqualified(ctx, req["FunctionName"])

        def delete(edit: Edit) -> str | None:
            edit.get_function(name)
            url = edit.find_url(name, req["Name"])
            edit.delete_alias(name, req["Name"])
            return url.url_id if url is not None else None

        url_id = await self._storage.write(place, name, delete)
        await self._apply_provisioned(place, name)
        if url_id is not None:
            await self._storage.delete_url_owner(url_id)
        return {}

    @operation("ListAliases")
    async def list_aliases(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, name, page = place_of(ctx), unqualified(ctx, req["FunctionName"]), Page.of(req)
        version = req.get("FunctionVersion")

        def read(view: View) -> tuple[list[Alias], str | None]:
            view.get_function(name)
            return view.aliases(name, page)

        aliases, marker = await self._storage.read(place, read)
        chosen = [each for each in aliases if version is None or each.version == version or version in each.weights]
        found: dict[str, Any] = {"Aliases": [_described(each, place) for each in chosen]}
        return found | ({"NextMarker": marker} if marker else {})


def _check_versions(view: View, alias: Alias) -> None:
    for version in (alias.version, *alias.weights):
        view.get_version(alias.function, version)


def _described(alias: Alias, place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {
        "AliasArn": place.function_arn(alias.function, alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    }
    if alias.weights:
        found["RoutingConfig"] = {"AdditionalVersionWeights": dict(alias.weights)}
    return found
