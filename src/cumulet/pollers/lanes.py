"""What to send next, what a result means, and how far a shard is settled. Pure: no clock, no store, no loop.

A shard is worked on by one lane for each unit of its parallelisation factor; a key always falls into the same lane, and a lane
sends one batch at a time, so that records with one key are handled in order.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-windows.html
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Literal

from cumulet.pollers.contract import StreamRecord
from cumulet.pollers.settings import StreamSettings

Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]

MAX_BATCH_BYTES = 6 * 1024 * 1024 - 16 * 1024
"""A synchronous invocation's limit, less what the event says besides its records."""
MAX_STATE_BYTES = 1024 * 1024
_FIRST_PAUSE_MS = 200
_LONGEST_PAUSE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Batch:
    """What one invocation gets. `failures` counts runs that failed on it, by which retries are limited; `invokes` counts all.

    `window_ms` is the start of the tumbling window; the last batch of a window `is_final` and has no records.
    """

    records: tuple[StreamRecord, ...]
    failures: int = 0
    invokes: int = 0
    window_ms: int | None = None
    is_final: bool = False
    is_early: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    batch: Batch


@dataclass(frozen=True, slots=True)
class Drop:
    """Records that will not be handled; `batch` is what was tried with them."""

    batch: Batch
    condition: Condition


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until_ms`, or (None) before something comes."""

    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The function handled all; `state` is what the tumbling window goes on with, of `state_bytes` as JSON."""

    state: Any = None
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class FailedFrom:
    """All records before `index` are handled, those from there on are not."""

    index: int
    state: Any = None
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The function ran and handled nothing, as far as is known."""


@dataclass(frozen=True, slots=True)
class NotInvoked:
    """Throttled, or refused by a fault of the node: no run, no retry used up."""


Outcome = Succeeded | FailedFrom | Failed | NotInvoked
Step = Send | Drop | Wait


class Lane:
    """One lane of a shard. `after` is the sequence up to which it is settled; `window_ms` and `state` are its open window."""

    def __init__(self, settings: StreamSettings, after: str | None = None, window_ms: int | None = None, state: Any = None) -> None:
        self._settings = settings
        self._waiting: deque[tuple[StreamRecord, int]] = deque()
        self._waiting_bytes = 0
        self._todo: list[Batch] = []
        self._pauses = 0
        self._not_before_ms = 0
        self._is_state_full = False
        self.after = after
        self.window_ms = window_ms
        self.state: Any = {} if state is None else state
        self.is_busy = False

    @property
    def backlog(self) -> int:
        """Records that wait, in batches or not; those that are being handled too."""
        return len(self._waiting) + sum(len(batch.records) for batch in self._todo)

    @property
    def backlog_bytes(self) -> int:
        """Of the records that wait to be put into batches."""
        return self._waiting_bytes

    @property
    def is_settled(self) -> bool:
        """Nothing that was read is still to be handled."""
        return not self._waiting and not self._todo and not self.is_busy

    def take(self, record: StreamRecord, now_ms: int) -> None:
        """A record that was read, and got through the filters."""
        self._waiting.append((record, now_ms))
        self._waiting_bytes += record.body_bytes

    def next_step(self, now_ms: int, *, is_dry: bool) -> Step:
        """What to do now. `is_dry`: the shard holds no record beyond what was taken.

        After a `Send` or `Drop` the lane is busy until `release`: it must not go on before what became of it is durable.
        """
        if self.is_busy:
            return Wait()
        if not self._todo:
            waits = self._form_batch(now_ms, is_dry)
            if waits is not None:
                return waits
        dropped = self._dropped_by_age(now_ms)
        if dropped is None and self._not_before_ms > now_ms:
            return Wait(self._next_look_ms(now_ms))
        self.is_busy = True
        return dropped or Send(self._todo[-1])

    def settle(self, outcome: Outcome, now_ms: int) -> Drop | None:
        """What the result of the batch that was sent means: the lane moves on, or tries (a part of) it again."""
        batch = self._todo.pop()
        if isinstance(outcome, NotInvoked):
            self._todo.append(batch)
            self._pause(now_ms)
            return None
        batch = replace(batch, invokes=batch.invokes + 1)
        if isinstance(outcome, Succeeded):
            self._keep_state(batch, outcome)
            self._passed(batch.records)
            return None
        if isinstance(outcome, FailedFrom) and outcome.index:
            self._keep_state(batch, outcome)
            self._passed(batch.records[: outcome.index])
            # The first of the rest has failed once, whatever those before it took.
            batch = replace(batch, records=batch.records[outcome.index :], failures=0)
        elif isinstance(outcome, Failed) and self._settings.is_bisected and len(batch.records) > 1:
            self._split(batch)
            return None
        return self._failed(replace(batch, failures=batch.failures + 1), now_ms)

    def release(self) -> None:
        """What was settled or dropped is durable."""
        self.is_busy = False

    def _form_batch(self, now_ms: int, is_dry: bool) -> Wait | None:
        """Put the next batch on `_todo`; until when to wait where there is none yet."""
        if self._is_state_full or self._is_window_over(now_ms, is_dry):
            self._todo.append(Batch((), window_ms=self.window_ms, is_final=True, is_early=self._is_state_full))
            return None
        if not self._waiting:
            return Wait(None if self.window_ms is None else self._window_end_ms())
        ready_ms = self._waiting[0][1] + self._settings.batching_window_ms
        is_full = len(self._waiting) >= self._settings.batch_size or self._waiting_bytes >= MAX_BATCH_BYTES
        if not is_full and ready_ms > now_ms:
            return Wait(ready_ms)
        self._todo.append(self._taken_batch())
        return None

    def _taken_batch(self) -> Batch:
        window_ms = self._window_of(self._waiting[0][0])
        records: list[StreamRecord] = []
        size = 0
        while self._waiting and len(records) < self._settings.batch_size:
            record = self._waiting[0][0]
            size += record.body_bytes
            if records and (size > MAX_BATCH_BYTES or self._window_of(record) != window_ms):
                break
            records.append(record)
            self._waiting.popleft()
            self._waiting_bytes -= record.body_bytes
        self.window_ms = window_ms
        return Batch(tuple(records), window_ms=window_ms)

    def _window_of(self, record: StreamRecord) -> int | None:
        """A record that comes late belongs to the window that is open."""
        if self._settings.tumbling_ms is None:
            return None
        start_ms = record.created_ms // self._settings.tumbling_ms * self._settings.tumbling_ms
        return max(start_ms, self.window_ms) if self.window_ms is not None else start_ms

    def _window_end_ms(self) -> int:
        return (self.window_ms or 0) + (self._settings.tumbling_ms or 0)

    def _is_window_over(self, now_ms: int, is_dry: bool) -> bool:
        if self.window_ms is None:
            return False
        if self._waiting:
            return self._window_of(self._waiting[0][0]) != self.window_ms
        return is_dry and now_ms >= self._window_end_ms()

    def _keep_state(self, batch: Batch, outcome: Succeeded | FailedFrom) -> None:
        if batch.window_ms is None:
            return
        if batch.is_final:
            self.state = {}
            self._is_state_full = False
            if not batch.is_early:
                self.window_ms = None
            return
        self.state = outcome.state
        self._is_state_full = outcome.state_bytes > MAX_STATE_BYTES

    def _passed(self, records: tuple[StreamRecord, ...]) -> None:
        self._pauses = 0
        self._not_before_ms = 0
        if records:
            self.after = records[-1].sequence

    def _split(self, batch: Batch) -> None:
        """Two halves, tried at once and in order: splitting is no retry."""
        middle = (len(batch.records) + 1) // 2
        self._todo.append(replace(batch, records=batch.records[middle:]))
        self._todo.append(replace(batch, records=batch.records[:middle]))

    def _failed(self, batch: Batch, now_ms: int) -> Drop | None:
        most = self._settings.maximum_retries
        if most is not None and batch.failures > most and not batch.is_final:  # a window's last run is repeated until it succeeds
            self._passed(batch.records)
            return Drop(batch, "RetryAttemptsExhausted")
        self._todo.append(batch)
        self._pause(now_ms)
        return None

    def _pause(self, now_ms: int) -> None:
        self._not_before_ms = now_ms + min(_FIRST_PAUSE_MS << min(self._pauses, 16), _LONGEST_PAUSE_MS)
        self._pauses += 1

    def _dropped_by_age(self, now_ms: int) -> Drop | None:
        """The first records of the batch that comes next, when they are too old."""
        most_ms = self._settings.maximum_age_ms
        if most_ms is None or not self._todo or not self._todo[-1].records:
            return None
        batch = self._todo[-1]
        old = 0
        while old < len(batch.records) and now_ms - batch.records[old].created_ms > most_ms:
            old += 1
        if not old:
            return None
        self._todo.pop()
        self._passed(batch.records[:old])
        if old < len(batch.records):
            self._todo.append(replace(batch, records=batch.records[old:]))
        return Drop(replace(batch, records=batch.records[:old]), "RecordAgeExceeded")

    def _next_look_ms(self, now_ms: int) -> int:
        """The end of the pause, or the moment when the next record gets too old."""
        if self._settings.maximum_age_ms is None or not self._todo or not self._todo[-1].records:
            return self._not_before_ms
        return max(now_ms, min(self._not_before_ms, self._todo[-1].records[0].created_ms + self._settings.maximum_age_ms + 1))
