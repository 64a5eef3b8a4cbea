"""Operations on authorizers."""

from typing import Any

from cumulet.core import ids
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.http_apis import storage
from cumulet.services.http_apis.changes import Changes
from cumulet.services.http_apis.errors import BadRequest, Conflict
from cumulet.services.http_apis.finding import get
from cumulet.services.http_apis.limits import check_room
from cumulet.services.http_apis.model import changed, paged
from cumulet.services.http_apis.model_integrations import checked_authorizer
from cumulet.store.contract import Reader, Txn
from cumulet.store.documents import Document

_AUTHORIZER = (
    "AuthorizerCredentialsArn", "AuthorizerPayloadFormatVersion", "AuthorizerResultTtlInSeconds", "AuthorizerType", "AuthorizerUri",
    "EnableSimpleResponses", "IdentitySource", "IdentityValidationExpression", "JwtConfiguration", "Name",
)  # fmt: skip


class AuthorizerOperations:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    @operation("CreateAuthorizer")
    async def create_authorizer(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def create(txn: Txn, api: Document) -> Document:
            check_room(txn, "authorizer", api["ApiId"])
            return put_authorizer(txn, api, changed({"AuthorizerId": ids.lower_id(6)}, req, *_AUTHORIZER))

        return await self._changes.change(ctx, req["ApiId"], create)

    @operation("GetAuthorizer")
    async def get_authorizer(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._changes.read(ctx, req["ApiId"], lambda reader, api: _get(reader, api, req))

    @operation("GetAuthorizers")
    async def get_authorizers(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader, api: Document) -> list[Document]:
            return list(storage.list_all(reader, "authorizer", api["ApiId"]))

        return paged(await self._changes.read(ctx, req["ApiId"], read), req, "AuthorizerId")

    @operation("UpdateAuthorizer")
    async def update_authorizer(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn, api: Document) -> Document:
            before = _get(txn, api, req)
            if req.get("AuthorizerType") not in (None, before["AuthorizerType"]):
                raise BadRequest("The type of an authorizer cannot be changed")
            return put_authorizer(txn, api, changed(before, req, *_AUTHORIZER))

        return await self._changes.change(ctx, req["ApiId"], update)

    @operation("DeleteAuthorizer")
    async def delete_authorizer(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn, api: Document) -> None:
            wanted = _get(txn, api, req)["AuthorizerId"]
            using = [each["RouteId"] for each in storage.list_all(txn, "route", api["ApiId"]) if each.get("AuthorizerId") == wanted]
            if using:
                raise Conflict(
                    f"Cannot delete Authorizer because it is referenced by the following Routes with Ids: [{', '.join(using)}]"
                )
            storage.delete(txn, "authorizer", api["ApiId"], wanted)

        await self._changes.change(ctx, req["ApiId"], delete)
        return {}


def put_authorizer(txn: Txn, api: Document, authorizer: Document) -> Document:
    """Raises BadRequest, Conflict: a name is its API's only one."""
    checked_authorizer(authorizer, api["ProtocolType"])
    for other in storage.list_all(txn, "authorizer", api["ApiId"]):
        if other["Name"] == authorizer["Name"] and other["AuthorizerId"] != authorizer["AuthorizerId"]:
            raise Conflict(f"Authorizer with name {authorizer['Name']} already exists for this API")
    storage.put(txn, "authorizer", authorizer, api["ApiId"], authorizer["AuthorizerId"])
    return authorizer


def _get(reader: Reader, api: Document, req: dict[str, Any]) -> Document:
    return get(reader, "authorizer", api["ApiId"], req["AuthorizerId"])
