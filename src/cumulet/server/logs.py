"""What is asked of logs; what writes them is there from the start."""

from collections.abc import Sequence
from dataclasses import dataclass

from cumulet.server.ground import Ground
from cumulet.server.late import Loop
from cumulet.services.logs.api import LogsService
from cumulet.services.logs.sink import StoreLogSink


@dataclass(frozen=True, slots=True)
class Logs:
    service: LogsService

    @property
    def loops(self) -> Sequence[Loop]:
        return (self.service,)

    async def close(self) -> None: ...


async def open_logs(ground: Ground, sink: StoreLogSink) -> Logs:
    return Logs(LogsService(ground.store, ground.clock, sink))
