"""Provisioned capacity: a bucket for the reads and one for the writes of each table and index, filled by the second.

What a table doesn't use it may use later, for up to 300 seconds' worth. The buckets are the node's own and not part of the state:
a transaction that is repeated pays twice.
"""

from cumulet.core.clock import Clock
from cumulet.services.tables.errors import ProvisionedThroughputExceeded
from cumulet.services.tables.model import ON_DEMAND, Table, Throughput

BURST_S = 300
_MOST_BUCKETS = 50_000
_OF_TABLE = (
    "The level of configured provisioned throughput for the table was exceeded. "
    "Consider increasing your provisioning level with the UpdateTable API."
)
_OF_INDEX = (
    "The level of configured provisioned throughput for one or more global secondary indexes of the table was exceeded. "
    "Consider increasing your provisioning level for the under-provisioned global secondary indexes with the UpdateTable API"
)


class Buckets:
    """Meters by shard, table and index."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._levels: dict[tuple[str, int, str, bool], tuple[float, float]] = {}

    def take(self, shard: str, table: Table, cost: dict[str, float], *, is_admitted: bool = False) -> None:
        """Pay what a write costs, by index name, "" for the table. Raises ProvisionedThroughputExceeded, and takes nothing.

        A bucket that holds a second's worth gives more than it holds, once: so an item larger than that can be written. One that
        `admit` let through is paid for whatever it costs.
        """
        if table.billing == ON_DEMAND:
            return
        found = []
        for name, units in cost.items():
            throughput = _throughput_of(table, name)
            if throughput is None or not units:
                continue
            key = (shard, table.number, name if throughput is not table.throughput else "", True)
            level, now_s = self._level(key, throughput.writes)
            if level < min(units, float(throughput.writes)) and not is_admitted:
                raise ProvisionedThroughputExceeded(_OF_INDEX if key[2] else _OF_TABLE)
            found.append((key, level - units, now_s))
        for key, level, now_s in found:
            self._levels[key] = (level, now_s)

    def admit(self, shard: str, table: Table) -> None:
        """Whether a write may be tried. Raises ProvisionedThroughputExceeded."""
        if table.billing == ON_DEMAND:
            return
        names = ("", *(index.name for index in table.written_indexes if index.is_global))
        for name in names:
            throughput = _throughput_of(table, name) or table.throughput
            if self._level((shard, table.number, name, True), throughput.writes)[0] < 1:
                raise ProvisionedThroughputExceeded(_OF_INDEX if name else _OF_TABLE)

    def check(self, shard: str, table: Table, name: str = "") -> None:
        """Whether a read may begin whose cost is only known at its end. Raises ProvisionedThroughputExceeded."""
        if table.billing == ON_DEMAND:
            return
        throughput = _throughput_of(table, name) or table.throughput
        own = name if throughput is not table.throughput else ""
        if self._level((shard, table.number, own, False), throughput.reads)[0] <= 0:
            raise ProvisionedThroughputExceeded(_OF_INDEX if own else _OF_TABLE)

    def charge(self, shard: str, table: Table, name: str, units: float) -> None:
        """The cost of such a read: the bucket may owe some then."""
        if table.billing == ON_DEMAND:
            return
        throughput = _throughput_of(table, name) or table.throughput
        key = (shard, table.number, name if throughput is not table.throughput else "", False)
        level, now_s = self._level(key, throughput.reads)
        self._levels[key] = (level - units, now_s)

    def _level(self, key: tuple[str, int, str, bool], rate: int) -> tuple[float, float]:
        """(what is in the bucket now, now)."""
        now_s, full = self._clock.monotonic_s(), float(rate * BURST_S)
        level, seen_s = self._levels.get(key, (full, now_s))
        if len(self._levels) > _MOST_BUCKETS:
            self._levels.clear()
        return min(full, level + (now_s - seen_s) * rate), now_s


def _throughput_of(table: Table, name: str) -> Throughput | None:
    """Of a global index its own; a local one uses its table's, which its cost is part of."""
    if not name:
        return table.throughput
    index = table.by_index_name.get(name)
    return index.throughput if index is not None and index.is_global else table.throughput
