"""The nouns of HTTP and WebSocket APIs as documents in the wire's members, and their rules. Pure: no I/O, no clock."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cumulet.core.errors import NotImplementedFault
from cumulet.services.http_apis.errors import BadRequest
from cumulet.store.documents import Document

HTTP, WEBSOCKET = "HTTP", "WEBSOCKET"
DEFAULT_STAGE = "$default"
METHODS = ("ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_MOST_RESULTS, _USUAL_RESULTS = 500, 100
_MOST_KEY_CHARS = 512
_STAGE_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}\Z")
_VARIABLE_NAME = re.compile(r"[A-Za-z0-9_]+\Z")
_VARIABLE_VALUE = re.compile(r"[A-Za-z0-9\-._~:/?#&=,]*\Z")
_ROUTE_KEY = re.compile(r"(?:ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) (/\S*)\Z")
_PART = re.compile(r"(?:[^{}\s]*|\{[A-Za-z0-9._\-:]+\+?\})\Z")
_ORIGIN = re.compile(r"(?:\*|[a-z][a-z0-9+.\-]*://(?:\*|\S+))\Z", re.IGNORECASE)
_TOKEN = re.compile(r"(?:\*|[!#$%&'*+\-.^_`|~0-9A-Za-z]+)\Z")


def taken(request: Mapping[str, Any], *names: str) -> Document:
    """Those members of a request that are there."""
    return {name: request[name] for name in names if request.get(name) is not None}


def changed(document: Mapping[str, Any], request: Mapping[str, Any], *names: str) -> Document:
    """A document with those members of a request that are there; a text that is set to "" is taken away."""
    merged = {**document, **taken(request, *names)}
    return {name: value for name, value in merged.items() if value != "" or name not in names}


def merged(before: Mapping[str, Any] | None, given: Mapping[str, Any] | None) -> Document:
    """A map after an update: what is not named stays, what is set to nothing goes."""
    return {name: value for name, value in {**(before or {}), **(given or {})}.items() if value not in ("", {}, None)}


def paged(items: Iterable[Document], request: Mapping[str, Any], key: str) -> Document:
    """The answer of a list operation, in the order of a member; a token is the member of the last item shown. Raises BadRequest."""
    limit = _limit_of(request.get("MaxResults"))
    left = sorted(items, key=lambda item: str(item[key]))
    if request.get("NextToken"):
        try:
            last = base64.b64decode(request["NextToken"], altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise BadRequest("Invalid NextToken specified") from None
        left = [item for item in left if str(item[key]) > last]
    shown = left[:limit]
    if len(left) <= limit:
        return {"Items": shown}
    return {"Items": shown, "NextToken": base64.urlsafe_b64encode(str(shown[-1][key]).encode()).decode()}


def _limit_of(text: str | None) -> int:
    if text is None:
        return _USUAL_RESULTS
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST_RESULTS):
        raise BadRequest(f"Invalid value for MaxResults: must be between 1 and {_MOST_RESULTS}")
    return int(text)


def checked_api(api: Document) -> Document:
    """An API with its defaults. Raises BadRequest."""
    if api["ProtocolType"] not in (HTTP, WEBSOCKET):
        raise BadRequest("Invalid protocol specified. Must be one of [HTTP, WEBSOCKET]")
    is_http = api["ProtocolType"] == HTTP
    api.setdefault("ApiKeySelectionExpression", "$request.header.x-api-key")
    api.setdefault("DisableExecuteApiEndpoint", False)
    api.setdefault("IpAddressType", "ipv4")
    if is_http:
        expression = api.setdefault("RouteSelectionExpression", "$request.method $request.path")
        if expression not in ("${request.method} ${request.path}", "$request.method $request.path"):
            raise BadRequest("RouteSelectionExpression must be ${request.method} ${request.path} for HTTP APIs")
        if api.get("DisableSchemaValidation"):
            raise BadRequest("DisableSchemaValidation is not supported for HTTP APIs")
    elif not api.get("RouteSelectionExpression"):
        raise BadRequest("RouteSelectionExpression is required for WEBSOCKET APIs")
    if api.get("CorsConfiguration") is not None:
        if not is_http:
            raise BadRequest("CORS configuration is only supported for HTTP APIs")
        api["CorsConfiguration"] = checked_cors(api["CorsConfiguration"])
        if not api["CorsConfiguration"]:
            del api["CorsConfiguration"]
    return api


def checked_cors(cors: Document) -> Document:
    """Raises BadRequest."""
    for origin in cors.get("AllowOrigins") or ():
        if not _ORIGIN.match(origin) or origin.count("*") > 1:
            raise BadRequest(f"Invalid format for origin '{origin}': it must be * or have a scheme, and at most one *")
    if cors.get("AllowCredentials") and "*" in (cors.get("AllowOrigins") or ()):
        raise BadRequest("allow-credentials is not allowed when the allowed origins have the wildcard *")
    for method in cors.get("AllowMethods") or ():
        if method != "*" and method.upper() not in METHODS:
            raise BadRequest(f"Invalid method specified: {method}")
    for member in ("AllowHeaders", "ExposeHeaders"):
        for name in cors.get(member) or ():
            if not _TOKEN.match(name):
                raise BadRequest(f"Invalid header name specified: {name}")
    return {name: value for name, value in cors.items() if value not in (None, [])}


def check_route_key(key: str, protocol: str) -> None:
    """Raises BadRequest."""
    if protocol == WEBSOCKET:
        if not key.strip():
            raise BadRequest("The provided route key is not valid for WEBSOCKET protocol")
        return
    if key == DEFAULT_STAGE:
        return
    match = _ROUTE_KEY.match(key) if len(key) <= _MOST_KEY_CHARS else None
    if match is None or (match[1] != "/" and not _is_path(match[1])):
        raise BadRequest(
            "The provided route key is not formatted properly for HTTP protocol. "
            'Format should be "<HTTP METHOD> /<RESOURCE PATH>" or "$default"'
        )


def _is_path(path: str) -> bool:
    """A greedy variable is the last part; no variable is there twice."""
    parts = path[1:].split("/")
    names = [part.strip("{}+") for part in parts if part.startswith("{")]
    return (
        all(_PART.match(part) for part in parts)
        and not any(part.endswith("+}") for part in parts[:-1])
        and len(set(names)) == len(names)
        and "" not in parts[:-1]
    )


def checked_route(route: Document, protocol: str) -> Document:
    """A route with its defaults. Raises BadRequest; authorizer and target are looked up elsewhere."""
    check_route_key(route["RouteKey"], protocol)
    kind = route.setdefault("AuthorizationType", "NONE")
    allowed = ("NONE", "AWS_IAM", "CUSTOM", "JWT") if protocol == HTTP else ("NONE", "AWS_IAM", "CUSTOM")
    if kind not in allowed:
        raise BadRequest(f"Invalid authorization type specified: {kind}. Must be one of {list(allowed)}".replace("'", ""))
    if protocol == WEBSOCKET and kind != "NONE" and route["RouteKey"] != "$connect":
        raise BadRequest("Currently, authorization is restricted to the $connect route only")
    if kind in ("CUSTOM", "JWT") and not route.get("AuthorizerId"):
        raise BadRequest(f"Authorizer id must be specified for authorization type {kind}")
    if kind in ("NONE", "AWS_IAM"):
        route.pop("AuthorizerId", None)
    if route.get("AuthorizationScopes") and kind != "JWT":
        raise BadRequest("AuthorizationScopes are only supported for authorization type JWT")
    if not route.get("AuthorizationScopes"):
        route.pop("AuthorizationScopes", None)
    route.setdefault("ApiKeyRequired", False)
    if protocol == HTTP:
        if route["ApiKeyRequired"]:
            raise BadRequest("API keys are not supported for HTTP APIs")
        for member in ("RequestModels", "RequestParameters", "ModelSelectionExpression", "RouteResponseSelectionExpression"):
            if route.get(member):
                raise BadRequest(f"{member} is not supported for HTTP APIs")
    if route.get("Target") and not route["Target"].startswith("integrations/"):
        raise BadRequest("Invalid target specified. It must have the form integrations/<integration id>")
    return route


def checked_stage(stage: Document, protocol: str) -> Document:
    """A stage with its defaults. Raises BadRequest."""
    name = stage["StageName"]
    if not (_STAGE_NAME.match(name) or (name == DEFAULT_STAGE and protocol == HTTP)):
        raise BadRequest("Stage name only allows a-zA-Z0-9_- and, for HTTP APIs, $default")
    for key, value in stage.setdefault("StageVariables", {}).items():
        if not _VARIABLE_NAME.match(key):
            raise BadRequest(f"Stage variable name can only have alphanumeric characters and underscores: {key}")
        if not _VARIABLE_VALUE.match(value):
            raise BadRequest(f"Stage variable value can only have the characters A-Za-z0-9-._~:/?#&=,: {key}")
    settings = stage.setdefault("DefaultRouteSettings", {})
    settings.setdefault("DetailedMetricsEnabled", False)
    if protocol == WEBSOCKET:
        settings.setdefault("DataTraceEnabled", False)
        settings.setdefault("LoggingLevel", "OFF")
    _check_settings(settings, protocol)
    for each in stage.setdefault("RouteSettings", {}).values():
        _check_settings(each, protocol)
    stage.setdefault("Tags", {})
    if stage.get("AccessLogSettings") is not None:
        stage["AccessLogSettings"] = _checked_log(stage["AccessLogSettings"])
    return stage


def _check_settings(settings: Document, protocol: str) -> None:
    if protocol == HTTP and (settings.get("DataTraceEnabled") or settings.get("LoggingLevel") not in (None, "OFF", "")):
        raise BadRequest("Execution logs are not supported on protocolType HTTP")
    if settings.get("ThrottlingBurstLimit", 0) < 0 or settings.get("ThrottlingRateLimit", 0) < 0:
        raise BadRequest("Throttling limits must not be negative")


def _checked_log(log: Document) -> Document:
    if not log.get("DestinationArn") or not log.get("Format"):
        raise BadRequest("Access log settings need a destination ARN and a format")
    arn = log["DestinationArn"].removesuffix(":*").split(":", 6)
    if arn[2:3] == ["firehose"]:
        raise NotImplementedFault("Access logs to Firehose are not supported by this node")
    if len(arn) != 7 or arn[0] != "arn" or arn[2] != "logs" or arn[5] != "log-group":
        raise BadRequest("Invalid ARN specified in the request: access logs go to a log group of CloudWatch Logs")
    if "$context.requestId" not in log["Format"] and "$context.extendedRequestId" not in log["Format"]:
        raise BadRequest("Failed to set access logs: the format must include at least $context.requestId")
    return log
