"""What this service tells whoever keeps execution environments, and asks of it."""

from typing import Protocol

from cumulet.runtimes.contract import FunctionSpec


class Environments(Protocol):
    """The invoker, as this service sees it."""

    def set_reserved(self, account: str, function_id: str, reserved: int | None) -> None:
        """A function's reserved concurrency changed; None: it has none."""
        ...

    def retire(self, function_id: str, keep: tuple[str, str, str] | None = None) -> None:
        """End the environments of a function when they are idle: all, or those of the version of `keep` but `keep` itself."""
        ...

    def set_provisioned(self, spec: FunctionSpec, count: int) -> None:
        """Keep so many environments of a version initialised; 0: none."""
        ...

    def ready_provisioned(self, spec: FunctionSpec) -> int:
        """How many of them are initialised now."""
        ...
