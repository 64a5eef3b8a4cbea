"""Who takes events for an ARN. Each service registers itself under its name in the ARN; nobody imports anybody."""

from collections.abc import Awaitable, Callable

from cumulet.core.arn import Arn, parse_arn

Target = Callable[[Arn, bytes], Awaitable[None]]
"""Takes one event for a resource; returns when the event is durably that service's. Raises a Fault when it is refused."""


class NoTarget(Exception):
    """Nothing on this node takes events for that ARN."""


class Targets:
    """The registry of targets by the service part of the ARN (`lambda`, `sqs`, `sns`, `events`)."""

    def __init__(self) -> None:
        self._by_service: dict[str, Target] = {}

    def register(self, service: str, target: Target) -> None:
        self._by_service[service] = target

    async def deliver(self, arn: str, event: bytes) -> None:
        """Hand `event` to the resource. Raises NoTarget when no service is registered, else what the service raises."""
        try:
            parsed = parse_arn(arn)
        except ValueError as error:
            raise NoTarget(str(error)) from error
        target = self._by_service.get(parsed.service)
        if target is None:
            raise NoTarget(f"no service on this node takes events for {arn}")
        await target(parsed, event)
