"""Resource policies of functions: who may invoke them. Kept and shown as Lambda does; enforcement is not here yet."""

import json
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.functions import storage
from cumulet.services.functions.errors import PolicyLengthExceeded, ResourceConflict, ResourceNotFound
from cumulet.services.functions.model import check_revision
from cumulet.services.functions.names import function_arn
from cumulet.services.functions.registry import Registry, check_qualifier, get_function
from cumulet.store.contract import Reader, Txn

_MAX_POLICY_BYTES = 20 * 1024
Place = tuple[str, str, str]
"""(kind, name, qualifier) of a policy's document."""


class PolicyOperations:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("AddPermission")
    async def add_permission(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)
        statement = _statement(req, function_arn(ctx, target.name, target.qualifier))

        def add(txn: Txn) -> None:
            check_qualifier(txn, ctx, get_function(txn, ctx, target.name), target.qualifier)
            place = ("policy", target.name, target.qualifier or "")
            add_statement(txn, place, statement, req.get("RevisionId"), self._registry.revision_id())

        await self._registry.write(ctx, add)
        return {"Statement": policy_answer(statement)}

    @operation("RemovePermission")
    async def remove_permission(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)

        def remove(txn: Txn) -> None:
            get_function(txn, ctx, target.name)
            place = ("policy", target.name, target.qualifier or "")
            remove_statement(txn, place, req["StatementId"], req.get("RevisionId"), self._registry.revision_id())

        await self._registry.write(ctx, remove)
        return {}

    @operation("GetPolicy")
    async def get_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        target = self._registry.name_of(ctx, req)

        def read(reader: Reader) -> Any:
            check_qualifier(reader, ctx, get_function(reader, ctx, target.name), target.qualifier)
            return storage.find_document(reader, "policy", target.name, target.qualifier or "")

        found = await self._registry.read(ctx, read)
        if found is None:
            raise ResourceNotFound("The resource you requested does not exist.")
        return {"Policy": policy_answer(found["policy"]), "RevisionId": found["revision_id"]}


def add_statement(txn: Txn, place: Place, statement: dict[str, Any], expected: str | None, revision_id: str) -> str:
    """The policy with one more statement; its new revision id. Raises ResourceConflict for an id that is taken."""
    found = storage.find_document(txn, *place) or {"revision_id": revision_id, "policy": _empty()}
    if expected is not None:
        check_revision(expected, found["revision_id"])
    policy = found["policy"]
    if any(each["Sid"] == statement["Sid"] for each in policy["Statement"]):
        raise ResourceConflict(
            f"The statement id ({statement['Sid']}) provided already exists. "
            "Please provide a new statement id, or remove the existing statement."
        )
    policy["Statement"].append(statement)
    if len(policy_answer(policy).encode()) > _MAX_POLICY_BYTES:
        raise PolicyLengthExceeded("The final policy size is bigger than the limit (20480).")
    storage.put_document(txn, *place, document={"revision_id": revision_id, "policy": policy})
    return revision_id


def remove_statement(txn: Txn, place: Place, sid: str, expected: str | None, revision_id: str) -> None:
    """The policy without a statement; no policy at all without its last. Raises ResourceNotFound."""
    found = storage.find_document(txn, *place)
    if found is not None and expected is not None:
        check_revision(expected, found["revision_id"])
    statements = found["policy"]["Statement"] if found is not None else []
    kept = [each for each in statements if each["Sid"] != sid]
    if len(kept) == len(statements):
        raise ResourceNotFound(f"Statement {sid} is not found in resource policy.")
    if kept:
        document = {"revision_id": revision_id, "policy": _empty() | {"Statement": kept}}
        storage.put_document(txn, *place, document=document)
    else:
        storage.delete_document(txn, *place)


def policy_answer(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"))


def _empty() -> dict[str, Any]:
    return {"Version": "2012-10-17", "Id": "default", "Statement": []}


def _statement(req: dict[str, Any], resource: str) -> dict[str, Any]:
    principal = req["Principal"]
    shown: Any = {"AWS": principal}
    if principal == "*":
        shown = "*"
    elif principal.isdecimal():
        shown = {"AWS": f"arn:aws:iam::{principal}:root"}
    elif not principal.startswith("arn:"):
        shown = {"Service": principal}
    statement: dict[str, Any] = {
        "Sid": req["StatementId"],
        "Effect": "Allow",
        "Principal": shown,
        "Action": req["Action"],
        "Resource": resource,
    }
    condition: dict[str, dict[str, Any]] = {}
    for member, operator, key in (
        ("SourceAccount", "StringEquals", "AWS:SourceAccount"),
        ("PrincipalOrgID", "StringEquals", "aws:PrincipalOrgID"),
        ("EventSourceToken", "StringEquals", "lambda:EventSourceToken"),
        ("FunctionUrlAuthType", "StringEquals", "lambda:FunctionUrlAuthType"),
        ("SourceArn", "ArnLike", "AWS:SourceArn"),
    ):
        if req.get(member):
            condition.setdefault(operator, {})[key] = req[member]
    if req.get("InvokedViaFunctionUrl") is not None:
        condition.setdefault("Bool", {})["lambda:InvokedViaFunctionUrl"] = str(req["InvokedViaFunctionUrl"]).lower()
    if condition:
        statement["Condition"] = condition
    return statement
