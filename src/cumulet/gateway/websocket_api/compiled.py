"""A deployed WebSocket API as it is served: the published documents, compiled once into routes, templates and selections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cumulet.core.patterns import PatternError, compile_pattern
from cumulet.core.place import Place
from cumulet.gateway.access_log import LogFormat
from cumulet.gateway.rest_api.compiled import CompiledTemplates, function_of
from cumulet.gateway.websocket_api.selection import Selection, compile_selection
from cumulet.services.http_apis.live import LiveApi, LiveStage
from cumulet.store.documents import Document

DEFAULT_TIMEOUT_MS = 29_000
DEFAULT_KEY = "$default"


@dataclass(slots=True)
class CompiledResponse:
    """An integration response. `pattern` None: its key is matched as it is. `headers` are {route response header: expression}."""

    key: str
    pattern: Any
    headers: Mapping[str, str]
    templates: CompiledTemplates
    template_key: Selection | None
    content_handling: str | None


@dataclass(slots=True)
class CompiledIntegration:
    """An integration with its mappings, as (place, name, expression) of the request to make. `function` is set where it is one."""

    kind: str
    method: str
    uri: str
    credentials: str | None
    parameters: Sequence[tuple[str, str, str]]
    templates: CompiledTemplates
    template_key: Selection | None
    passthrough: str
    content_handling: str | None
    timeout_s: float
    response_key: Selection | None
    responses: Sequence[CompiledResponse]
    function: str | None


@dataclass(slots=True)
class CompiledRoute:
    """`is_two_way`: what the integration answers goes back to the client."""

    key: str
    authorization: str
    authorizer: Document | None
    is_key_required: bool
    required: Sequence[str]
    models: Mapping[str, str]
    model_key: Selection | None
    integration: CompiledIntegration | None
    is_two_way: bool


@dataclass(slots=True)
class Throttle:
    rate_per_s: float
    burst: float


@dataclass(slots=True)
class CompiledStage:
    place: Place
    api_id: str
    name: str
    variables: Mapping[str, str]
    routes: Mapping[str, CompiledRoute]
    route_key: Selection
    schemas: Mapping[str, str]
    throttles: Mapping[str, Throttle]
    log: LogFormat | None
    validators: dict[str, Any] = field(default_factory=dict)

    def throttle_of(self, route: CompiledRoute) -> Throttle | None:
        return self.throttles.get(route.key) or self.throttles.get("")


class CompiledApi:
    """`is_address_disabled`: only custom domains lead to it."""

    def __init__(self, live: LiveApi) -> None:
        self.place = live.place
        self.id: str = live.api["ApiId"]
        self.is_address_disabled = bool(live.api.get("DisableExecuteApiEndpoint"))
        self.stages = {name: _stage(live, name, stage) for name, stage in live.stages.items()}


def _stage(live: LiveApi, name: str, live_stage: LiveStage) -> CompiledStage:
    stage, snapshot = live_stage.stage, live_stage.snapshot
    responses: dict[str, list[Document]] = {}
    for response in snapshot.integration_responses:
        responses.setdefault(response["IntegrationId"], []).append(response)
    integrations = {
        each["IntegrationId"]: _integration(each, responses.get(each["IntegrationId"], ())) for each in snapshot.integrations
    }
    authorizers = {each["AuthorizerId"]: each for each in snapshot.authorizers}
    answered = {each["RouteId"] for each in snapshot.route_responses}
    routes = [_route(each, integrations, authorizers, is_two_way=each["RouteId"] in answered) for each in snapshot.routes]
    log = stage.get("AccessLogSettings")
    settings = {"": stage.get("DefaultRouteSettings") or {}, **(stage.get("RouteSettings") or {})}
    return CompiledStage(
        place=live.place,
        api_id=live.api["ApiId"],
        name=name,
        variables=stage.get("StageVariables") or {},
        routes={route.key: route for route in routes},
        route_key=compile_selection(live.api["RouteSelectionExpression"]),
        schemas={each["Name"]: each.get("Schema") or "{}" for each in snapshot.models},
        log=LogFormat(log["DestinationArn"], log["Format"]) if log else None,
        throttles={key: throttle for key, each in settings.items() if (throttle := _throttle(each)) is not None},
    )


def _throttle(settings: Document) -> Throttle | None:
    rate, burst = settings.get("ThrottlingRateLimit"), settings.get("ThrottlingBurstLimit")
    if rate is None and burst is None:
        return None
    return Throttle(float(burst if rate is None else rate), float(rate if burst is None else burst))  # type: ignore[arg-type]


def _route(
    route: Document, integrations: Mapping[str, CompiledIntegration], authorizers: Mapping[str, Document], *, is_two_way: bool
) -> CompiledRoute:
    parameters = route.get("RequestParameters") or {}
    return CompiledRoute(
        key=route["RouteKey"],
        authorization=route.get("AuthorizationType") or "NONE",
        authorizer=authorizers.get(route.get("AuthorizerId") or ""),
        is_key_required=bool(route.get("ApiKeyRequired")),
        required=[name for name, constraint in parameters.items() if constraint.get("Required")],
        models=route.get("RequestModels") or {},
        model_key=_selection(route.get("ModelSelectionExpression")),
        integration=integrations.get((route.get("Target") or "").removeprefix("integrations/")),
        is_two_way=is_two_way,
    )


def _integration(integration: Document, responses: Sequence[Document]) -> CompiledIntegration:
    uri = integration.get("IntegrationUri") or ""
    return CompiledIntegration(
        kind=integration["IntegrationType"],
        method=integration.get("IntegrationMethod") or "POST",
        uri=uri,
        credentials=integration.get("CredentialsArn"),
        parameters=[
            (*name.removeprefix("integration.request.").partition(".")[::2], expression)
            for name, expression in (integration.get("RequestParameters") or {}).items()
        ],
        templates=CompiledTemplates(integration.get("RequestTemplates")),
        template_key=_selection(integration.get("TemplateSelectionExpression")),
        passthrough=integration.get("PassthroughBehavior") or "WHEN_NO_MATCH",
        content_handling=integration.get("ContentHandlingStrategy"),
        timeout_s=(integration.get("TimeoutInMillis") or DEFAULT_TIMEOUT_MS) / 1000,
        response_key=_selection(integration.get("IntegrationResponseSelectionExpression")),
        responses=[_response(each) for each in responses],
        function=function_of(uri) or (uri if ":lambda:" in uri and not uri.startswith("arn:aws:apigateway:") else None),
    )


def _response(response: Document) -> CompiledResponse:
    key = response["IntegrationResponseKey"]
    is_pattern = len(key) > 1 and key[0] == "/" == key[-1]
    parameters = response.get("ResponseParameters") or {}
    return CompiledResponse(
        key=key,
        pattern=_pattern(key[1:-1]) if is_pattern else None,
        headers={
            name.removeprefix("route.response.header."): expression
            for name, expression in parameters.items()
            if name.startswith("route.response.header.")
        },
        templates=CompiledTemplates(response.get("ResponseTemplates")),
        template_key=_selection(response.get("TemplateSelectionExpression")),
        content_handling=response.get("ContentHandlingStrategy"),
    )


def _pattern(text: str) -> Any:
    """A pattern that cannot be read matches nothing."""
    try:
        return compile_pattern(text)
    except PatternError:
        return compile_pattern(r"[^\s\S]")


def _selection(expression: str | None) -> Selection | None:
    return compile_selection(expression) if expression else None
