"""Access keys of every account, for the command line: `/_cumulet/keys`, asked by the default account's root alone."""

import re
from urllib.parse import parse_qsl

import orjson

from cumulet.auth.keys import AccessKey, AccessKeys
from cumulet.core.context import Context
from cumulet.core.http import Request, Response
from cumulet.core.settings import DEFAULT_ACCOUNT
from cumulet.services.identity.errors import AccessDenied, NoSuchEntity, ValidationError

PATH = "/_cumulet/keys"


class KeysAdmin:
    """GET lists, POST makes one, DELETE PATH/KEY revokes it. Everybody may do so in an account whose root they are."""

    def __init__(self, keys: AccessKeys) -> None:
        self._keys = keys

    async def handle(self, ctx: Context, request: Request) -> Response:
        if not ctx.principal.arn.endswith(":root"):
            raise AccessDenied("Only an account's root key may see and change keys here.")
        if request.method == "GET" and request.path == PATH:
            account = _account(ctx, dict(parse_qsl(request.query)).get("account"))
            return _json({"keys": [_shown(key) for key in self._keys.list(account)]})
        if request.method == "POST" and request.path == PATH:
            key = await self._keys.create(_account(ctx, _wanted_account(request)))
            return _json(_shown(key) | {"secret_access_key": key.secret_key})
        if request.method == "DELETE" and request.path.startswith(f"{PATH}/"):
            return await self._revoke(ctx, request.path.removeprefix(f"{PATH}/"))
        raise ValidationError(f"{request.method} {request.path} is nothing that can be asked here")

    async def _revoke(self, ctx: Context, access_key_id: str) -> Response:
        key = self._keys.get(access_key_id)
        if key is None:
            raise NoSuchEntity(f"There is no access key {access_key_id}")
        _account(ctx, key.account)
        if key.access_key_id == self._keys.root.access_key_id:
            raise ValidationError("The node's own root key cannot be revoked: start the node with another --root-key first")
        await self._keys.revoke(access_key_id)
        return _json({"revoked": access_key_id})


def _wanted_account(request: Request) -> str | None:
    try:
        wanted = orjson.loads(request.body or b"{}").get("account")
    except (ValueError, AttributeError):
        raise ValidationError("the body must be a JSON object") from None
    return None if wanted is None else str(wanted)


def _account(ctx: Context, wanted: str | None) -> str:
    account = wanted or ctx.account
    if not re.fullmatch(r"\d{12}", account):
        raise ValidationError(f"{account!r} is no account: 12 digits are")
    if account != ctx.account and ctx.account != DEFAULT_ACCOUNT:
        raise AccessDenied(f"Only the root of account {DEFAULT_ACCOUNT} may see and change keys of other accounts.")
    return account


def _shown(key: AccessKey) -> dict[str, object]:
    return {
        "access_key_id": key.access_key_id,
        "account": key.account,
        "principal": key.principal.arn,
        "status": "Active" if key.is_active else "Inactive",
        "created_at_ms": key.created_at_ms,
    }


def _json(document: object) -> Response:
    return Response(200, [("Content-Type", "application/json")], orjson.dumps(document))
