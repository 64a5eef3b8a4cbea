"""Handlers that are generators, async generators or coroutines: a generator's items are sent as they are yielded.

Items are bytes or text. The first may be a dict instead, `{"statusCode", "headers", "cookies"}`: the HTTP answer's head, for
function URLs that stream.
"""

import json
import types
from typing import Any, Iterator

from cumulet.guest import errors, frames

_HTTP_PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response"
_PRELUDE_END = bytes(8)
_MOST_BYTES = 1 << 20
_loop: Any = None


def is_stream(returned: Any) -> bool:
    """True for what a generator function returns when it is called."""
    return isinstance(returned, (types.GeneratorType, types.AsyncGeneratorType))


async def send_async(channel: frames.Channel, request_id: str, items: Any) -> None:
    """`send`, for an async generator whose event loop goes on with other calls meanwhile."""
    sender = _Sender(channel, request_id)
    try:
        async for item in items:
            sender.send(item)
        sender.finish()
    finally:
        await items.aclose()


def send(channel: frames.Channel, request_id: str, items: Any) -> None:
    """Send every item as it comes. Raises what the generator raises, and RuntimeFault for an item that cannot be sent."""
    sender = _Sender(channel, request_id)
    iterator = _items(items)
    try:
        for item in iterator:
            sender.send(item)
        sender.finish()
    finally:
        iterator.close()


class _Sender:
    """One call's items, as parts of its answer."""

    def __init__(self, channel: frames.Channel, request_id: str) -> None:
        self._channel = channel
        self._head = {"request_id": request_id, "content_type": "application/octet-stream"}
        self._is_begun = False

    def send(self, item: Any) -> None:
        if not self._is_begun and isinstance(item, dict):
            self._head["content_type"] = _HTTP_PRELUDE_TYPE
            data = _prelude(item)
        else:
            data = _bytes(item)
        for at in range(0, len(data) or 1, _MOST_BYTES):
            self._channel.send(frames.PART, self._head, data[at : at + _MOST_BYTES])
        self._is_begun = True

    def finish(self) -> None:
        """An answer of nothing is a stream as well."""
        if not self._is_begun:
            self._channel.send(frames.PART, self._head, b"")


def awaited(returned: Any) -> Any:
    """What a coroutine comes to; anything else is itself."""
    if isinstance(returned, types.CoroutineType):
        return event_loop().run_until_complete(returned)
    return returned


def _items(items: Any) -> Any:
    if isinstance(items, types.GeneratorType):
        return items
    return _stepped(items)


def _stepped(items: Any) -> Iterator[Any]:
    """An async generator's items; the loop stands still while an item is being sent."""
    loop = event_loop()
    try:
        while True:
            try:
                yield loop.run_until_complete(items.__anext__())
            except StopAsyncIteration:
                return
    finally:
        loop.run_until_complete(items.aclose())


def event_loop() -> Any:
    """One for the environment's life: what a handler keeps (clients, locks) stays usable from call to call."""
    global _loop
    if _loop is None:
        import asyncio

        _loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_loop)
    return _loop


def _prelude(head: Any) -> bytes:
    try:
        return json.dumps(head).encode() + _PRELUDE_END
    except Exception as error:
        raise errors.RuntimeFault("Runtime.MarshalError", "Unable to marshal response: %s" % error)


def _bytes(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    raise errors.RuntimeFault("Runtime.MarshalError", "A streaming handler yields bytes or str, not %s" % type(item).__name__)
