"""STS: who am I, and becoming a role."""

from typing import Any

from cumulet.auth.keys import AccessKeys
from cumulet.auth.sessions import SessionCredentials
from cumulet.core.arn import parse_arn
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.identity import storage
from cumulet.services.identity.errors import AccessDenied, ValidationError
from cumulet.store.contract import Store


class StsOperations:
    def __init__(self, store: Store, clock: Clock, keys: AccessKeys) -> None:
        self._store = store
        self._clock = clock
        self._keys = keys

    @operation("GetCallerIdentity")
    async def get_caller_identity(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return {"UserId": ctx.principal.user_id, "Account": ctx.account, "Arn": ctx.principal.arn}

    @operation("AssumeRole")
    async def assume_role(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """Any principal of the role's account may assume it: trust policies are kept, not enforced yet."""
        try:
            arn = parse_arn(req["RoleArn"])
        except ValueError:
            raise ValidationError(f"{req['RoleArn']} is invalid") from None
        name = arn.resource.rsplit("/", 1)[-1]
        role = await self._store.read(storage.shard_of(arn.account), lambda reader: storage.find_entity(reader, "role", name))
        if role is None or arn.account != ctx.account or role.arn(arn.account) != req["RoleArn"]:
            raise AccessDenied(
                f"User: {ctx.principal.arn} is not authorized to perform: sts:AssumeRole on resource: {req['RoleArn']}"
            )
        duration_s = req.get("DurationSeconds") or 3600
        if duration_s > role.max_session_s:
            raise ValidationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
        session_name = req["RoleSessionName"]
        issued = self._keys.sessions.issue_for_role(
            req["RoleArn"], session_name, role.id, duration_s=duration_s, now_ms=self._clock.now_ms()
        )
        principal = issued.credential.principal
        return {
            "Credentials": _shown(issued),
            "AssumedRoleUser": {"AssumedRoleId": principal.user_id, "Arn": principal.arn},
        }

    @operation("GetSessionToken")
    async def get_session_token(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        issued = self._keys.sessions.issue(
            ctx.principal.arn,
            ctx.account,
            ctx.principal.user_id,
            duration_s=req.get("DurationSeconds") or 43_200,
            now_ms=self._clock.now_ms(),
        )
        return {"Credentials": _shown(issued)}

    @operation("GetAccessKeyInfo")
    async def get_access_key_info(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        key = self._keys.get(req["AccessKeyId"])
        if key is None:
            raise ValidationError(f"The access key {req['AccessKeyId']} is not known")
        return {"Account": key.account}


def _shown(issued: SessionCredentials) -> dict[str, Any]:
    credential = issued.credential
    return {
        "AccessKeyId": credential.access_key_id,
        "SecretAccessKey": credential.secret_key,
        "SessionToken": issued.session_token,
        "Expiration": (credential.expires_at_ms or 0) / 1000,
    }
