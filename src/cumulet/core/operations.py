"""How a service says which operations of its model it answers.

A service's `api.py` is one or more classes whose methods carry `@operation("WireName")`; the gateway collects them by name.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from cumulet.core.context import Context

Handler = Callable[[Context, dict[str, Any]], Awaitable[dict[str, Any]]]
F = TypeVar("F", bound=Callable[..., Any])


def operation(name: str) -> Callable[[F], F]:
    """Mark a method `async (self, ctx, request) -> result` as the operation that the model calls `name`."""

    def mark(function: F) -> F:
        function.__operation__ = name  # type: ignore[attr-defined]
        return function

    return mark


def operations_of(*services: object) -> dict[str, Handler]:
    """{wire name: bound method} of all marked methods of the objects. Two that claim one name are a bug."""
    found: dict[str, Handler] = {}
    for service in services:
        for attribute in dir(type(service)):
            name = getattr(getattr(type(service), attribute), "__operation__", None)
            if name is None:
                continue
            if name in found:
                raise TypeError(f"operation {name} is answered twice")
            found[name] = getattr(service, attribute)
    return found
