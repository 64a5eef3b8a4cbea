"""How many invocations may run at once: per account, and per function that reserves some of it. Pure, constant time."""

from collections.abc import Callable

from cumulet.invoke.faults import TooManyRequests
from cumulet.runtimes.contract import FunctionSpec

ACCOUNT_LIMIT_REASON = "ConcurrentInvocationLimitExceeded"
RESERVED_LIMIT_REASON = "ReservedFunctionConcurrentInvocationLimitExceeded"
_MOST_REMEMBERED = 10_000


class Concurrency:
    """Counts of running invocations. What a function reserves is taken from its account whether it runs or not."""

    def __init__(self, limit_of: Callable[[str], int]) -> None:
        self._limit_of = limit_of
        self._unreserved: dict[str, int] = {}
        self._reserved: dict[str, dict[str, int]] = {}
        self._reserved_in_all: dict[str, int] = {}
        self._unreserved_running: dict[str, int] = {}
        self._reserved_running: dict[str, int] = {}

    def set_reserved(self, account: str, function_id: str, reserved: int | None) -> None:
        """Told by the functions service whenever it changes, and at the start."""
        self._unreserved.pop(account, None)
        functions = self._reserved.setdefault(account, {})
        if reserved is None:
            functions.pop(function_id, None)
        else:
            functions[function_id] = reserved
        self._reserved_in_all[account] = sum(functions.values())
        if not functions:
            del self._reserved[account], self._reserved_in_all[account]

    def unreserved_limit(self, account: str) -> int:
        limit = self._unreserved.get(account)
        if limit is None:
            if len(self._unreserved) >= _MOST_REMEMBERED:
                self._unreserved.clear()
            limit = self._unreserved[account] = self._limit_of(account) - self._reserved_in_all.get(account, 0)
        return limit

    def acquire(self, spec: FunctionSpec) -> bool:
        """Take a place; whether it is a reserved one. Raises TooManyRequests."""
        functions = self._reserved.get(spec.account)
        reserved = functions.get(spec.function_id) if functions else None
        if reserved is not None:
            running = self._reserved_running.get(spec.function_id, 0)
            if running >= reserved:
                raise TooManyRequests(RESERVED_LIMIT_REASON)
            self._reserved_running[spec.function_id] = running + 1
            return True
        running = self._unreserved_running.get(spec.account, 0)
        limit = self._unreserved.get(spec.account)
        if running >= (self.unreserved_limit(spec.account) if limit is None else limit):
            raise TooManyRequests(ACCOUNT_LIMIT_REASON)
        self._unreserved_running[spec.account] = running + 1
        return False

    def release(self, spec: FunctionSpec, is_reserved: bool) -> None:
        """Give the place back, as it was taken: the reservation may have changed meanwhile."""
        counts, key = (self._reserved_running, spec.function_id) if is_reserved else (self._unreserved_running, spec.account)
        counts[key] -= 1
        if not counts[key]:
            del counts[key]

    def running(self, account: str) -> int:
        """Running invocations of the account outside reservations."""
        return self._unreserved_running.get(account, 0)
