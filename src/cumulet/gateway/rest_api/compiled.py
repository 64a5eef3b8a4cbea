"""A deployment as it is served: the stored snapshot, compiled once into a routing tree, patterns, templates and schemas."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cumulet.core.patterns import PatternError, compile_pattern
from cumulet.gateway.access_log import LogFormat, find_format
from cumulet.gateway.rest_api.media import MediaTypes
from cumulet.gateway.rest_api.routes import Routes
from cumulet.gateway.templates import Template, compile_template
from cumulet.services.rest_apis.live import LiveApi, LiveStage
from cumulet.services.rest_apis.model import DEFAULT_TIMEOUT_MS, Document, Place

_FUNCTION = re.compile(r":path/(?:2015-03-31|2021-11-15)/functions/(.+?)/(?:response-streaming-)?invocations\Z")


class CompiledTemplates:
    """{media type: template}; each is parsed when it is first needed."""

    def __init__(self, texts: Mapping[str, str] | None) -> None:
        self.texts = dict(texts or {})
        self._compiled: dict[str, Template] = {}

    def __bool__(self) -> bool:
        return bool(self.texts)

    def get(self, kind: str) -> Template:
        """Raises TemplateError when the text cannot be parsed."""
        found = self._compiled.get(kind)
        if found is None:
            found = self._compiled[kind] = compile_template(self.texts[kind] or "")
        return found


@dataclass(slots=True)
class CompiledResponse:
    """An integration response. `pattern` None: the default one. `headers` are {method response header: expression}."""

    status: int
    pattern: Any
    headers: Mapping[str, str]
    templates: CompiledTemplates
    content_handling: str | None

    def find_constant(self, kind: str) -> bytes | None:
        """The body of this media type, where nothing of the answer depends on the request. Raises TemplateError."""
        if self.headers or self.content_handling == "CONVERT_TO_BINARY":
            return None
        return self.templates.get(kind).constant_bytes


@dataclass(slots=True)
class CompiledIntegration:
    """An integration with its mappings, as (place, name, expression) of the request to make."""

    kind: str
    method: str
    uri: str
    credentials: str | None
    parameters: Sequence[tuple[str, str, str]]
    templates: CompiledTemplates
    passthrough: str
    content_handling: str | None
    timeout_s: float | None
    responses: Sequence[CompiledResponse]
    cache_keys: Sequence[str]
    cache_namespace: str
    function: str | None
    is_streaming: bool
    mocked: dict[tuple[str, str], tuple[int, str, bytes]] = field(default_factory=dict)
    """Answers of a mock in which nothing is looked up, (status, media type, body) by what was sent as Content-Type and Accept."""


@dataclass(slots=True)
class CompiledMethod:
    resource_id: str
    resource_path: str
    name: str
    operation_name: str | None
    authorization: str
    authorizer: Document | None
    is_key_required: bool
    required: Sequence[tuple[str, str]]
    models: Mapping[str, str]
    is_body_validated: bool
    is_parameters_validated: bool
    integration: CompiledIntegration


@dataclass(slots=True)
class MethodSettings:
    """What a stage sets for a method. `rate_per_s` and `burst` None: not throttled by the stage."""

    rate_per_s: float | None = None
    burst: int | None = None
    is_cached: bool = False
    cache_ttl_s: int = 300
    is_cache_control_protected: bool = True
    unauthorized_strategy: str = "SUCCEED_WITH_RESPONSE_HEADER"


@dataclass(slots=True)
class CompiledDeployment:
    """What one snapshot says, whatever the stage."""

    id: str
    routes: Routes[CompiledMethod]
    binary: MediaTypes
    responses: Mapping[str, Document]
    models: Mapping[str, Document]
    policy: str | None
    key_source: str
    compression_bytes: int | None


@dataclass(slots=True)
class CompiledStage:
    """One stage with what is deployed on it; a canary is a second one of these, with its own deployment and variables."""

    place: Place
    api_id: str
    name: str
    deployment: CompiledDeployment
    variables: Mapping[str, str]
    settings: Mapping[str, Document]
    is_cache_on: bool
    log: LogFormat | None = None
    canary: "CompiledStage | None" = None
    canary_percent: float = 0.0
    _settings: dict[tuple[str, str], MethodSettings] = field(default_factory=dict)

    @property
    def deployment_id(self) -> str:
        return self.deployment.id

    def settings_of(self, method: CompiledMethod) -> MethodSettings:
        """A method's own settings over those of the whole stage."""
        key = (method.resource_path, method.name)
        known = self._settings.get(key)
        if known is None:
            known = self._settings[key] = self._make_settings(method)
        return known

    def _make_settings(self, method: CompiledMethod) -> MethodSettings:
        own = f"{method.resource_path.lstrip('/')}/{method.name}"
        found = self.settings.get(own) or self.settings.get("*/*")
        if found is None:
            return MethodSettings()
        is_limited = found.get("throttlingRateLimit", -1) >= 0
        return MethodSettings(
            rate_per_s=found["throttlingRateLimit"] if is_limited else None,
            burst=found.get("throttlingBurstLimit") if is_limited else None,
            is_cached=self.is_cache_on and bool(found.get("cachingEnabled")) and (method.name == "GET" or own in self.settings),
            cache_ttl_s=found.get("cacheTtlInSeconds", 300),
            is_cache_control_protected=found.get("requireAuthorizationForCacheControl", True),
            unauthorized_strategy=found.get("unauthorizedCacheControlHeaderStrategy", "SUCCEED_WITH_RESPONSE_HEADER"),
        )


