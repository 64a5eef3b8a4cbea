"""IAM's and STS's faults, by the names of their model's shapes."""

from cumulet.core.errors import Fault


class NoSuchEntity(Fault):
    code = "NoSuchEntityException"
    status = 404


class EntityAlreadyExists(Fault):
    code = "EntityAlreadyExistsException"
    status = 409


class DeleteConflict(Fault):
    code = "DeleteConflictException"
    status = 409


class MalformedPolicyDocument(Fault):
    code = "MalformedPolicyDocumentException"
    status = 400


class LimitExceeded(Fault):
    code = "LimitExceededException"
    status = 409


class InvalidInput(Fault):
    code = "InvalidInputException"
    status = 400


class ValidationError(Fault):
    code = "ValidationError"
    status = 400


class AccessDenied(Fault):
    code = "AccessDenied"
    status = 403
