"""Operations on the resource policies of functions."""

import uuid
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions.errors import InvalidParameterValue, stale_revision
from cumulet.services.functions.model_policy import Policy, function_statement, present, statement_text
from cumulet.services.functions.names import LATEST, FunctionRef, function_ref, place_of
from cumulet.services.functions.storage import Edit, FunctionStorage, View


class PermissionOperations:
    def __init__(self, storage: FunctionStorage) -> None:
        self._storage = storage

    @operation("AddPermission")
    async def add_permission(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), _target(ctx, req)
        statement = function_statement(req, place.function_arn(ref.name, ref.qualifier))
        revision_id = str(uuid.uuid4())

        def add(edit: Edit) -> None:
            edit.get_target(ref)
            before = edit.find_policy(ref.name, ref.qualifier or LATEST)
            if req.get("RevisionId") and (before is None or before.revision_id != req["RevisionId"]):
                raise stale_revision()
            policy = (before or Policy("")).with_statement(statement, revision_id)
            edit.put_policy(ref.name, ref.qualifier or LATEST, policy)

        await self._storage.write(place, ref.name, add)
        return {"Statement": statement_text(statement)}

    @operation("RemovePermission")
    async def remove_permission(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), _target(ctx, req)
        revision_id = str(uuid.uuid4())

        def remove(edit: Edit) -> None:
            edit.get_target(ref)
            policy = present(edit.find_policy(ref.name, ref.qualifier or LATEST))
            policy.check_revision(req.get("RevisionId"))
            edit.put_policy(ref.name, ref.qualifier or LATEST, policy.without_statement(req["StatementId"], revision_id))

        await self._storage.write(place, ref.name, remove)
        return {}

    @operation("GetPolicy")
    async def get_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, ref = place_of(ctx), _target(ctx, req)

        def read(view: View) -> Policy:
            view.get_target(ref)
            return present(view.find_policy(ref.name, ref.qualifier or LATEST))

        policy = await self._storage.read(place, read)
        return {"Policy": policy.document(), "RevisionId": policy.revision_id}


def _target(ctx: Context, req: dict[str, Any]) -> FunctionRef:
    ref = function_ref(ctx, req["FunctionName"], req.get("Qualifier"))
    if ref.qualifier == LATEST:
        raise InvalidParameterValue("We currently do not support adding policies for $LATEST.")
    return ref
