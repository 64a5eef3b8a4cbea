"""Settings that hang on a function, a version or an alias: URLs, asynchronous invocation, provisioned concurrency. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cumulet.invoke.contract import AsyncSettings
from cumulet.services.functions.errors import InvalidParameterValue
from cumulet.services.functions.model import lambda_time, stamped_time
from cumulet.services.functions.names import LATEST, Place

_DESTINATION = re.compile(r"arn:aws[a-zA-Z0-9-]*:(sqs|sns|lambda|events|s3):.*")


@dataclass(frozen=True, slots=True)
class UrlConfig:
    """A function URL. `qualifier` is $LATEST or an alias."""

    function: str
    qualifier: str
    url_id: str
    auth_type: str
    created_ms: int
    modified_ms: int
    invoke_mode: str = "BUFFERED"
    cors: Mapping[str, Any] | None = None

    def described(self, place: Place, url: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "FunctionUrl": url,
            "FunctionArn": place.function_arn(self.function, None if self.qualifier == LATEST else self.qualifier),
            "AuthType": self.auth_type,
            "CreationTime": stamped_time(self.created_ms),
            "LastModifiedTime": stamped_time(self.modified_ms),
            "InvokeMode": self.invoke_mode,
        }
        if self.cors:
            found["Cors"] = dict(self.cors)
        return found


@dataclass(frozen=True, slots=True)
class EventInvokeConfig:
    """How asynchronous events are retried and where their outcome goes; None: the default."""

    function: str
    qualifier: str
    modified_ms: int
    maximum_retries: int | None = None
    maximum_age_s: int | None = None
    on_success: str | None = None
    on_failure: str | None = None

    def described(self, place: Place) -> dict[str, Any]:
        destinations = {
            side: {"Destination": arn} if arn else {}
            for side, arn in (("OnSuccess", self.on_success), ("OnFailure", self.on_failure))
        }
        found: dict[str, Any] = {
            "LastModified": self.modified_ms / 1000,
            "FunctionArn": place.function_arn(self.function, self.qualifier),
            "DestinationConfig": destinations,
        }
        if self.maximum_retries is not None:
            found["MaximumRetryAttempts"] = self.maximum_retries
        if self.maximum_age_s is not None:
            found["MaximumEventAgeInSeconds"] = self.maximum_age_s
        return found


def async_settings(config: EventInvokeConfig | None, dead_letter: str | None) -> AsyncSettings:
    default = AsyncSettings(dead_letter=dead_letter)
    if config is None:
        return default
    return AsyncSettings(
        maximum_retries=default.maximum_retries if config.maximum_retries is None else config.maximum_retries,
        maximum_age_s=default.maximum_age_s if config.maximum_age_s is None else config.maximum_age_s,
        on_success=config.on_success,
        on_failure=config.on_failure,
        dead_letter=dead_letter,
    )


def destination(config: Mapping[str, Any] | None, side: str) -> str | None:
    """The ARN in a DestinationConfig's `side`. Raises InvalidParameterValue for what can be none."""
    arn: str | None = ((config or {}).get(side) or {}).get("Destination") or None
    if arn is not None and not _DESTINATION.fullmatch(arn):
        raise InvalidParameterValue(f"The provided destination config DestinationConfig({side}={arn}) is invalid.")
    return arn


@dataclass(frozen=True, slots=True)
class Provisioned:
    """How many environments of a version (or of an alias's version) are kept initialised."""

    function: str
    qualifier: str
    requested: int
    modified_ms: int

    def described(self, ready: int) -> dict[str, Any]:
        """`ready` is what the invoker holds now."""
        ready = min(ready, self.requested)
        return {
            "RequestedProvisionedConcurrentExecutions": self.requested,
            "AvailableProvisionedConcurrentExecutions": ready,
            "AllocatedProvisionedConcurrentExecutions": ready,
            "Status": "READY" if ready >= self.requested else "IN_PROGRESS",
            "LastModified": lambda_time(self.modified_ms),
        }
