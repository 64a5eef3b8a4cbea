"""Asynchronous events that wait: how many each account may have, and which of them are kept in memory as well as in the store."""

from dataclasses import dataclass

from cumulet.invoke.concurrency import ACCOUNT_LIMIT_REASON
from cumulet.invoke.events import Event
from cumulet.invoke.faults import TooManyRequests
from cumulet.tenancy.quotas import Quotas

MOST_HELD_BYTES = 64 << 20
"""Of payloads in memory, all accounts' together: what is more is read from the store when its turn has come."""


@dataclass(eq=False, slots=True)
class Waiting:
    """An event that waits or runs. `event` None: it is in the store only."""

    request_id: str
    account: str
    region: str
    due_ms: int
    size_bytes: int
    event: Event | None


@dataclass(slots=True)
class _Account:
    events: int = 0
    size_bytes: int = 0


class Backlog:
    """Counts what waits or runs, in constant time."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._accounts: dict[str, _Account] = {}
        self._held_bytes = 0
        self.events = 0

    def admit(self, event: Event) -> None:
        """Count one that is about to be accepted. Raises TooManyRequests."""
        quota, account = self._quotas.of(event.account), self._accounts.get(event.account) or _Account()
        if account.events >= quota.waiting_events or account.size_bytes + len(event.payload) > quota.waiting_event_bytes:
            raise TooManyRequests(ACCOUNT_LIMIT_REASON)
        self.count(event)

    def count(self, event: Event) -> None:
        """Count one that was accepted before."""
        account = self._accounts.setdefault(event.account, _Account())
        account.events += 1
        account.size_bytes += len(event.payload)
        self.events += 1

    def forget(self, account: str, size_bytes: int) -> None:
        """It is done with, or was not accepted after all."""
        found = self._accounts[account]
        found.events -= 1
        found.size_bytes -= size_bytes
        self.events -= 1
        if not found.events:
            del self._accounts[account]

    def hold(self, event: Event) -> Waiting:
        """The event to wait, in memory if there is room for it."""
        size_bytes = len(event.payload)
        is_held = self._held_bytes + size_bytes <= MOST_HELD_BYTES
        if is_held:
            self._held_bytes += size_bytes
        held = event if is_held else None
        return Waiting(event.request_id, event.account, event.region, event.due_ms, size_bytes, held)

    def let_go(self, waiting: Waiting) -> Event | None:
        """Its turn has come: it waits no longer. None: it has to be read."""
        event, waiting.event = waiting.event, None
        if event is not None:
            self._held_bytes -= waiting.size_bytes
        return event
