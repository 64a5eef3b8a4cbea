"""The faults of CloudWatch Logs."""

from cumulet.core.errors import Fault


class ResourceNotFound(Fault):
    code = "ResourceNotFoundException"
    status = 400


class ResourceAlreadyExists(Fault):
    code = "ResourceAlreadyExistsException"
    status = 400


class InvalidParameter(Fault):
    code = "InvalidParameterException"
    status = 400
