"""How many of a thing there may be: a change reads all that its API has, so none of it grows without end."""

from collections.abc import Mapping

from cumulet.services.http_apis import storage
from cumulet.services.http_apis.errors import LimitExceeded
from cumulet.store.contract import Reader

LIMITS: Mapping[storage.Kind, tuple[int, str]] = {
    "api": (5000, "APIs in this account"),
    "route": (5000, "Routes for this API"),
    "integration": (5000, "Integrations for this API"),
    "authorizer": (100, "Authorizers for this API"),
    "model": (1000, "Models for this API"),
    "route-response": (10, "RouteResponses for this Route"),
    "integration-response": (100, "IntegrationResponses for this Integration"),
    "stage": (100, "Stages for this API"),
    "deployment": (1000, "Deployments for this API"),
    "domain": (1000, "DomainNames in this account"),
    "mapping": (500, "ApiMappings for this DomainName"),
}


def check_room(reader: Reader, kind: storage.Kind, *path: str, more: int = 1) -> None:
    """Raises LimitExceeded when `more` of a kind below a path are too many."""
    most, words = LIMITS[kind]
    if storage.count(reader, kind, *path) + more > most:
        raise LimitExceeded(f"Maximum number of {words} has been reached.", fields={"LimitType": words})
