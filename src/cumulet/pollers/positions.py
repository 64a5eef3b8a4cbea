"""How far a mapping has come in a shard: which records are settled, whatever lanes they fell into. Pure.

Each lane is settled up to a sequence of its own. When the number of lanes changes, what the old ones had settled beyond the
slowest of them stays known (`older`), so that no record is handled twice for it.
"""

import zlib
from dataclasses import dataclass, field
from typing import Any

import orjson

from cumulet.pollers.contract import StreamRecord


def lane_of(key: bytes, lanes: int) -> int:
    """The lane of a key: always the same for as many lanes."""
    return zlib.crc32(key) % lanes


@dataclass(frozen=True, slots=True)
class LanePosition:
    """`after` None: from the oldest record. A tumbling window's start and state are kept with the position they belong to."""

    after: str | None = None
    window_ms: int | None = None
    state: Any = None

    @property
    def order(self) -> int:
        return -1 if self.after is None else int(self.after)


@dataclass(frozen=True, slots=True)
class Position:
    """The lanes' positions, and for each earlier number of lanes the orders that they had reached."""

    lanes: tuple[LanePosition, ...] = (LanePosition(),)
    older: tuple[tuple[int, ...], ...] = field(default=())

    @property
    def after(self) -> str | None:
        """Where reading must go on: the slowest lane."""
        return min(self.lanes, key=lambda lane: lane.order).after

    def is_settled(self, record: StreamRecord) -> bool:
        if record.order <= self.lanes[lane_of(record.key, len(self.lanes))].order:
            return True
        return any(record.order <= orders[lane_of(record.key, len(orders))] for orders in self.older)

    def with_lanes(self, count: int) -> "Position":
        """For another number of lanes. Open windows stay with the lanes that stay; those of lanes that go are given up."""
        if count == len(self.lanes):
            return self
        reached = tuple(lane.order for lane in self.lanes)
        windows = [(lane.window_ms, lane.state) for lane in self.lanes] + [(None, None)] * count
        return Position(
            tuple(LanePosition(self.after, *window) for window in windows[:count]),
            self._still_needed((*self.older, reached), self.after),
        )

    def moved(self, lanes: tuple[LanePosition, ...]) -> "Position":
        slowest = min(lanes, key=lambda lane: lane.order).after
        return Position(lanes, self._still_needed(self.older, slowest) if self.older else ())

    @staticmethod
    def _still_needed(older: tuple[tuple[int, ...], ...], after: str | None) -> tuple[tuple[int, ...], ...]:
        order = -1 if after is None else int(after)
        return tuple(orders for orders in older if max(orders) > order)


def encode(position: Position) -> bytes:
    lanes = [[lane.after, lane.window_ms, lane.state] for lane in position.lanes]
    return orjson.dumps({"lanes": lanes, "older": [[str(order) for order in orders] for orders in position.older]})


def decode(data: bytes) -> Position:
    fields = orjson.loads(data)
    older = tuple(tuple(int(order) for order in orders) for orders in fields["older"])
    return Position(tuple(LanePosition(*lane) for lane in fields["lanes"]), older)
