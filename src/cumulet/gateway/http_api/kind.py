"""All HTTP APIs of the node, by id: what the control plane publishes, and the door that asks for it."""

from collections.abc import Awaitable

from cumulet.core.http import Response
from cumulet.gateway.custom_domains import StageDoor
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.execute_api import ApiAddress, DeployedApi
from cumulet.gateway.http_api.compiled import CompiledApi, Stage
from cumulet.gateway.http_api.refusals import not_found, rendered
from cumulet.gateway.http_api.serving import Serving
from cumulet.services.http_apis.live import LiveApi
from cumulet.services.http_apis.model import DEFAULT_STAGE


class HttpApis:
    """An `ApiKind`, a `StagedKind`, and the control plane's `Publisher` for HTTP APIs."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._apis: dict[str, _HttpApi] = {}

    def find(self, api_id: str) -> DeployedApi | None:
        return self._apis.get(api_id)

    def find_stage_door(self, api_id: str, stage: str) -> StageDoor | None:
        api = self._apis.get(api_id)
        found = api.compiled.find_stage(stage) if api is not None else None
        return _at(self._serving, found) if found is not None else None

    def publish_api(self, api_id: str, live: LiveApi | None) -> None:
        # What authorizers answered may be another's answer now.
        self._serving.flush_authorizers(api_id)
        if live is None:
            self._apis.pop(api_id, None)
        else:
            self._apis[api_id] = _HttpApi(self._serving, CompiledApi(live))

    def flush_authorizers(self, api_id: str, stage: str) -> None:
        self._serving.flush_authorizers(api_id, stage)


def _at(serving: Serving, stage: Stage) -> StageDoor:
    def door(exchange: Exchange, path: str, full_path: str) -> Response | Awaitable[Response]:
        return serving.answer(exchange, stage, path, full_path)

    return door


class _HttpApi:
    """One API at its own address: the path's first part is the stage, or else the stage is `$default`."""

    def __init__(self, serving: Serving, compiled: CompiledApi) -> None:
        self._serving = serving
        self.compiled = compiled

    def __call__(self, exchange: Exchange, address: ApiAddress) -> Response | Awaitable[Response]:
        if self.compiled.is_address_disabled:
            return rendered(not_found())
        path = address.path
        first, slash, rest = path[1:].partition("/")
        stage = self.compiled.find_stage(first)
        if stage is not None and first != DEFAULT_STAGE:
            return self._serving.answer(exchange, stage, f"/{rest}", path if slash else f"{path}/")
        stage = self.compiled.find_stage(DEFAULT_STAGE)
        if stage is None:
            return rendered(not_found())
        return self._serving.answer(exchange, stage, path, path)
