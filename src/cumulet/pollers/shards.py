"""One shard on its way through a mapping: what was read of it, its lanes, and how far it is settled. No I/O."""

import asyncio
from collections.abc import Iterable

from cumulet.pollers.contract import StreamRecord
from cumulet.pollers.lanes import MAX_BATCH_BYTES, Lane
from cumulet.pollers.positions import LanePosition, Position, lane_of
from cumulet.pollers.settings import StreamSettings

_MIN_BUFFER = 1000


class ShardWork:
    """`cursor` is the last sequence that was read; `is_dry` says that there is nothing beyond it."""

    def __init__(self, shard_id: str, position: Position, settings: StreamSettings) -> None:
        self.id = shard_id
        self._settings = settings
        self._position = position.with_lanes(settings.parallelisation)
        self.lanes = [Lane(settings, each.after, each.window_ms, each.state) for each in self._position.lanes]
        self.cursor = self._position.after
        self.saved = position
        self.is_dry = False
        self.is_closed = False
        self.outgoing: list[tuple[str, bytes]] = []
        self.saving = asyncio.Lock()
        """Held while a checkpoint is written, so that positions reach the store in order."""

    @property
    def room(self) -> int:
        """How many more records to read ahead."""
        most = max(_MIN_BUFFER, 2 * self._settings.batch_size * len(self.lanes))
        if sum(lane.backlog_bytes for lane in self.lanes) > 2 * MAX_BATCH_BYTES:
            return 0
        return max(0, most - sum(lane.backlog for lane in self.lanes))

    @property
    def is_settled(self) -> bool:
        return all(lane.is_settled for lane in self.lanes)

    @property
    def has_open_window(self) -> bool:
        return any(lane.window_ms is not None for lane in self.lanes)

    def take(self, records: Iterable[StreamRecord], now_ms: int) -> None:
        """Records that were read after `cursor`: those that are wanted and not settled before go to their lanes."""
        for record in records:
            self.cursor = record.sequence
            if self._position.is_settled(record) or not self._is_wanted(record):
                continue
            self.lanes[lane_of(record.key, len(self.lanes))].take(record, now_ms)

    def position(self) -> Position:
        """A lane that has nothing to do has settled all that was read."""
        lanes = tuple(
            LanePosition(self.cursor if lane.is_settled else lane.after, lane.window_ms, lane.state if lane.window_ms else None)
            for lane in self.lanes
        )
        return Position(lanes, self._position.older).moved(lanes)

    def _is_wanted(self, record: StreamRecord) -> bool:
        if self._settings.starts_at == "AT_TIMESTAMP" and record.created_ms < self._settings.starts_at_ms:
            return False
        return self._settings.wants(record.body)
