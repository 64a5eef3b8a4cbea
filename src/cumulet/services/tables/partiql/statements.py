"""Statements as data: what they say, before parameters and tables are known. Pure."""

from dataclasses import dataclass
from typing import Any

from cumulet.services.tables.expressions.nodes import Assignment, ConditionNode, Parts
from cumulet.services.tables.expressions.paths import find
from cumulet.services.tables.expressions.projections import Projection
from cumulet.services.tables.values import Item


@dataclass(frozen=True, slots=True)
class Common:
    """`literals` and the number of `parameters` make Bindings; `table` and `index` are as they were spelled."""

    table: str
    index: str | None
    literals: tuple[Any, ...]
    parameters: int


@dataclass(frozen=True, slots=True)
class Select(Common):
    """`paths` None: `*`. `order`: attributes, and whether each is descending."""

    paths: tuple[Parts, ...] | None
    where: ConditionNode | None
    order: tuple[tuple[str, bool], ...] = ()

    def projection(self) -> "Selection | None":
        return None if self.paths is None else Selection(self.paths)


@dataclass(frozen=True, slots=True)
class Insert(Common):
    """`item` is the number of the literal."""

    item: str


@dataclass(frozen=True, slots=True)
class Update(Common):
    """`returns` is the ReturnValues of the data API that RETURNING means."""

    actions: tuple[Assignment, ...]
    where: ConditionNode | None
    returns: str = "NONE"


@dataclass(frozen=True, slots=True)
class Delete(Common):
    where: ConditionNode | None
    returns: str = "NONE"


@dataclass(frozen=True, slots=True)
class Exists(Common):
    """A condition that holds for an item; only for transactions."""

    where: ConditionNode | None


Statement = Select | Insert | Update | Delete | Exists


class Selection(Projection):
    """Each path's value under the path's last name: `m.a` is `a`, `l[0]` is `l[0]`."""

    def __init__(self, paths: tuple[Parts, ...]):
        super().__init__(paths)
        self._named = [(name_of(parts), parts) for parts in paths]

    def apply(self, item: Item) -> Item:
        found = [(name, find(item, parts)) for name, parts in self._named]
        return {name: value for name, value in found if value is not None}


def name_of(parts: Parts) -> str:
    last = max(at for at, part in enumerate(parts) if isinstance(part, str))
    return str(parts[last]) + "".join(f"[{index}]" for index in parts[last + 1 :])
