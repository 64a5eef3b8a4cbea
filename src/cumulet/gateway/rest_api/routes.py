"""Which resource of an API a path means: a tree of its paths. The cost grows with the path's length, not with the API's.

At each level a literal goes before a variable, a variable before a greedy one; a branch that has no resource with the method is
left again. Trailing slashes mean nothing. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Node(Generic[T]):
    methods: dict[str, T] = field(default_factory=dict)
    literals: dict[str, "_Node[T]"] = field(default_factory=dict)
    variable: "tuple[str, _Node[T]] | None" = None
    greedy: "tuple[str, _Node[T]] | None" = None


class Routes(Generic[T]):
    """Built once for a deployment from (resource path, method, what is there)."""

    def __init__(self, routes: Iterable[tuple[str, str, T]]) -> None:
        self._root: _Node[T] = _Node()
        for path, method, target in routes:
            node = self._root
            for part in path.strip("/").split("/") if path != "/" else ():
                node = _child(node, part)
            node.methods[method] = target

    def match(self, path: str, method: str) -> tuple[T, dict[str, str]] | None:
        """(target, path parameters as sent); None where no resource has the path and the method, or `ANY`."""
        trimmed = path.strip("/")
        parts = trimmed.split("/") if trimmed else []
        variables: dict[str, str] = {}
        found = _search(self._root, parts, 0, method, variables)
        return (found, variables) if found is not None else None


def _child(node: _Node[T], part: str) -> _Node[T]:
    if part.startswith("{") and part.endswith("+}"):
        if node.greedy is None:
            node.greedy = (part[1:-2], _Node())
        return node.greedy[1]
    if part.startswith("{") and part.endswith("}"):
        if node.variable is None:
            node.variable = (part[1:-1], _Node())
        return node.variable[1]
    return node.literals.setdefault(part, _Node())


def _search(node: _Node[T], parts: list[str], at: int, method: str, variables: dict[str, str]) -> T | None:
    if at == len(parts):
        return node.methods.get(method) or node.methods.get("ANY")
    literal = node.literals.get(parts[at])
    if literal is not None:
        found = _search(literal, parts, at + 1, method, variables)
        if found is not None:
            return found
    if node.variable is not None and parts[at]:
        name, child = node.variable
        found = _search(child, parts, at + 1, method, variables)
        if found is not None:
            variables[name] = parts[at]
            return found
    if node.greedy is not None:
        name, child = node.greedy
        found = child.methods.get(method) or child.methods.get("ANY")
        if found is not None:
            variables[name] = "/".join(parts[at:])
            return found
    return None
