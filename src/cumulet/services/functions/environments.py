"""What this service tells whoever keeps execution environments, and asks of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cumulet.runtimes.contract import FunctionSpec

SetReserved = Callable[[str, str, int | None], None]
"""(account, function id, reserved concurrency or None): it changed."""

Retire = Callable[[str, tuple[str, str, str] | None], None]
"""(function id, keep): its environments serve nothing any more; with `keep`, those of that version but `keep` itself."""

Expect = Callable[[FunctionSpec], None]
"""What a function has become: it may be called soon."""


class WarmPool(Protocol):
    """What keeps environments initialised: the invoker."""

    def set_provisioned(self, spec: FunctionSpec, count: int) -> None:
        """Keep so many environments of a version; 0: none."""
        ...

    def ready_provisioned(self, spec: FunctionSpec) -> int:
        """How many of them are initialised now."""
        ...


@dataclass(frozen=True, slots=True)
class Environments:
    """The invoker, as this service sees it. `warm` None: nothing keeps environments initialised."""

    set_reserved: SetReserved
    retire: Retire
    warm: WarmPool | None
    expect: Expect = lambda spec: None
