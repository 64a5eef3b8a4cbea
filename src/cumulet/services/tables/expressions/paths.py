"""Document paths in items: what stands at one, and which two cannot stand in one expression. Pure."""

from collections.abc import Sequence

from cumulet.services.tables.expressions.nodes import Invalid, Parts, path_text
from cumulet.services.tables.values import Item, Value


def find(item: Item, parts: Parts) -> Value | None:
    """None where nothing is."""
    value = item.get(parts[0])  # type: ignore[arg-type]
    for part in parts[1:]:
        if value is None:
            return None
        value = step(value, part)
    return value


def step(value: Value, part: str | int) -> Value | None:
    """One part further into a map or list."""
    if isinstance(part, int):
        elements: list[Value] = value.get("L", ())
        return elements[part] if part < len(elements) else None
    members: dict[str, Value] = value.get("M", {})
    return members.get(part)


def check_apart(paths: Sequence[Parts]) -> None:
    """No path is another or leads through it, and none uses a map as another uses a list. Raises Invalid.

    One pass over a tree of what was seen, so that many paths cost no more than their length.
    """
    root: dict[str | int, object] = {}
    for parts in paths:
        _enter(root, parts)


def _enter(root: dict[str | int, object], parts: Parts) -> None:
    """The tree's leaves are the paths that end there; a level holds only names or only indexes."""
    level = root
    for depth, part in enumerate(parts):
        if level and isinstance(next(iter(level)), int) != isinstance(part, int):
            raise _conflict(_first_path(level), parts)
        below = level.get(part)
        is_last = depth == len(parts) - 1
        if below is not None and (is_last or isinstance(below, tuple)):
            raise _overlap(below if isinstance(below, tuple) else _first_path(below), parts)
        if is_last:
            level[part] = parts
            return
        if below is None:
            below = level[part] = {}
        level = below  # type: ignore[assignment]


def _first_path(level: object) -> Parts:
    while isinstance(level, dict):
        level = next(iter(level.values()))
    assert isinstance(level, tuple)
    return level


def _overlap(first: Parts, second: Parts) -> Invalid:
    return Invalid(
        "Two document paths overlap with each other; must remove or rewrite one of these paths; "
        f"path one: {path_text(first)}, path two: {path_text(second)}"
    )


def _conflict(first: Parts, second: Parts) -> Invalid:
    return Invalid(
        "Two document paths conflict with each other; must remove or rewrite one of these paths; "
        f"path one: {path_text(first)}, path two: {path_text(second)}"
    )
