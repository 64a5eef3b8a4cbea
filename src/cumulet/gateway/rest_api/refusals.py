"""What API Gateway itself answers when a request does not get through: gateway responses, which an API may set.

https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from cumulet.core.http import Response
from cumulet.services.rest_apis.model import DEFAULT_RESPONSE_TEMPLATES, GATEWAY_RESPONSES, Document

_VARIABLE = re.compile(r"\$(?:(?P<braced>\{)?(?P<path>(?:context|stageVariables|input|util)(?:\.[A-Za-z0-9_-]+)+)(?(braced)\}))")


class Refusal(Exception):
    """A request ends here. `status` None: what the type has; `error_type` None: likewise. `headers` are added to the answer."""

    def __init__(
        self,
        kind: str,
        message: str | None,
        status: int | None = None,
        *,
        headers: list[tuple[str, str]] | None = None,
        context: Mapping[str, Any] | None = None,
        validation: str | None = None,
        error_type: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.headers = headers or []
        self.context = context or {}
        self.validation = validation
        self.error_type = error_type or ErrorHeader.get(kind)

    @property
    def usual_status(self) -> int:
        return self.status or int(GATEWAY_RESPONSES.get(self.kind) or (400 if self.kind == "DEFAULT_4XX" else 500))


def server_error(status: int = 500) -> Refusal:
    """`Internal server error`, as API Gateway says it of everything behind it."""
    return Refusal("DEFAULT_5XX", "Internal server error", status)


def missing_token() -> Refusal:
    """No such path, no such method, or an AWS_IAM method without a signature."""
    return Refusal("MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token")


ErrorHeader = {
    "ACCESS_DENIED": "AccessDeniedException",
    "API_CONFIGURATION_ERROR": "InternalServerErrorException",
    "AUTHORIZER_CONFIGURATION_ERROR": "AuthorizerConfigurationException",
    "AUTHORIZER_FAILURE": "AuthorizerFailureException",
    "BAD_REQUEST_BODY": "BadRequestException",
    "BAD_REQUEST_PARAMETERS": "BadRequestException",
    "DEFAULT_5XX": "InternalServerErrorException",
    "EXPIRED_TOKEN": "ExpiredTokenException",
    "INTEGRATION_FAILURE": "InternalServerErrorException",
    "INTEGRATION_TIMEOUT": "InternalServerErrorException",
    "INVALID_API_KEY": "ForbiddenException",
    "INVALID_SIGNATURE": "InvalidSignatureException",
    "MISSING_AUTHENTICATION_TOKEN": "MissingAuthenticationTokenException",
    "QUOTA_EXCEEDED": "LimitExceededException",
    "REQUEST_TOO_LARGE": "RequestTooLargeException",
    "THROTTLED": "TooManyRequestsException",
    "UNAUTHORIZED": "UnauthorizedException",
    "UNSUPPORTED_MEDIA_TYPE": "BadRequestException",
}
"""`x-amzn-ErrorType` by response type."""


def render(
    refusal: Refusal, own: Mapping[str, Document], context: Mapping[str, Any], parameter: Callable[[str], str | None], accept: str
) -> Response:
    """The refusal as the API's own gateway response says, else its default for the class of status, else the usual one.

    `parameter` reads `method.request.…`, `stageVariables.…` and `context.…` expressions.
    """
    status = refusal.usual_status
    default = own.get("DEFAULT_5XX" if status >= 500 else "DEFAULT_4XX") or {}
    chosen = own.get(refusal.kind) or default
    if chosen.get("statusCode"):
        status = int(chosen["statusCode"])
    templates = chosen.get("responseTemplates") or DEFAULT_RESPONSE_TEMPLATES
    kind = next((each.strip() for each in accept.split(",") if each.strip() in templates), None)
    kind = kind or ("application/json" if "application/json" in templates else next(iter(templates)))
    error = {
        "message": refusal.message,
        "messageString": _quoted(refusal.message),
        "responseType": refusal.kind,
        "validationErrorString": refusal.validation or "",
    }
    body = _substituted(templates[kind], {**context, **refusal.context, "error": error}, parameter)
    headers = [("Content-Type", kind), *refusal.headers]
    if refusal.error_type is not None:
        headers.append(("x-amzn-ErrorType", refusal.error_type))
    for name, expression in (chosen.get("responseParameters") or {}).items():
        value = expression[1:-1] if expression[:1] == "'" == expression[-1:] else parameter(expression)
        if value is not None:
            headers = [each for each in headers if each[0].lower() != name[23:].lower()] + [(name[23:], value)]
    return Response(status, headers, body.encode())


def _quoted(message: str | None) -> str:
    return orjson.dumps(message).decode()


def _substituted(template: str, context: Mapping[str, Any], parameter: Callable[[str], str | None]) -> str:
    """Gateway responses have variables, no directives."""

    def value(match: re.Match[str]) -> str:
        first, _, rest = match["path"].partition(".")
        if first != "context":
            return parameter(match["path"]) or ""
        found: Any = context
        for name in rest.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return "" if found is None else found if isinstance(found, str) else orjson.dumps(found).decode()

    return _VARIABLE.sub(value, template)
