"""Streams of tables as a source for pollers."""

from collections.abc import Callable, Sequence

import orjson

from cumulet.core.arn import parse_arn
from cumulet.pollers.contract import NoSuchStream, Shard, StreamRecord
from cumulet.services.tables import model_streams, storage
from cumulet.services.tables.model import Document, Place
from cumulet.services.tables.streams import RETENTION_MS, Streams, parse_sequence_number, sequence_number
from cumulet.store.contract import Reader, Store


class TableStreamSource:
    """See the contract `StreamSource`."""

    retention_ms = RETENTION_MS

    def __init__(self, store: Store, streams: Streams) -> None:
        self._store = store
        self._streams = streams

    async def shards(self, stream_arn: str) -> Sequence[Shard]:
        place, name, label = _split(stream_arn)

        def read(reader: Reader) -> Shard:
            stream = self._get(reader, name, label)
            return Shard(model_streams.shard_id(stream), is_closed=stream["ended_ms"] is not None)

        return [await self._store.read(storage.shard_of(place), read)]

    async def read(self, stream_arn: str, shard_id: str, after: str | None, limit: int) -> Sequence[StreamRecord]:
        place, name, label = _split(stream_arn)

        def read(reader: Reader) -> list[StreamRecord]:
            stream = self._get(reader, name, label)
            start = parse_sequence_number(after) if after is not None else 0
            return [_record(place, stream, *pair) for pair in self._streams.read(reader, stream, start, limit)]

        return await self._store.read(storage.shard_of(place), read)

    async def newest(self, stream_arn: str, shard_id: str) -> str | None:
        place, name, label = _split(stream_arn)
        last = await self._store.read(
            storage.shard_of(place), lambda reader: self._streams.last(reader, self._get(reader, name, label))
        )
        return sequence_number(last) if last else None

    def subscribe(self, stream_arn: str, wake: Callable[[], None]) -> Callable[[], None]:
        place, name, _label = _split(stream_arn)
        return self._streams.subscribe(storage.shard_of(place), name, wake)

    def _get(self, reader: Reader, name: str, label: str) -> Document:
        stream = self._streams.find(reader, name, label)
        if stream is None:
            raise NoSuchStream(f"table {name}, stream {label}")
        return stream


def _split(stream_arn: str) -> tuple[Place, str, str]:
    """(place, table name, label). Raises NoSuchStream."""
    try:
        arn = parse_arn(stream_arn)
        kind, name, word, label = arn.resource.split("/")
    except ValueError:
        raise NoSuchStream(stream_arn) from None
    if (arn.service, kind, word) != ("dynamodb", "table", "stream"):
        raise NoSuchStream(stream_arn)
    return Place(arn.account, arn.region), name, label


def _record(place: Place, stream: Document, sequence: int, record: Document) -> StreamRecord:
    event = model_streams.event_of(place, stream, record, sequence)
    return StreamRecord(
        sequence_number(sequence),
        record["at_ms"],
        orjson.dumps(record["keys"], option=orjson.OPT_SORT_KEYS),
        event,
        event["dynamodb"]["SizeBytes"],
    )
