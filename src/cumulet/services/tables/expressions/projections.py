"""Projections: the parts of an item that a request asks for. Pure."""

from collections.abc import Sequence
from typing import Any

from cumulet.services.tables.expressions.nodes import Parts
from cumulet.services.tables.values import Item, Value


class Projection:
    """A tree of what is wanted; paths that lead nowhere are left out, lists keep the order of their elements."""

    def __init__(self, paths: Sequence[Parts]):
        self._paths = tuple(paths)
        self._names: tuple[str, ...] | None = None
        if all(len(parts) == 1 for parts in paths):
            self._names = tuple(str(parts[0]) for parts in paths)
        self._tree = _tree_of(paths)

    def apply(self, item: Item) -> Item:
        """A new item. It shares its values with the old one."""
        if self._names is not None:
            return {name: item[name] for name in self._names if name in item}
        return _members(item, self._tree)

    def paths(self) -> frozenset[str]:
        """The attributes of the item that it reads."""
        return frozenset(str(parts[0]) for parts in self._paths)

    def nested(self) -> frozenset[str]:
        """The attributes that it looks into, by `.` or `[]`."""
        return frozenset(str(parts[0]) for parts in self._paths if len(parts) > 1)


_Tree = dict[str | int, Any]


def _tree_of(paths: Sequence[Parts]) -> _Tree:
    """Levels by part; an empty level takes all that is there."""
    root: _Tree = {}
    for parts in paths:
        level = root
        for part in parts:
            level = level.setdefault(part, {})
    return root


def _members(members: dict[str, Value], tree: _Tree) -> dict[str, Value]:
    taken: dict[str, Value] = {}
    for name, below in tree.items():
        if isinstance(name, str) and name in members:
            value = _part(members[name], below)
            if value is not None:
                taken[name] = value
    return taken


def _part(value: Value, tree: _Tree) -> Value | None:
    """None: nothing that is wanted is there."""
    if not tree:
        return value
    if isinstance(next(iter(tree)), int):
        elements = value.get("L", ())
        found = [_part(elements[at], tree[at]) for at in sorted(tree) if at < len(elements)]  # type: ignore[operator]
        kept = [element for element in found if element is not None]
        return {"L": kept} if kept else None
    taken = _members(value.get("M", {}), tree)
    return {"M": taken} if taken else None
