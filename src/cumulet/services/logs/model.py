"""Groups, streams and events as records, and the rules about them. Pure."""

from dataclasses import dataclass, field
from typing import Any

from cumulet.services.logs.errors import InvalidParameter

RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
MAX_BATCH_BYTES = 1_048_576
MAX_BATCH_EVENTS = 10_000
EVENT_OVERHEAD_BYTES = 26
_DAY_MS = 24 * 3600 * 1000
MAX_PAST_MS = 14 * _DAY_MS
MAX_FUTURE_MS = 2 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    created_ms: int
    retention_days: int | None = None
    stored_bytes: int = 0
    group_class: str = "STANDARD"
    tags: dict[str, str] = field(default_factory=dict)

    def arn(self, account: str, region: str) -> str:
        return f"arn:aws:logs:{region}:{account}:log-group:{self.name}"

    def oldest_ms(self, now_ms: int) -> int:
        """Events before this have expired."""
        return 0 if self.retention_days is None else now_ms - self.retention_days * _DAY_MS


@dataclass(frozen=True, slots=True)
class Stream:
    """Times are in Unix milliseconds, None before the first event. `next_sequence` orders events of one moment."""

    name: str
    created_ms: int
    first_ms: int | None = None
    last_ms: int | None = None
    ingested_ms: int | None = None
    next_sequence: int = 0
    stored_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    stream: str
    timestamp_ms: int
    sequence: int
    message: str
    ingested_ms: int

    @property
    def id(self) -> str:
        return f"{self.timestamp_ms:020d}{self.sequence:018d}{abs(hash_of(self.stream)) % 10**18:018d}"


def hash_of(text: str) -> int:
    """A number for a stream's name, the same in every process."""
    value = 0
    for byte in text.encode():
        value = (value * 131 + byte) & ((1 << 60) - 1)
    return value


def grown(stream: Stream, lines: list[tuple[int, str]], size: int, now_ms: int) -> Stream:
    """The stream after more events, of `size` bytes together."""
    times = [at_ms for at_ms, _ in lines]
    return Stream(
        name=stream.name,
        created_ms=stream.created_ms,
        first_ms=min(times if stream.first_ms is None else [stream.first_ms, *times]),
        last_ms=max(times if stream.last_ms is None else [stream.last_ms, *times]),
        ingested_ms=now_ms,
        next_sequence=stream.next_sequence + len(lines),
        stored_bytes=stream.stored_bytes + size,
    )


def size_of(lines: list[tuple[int, str]]) -> int:
    size = EVENT_OVERHEAD_BYTES * len(lines)
    for _, message in lines:
        size += len(message) if message.isascii() else len(message.encode())
    return size


def check_batch(lines: list[tuple[int, str]]) -> None:
    """Raises InvalidParameter for a batch that PutLogEvents does not take."""
    if size_of(lines) > MAX_BATCH_BYTES or len(lines) > MAX_BATCH_EVENTS:
        raise InvalidParameter("Upload too large: a batch holds at most 1,048,576 bytes and 10,000 events.")
    times = [at_ms for at_ms, _ in lines]
    if times != sorted(times):
        raise InvalidParameter("Log events in a single PutLogEvents request must be in chronological order.")
    if times and times[-1] - times[0] > _DAY_MS:
        raise InvalidParameter("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")


def split_by_age(lines: list[tuple[int, str]], group: Group, now_ms: int) -> tuple[list[tuple[int, str]], dict[str, Any]]:
    """(accepted events, rejectedLogEventsInfo) of a batch in order."""
    info: dict[str, Any] = {}
    oldest_ms = max(now_ms - MAX_PAST_MS, group.oldest_ms(now_ms))
    too_old = sum(at_ms < oldest_ms for at_ms, _ in lines)
    too_new = [index for index, (at_ms, _) in enumerate(lines) if at_ms > now_ms + MAX_FUTURE_MS]
    if too_old:
        info["tooOldLogEventEndIndex"] = too_old
    if too_new:
        info["tooNewLogEventStartIndex"] = too_new[0]
    return lines[too_old : too_new[0] if too_new else None], info
