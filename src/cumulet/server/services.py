"""All services of a node by botocore's names. Lambda's is there from the start; others are imported and opened late."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cumulet.gateway.exchange import Service
from cumulet.gateway.execute_api import ExecuteApi
from cumulet.gateway.front_door import FrontDoor
from cumulet.gateway.pages import Signed
from cumulet.gateway.signed_door import PublicDoor
from cumulet.invoke.contract import LogSink
from cumulet.pollers.contract import Sources, StreamSource
from cumulet.pollers.late_source import LateSource
from cumulet.server.functions import Functions
from cumulet.server.ground import Ground
from cumulet.server.late import Importer, Late
from cumulet.services.logs.sink import StoreLogSink

if TYPE_CHECKING:
    from cumulet.server.apis import Apis
    from cumulet.server.identity import Identity
    from cumulet.server.logs import Logs
    from cumulet.server.tables import Tables

_STREAM_RETENTION_MS = 24 * 3600 * 1000


def late_tables(importer: Importer, ground: Ground, sources: Sources) -> "Late[Tables]":
    """Their streams are among `sources` at once; who reads one opens it."""

    def load() -> Callable[[], Awaitable["Tables"]]:
        from cumulet.server.tables import open_tables

        return partial(open_tables, ground)

    async def source() -> StreamSource:
        return (await tables.get()).source

    tables: Late[Tables] = Late(importer, load)
    sources.register("dynamodb", LateSource(source, retention_ms=_STREAM_RETENTION_MS))
    return tables


def late_identity(importer: Importer, ground: Ground) -> "Late[Identity]":
    def load() -> Callable[[], Awaitable["Identity"]]:
        from cumulet.server.identity import open_identity

        return partial(open_identity, ground)

    return Late(importer, load)


def late_logs(importer: Importer, ground: Ground, sink: StoreLogSink) -> "Late[Logs]":
    def load() -> Callable[[], Awaitable["Logs"]]:
        from cumulet.server.logs import open_logs

        return partial(open_logs, ground, sink)

    return Late(importer, load)


def late_apis(
    importer: Importer,
    ground: Ground,
    functions: Functions,
    front: FrontDoor,
    door: ExecuteApi,
    gateway: PublicDoor,
    signed: Signed,
    log: LogSink,
) -> "Late[Apis]":
    def load() -> Callable[[], Awaitable["Apis"]]:
        from cumulet.server.apis import open_apis

        return partial(open_apis, ground, functions, front, door, gateway, signed, log)

    return Late(importer, load)


@dataclass(frozen=True, slots=True)
class LateParts:
    """In the order in which they are opened when nobody asks for one before."""

    identity: "Late[Identity]"
    logs: "Late[Logs]"
    tables: "Late[Tables]"
    apis: "Late[Apis]"

    @property
    def all(self) -> Sequence[Late[Any]]:
        return self.identity, self.logs, self.tables, self.apis


def services_of(functions: Functions, late: LateParts) -> Mapping[str, Service]:
    services = (
        Service("lambda", functions.service.operations()),
        late.identity.service("iam", lambda part: part.iam.handlers),
        late.identity.service("sts", lambda part: part.sts.handlers),
        late.logs.service("logs", lambda part: part.service.handlers),
        late.tables.service("dynamodb", lambda part: part.service.handlers),
        late.tables.service("dynamodbstreams", lambda part: part.streams.handlers, "dynamodb"),
        late.apis.service("apigateway", lambda part: part.rest.handlers),
        late.apis.service("apigatewayv2", lambda part: part.http.handlers, "apigateway"),
        late.apis.service("apigatewaymanagementapi", lambda part: part.managed.handlers, "execute-api"),
    )
    return {service.name: service for service in services}
