"""A node's life from its first answer to its last: the loops beside requests, and the order in which it ends."""

import asyncio
import gc
from collections.abc import Callable

from cumulet.gateway.http import HttpServer
from cumulet.server.functions import Functions
from cumulet.server.services import LateParts
from cumulet.services.logs.sink import StoreLogSink

_COLLECTIONS = (5000, 10, 20)
"""After how many things more than before, in which generation. The interpreter's own 700 cost a tenth of the loop while many calls
begin, whose things are all still needed. A full collection takes a millisecond for every 3,000 things that are held for clients."""
_DRAIN_S, _WEBSOCKETS_DRAIN_S = 20.0, 10.0


async def live(
    http: HttpServer, functions: Functions, late: LateParts, sink: StoreLogSink, stop: asyncio.Event, began: Callable[[], None]
) -> None:
    """Answer until told to stop; `began` is called once the port answers. A loop that breaks cancels the rest, and is raised."""
    async with asyncio.TaskGroup() as loops:
        sweeping = loops.create_task(http.sweep())
        halt_running, halt_logging = asyncio.Event(), asyncio.Event()
        running = [loops.create_task(part.run(halt_running)) for part in (*functions.loops, *late.all)]
        loops.create_task(sink.run(halt_logging))
        gc.freeze()  # what is there now stays: full collections need not walk through it while clients wait
        gc.set_threshold(*_COLLECTIONS)
        gc.enable()
        await http.start()
        began()
        await stop.wait()
        # The order of draining: no more clients of WebSocket APIs, whose functions are told of it and may call back; no new
        # requests, then no new invocations, then no more log lines.
        if late.apis.part is not None:
            await late.apis.part.connections.drain(_WEBSOCKETS_DRAIN_S)
        await http.stop(_DRAIN_S)
        halt_running.set()
        await asyncio.wait(running)
        await functions.local.drain(_DRAIN_S)
        halt_logging.set()
        sweeping.cancel()
