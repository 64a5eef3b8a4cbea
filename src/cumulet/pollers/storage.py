"""The key layout of pollers, in one shard for each account and region:

("begun", uuid)                 the mapping's starting position was resolved
("position", uuid, shard id)    Position
("done", uuid, shard id)        the shard was closed and is handled to its end
("result", uuid)                what the last processing came to, in words
("outbox", id)                  deliveries to on-failure destinations
"""

from collections.abc import Mapping, Sequence

from cumulet.delivery.outbox import Outbox
from cumulet.pollers import positions
from cumulet.pollers.contract import SourceMapping
from cumulet.pollers.positions import Position
from cumulet.store.contract import Reader, Store, Txn
from cumulet.store.keys import pack, prefix_range, unpack

PREFIX = "pollers/"


class PollerStorage:
    """Every read and write of the pollers."""

    def __init__(self, store: Store, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox

    async def recover(self) -> None:
        """Deliver what an earlier run of the node left."""
        for shard in await self._store.list_shards():
            if shard.startswith(PREFIX):
                await self._outbox.recover(shard)

    async def has_begun(self, mapping: SourceMapping) -> bool:
        return await self._store.read(_shard(mapping), lambda reader: reader.get(pack("begun", mapping.uuid)) is not None)

    async def begin(self, mapping: SourceMapping, starts: Mapping[str, Position]) -> None:
        """Note where the mapping starts in each shard; nothing when that was noted before."""

        def begin(txn: Txn) -> None:
            if txn.get(pack("begun", mapping.uuid)) is None:
                txn.put(pack("begun", mapping.uuid), b"")
                for shard_id, position in starts.items():
                    txn.put(pack("position", mapping.uuid, shard_id), positions.encode(position))

        await self._store.write(_shard(mapping), begin)

    async def position(self, mapping: SourceMapping, shard_id: str) -> Position:
        raw = await self._store.read(_shard(mapping), lambda reader: reader.get(pack("position", mapping.uuid, shard_id)))
        return Position() if raw is None else positions.decode(raw)

    async def done_shards(self, mapping: SourceMapping) -> set[str]:
        def read(reader: Reader) -> set[str]:
            return {str(unpack(key)[2]) for key, _ in reader.scan(*prefix_range("done", mapping.uuid))}

        return await self._store.read(_shard(mapping), read)

    async def last_result(self, mapping: SourceMapping) -> str | None:
        raw = await self._store.read(_shard(mapping), lambda reader: reader.get(pack("result", mapping.uuid)))
        return None if raw is None else raw.decode()

    async def checkpoint(
        self, mapping: SourceMapping, shard_id: str, position: Position, result: str | None, outgoing: Sequence[tuple[str, bytes]]
    ) -> None:
        """A shard's position and what must be delivered because of it, together."""

        def save(txn: Txn) -> list[bytes]:
            txn.put(pack("position", mapping.uuid, shard_id), positions.encode(position))
            if result is not None:
                txn.put(pack("result", mapping.uuid), result.encode())
            return self._outbox.add(txn, outgoing)

        self._outbox.send(_shard(mapping), await self._store.write(_shard(mapping), save))

    async def note_done(self, mapping: SourceMapping, shard_id: str) -> None:
        def note(txn: Txn) -> None:
            txn.delete(pack("position", mapping.uuid, shard_id))
            txn.put(pack("done", mapping.uuid, shard_id), b"")

        await self._store.write(_shard(mapping), note)

    async def forget_shards(self, mapping: SourceMapping, shard_ids: set[str]) -> None:
        """Closed shards that the stream itself no longer has."""

        def forget(txn: Txn) -> None:
            for shard_id in shard_ids:
                txn.delete(pack("done", mapping.uuid, shard_id))

        await self._store.write(_shard(mapping), forget)

    async def forget(self, mapping: SourceMapping) -> None:
        """The mapping is gone. What must still be delivered stays."""

        def forget(txn: Txn) -> None:
            txn.delete(pack("begun", mapping.uuid))
            txn.delete(pack("result", mapping.uuid))
            for kind in ("position", "done"):
                for key, _ in list(txn.scan(*prefix_range(kind, mapping.uuid))):
                    txn.delete(key)

        await self._store.write(_shard(mapping), forget)


def _shard(mapping: SourceMapping) -> str:
    return f"{PREFIX}{mapping.account}/{mapping.region}"