class CompiledApi:
    """All stages of an API; each is compiled when it is first asked for."""

    def __init__(self, live: LiveApi) -> None:
        self.place = live.place
        self.attributes = live.api
        self._live = live
        self._stages: dict[str, CompiledStage] = {}

    @cached_property
    def is_address_disabled(self) -> bool:
        return bool(self.attributes.get("disableExecuteApiEndpoint"))

    def find_stage(self, name: str) -> CompiledStage | None:
        known = self._stages.get(name)
        if known is None:
            live = self._live.stages.get(name)
            if live is None:
                return None
            known = self._stages[name] = _compile_stage(self._live, live)
        return known


def _compile_stage(live: LiveApi, deployed: LiveStage) -> CompiledStage:
    stage = deployed.stage
    logging = stage.get("accessLogSettings") or {}
    compiled = CompiledStage(
        place=live.place,
        api_id=live.api["id"],
        name=stage["stageName"],
        deployment=compile_deployment(stage["deploymentId"], deployed.snapshot),
        variables=stage.get("variables") or {},
        settings=stage.get("methodSettings") or {},
        is_cache_on=bool(stage.get("cacheClusterEnabled")),
        log=find_format(logging.get("destinationArn"), logging.get("format")),
    )
    canary = stage.get("canarySettings")
    if canary and deployed.canary is not None and canary.get("percentTraffic", 0) > 0:
        compiled.canary_percent = float(canary["percentTraffic"])
        compiled.canary = CompiledStage(
            place=live.place,
            api_id=live.api["id"],
            name=stage["stageName"],
            deployment=compile_deployment(canary["deploymentId"], deployed.canary),
            variables={**compiled.variables, **(canary.get("stageVariableOverrides") or {})},
            settings=compiled.settings,
            is_cache_on=compiled.is_cache_on and bool(canary.get("useStageCache")),
            log=compiled.log,
        )
    return compiled


