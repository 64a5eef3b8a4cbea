"""One request on its way through the steps: what is known of it so far."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from cumulet.auth.sigv4 import Signature
from cumulet.core.context import Context
from cumulet.core.http import Request, Response
from cumulet.core.operations import Handler
from cumulet.wire.service import OperationWire, ServiceWire


class Handlers(Protocol):
    """The operations that are answered, by the names that the model gives them: a mapping, or what becomes one later."""

    def get(self, name: str, /) -> Handler | None: ...


@dataclass(frozen=True, slots=True)
class Service:
    """One service as the gateway sees it: botocore's name for it, the operations that are answered, and the name that signatures
    carry where that is another one."""

    name: str
    handlers: "Handlers"
    signing_name: str = ""


@dataclass(slots=True)
class Exchange:
    """Filled in by the steps from top to bottom; a step that sets `response` is the last."""

    request: Request
    host: str
    request_id: str = ""
    door: "Door | None" = None
    service: Service | None = None
    wire: ServiceWire | None = None
    operation: OperationWire | None = None
    operation_name: str = ""
    signature: Signature | None = None
    context: Context | None = None
    input: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    response: Response | None = None

    @property
    def endpoint(self) -> str:
        """The address that the client used, without a trailing slash."""
        return f"{self.request.scheme}://{self.host}"


Door = Callable[[Exchange], Response | Awaitable[Response]]
"""Answers what is no operation of a service: the node's own pages, function URLs, code downloads; at once where it need not wait.
May raise a Fault."""
