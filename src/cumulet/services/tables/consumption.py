"""What requests cost in capacity units, and how that is told. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from cumulet.services.tables.changes import Cost
from cumulet.services.tables.model import Document, Table

_READ_UNIT_BYTES = 4096


def read_units(size: int, *, is_consistent: bool = False) -> float:
    """Of an item or a page; what is not there costs as little as anything."""
    units = float(-(-size // _READ_UNIT_BYTES) or 1)
    return units if is_consistent else units / 2


def add_cost(total: Cost, cost: Mapping[str, float]) -> None:
    for name, units in cost.items():
        total[name] = total.get(name, 0.0) + units


def consumed(wanted: str | None, table: Table, given_name: str, cost: Cost, split: str = "") -> Document | None:
    """A ConsumedCapacity, or None where it isn't asked for. `split` is "Read" or "Write" where the answer tells which it was."""
    if wanted not in ("TOTAL", "INDEXES"):
        return None
    found = {"TableName": given_name, **_units(sum(cost.values()), split)}
    if wanted == "TOTAL":
        return found
    found["Table"] = _units(cost.get("", 0.0), split)
    for kind, is_global in (("GlobalSecondaryIndexes", True), ("LocalSecondaryIndexes", False)):
        of_kind = {
            name: _units(units, split)
            for name, units in cost.items()
            if name and (index := table.by_index_name.get(name)) is not None and index.is_global == is_global
        }
        if of_kind:
            found[kind] = of_kind
    return found


def consumed_of_all(wanted: str | None, costs: Iterable[tuple[Table, str, Cost]], split: str = "") -> list[Document] | None:
    """ConsumedCapacity of a request to several tables."""
    if wanted not in ("TOTAL", "INDEXES"):
        return None
    return [found for table, name, cost in costs if (found := consumed(wanted, table, name, cost, split)) is not None]


def _units(units: float, split: str) -> dict[str, Any]:
    return {"CapacityUnits": units, f"{split}CapacityUnits": units}
