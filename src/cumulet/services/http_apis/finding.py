"""Documents by the names in a request, or API Gateway's own words for what is not there."""

from cumulet.core.place import Place
from cumulet.services.http_apis import storage
from cumulet.services.http_apis.errors import NotFound
from cumulet.store.contract import Reader
from cumulet.store.documents import Document

_WORDS: dict[str, str] = {
    "api": "Invalid API identifier specified {name}",
    "route": "Invalid Route identifier specified {name}",
    "route-response": "Invalid RouteResponse identifier specified {name}",
    "integration": "Invalid Integration identifier specified {name}",
    "integration-response": "Invalid IntegrationResponse identifier specified {name}",
    "authorizer": "Invalid Authorizer identifier specified {name}",
    "model": "Invalid Model identifier specified {name}",
    "deployment": "Invalid Deployment identifier specified {name}",
    "stage": "Invalid stage identifier specified",
    "domain": "The domain name resource specified in the request was not found.",
    "mapping": "The api mapping resource specified in the request was not found.",
}


def get_api(reader: Reader, place: Place, api_id: str) -> Document:
    """Raises NotFound."""
    found = storage.find(reader, "api", api_id)
    if found is None:
        raise NotFound(_WORDS["api"].format(name=f"{place.account}:{api_id}"))
    return found


def get(reader: Reader, kind: storage.Kind, *path: str) -> Document:
    """Raises NotFound."""
    found = storage.find(reader, kind, *path)
    if found is None:
        raise NotFound(_WORDS[kind].format(name=path[-1]))
    return found
