"""Streams as clients see them: descriptions, shards, records and iterators. Pure.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB_Streams.html
"""

import base64
import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

import orjson

from cumulet.services.tables.errors import ExpiredIterator, ValidationFault
from cumulet.services.tables.model import Document, Place, stream_arn
from cumulet.services.tables.sizes import item_size
from cumulet.services.tables.streams import sequence_number

ITERATOR_LIFE_MS = 15 * 60 * 1000


def arn_of(place: Place, stream: Document) -> str:
    return stream_arn(place, stream["table"], stream["label"])


def shard_id(stream: Document) -> str:
    """A stream has one shard, for as long as it lives."""
    return f"shardId-{stream['created_ms']:020d}-{zlib.crc32(stream['label'].encode()):08x}"


def listed(place: Place, stream: Document) -> Document:
    return {"StreamArn": arn_of(place, stream), "TableName": stream["table"], "StreamLabel": stream["label"]}


def described(place: Place, stream: Document, last: int) -> Document:
    """A StreamDescription without its shards. `last` is the newest sequence number that was given, 0 for none."""
    return listed(place, stream) | {
        "StreamStatus": "ENABLED" if stream["ended_ms"] is None else "DISABLED",
        "StreamViewType": stream["view"],
        "CreationRequestDateTime": stream["created_ms"] / 1000,
        "KeySchema": stream["key"],
    }


def shard_described(stream: Document, oldest: int | None, last: int) -> Document:
    numbers = {"StartingSequenceNumber": sequence_number(oldest if oldest is not None else last + 1)}
    if stream["ended_ms"] is not None:
        numbers["EndingSequenceNumber"] = sequence_number(last)
    return {"ShardId": shard_id(stream), "SequenceNumberRange": numbers}


def change_of(record: Document, sequence: int, view: str) -> Document:
    """The `dynamodb` member of a record."""
    change: Document = {
        "ApproximateCreationDateTime": record["at_ms"] // 1000,
        "Keys": record["keys"],
        "SequenceNumber": sequence_number(sequence),
        "StreamViewType": view,
    }
    size = item_size(record["keys"])
    for member, name in (("new", "NewImage"), ("old", "OldImage")):
        if member in record:
            change[name] = record[member]
            size += item_size(record[member])
    change["SizeBytes"] = size
    return change


def record_of(place: Place, stream: Document, record: Document, sequence: int) -> Document:
    """A record as GetRecords answers it."""
    found: Document = {
        "eventID": _event_id(stream, sequence),
        "eventName": record["event"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": place.region,
        "dynamodb": change_of(record, sequence, stream["view"]),
    }
    if "user" in record:
        found["userIdentity"] = {"Type": record["user"]["type"], "PrincipalId": record["user"]["principalId"]}
    return found


def event_of(place: Place, stream: Document, record: Document, sequence: int) -> Document:
    """A record as functions get it."""
    found = record_of(place, stream, record, sequence)
    if "user" in record:
        found["userIdentity"] = record["user"]
    found["eventSourceARN"] = arn_of(place, stream)
    return found


def _event_id(stream: Document, sequence: int) -> str:
    return hashlib.blake2b(f"{stream['table']}/{stream['label']}/{sequence}".encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class ShardIterator:
    """A place in a shard: the records after a sequence number. It is nobody's secret: who reads must own the stream."""

    arn: str
    shard: str
    after: int
    made_ms: int

    def encode(self) -> str:
        body = orjson.dumps([self.shard, self.after, self.made_ms])
        return f"{self.arn}|1|{base64.b64encode(body).decode()}"


def parse_iterator(text: str, now_ms: int) -> ShardIterator:
    """Raises ValidationFault for what is no iterator, ExpiredIterator for one older than 15 minutes."""
    arn, _, rest = text.partition("|1|")
    try:
        found: Any = orjson.loads(base64.b64decode(rest, validate=True))
        shard, after, made_ms = found
        iterator = ShardIterator(arn, str(shard), int(after), int(made_ms))
    except (ValueError, TypeError):
        raise ValidationFault("Invalid ShardIterator") from None
    if iterator.after < 0:
        raise ValidationFault("Invalid ShardIterator")
    if now_ms - iterator.made_ms > ITERATOR_LIFE_MS:
        raise ExpiredIterator("Iterator expired. The iterator was created more than 15 minutes ago.")
    return iterator
