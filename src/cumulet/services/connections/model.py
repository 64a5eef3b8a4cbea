"""What the management API says of a connection, and what it needs of whoever holds them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cumulet.core.place import Place

MAXIMUM_BYTES = 128 * 1024


class LiveConnection(Protocol):
    """One open connection. There is no storage behind this: a connection lives as long as its socket."""

    @property
    def place(self) -> Place: ...

    @property
    def api_id(self) -> str: ...

    @property
    def stage(self) -> str: ...

    @property
    def connected_at_ms(self) -> int: ...

    @property
    def identity(self) -> dict[str, Any]:
        """`sourceIp`, and `userAgent` where the client told one."""
        ...

    def active_at_ms(self) -> int:
        """When something last went over it."""
        ...

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError when it is closed, BufferError when too much waits for the client already."""
        ...

    async def close(self) -> None:
        """Begin to close it."""
        ...


FindConnection = Callable[[str], LiveConnection | None]


@dataclass(frozen=True, slots=True)
class Scope:
    """The stage whose address a request was sent to."""

    place: Place
    api_id: str
    stage: str
