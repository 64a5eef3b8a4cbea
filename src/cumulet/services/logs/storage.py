"""Where logs lie: one shard an account and region. The only module of the service that knows keys.

Events of a group are in the order of their time, so that a whole group is read in order without merging its streams.
"""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

import orjson

from cumulet.services.logs.model import Event, Group, Stream
from cumulet.store.contract import Reader, Txn
from cumulet.store.keys import pack, pack_integer, prefix_range, unpack

_SHARD_PREFIX = "logs/"


def shard_of(account: str, region: str) -> str:
    return f"{_SHARD_PREFIX}{account}/{region}"


def is_shard(shard: str) -> bool:
    return shard.startswith(_SHARD_PREFIX)


def find_group(reader: Reader, name: str) -> Group | None:
    data = reader.get(pack("group", name))
    return Group(**orjson.loads(data)) if data is not None else None


def list_groups(reader: Reader, prefix: str = "") -> Iterator[Group]:
    start, end = prefix_range("group")
    for _, value in reader.scan(start, end):
        group = Group(**orjson.loads(value))
        if group.name.startswith(prefix):
            yield group


def put_group(txn: Txn, group: Group) -> None:
    txn.put(pack("group", group.name), orjson.dumps(group))


def delete_group(txn: Txn, name: str) -> None:
    txn.delete(pack("group", name))
    for kind in ("stream", "event", "stream-event"):
        for key, _ in list(txn.scan(*prefix_range(kind, name))):
            txn.delete(key)


def find_stream(reader: Reader, group: str, name: str) -> Stream | None:
    data = reader.get(pack("stream", group, name))
    return Stream(**orjson.loads(data)) if data is not None else None


def list_streams(reader: Reader, group: str) -> Iterator[Stream]:
    for _, value in reader.scan(*prefix_range("stream", group)):
        yield Stream(**orjson.loads(value))


def put_stream(txn: Txn, group: str, stream: Stream) -> None:
    txn.put(pack("stream", group, stream.name), orjson.dumps(stream))


def delete_stream(txn: Txn, group: str, name: str) -> None:
    txn.delete(pack("stream", group, name))
    for key, _ in list(txn.scan(*prefix_range("stream-event", group, name))):
        _, _, _, at_ms, sequence = unpack(key)
        txn.delete(key)
        txn.delete(pack("event", group, at_ms, name, sequence))


def put_lines(txn: Txn, group: str, stream: str, first_sequence: int, lines: list[tuple[int, str]], ingested_ms: int) -> None:
    """Lines in their order. Those of one millisecond that follow each other are one record, found by its group's time and by its
    stream's: an invocation's few lines cost few keys."""
    sequence = first_sequence
    of_group, of_stream, name = pack("event", group), pack("stream-event", group, stream), pack(stream)
    for at_ms, run in groupby(lines, key=itemgetter(0)):
        messages = [message for _, message in run]
        value = orjson.dumps([ingested_ms, *messages])
        at, order = pack_integer(at_ms), pack_integer(sequence)
        txn.put(of_group + at + name + order, value)
        txn.put(of_stream + at + order, value)
        sequence += len(messages)


def list_events(
    reader: Reader, group: str, start_ms: int, end_ms: int | None = None, after: Event | None = None
) -> Iterator[Event]:
    """All events of a group with start_ms <= time < end_ms, in order; only those behind `after` when given."""
    low = pack("event", group, start_ms)
    edge = (after.timestamp_ms, after.stream, after.sequence) if after is not None else None
    if after is not None:
        # The record that holds it may hold more: begin with its stream's first of that moment.
        low = max(low, pack("event", group, after.timestamp_ms, after.stream))
    high = prefix_range("event", group)[1] if end_ms is None else pack("event", group, end_ms)
    for key, value in reader.scan(low, high):
        _, _, at_ms, stream, sequence = unpack(key)
        for event in _events(str(stream), int(at_ms), int(sequence), value):
            if edge is None or (event.timestamp_ms, event.stream, event.sequence) > edge:
                yield event


def list_stream_events(
    reader: Reader,
    group: str,
    stream: str,
    start_ms: int,
    end_ms: int | None,
    *,
    reverse: bool = False,
    beyond: tuple[int, int] | None = None,
) -> Iterator[Event]:
    """One stream's events; `beyond` is the (time, sequence) of the last one seen, in the direction of the scan."""
    low = pack("stream-event", group, stream, start_ms)
    high = prefix_range("stream-event", group, stream)[1] if end_ms is None else pack("stream-event", group, stream, end_ms)
    if beyond is not None and reverse:
        high = min(high, pack("stream-event", group, stream, *beyond))
    elif beyond is not None:
        low = max(low, pack("stream-event", group, stream, beyond[0]))
    for key, value in reader.scan(low, high, reverse=reverse):
        _, _, _, at_ms, sequence = unpack(key)
        events = _events(stream, int(at_ms), int(sequence), value)
        for event in reversed(events) if reverse else events:
            place = (event.timestamp_ms, event.sequence)
            if beyond is None or (place < beyond if reverse else place > beyond):
                yield event


def delete_events_before(txn: Txn, group: str, oldest_ms: int, limit: int) -> int:
    """Forget expired records, at most `limit`; how many were forgotten."""
    count = 0
    for key, _ in list(txn.scan(prefix_range("event", group)[0], pack("event", group, oldest_ms), limit=limit)):
        _, _, at_ms, stream, sequence = unpack(key)
        txn.delete(key)
        txn.delete(pack("stream-event", group, stream, at_ms, sequence))
        count += 1
    return count


def _events(stream: str, at_ms: int, first_sequence: int, value: bytes) -> list[Event]:
    """The events of one record."""
    ingested_ms, *messages = orjson.loads(value)
    return [Event(stream, at_ms, sequence, message, ingested_ms) for sequence, message in enumerate(messages, first_sequence)]
