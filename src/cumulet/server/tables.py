"""Tables and their streams, and the source that pollers read of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from cumulet.pollers.contract import StreamSource
from cumulet.pollers.table_streams import TableStreamSource
from cumulet.server.ground import Ground
from cumulet.server.late import Loop
from cumulet.services.tables.api import TablesService
from cumulet.services.tables.api_streams import TableStreamsService


@dataclass(frozen=True, slots=True)
class Tables:
    service: TablesService
    streams: TableStreamsService
    source: StreamSource

    @property
    def loops(self) -> Sequence[Loop]:
        return (self.service,)

    async def close(self) -> None: ...


async def open_tables(ground: Ground) -> Tables:
    service = TablesService(ground.store, ground.clock)
    streams = TableStreamsService(ground.store, ground.clock, service.streams)
    await service.open()
    return Tables(service, streams, TableStreamSource(ground.store, service.streams))