def compile_deployment(deployment_id: str, snapshot: Document) -> CompiledDeployment:
    validators = {each["id"]: each for each in snapshot["validators"]}
    authorizers = {each["id"]: each for each in snapshot["authorizers"]}
    api = snapshot["api"]
    return CompiledDeployment(
        id=deployment_id,
        routes=Routes(
            (resource["path"], name, _compile_method(resource, method, validators, authorizers))
            for resource in snapshot["resources"]
            for name, method in (resource.get("resourceMethods") or {}).items()
            if method.get("methodIntegration")
        ),
        binary=MediaTypes(api.get("binaryMediaTypes") or ()),
        responses={each["responseType"]: each for each in snapshot["responses"]},
        models={each["name"]: each for each in snapshot["models"]},
        policy=api.get("policy"),
        key_source=api.get("apiKeySource") or "HEADER",
        compression_bytes=api.get("minimumCompressionSize"),
    )


def _compile_method(
    resource: Document, method: Document, validators: Mapping[str, Document], authorizers: Mapping[str, Document]
) -> CompiledMethod:
    validator = validators.get(method.get("requestValidatorId") or "") or {}
    return CompiledMethod(
        resource_id=resource["id"],
        resource_path=resource["path"],
        name=method["httpMethod"],
        operation_name=method.get("operationName"),
        authorization=method["authorizationType"],
        authorizer=authorizers.get(method.get("authorizerId") or ""),
        is_key_required=bool(method.get("apiKeyRequired")),
        required=[_split(name) for name, is_required in (method.get("requestParameters") or {}).items() if is_required],
        models=method.get("requestModels") or {},
        is_body_validated=bool(validator.get("validateRequestBody")),
        is_parameters_validated=bool(validator.get("validateRequestParameters")),
        integration=_compile_integration(method["methodIntegration"]),
    )


def _split(parameter: str) -> tuple[str, str]:
    """`method.request.querystring.page` -> (querystring, page)."""
    _, _, place, name = parameter.split(".", 3)
    return place, name


def _compile_integration(integration: Document) -> CompiledIntegration:
    uri = integration.get("uri") or ""
    return CompiledIntegration(
        kind=integration["type"],
        method=integration.get("httpMethod") or "",
        uri=uri,
        credentials=integration.get("credentials"),
        parameters=[
            (*_split(target), expression)
            for target, expression in (integration.get("requestParameters") or {}).items()
            if target.startswith("integration.request.")
        ],
        templates=CompiledTemplates(integration.get("requestTemplates")),
        passthrough=integration.get("passthroughBehavior") or "WHEN_NO_MATCH",
        content_handling=integration.get("contentHandling"),
        timeout_s=_timeout_s(integration.get("timeoutInMillis")),
        responses=[_compile_response(each) for each in (integration.get("integrationResponses") or {}).values()],
        cache_keys=integration.get("cacheKeyParameters") or (),
        cache_namespace=integration.get("cacheNamespace") or "",
        function=function_of(uri),
        is_streaming=integration.get("responseTransferMode") == "STREAM",
    )


def _timeout_s(timeout_ms: int | None) -> float | None:
    """None for one that was not set: the default is written into every record, as on AWS."""
    return timeout_ms / 1000 if timeout_ms and timeout_ms != DEFAULT_TIMEOUT_MS else None


def function_of(uri: str) -> str | None:
    """The function's ARN in the URI of an integration or authorizer; None when it leads to something else."""
    match = _FUNCTION.search(uri)
    return match[1] if match else None


def _compile_response(response: Document) -> CompiledResponse:
    return CompiledResponse(
        status=int(response["statusCode"]),
        pattern=_pattern(response.get("selectionPattern")),
        headers={
            name.removeprefix("method.response.header."): expression
            for name, expression in (response.get("responseParameters") or {}).items()
        },
        templates=CompiledTemplates(response.get("responseTemplates")),
        content_handling=response.get("contentHandling"),
    )


def _pattern(text: str | None) -> Any:
    """A selection pattern; one that is no regular expression matches nothing."""
    if not text:
        return None
    try:
        return compile_pattern(text)
    except PatternError:
        return compile_pattern(r"[^\s\S]")
