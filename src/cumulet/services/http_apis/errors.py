"""The faults of API Gateway's control plane, version 2."""

from cumulet.core.errors import Fault


class BadRequest(Fault):
    code = "BadRequestException"
    status = 400


class Conflict(Fault):
    code = "ConflictException"
    status = 409


class LimitExceeded(Fault):
    code = "TooManyRequestsException"
    status = 429


class NotFound(Fault):
    code = "NotFoundException"
    status = 404
