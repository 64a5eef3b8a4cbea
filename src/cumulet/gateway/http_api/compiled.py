"""A stage of an HTTP API as it is served: its documents, compiled once into a routing tree with all that can be known before."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cumulet.core.place import Place
from cumulet.gateway.access_log import LogFormat
from cumulet.gateway.function_urls import Cors
from cumulet.gateway.http_api.mappings import Mappings
from cumulet.gateway.http_api.routes import Routes
from cumulet.services.http_apis.live import LiveApi, LiveStage
from cumulet.store.documents import Document

_FUNCTION = re.compile(
    r"(?:arn:[^:]+:apigateway:[^:]*:lambda:path/[^/]+/functions/)?"
    r"(?P<arn>arn:[^:]+:lambda:(?P<region>[^:]*):(?P<account>[^:]*):function:(?P<name>[^:/]+)(?::(?P<qualifier>[^:/]+))?)(?:/invocations)?\Z"
)
_STAGE_VARIABLE = re.compile(r"\$\{stageVariables\.([A-Za-z0-9_]+)\}|\$stageVariables\.([A-Za-z0-9_]+)")
_RATE_PER_S, _BURST = 10_000.0, 5_000.0

USUAL_TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the API's own account. `qualifier` None: its newest code."""

    arn: str
    region: str
    name: str
    qualifier: str | None


@dataclass(slots=True)
class Integration:
    """`function` None for one that leads elsewhere, or nowhere: then `broken` says why."""

    kind: str
    subtype: str | None
    uri: str
    method: str
    function: Function | None
    broken: str
    payload_version: str
    credentials: str | None
    timeout_s: float | None
    request: Mappings
    responses: Mapping[str, Mappings]


@dataclass(slots=True)
class Authorizer:
    """`kind` JWT or REQUEST."""

    id: str
    kind: str
    function: Function | None
    payload_version: str
    is_simple: bool
    ttl_s: int
    identity: Sequence[str]
    issuer: str
    audience: frozenset[str]


@dataclass(slots=True)
class Route:
    """`limit` is (requests a second, burst), None: as many as come. `path` is the key's path, or `$default`."""

    key: str
    path: str
    operation: str | None
    authorization: str
    authorizer: Authorizer | None
    scopes: frozenset[str]
    integration: Integration | None
    limit: tuple[float, float] | None


@dataclass(slots=True)
class Stage:
    place: Place
    api_id: str
    name: str
    cors: Cors | None
    variables: Mapping[str, str]
    routes: Routes[Route]
    log: LogFormat | None


class CompiledApi:
    """All stages of an API; each is compiled when it is first asked for."""

    def __init__(self, live: LiveApi) -> None:
        self.is_address_disabled = bool(live.api.get("DisableExecuteApiEndpoint"))
        self._live = live
        self._stages: dict[str, Stage] = {}

    def find_stage(self, name: str) -> Stage | None:
        known = self._stages.get(name)
        if known is None:
            live = self._live.stages.get(name)
            if live is None:
                return None
            known = self._stages[name] = compile_stage(self._live, live)
        return known


def compile_stage(live: LiveApi, deployed: LiveStage) -> Stage:
    document, snapshot = deployed.stage, deployed.snapshot
    variables = document.get("StageVariables") or {}
    account = live.place.account
    integrations = {each["IntegrationId"]: _integration(each, variables, account) for each in snapshot.integrations}
    authorizers = {each["AuthorizerId"]: _authorizer(each, variables, account) for each in snapshot.authorizers}
    log = document.get("AccessLogSettings")
    return Stage(
        place=live.place,
        api_id=live.api["ApiId"],
        name=document["StageName"],
        cors=Cors.of(live.api.get("CorsConfiguration")),
        variables=variables,
        routes=Routes((each["RouteKey"], _route(each, document, integrations, authorizers)) for each in snapshot.routes),
        log=LogFormat(log["DestinationArn"], log["Format"]) if log else None,
    )


