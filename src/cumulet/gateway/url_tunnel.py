"""A connection that has left HTTP, between a function URL's client and a program in an environment: bytes both ways.

The invocation lasts as long as the connection does: it counts against concurrency, and the function's timeout ends it.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import orjson

from cumulet.core.http import ByteStream, Upgrade
from cumulet.runtimes.streams import Tunnel

_SET_HERE = frozenset(("connection", "upgrade", "content-length", "content-type", "transfer-encoding"))


def upgrade_of(prelude: bytes, first: bytes, parts: AsyncGenerator[bytes], tunnel: Tunnel) -> Upgrade:
    """The program's agreement, as the gateway's. `first` and `parts` are what it says then. Raises ValueError."""
    head = orjson.loads(prelude)
    given = head.get("headers") if isinstance(head, dict) else None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise ValueError("not the head of an answer")
    headers = [(name, value) for name, value in given.items() if name.lower() not in _SET_HERE]

    async def run(client: ByteStream) -> None:
        sending = asyncio.ensure_future(_pass_on(client, tunnel))
        try:
            async with contextlib.aclosing(parts):
                if first:
                    await client.write(first)
                async for part in parts:
                    await client.write(part)
        finally:
            sending.cancel()
            await tunnel.send(b"")

    return Upgrade(101, headers, run=run)


async def _pass_on(client: ByteStream, tunnel: Tunnel) -> None:
    """What the client says, and that it has gone."""
    while data := await client.read():
        await tunnel.send(data)
    await tunnel.send(b"")
