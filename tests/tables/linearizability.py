"""Whether what concurrent clients saw of one register can be put into one order: the search of Wing and Gong, with Lowe's memory.

An operation takes effect at one moment between its call and its return; one that never returned (its client or its server died)
at any moment after its call, or never.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Operation:
    """`called` and `returned` are times; infinite: it never returned, and `result` is unknown."""

    called: float
    returned: float
    action: str
    argument: Any = None
    result: Any = None

    @property
    def is_look(self) -> bool:
        """Whether it is known to have changed nothing."""
        return not math.isinf(self.returned) and (self.action == "read" or self.result is False)


Apply = Callable[[Any, Operation], tuple[bool, Any]]
"""(state, operation) -> (whether its result fits the state, the state after it)."""


def register(state: Any, operation: Operation) -> tuple[bool, Any]:
    """A register: read, write and compare-and-set, whose argument is (expected, new) and whose result is whether it was set."""
    is_open = math.isinf(operation.returned)
    if operation.action == "read":
        return is_open or operation.result == state, state
    if operation.action == "write":
        return True, operation.argument
    expected, new = operation.argument
    if is_open:
        return True, new if state == expected else state
    is_set = state == expected
    return operation.result == is_set, new if is_set else state


def is_linearizable(history: Sequence[Operation], initial: Any = None, apply: Apply = register) -> bool:
    operations = sorted(history, key=lambda operation: operation.called)
    everything = (1 << len(operations)) - 1
    must = sum(1 << number for number, operation in enumerate(operations) if not math.isinf(operation.returned))
    seen: set[tuple[int, Any]] = set()
    stack = [(0, initial)]
    while stack:
        done, state = stack.pop()
        if done & must == must or done == everything:
            return True
        if (done, state) in seen:
            continue
        seen.add((done, state))
        # Whatever was called after another open operation had returned has to wait for that one.
        first_return = min(operation.returned for number, operation in enumerate(operations) if not done >> number & 1)
        candidates = []
        for number, operation in enumerate(operations):
            if operation.called > first_return:
                break
            if not done >> number & 1:
                candidates.append((number, operation))
        stack += _next(done, state, candidates, apply)
    return False


def _next(done: int, state: Any, candidates: Sequence[tuple[int, Operation]], apply: Apply) -> list[tuple[int, Any]]:
    """Where the search goes on. Who only looked, and saw what is there, is put here at once: waiting never makes that easier."""
    following = []
    for number, operation in sorted(candidates, key=lambda each: -each[1].returned):
        fits, after = apply(state, operation)
        if not fits:
            continue
        if operation.is_look:
            return [(done | 1 << number, state)]
        following.append((done | 1 << number, after))
    return following
