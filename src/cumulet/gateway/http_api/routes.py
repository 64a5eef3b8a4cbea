"""Which route of an HTTP API a request means: a tree of the paths. The cost grows with the path's length, not with the API's.

A route that matches the whole path goes before one that ends in a greedy variable, and that before `$default`; on the way a
literal goes before a variable, and the method before `ANY`. Parts are compared percent-decoded; a trailing slash means
something. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")


@dataclass(slots=True)
class _Node(Generic[T]):
    """`targets` and `greedy` are {method: (route, names of the path's variables)}."""

    targets: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)
    greedy: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)
    literals: dict[str, "_Node[T]"] = field(default_factory=dict)
    variable: "_Node[T] | None" = None


class Routes(Generic[T]):
    """Built once for a deployment from (route key, what is there)."""

    def __init__(self, routes: Iterable[tuple[str, T]]) -> None:
        self._root: _Node[T] = _Node()
        self._default: T | None = None
        self._exact: dict[str, tuple[T, dict[str, str]]] = {}
        """Routes without variables, by their key: nothing goes before them."""
        for key, target in routes:
            if key == "$default":
                self._default = target
            else:
                method, _, path = key.partition(" ")
                self._add(method, path, target)
                if "{" not in path and "%" not in path:
                    self._exact[key] = (target, {})

    def _add(self, method: str, path: str, target: T) -> None:
        node, names = self._root, []
        for part in path[1:].split("/"):
            if part.startswith("{") and part.endswith("}"):
                names.append(part[1:-1].removesuffix("+"))
                if part.endswith("+}"):
                    node.greedy[method] = (target, tuple(names))
                    return
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(part, _Node())
        node.targets[method] = (target, tuple(names))

    def match(self, path: str, method: str) -> tuple[T, dict[str, str]] | None:
        """(route, decoded path parameters). `path` begins with a slash and is as sent."""
        exact = self._exact.get(f"{method} {path}")
        if exact is not None:
            return exact
        parts = path[1:].split("/")
        if "%" in path:
            parts = [unquote(part) for part in parts]
        greedy: list[tuple[tuple[T, tuple[str, ...]], list[str], int]] = []
        values: list[str] = []
        found = _search(self._root, parts, 0, method, values, greedy)
        if found is not None:
            return found[0], dict(zip(found[1], values, strict=True))
        if greedy:
            (target, names), values, at = max(greedy, key=lambda each: each[2])
            return target, dict(zip(names, [*values, "/".join(parts[at:])], strict=True))
        return (self._default, {}) if self._default is not None else None


def _search(
    node: _Node[T],
    parts: list[str],
    at: int,
    method: str,
    values: list[str],
    greedy: list[tuple[tuple[T, tuple[str, ...]], list[str], int]],
) -> tuple[T, tuple[str, ...]] | None:
    """A route for the whole path, with its values; greedy ones that are passed on the way are noted."""
    if at == len(parts):
        return node.targets.get(method) or node.targets.get("ANY")
    if node.greedy and (at < len(parts) - 1 or parts[at]):
        passed = node.greedy.get(method) or node.greedy.get("ANY")
        if passed is not None:
            greedy.append((passed, values.copy(), at))
    literal = node.literals.get(parts[at])
    if literal is not None:
        found = _search(literal, parts, at + 1, method, values, greedy)
        if found is not None:
            return found
    if node.variable is not None and parts[at]:
        values.append(parts[at])
        found = _search(node.variable, parts, at + 1, method, values, greedy)
        if found is not None:
            return found
        values.pop()
    return None
