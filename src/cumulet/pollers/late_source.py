"""A source whose service is opened later: whoever reads it first opens it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cumulet.pollers.contract import Shard, StreamRecord, StreamSource


class LateSource:
    """See the contract `StreamSource`. `open` returns the source itself, again whenever it is asked."""

    def __init__(self, open: Callable[[], Awaitable[StreamSource]], retention_ms: int) -> None:
        self.retention_ms = retention_ms
        self._open = open

    async def shards(self, stream_arn: str) -> Sequence[Shard]:
        return await (await self._open()).shards(stream_arn)

    async def read(self, stream_arn: str, shard_id: str, after: str | None, limit: int) -> Sequence[StreamRecord]:
        return await (await self._open()).read(stream_arn, shard_id, after, limit)

    async def newest(self, stream_arn: str, shard_id: str) -> str | None:
        return await (await self._open()).newest(stream_arn, shard_id)

    def subscribe(self, stream_arn: str, wake: Callable[[], None]) -> Callable[[], None]:
        subscription: list[Callable[[], None]] = []

        async def subscribe() -> None:
            subscription.append((await self._open()).subscribe(stream_arn, wake))
            wake()  # for what came meanwhile

        waiting = asyncio.create_task(subscribe())

        def unsubscribe() -> None:
            waiting.cancel()
            for end in subscription:
                end()

        return unsubscribe
