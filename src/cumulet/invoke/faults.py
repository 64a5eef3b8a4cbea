"""The faults of invoking, in Lambda's words."""

from cumulet.core.errors import Fault


class TooManyRequests(Fault):
    """No concurrency is left. `fields["Reason"]` says whose limit it was."""

    code = "TooManyRequestsException"
    status = 429

    def __init__(self, reason: str):
        super().__init__("Rate Exceeded.", fields={"Reason": reason, "Type": "User"}, headers={"Retry-After": "1"})


class ServiceUnavailable(Fault):
    """The node could not make an environment: its own fault, not the caller's."""

    code = "ServiceException"
    status = 500
