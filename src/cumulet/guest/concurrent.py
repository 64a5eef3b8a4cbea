"""Several calls at once in one environment: for `async def` handlers whose function sets `CUMULET_CONCURRENCY`.

One thread reads from the node; everything else happens on the event loop, a task for each call, as the user's code expects.
"""

import inspect
import os
import threading
from typing import Any, Awaitable, Callable, Dict

from cumulet.guest import frames, streaming

VARIABLE = "CUMULET_CONCURRENCY"
_MOST = 256
Answer = Callable[[Dict[str, Any], bytes], Awaitable[None]]


def calls_at_once(function: Any) -> int:
    """How many calls this handler takes at once: 1 unless it is asynchronous and its function asks for more."""
    wanted = os.environ.get(VARIABLE, "")
    is_asynchronous = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    return max(1, min(int(wanted), _MOST)) if wanted.isdecimal() and is_asynchronous else 1


def serve(channel: frames.Channel, answer: Answer) -> None:
    """Answer calls as they come, until the node closes the channel. Never returns."""
    loop = streaming.event_loop()
    running = set()

    def start(call: Dict[str, Any], event: bytes) -> None:
        task = loop.create_task(answer(call, event))
        running.add(task)
        task.add_done_callback(running.discard)

    def read() -> None:
        while True:
            try:
                _kind, call, event = channel.receive()
            except EOFError:
                os._exit(0)
            loop.call_soon_threadsafe(start, call, event)

    threading.Thread(target=read, name="calls", daemon=True).start()
    loop.run_forever()
