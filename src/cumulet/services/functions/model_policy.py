"""Resource policies: the statements that AddPermission makes, in the form in which AWS renders them. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from cumulet.services.functions.errors import (
    NO_SUCH_RESOURCE,
    InvalidParameterValue,
    PolicyLengthExceeded,
    ResourceConflict,
    ResourceNotFound,
    stale_revision,
)

MAXIMUM_POLICY_BYTES = 20_480
_ACCOUNT = re.compile(r"\d{12}")
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of one function, version, alias or layer version. Without statements there is none."""

    revision_id: str
    statements: Sequence[Mapping[str, Any]] = ()

    def document(self) -> str:
        return orjson.dumps({"Version": "2012-10-17", "Id": "default", "Statement": list(self.statements)}).decode()

    def with_statement(self, statement: Mapping[str, Any], revision_id: str) -> "Policy":
        """Raises ResourceConflict for a statement id that is taken, PolicyLengthExceeded."""
        sid = statement["Sid"]
        if any(each["Sid"] == sid for each in self.statements):
            raise ResourceConflict(
                f"The statement id ({sid}) provided already exists. "
                "Please provide a new statement id, or remove the existing statement."
            )
        changed = replace(self, revision_id=revision_id, statements=[*self.statements, statement])
        size = len(changed.document())
        if size > MAXIMUM_POLICY_BYTES:
            raise PolicyLengthExceeded(f"The final policy size ({size}) is bigger than the limit ({MAXIMUM_POLICY_BYTES}).")
        return changed

    def without_statement(self, sid: str, revision_id: str) -> "Policy":
        """Raises ResourceNotFound when no statement has that id."""
        left = [each for each in self.statements if each["Sid"] != sid]
        if len(left) == len(self.statements):
            raise ResourceNotFound(f"Statement {sid} is not found in resource policy.")
        return replace(self, revision_id=revision_id, statements=left)

    def check_revision(self, expected: str | None) -> None:
        if expected is not None and expected != self.revision_id:
            raise stale_revision()

    def opens_url(self, auth_type: str) -> bool:
        """Whether anybody may call through a URL of that authorisation type: AWS asks for both actions since October 2025."""
        return all(self._allows_everyone(action, auth_type) for action in ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction"))

    def _allows_everyone(self, action: str, url_auth_type: str) -> bool:
        return any(
            each["Principal"] == "*"
            and each["Action"] in (action, "lambda:*", "*")
            and _is_met(each.get("Condition") or {}, url_auth_type)
            for each in self.statements
        )

    def allows_account(self, account: str) -> bool:
        """Whether a layer's policy lets an account use it."""
        principals = ("*", {"AWS": f"arn:aws:iam::{account}:root"})
        return any(each["Principal"] in principals and not each.get("Condition") for each in self.statements)


def statement_text(statement: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(statement)).decode()


def present(policy: Policy | None) -> Policy:
    if policy is None:
        raise ResourceNotFound(NO_SUCH_RESOURCE)
    return policy


def function_statement(req: Mapping[str, Any], resource: str) -> dict[str, Any]:
    """The statement that an AddPermission request asks for. Raises InvalidParameterValue."""
    if req.get("FunctionUrlAuthType") and req["Action"] != "lambda:InvokeFunctionUrl":
        raise InvalidParameterValue("Parameter functionUrlAuthType is only supported for lambda:InvokeFunctionUrl action")
    statement: dict[str, Any] = {
        "Sid": req["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(req["Principal"]),
        "Action": req["Action"],
        "Resource": resource,
    }
    condition: dict[str, dict[str, str]] = {}
    equals = {
        "AWS:SourceAccount": req.get("SourceAccount"),
        "lambda:EventSourceToken": req.get("EventSourceToken"),
        "lambda:FunctionUrlAuthType": req.get("FunctionUrlAuthType"),
        "aws:PrincipalOrgID": req.get("PrincipalOrgID"),
    }
    if present_ones := {key: value for key, value in equals.items() if value}:
        condition["StringEquals"] = present_ones
    if req.get("SourceArn"):
        condition["ArnLike"] = {"AWS:SourceArn": req["SourceArn"]}
    if req.get("InvokedViaFunctionUrl") is not None:
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": "true" if req["InvokedViaFunctionUrl"] else "false"}
    if condition:
        statement["Condition"] = condition
    return statement


def layer_statement(req: Mapping[str, Any], resource: str) -> dict[str, Any]:
    """The statement that an AddLayerVersionPermission request asks for."""
    statement: dict[str, Any] = {
        "Sid": req["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(req["Principal"]),
        "Action": req["Action"],
        "Resource": resource,
    }
    if req.get("OrganizationId"):
        statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": req["OrganizationId"]}}
    return statement


def _principal(text: str) -> Any:
    if text == "*":
        return "*"
    if _ACCOUNT.fullmatch(text):
        return {"AWS": f"arn:aws:iam::{text}:root"}
    if text.startswith("arn:"):
        return {"AWS": text}
    if _SERVICE.fullmatch(text):
        return {"Service": text}
    raise InvalidParameterValue("The provided principal was invalid. Please check the principal and try again.")


def _is_met(condition: Mapping[str, Any], url_auth_type: str) -> bool:
    """Whether a call through a function URL meets every condition; one that says nothing of it is met by none."""
    known = {
        ("StringEquals", "lambda:FunctionUrlAuthType"): url_auth_type,
        ("Bool", "lambda:InvokedViaFunctionUrl"): "true",
    }
    return all(known.get((test, key)) == value for test, pairs in condition.items() for key, value in pairs.items())
