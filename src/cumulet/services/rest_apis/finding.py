"""Documents by the names in a request, or API Gateway's own words for what is not there."""

from cumulet.services.rest_apis import storage
from cumulet.services.rest_apis.errors import NotFound
from cumulet.services.rest_apis.model import Document, Place
from cumulet.store.contract import Reader

_WORDS: dict[str, str] = {
    "resource": "Invalid Resource identifier specified",
    "model": "Invalid Model Name specified: {name}",
    "validator": "Invalid Request Validator identifier specified",
    "authorizer": "Invalid Authorizer identifier specified",
    "deployment": "Invalid Deployment identifier specified",
    "stage": "Invalid stage identifier specified",
    "part": "Invalid Documentation part identifier specified",
    "parts-version": "Invalid Documentation version identifier specified",
    "key": "Invalid API Key identifier specified",
    "plan": "Invalid Usage Plan ID specified",
    "plan-key": "Invalid API Key identifier specified",
    "domain": "Invalid domain name identifier specified",
    "mapping": "Invalid base path mapping identifier specified",
    "certificate": "Invalid Client certificate identifier specified",
}


def get_api(reader: Reader, place: Place, api_id: str) -> Document:
    found = storage.find(reader, "api", api_id)
    if found is None:
        raise NotFound(f"Invalid API identifier specified {place.account}:{api_id}")
    return found


def get(reader: Reader, kind: storage.Kind, *path: str) -> Document:
    """Raises NotFound."""
    found = storage.find(reader, kind, *path)
    if found is None:
        raise NotFound(_WORDS[kind].format(name=path[-1]))
    return found


def method_of(resource: Document, name: str) -> Document:
    found: Document | None = resource.get("resourceMethods", {}).get(name)
    if found is None:
        raise NotFound("Invalid Method identifier specified")
    return found


def method_response_of(resource: Document, name: str, status: str) -> Document:
    found: Document | None = method_of(resource, name).get("methodResponses", {}).get(status)
    if found is None:
        raise NotFound("Invalid Response status code specified")
    return found


def integration_of(resource: Document, name: str) -> Document:
    found: Document | None = method_of(resource, name).get("methodIntegration")
    if found is None:
        raise NotFound("Invalid Integration identifier specified")
    return found


def integration_response_of(resource: Document, name: str, status: str) -> Document:
    found: Document | None = integration_of(resource, name).get("integrationResponses", {}).get(status)
    if found is None:
        raise NotFound("Invalid Response status code specified")
    return found