def _route(
    route: Document, stage: Document, integrations: Mapping[str, Integration], authorizers: Mapping[str, Authorizer]
) -> Route:
    key = route["RouteKey"]
    return Route(
        key=key,
        path=key.partition(" ")[2] or key,
        operation=route.get("OperationName"),
        authorization=route.get("AuthorizationType") or "NONE",
        authorizer=authorizers.get(route.get("AuthorizerId") or ""),
        scopes=frozenset(route.get("AuthorizationScopes") or ()),
        integration=integrations.get((route.get("Target") or "").removeprefix("integrations/")),
        limit=_limit_of({**stage["DefaultRouteSettings"], **(stage["RouteSettings"].get(key) or {})}),
    )


def _limit_of(settings: Document) -> tuple[float, float] | None:
    """What is set alone goes with the account's usual other half."""
    rate, burst = settings.get("ThrottlingRateLimit"), settings.get("ThrottlingBurstLimit")
    if rate is None and burst is None:
        return None
    return (_RATE_PER_S if rate is None else float(rate)), (_BURST if burst is None else float(burst))


def with_stage_variables(text: str, variables: Mapping[str, str]) -> str:
    """A variable that is not set leaves nothing."""
    return _STAGE_VARIABLE.sub(lambda match: variables.get(match[1] or match[2], ""), text) if "$" in text else text


def _integration(integration: Document, variables: Mapping[str, str], account: str) -> Integration:
    uri = with_stage_variables(integration.get("IntegrationUri") or "", variables)
    is_function = integration["IntegrationType"] == "AWS_PROXY" and not integration.get("IntegrationSubtype")
    function, broken = find_function(uri, account) if is_function else (None, "")
    credentials = integration.get("CredentialsArn")
    timeout_ms = integration.get("TimeoutInMillis") or USUAL_TIMEOUT_MS
    return Integration(
        kind=integration["IntegrationType"],
        subtype=integration.get("IntegrationSubtype"),
        uri=uri,
        method=integration.get("IntegrationMethod") or "ANY",
        function=function,
        broken=broken,
        payload_version=integration.get("PayloadFormatVersion") or "1.0",
        credentials=with_stage_variables(credentials, variables) if credentials else None,
        timeout_s=timeout_ms / 1000 if timeout_ms != USUAL_TIMEOUT_MS else None,
        request=Mappings(integration.get("RequestParameters") or {}),
        responses={status: Mappings(each) for status, each in (integration.get("ResponseParameters") or {}).items()},
    )


def _authorizer(authorizer: Document, variables: Mapping[str, str], account: str) -> Authorizer:
    uri = with_stage_variables(authorizer.get("AuthorizerUri") or "", variables)
    configuration = authorizer.get("JwtConfiguration") or {}
    return Authorizer(
        id=authorizer["AuthorizerId"],
        kind=authorizer["AuthorizerType"],
        function=find_function(uri, account)[0],
        payload_version=authorizer.get("AuthorizerPayloadFormatVersion") or "1.0",
        is_simple=bool(authorizer.get("EnableSimpleResponses")),
        ttl_s=authorizer.get("AuthorizerResultTtlInSeconds") or 0,
        identity=authorizer.get("IdentitySource") or (),
        issuer=configuration.get("Issuer") or "",
        audience=frozenset(configuration.get("Audience") or ()),
    )


def find_function(uri: str, account: str) -> tuple[Function | None, str]:
    """(function, "") of an ARN, or (None, why not): another account's policy is not asked here, so its functions are not run."""
    match = _FUNCTION.match(uri)
    if match is None:
        return None, "Invalid function ARN in the integration's URI"
    if match["account"] != account:
        return None, "The IAM role configured on the integration or API Gateway doesn't have permissions to call the integration."
    return Function(match["arn"], match["region"], match["name"], match["qualifier"]), ""
