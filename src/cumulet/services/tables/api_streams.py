"""DynamoDB Streams' API: what was recorded of changes, read by position."""

from collections.abc import Mapping
from typing import Any

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import Handler, operation, operations_of
from cumulet.services.tables import model_streams, storage
from cumulet.services.tables.errors import ResourceNotFound, TrimmedDataAccess, ValidationFault
from cumulet.services.tables.model import Document, Place
from cumulet.services.tables.model_streams import ShardIterator
from cumulet.services.tables.names import resource_of, table_name
from cumulet.services.tables.streams import Streams, parse_sequence_number
from cumulet.store.contract import Reader, Store

_MOST_STREAMS = 100
_MOST_RECORDS = 1000
_MOST_BYTES = 1 << 20


class TableStreamsService:
    """Reads what `Streams` wrote."""

    def __init__(self, store: Store, clock: Clock, streams: Streams) -> None:
        self._store = store
        self._clock = clock
        self._streams = streams
        self.handlers: Mapping[str, Handler] = operations_of(self)

    @operation("ListStreams")
    async def list_streams(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place = Place(ctx.account, ctx.region)
        name = table_name(ctx, req["TableName"]) if "TableName" in req else None
        limit = _limited(req, _MOST_STREAMS, "100")
        after = req.get("ExclusiveStartStreamArn")
        start = _stream_place(ctx, after) if after is not None else ("", "")

        def read(reader: Reader) -> list[Document]:
            return [each for each in self._streams.all(reader, name) if (each["table"], each["label"]) > start]

        found = await self._store.read(storage.shard_of(place), read)
        result: dict[str, Any] = {"Streams": [model_streams.listed(place, each) for each in found[:limit]]}
        if len(found) > limit:
            result["LastEvaluatedStreamArn"] = model_streams.arn_of(place, found[limit - 1])
        return result

    @operation("DescribeStream")
    async def describe_stream(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place = Place(ctx.account, ctx.region)
        _limited(req, _MOST_STREAMS, "100")

        def read(reader: Reader) -> dict[str, Any]:
            stream = self._get(reader, ctx, req["StreamArn"])
            last = self._streams.last(reader, stream)
            shard = model_streams.shard_described(stream, self._streams.oldest(reader, stream), last)
            is_left_out = "ShardFilter" in req or req.get("ExclusiveStartShardId", "") >= shard["ShardId"]
            described = model_streams.described(place, stream, last)
            return {"StreamDescription": described | {"Shards": [] if is_left_out else [shard]}}

        return await self._store.read(storage.shard_of(place), read)

    @operation("GetShardIterator")
    async def get_shard_iterator(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        kind, arn = req["ShardIteratorType"], req["StreamArn"]
        number = _sequence(req)

        def read(reader: Reader) -> int:
            stream = self._get(reader, ctx, arn)
            _check_shard(stream, req["ShardId"], arn)
            if kind == "LATEST":
                return self._streams.last(reader, stream)
            oldest = self._streams.oldest_after(reader, stream, self._clock.now_ms())
            if kind == "TRIM_HORIZON":
                return oldest - 1
            after = number - 1 if kind == "AT_SEQUENCE_NUMBER" else number
            if after < oldest - 1:
                raise TrimmedDataAccess("The operation attempted to read past the oldest stream record in a shard.")
            return after

        after = await self._store.read(storage.shard_of(Place(ctx.account, ctx.region)), read)
        return {"ShardIterator": ShardIterator(arn, req["ShardId"], after, self._clock.now_ms()).encode()}

    @operation("GetRecords")
    async def get_records(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        place, now_ms = Place(ctx.account, ctx.region), self._clock.now_ms()
        limit = _limited(req, _MOST_RECORDS, "1000")
        iterator = model_streams.parse_iterator(req["ShardIterator"], now_ms)

        def read(reader: Reader) -> tuple[list[Document], int | None]:
            stream = self._get(reader, ctx, iterator.arn)
            _check_shard(stream, iterator.shard, iterator.arn)
            if iterator.after < self._streams.oldest_after(reader, stream, now_ms) - 1:
                raise TrimmedDataAccess("The operation attempted to read past the oldest stream record in a shard.")
            found: list[Document] = []
            after, size = iterator.after, 0
            for sequence, record in self._streams.read(reader, stream, after, limit):
                shown = model_streams.record_of(place, stream, record, sequence)
                size += shown["dynamodb"]["SizeBytes"]
                if found and size > _MOST_BYTES:
                    break
                found.append(shown)
                after = sequence
            is_over = stream["ended_ms"] is not None and after >= self._streams.last(reader, stream)
            return found, None if is_over else after

        records, after = await self._store.read(storage.shard_of(place), read)
        result: dict[str, Any] = {"Records": records}
        if after is not None:
            result["NextShardIterator"] = ShardIterator(iterator.arn, iterator.shard, after, now_ms).encode()
        return result

    def _get(self, reader: Reader, ctx: Context, arn: str) -> Document:
        stream = self._streams.find(reader, *_stream_place(ctx, arn))
        if stream is None:
            raise ResourceNotFound(f"Requested resource not found: Stream: {arn} not found")
        return stream


def _stream_place(ctx: Context, arn: str) -> tuple[str, str]:
    """(table name, label). Raises ValidationFault, ResourceNotFound."""
    name, rest = resource_of(ctx, arn)
    kind, _, label = rest.lstrip("/").partition("/")
    if kind != "stream":
        raise ValidationFault(f"Invalid StreamArn: {arn}")
    return name, label


def _check_shard(stream: Document, shard: str, arn: str) -> None:
    if shard != model_streams.shard_id(stream):
        raise ResourceNotFound(f"Requested resource not found: Shard: {shard} in Stream: {arn} not found")


def _sequence(req: dict[str, Any]) -> int:
    """The position that a request names, 0 when its kind of iterator wants none."""
    if req["ShardIteratorType"] not in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        return 0
    try:
        number = parse_sequence_number(req.get("SequenceNumber", ""))
    except ValueError:
        number = 0
    if number < 1:
        raise ValidationFault("Invalid SequenceNumber")
    return number


def _limited(req: dict[str, Any], most: int, words: str) -> int:
    limit: int = req.get("Limit", most)
    if not 1 <= limit <= most:
        raise ValidationFault(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
            f"Member must have value less than or equal to {words}"
        )
    return limit
