"""The faults this service can answer with. `Type` says whose fault it is, as the model wants it in the body."""

from typing import Any

from cumulet.core.errors import Fault


class FunctionsFault(Fault):
    """Carries `Type` ("User": the caller's; "Service": the node's) beside the message."""

    kind = "User"

    def __init__(self, message: str, *, fields: dict[str, Any] | None = None, headers: dict[str, str] | None = None):
        super().__init__(message, fields={"Type": self.kind, **(fields or {})}, headers=headers)


class ResourceNotFound(FunctionsFault):
    code = "ResourceNotFoundException"
    status = 404


class ResourceConflict(FunctionsFault):
    code = "ResourceConflictException"
    status = 409


class InvalidParameterValue(FunctionsFault):
    code = "InvalidParameterValueException"
    status = 400


class Invalid(FunctionsFault):
    """A value outside the range that the documentation states where the model's own is wider."""

    code = "ValidationException"
    status = 400


class PreconditionFailed(FunctionsFault):
    code = "PreconditionFailedException"
    status = 412


class CodeStorageExceeded(FunctionsFault):
    code = "CodeStorageExceededException"
    status = 400


class RequestTooLarge(FunctionsFault):
    """An event that is larger than an invocation takes."""

    code = "RequestTooLargeException"
    status = 413


class RequestEntityTooLarge(FunctionsFault):
    """A code archive that is larger than a request may carry."""

    code = "RequestEntityTooLargeException"
    status = 413


class PolicyLengthExceeded(FunctionsFault):
    code = "PolicyLengthExceededException"
    status = 400


class ProvisionedConcurrencyConfigNotFound(FunctionsFault):
    code = "ProvisionedConcurrencyConfigNotFoundException"
    status = 404


class InvalidRequestContent(FunctionsFault):
    code = "InvalidRequestContentException"
    status = 400


class AccessDenied(FunctionsFault):
    code = "AccessDeniedException"
    status = 403


NO_SUCH_RESOURCE = "The resource you requested does not exist."


def stale_revision() -> PreconditionFailed:
    return PreconditionFailed(
        "The Revision Id provided does not match the latest Revision Id. "
        "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
    )
