"""The management API's operations: send to a connection, look at it, close it. All in memory, answered at once."""

from datetime import UTC, datetime
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation, operations_of
from cumulet.services.connections.errors import Forbidden, Gone, LimitExceeded, PayloadTooLarge
from cumulet.services.connections.model import MAXIMUM_BYTES, FindConnection, LiveConnection, Scope


class ConnectionsService:
    """`scope` None: asked at the node's own address, which reaches all connections of the caller's account."""

    def __init__(self, find: FindConnection, scope: Scope | None = None) -> None:
        self._find = find
        self._scope = scope
        self.handlers = operations_of(self)

    def within(self, scope: Scope) -> "ConnectionsService":
        """The same at the address of one stage: its own connections are all that there are."""
        return ConnectionsService(self._find, scope)

    @operation("PostToConnection")
    async def post_to_connection(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        connection = self._get(ctx, req)
        if len(req["Data"]) > MAXIMUM_BYTES:
            raise PayloadTooLarge("Message too long", fields={"Message": "Message too long"})
        try:
            await connection.send(req["Data"])
        except ConnectionError:
            raise Gone("The connection is gone") from None
        except BufferError:
            raise LimitExceeded("The client does not read what was sent to it") from None
        return {}

    @operation("GetConnection")
    async def get_connection(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        connection = self._get(ctx, req)
        identity = connection.identity
        return {
            "ConnectedAt": _time(connection.connected_at_ms),
            "Identity": {"SourceIp": identity["sourceIp"], "UserAgent": identity.get("userAgent") or ""},
            "LastActiveAt": _time(connection.active_at_ms()),
        }

    @operation("DeleteConnection")
    async def delete_connection(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._get(ctx, req).close()
        return {}

    def _get(self, ctx: Context, req: dict[str, Any]) -> LiveConnection:
        """Raises Forbidden for a stage of another account, Gone for a connection that is not there, or not the caller's."""
        scope = self._scope
        if scope is not None and (ctx.account, ctx.region) != (scope.place.account, scope.place.region):
            raise Forbidden("Forbidden")
        connection = self._find(req["ConnectionId"])
        if connection is None or connection.place.account != ctx.account:
            raise Gone("The connection is gone")
        if scope is not None and (connection.api_id, connection.stage) != (scope.api_id, scope.stage):
            raise Gone("The connection is gone")
        return connection


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
