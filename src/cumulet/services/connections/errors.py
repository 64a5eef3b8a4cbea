"""The faults of API Gateway's management API."""

from cumulet.core.errors import Fault


class Gone(Fault):
    code = "GoneException"
    status = 410


class Forbidden(Fault):
    code = "ForbiddenException"
    status = 403


class LimitExceeded(Fault):
    code = "LimitExceededException"
    status = 429


class PayloadTooLarge(Fault):
    code = "PayloadTooLargeException"
    status = 413
