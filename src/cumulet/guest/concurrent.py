"""Several calls at once in one environment: for `async def` handlers, and web applications, whose function sets
`CUMULET_CONCURRENCY`.

One thread reads from the node; everything else happens on the event loop, a task for each call, as the user's code expects.
"""

import inspect
import os
import threading
from typing import Any, Awaitable, Callable, Dict, List

from cumulet.guest import frames, streaming

VARIABLE = "CUMULET_CONCURRENCY"
_MOST = 256
_takes_several: List[Any] = []
Answer = Callable[[Dict[str, Any], bytes], Awaitable[None]]


def calls_at_once(function: Any) -> int:
    """How many calls this handler takes at once: 1 unless it is asynchronous and its function asks for more."""
    is_asynchronous = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    return wanted() if is_asynchronous or any(function is one for one in _takes_several) else 1


def wanted() -> int:
    """How many calls at once the function asks for."""
    number = os.environ.get(VARIABLE, "")
    return max(1, min(int(number), _MOST)) if number.isdecimal() else 1


def takes_several(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Of a handler that returns awaitables or async generators without being written so."""
    _takes_several.append(function)
    return function


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
