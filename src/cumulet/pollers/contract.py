"""What a poller asks of a source of work, and what it is told of a mapping.

A *stream* keeps its records: readers hold positions in its shards, and many may read it. A *queue* gives each message away and
wants it deleted; queues will be a second family beside `StreamSource`, with a loop of their own over the same mappings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cumulet.core.arn import parse_arn


class NoSuchStream(Exception):
    """The stream is gone, or never was."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One record. `sequence` is a decimal number as text, growing along a shard; records with the same `key` stay in order.

    `body` is the record as the function gets it, of values that JSON has.
    """

    sequence: str
    created_ms: int
    key: bytes
    body: Mapping[str, Any]
    body_bytes: int = 0

    @property
    def order(self) -> int:
        return int(self.sequence)


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard is read to its end before those that name it as their `parent`; an open one has no end yet."""

    id: str
    parent: str | None = None
    is_closed: bool = False


class StreamSource(Protocol):
    """Streams of one service, which keep their records for `retention_ms`. What awaits raises NoSuchStream."""

    retention_ms: int

    async def shards(self, stream_arn: str) -> Sequence[Shard]:
        """All shards that still hold records or may get some, parents before children."""
        ...

    async def read(self, stream_arn: str, shard_id: str, after: str | None, limit: int) -> Sequence[StreamRecord]:
        """Records in order, those whose sequence is greater than `after` (None: from the oldest kept). None left: empty."""
        ...

    async def newest(self, stream_arn: str, shard_id: str) -> str | None:
        """The sequence of the last record that is durable in the shard; None when there is none."""
        ...

    def subscribe(self, stream_arn: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after records or shards were added durably; returns what ends it. `wake` never blocks or raises."""
        ...


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """An event source mapping as a poller needs it. `settings` are the wire's members by name."""

    uuid: str
    account: str
    region: str
    source_arn: str
    function: str
    qualifier: str | None
    is_enabled: bool
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def function_arn(self) -> str:
        arn = f"arn:aws:lambda:{self.region}:{self.account}:function:{self.function}"
        return f"{arn}:{self.qualifier}" if self.qualifier else arn


class Sources:
    """The registry of stream sources by the service part of the ARN (`dynamodb`)."""

    def __init__(self) -> None:
        self._by_service: dict[str, StreamSource] = {}

    def register(self, service: str, source: StreamSource) -> None:
        self._by_service[service] = source

    def has(self, service: str) -> bool:
        return service in self._by_service

    def find(self, arn: str) -> StreamSource | None:
        """The source that reads what `arn` names; None when nothing on this node does."""
        try:
            return self._by_service.get(parse_arn(arn).service)
        except ValueError:
            return None
