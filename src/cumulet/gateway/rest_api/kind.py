"""All REST APIs of the node, by id: what the control plane publishes, and the door that asks for it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from cumulet.core.http import Response
from cumulet.gateway.custom_domains import Leads, PublishedNames
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.execute_api import ApiAddress, DeployedApi
from cumulet.gateway.rest_api.compiled import CompiledApi
from cumulet.gateway.rest_api.serving import Serving, forbidden
from cumulet.services.rest_apis.live import LiveApi, LiveUsage
from cumulet.services.rest_apis.model import Document, Place


class RestApis:
    """An `ApiKind`, and the control plane's `Publisher`. `is_taken` says whether another kind of APIs has a domain name."""

    def __init__(self, serving: Serving, is_taken: Callable[[str], bool] = lambda name: False) -> None:
        self._serving = serving
        self._is_taken = is_taken
        self._apis: dict[str, _RestApi] = {}
        self._names: PublishedNames[Document] = PublishedNames()

    def find(self, api_id: str) -> DeployedApi | None:
        return self._apis.get(api_id)

    def find_domain(self, host: str) -> DeployedApi | None:
        """What answers for a custom domain name; the address given to it holds the whole path."""
        found = self._names.find(host)
        return _Domain(self, found) if found is not None else None

    def compiled(self, api_id: str) -> CompiledApi | None:
        found = self._apis.get(api_id)
        return found.api if found is not None else None

    def answer(self, exchange: Exchange, api: CompiledApi, stage: str, path: str, full_path: str) -> Response | Awaitable[Response]:
        return self._serving.answer(exchange, api, stage, path, full_path)

    # What the control plane says

    def publish_api(self, api_id: str, live: LiveApi | None) -> None:
        self._serving.forget(api_id)
        if live is None or not live.stages:
            self._apis.pop(api_id, None)
        else:
            self._apis[api_id] = _RestApi(self, CompiledApi(live))

    def publish_usage(self, place: Place, usage: LiveUsage) -> None:
        self._serving.meter.publish(place, usage)

    def publish_domains(self, place: Place, domains: Mapping[str, Sequence[Document]]) -> None:
        self._names.publish(place, {name: [(_base(each), each) for each in mappings] for name, mappings in domains.items()})

    def has_domain(self, name: str, place: Place) -> bool:
        return self._names.is_elsewhere(name, place) or self._is_taken(name)

    def flush_authorizers(self, api_id: str, stage: str) -> None:
        self._serving.flush_authorizers(api_id, stage)

    def flush_cache(self, api_id: str, stage: str) -> None:
        self._serving.flush_cache(api_id, stage)


def _base(mapping: Document) -> str:
    return "" if mapping["basePath"] == "(none)" else str(mapping["basePath"])


class _RestApi:
    """One API at its own address: the stage is the path's first segment."""

    def __init__(self, kind: RestApis, api: CompiledApi) -> None:
        self._kind = kind
        self.api = api

    def __call__(self, exchange: Exchange, address: ApiAddress) -> Response | Awaitable[Response]:
        if self.api.is_address_disabled:
            return forbidden(exchange.request_id)
        stage, _, rest = address.path.lstrip("/").partition("/")
        path = "/" + rest.lstrip("/")
        return self._kind.answer(exchange, self.api, stage, path, f"/{stage}{path}")


class _Domain:
    """A custom domain: the longest base path that fits says which API and stage."""

    def __init__(self, kind: RestApis, leads: Leads[Document]) -> None:
        self._kind = kind
        self._leads = leads

    def __call__(self, exchange: Exchange, address: ApiAddress) -> Response | Awaitable[Response]:
        path = "/" + address.path.lstrip("/")
        found = self._leads.find(path)
        if found is None:
            return forbidden(exchange.request_id)
        mapping, below = found
        api, stage = self._kind.compiled(mapping["restApiId"]), mapping.get("stage")
        if api is None:
            return forbidden(exchange.request_id)
        if not stage:
            stage, _, below = below.lstrip("/").partition("/")
        return self._kind.answer(exchange, api, stage, "/" + below.lstrip("/"), path)
