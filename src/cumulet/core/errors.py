"""Faults: errors of the caller, raised where they are known and rendered once, by `wire`.

Errors of the user's code are results of an invocation, never a Fault; any other exception is a bug of the platform.
"""

from typing import Any, ClassVar


class Fault(Exception):
    """An error that the caller can cause, in the service's own terms.

    Subclasses name the model's error shape in `code` and its HTTP status in `status`; `query_code` is what the query and XML
    protocols call it where that is another word. `fields` holds further members of that shape (`{"Reason": "…"}`), `headers`
    extra response headers.
    """

    code: ClassVar[str] = "InternalFailure"
    query_code: ClassVar[str | None] = None
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, fields: dict[str, Any] | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.message = message
        self.fields = fields or {}
        self.headers = headers or {}


class NotImplementedFault(Fault):
    """The model has it, this node does not: said, never silently answered with success."""

    code = "NotImplemented"
    status = 501


class InternalFault(Fault):
    """What the caller sees of a bug in the platform; the cause is in the node's log."""

    code = "InternalFailure"
    status = 500
