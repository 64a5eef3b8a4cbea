"""The nouns of REST APIs as documents: dicts in the members that the wire gives them, because that is what patch operations,
exports and deployments work on. Pure: no I/O, no clock.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cumulet.core.errors import NotImplementedFault
from cumulet.core.place import Place as Place
from cumulet.core.place import place_of as place_of
from cumulet.services.rest_apis.errors import BadRequest, Conflict

Document = dict[str, Any]

METHODS = ("ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
AUTHORIZATION_TYPES = ("NONE", "AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS")
DEFAULT_TIMEOUT_MS = 29_000
_PATH_PART = re.compile(r"(?:[a-zA-Z0-9._\-:]+|\{[a-zA-Z0-9._\-:]+\+?\})\Z")
_NAME = re.compile(r"[a-zA-Z0-9]+\Z")
_STAGE_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}\Z")
_VARIABLE_NAME = re.compile(r"[A-Za-z0-9_]+\Z")
_VARIABLE_VALUE = re.compile(r"[A-Za-z0-9\-._~:/?#&=,]*\Z")
_REQUEST_PARAMETER = re.compile(r"method\.request\.(?:querystring|header|path|multivaluequerystring|multivalueheader)\.[^\s]+\Z")
_RESPONSE_PARAMETER = re.compile(r"method\.response\.header\.[^\s]+\Z")

GATEWAY_RESPONSES: Mapping[str, str | None] = {
    "ACCESS_DENIED": "403",
    "API_CONFIGURATION_ERROR": "500",
    "AUTHORIZER_CONFIGURATION_ERROR": "500",
    "AUTHORIZER_FAILURE": "500",
    "BAD_REQUEST_BODY": "400",
    "BAD_REQUEST_PARAMETERS": "400",
    "DEFAULT_4XX": None,
    "DEFAULT_5XX": None,
    "EXPIRED_TOKEN": "403",
    "INTEGRATION_FAILURE": "504",
    "INTEGRATION_TIMEOUT": "504",
    "INVALID_API_KEY": "403",
    "INVALID_SIGNATURE": "403",
    "MISSING_AUTHENTICATION_TOKEN": "403",
    "QUOTA_EXCEEDED": "429",
    "REQUEST_TOO_LARGE": "413",
    "RESOURCE_NOT_FOUND": "404",
    "THROTTLED": "429",
    "UNAUTHORIZED": "401",
    "UNSUPPORTED_MEDIA_TYPE": "415",
    "WAF_FILTERED": "403",
}
"""Response types and their status where nothing else is said; the two defaults have none of their own."""

DEFAULT_RESPONSE_TEMPLATES = {"application/json": '{"message":$context.error.messageString}'}

STANDARD_MODELS = (
    ("Empty", "This is a default empty schema model", '{\n  "$schema": "http://json-schema.org/draft-04/schema#",\n  '
     '"title" : "Empty Schema",\n  "type" : "object"\n}'),
    ("Error", "This is a default error schema model", '{\n  "$schema" : "http://json-schema.org/draft-04/schema#",\n  '
     '"title" : "Error Schema",\n  "type" : "object",\n  "properties" : {\n    "message" : { "type" : "string" }\n  }\n}'),
)  # fmt: skip
"""(name, description, schema) of the models that every new API has."""


def without_nothing(document: Mapping[str, Any]) -> Document:
    """Without the members that were not given."""
    return {name: value for name, value in document.items() if value is not None}


def taken(request: Mapping[str, Any], *names: str) -> Document:
    """Those members of a request that are there."""
    return {name: request[name] for name in names if request.get(name) is not None}


def page(
    items: Sequence[Document], request: Mapping[str, Any], key: Callable[[Document], str], *, usual: int = 25
) -> tuple[list[Document], str | None]:
    """(this page, where the next begins). `position` is the key of the last item that was shown."""
    limit = request.get("limit")
    limit = usual if limit is None else limit
    if not 1 <= limit <= 500:
        raise BadRequest("Invalid value for limit: must be between 1 and 500")
    if request.get("position"):
        try:
            last = base64.urlsafe_b64decode(request["position"]).decode()
        except (binascii.Error, ValueError):
            raise BadRequest("Invalid position parameter") from None
        items = [item for item in items if key(item) > last]
    shown = list(items[:limit])
    more = base64.urlsafe_b64encode(key(shown[-1]).encode()).decode() if len(items) > limit else None
    return shown, more


def paged(items: Iterable[Document], request: Mapping[str, Any], key: str = "id", *, usual: int = 25) -> Document:
    """The answer of a list operation: in the order of the key, because pages continue behind a key."""
    shown, position = page(sorted(items, key=lambda item: str(item[key])), request, lambda item: str(item[key]), usual=usual)
    return without_nothing({"items": shown, "position": position})


def check_path_part(part: str, siblings: Iterable[Document], parent_path: str) -> None:
    """Raises BadRequest, Conflict. A level has at most one variable; a greedy one has nothing below it."""
    if not _PATH_PART.match(part):
        raise BadRequest(
            "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable "
            "and curly braces at the beginning and the end."
        )
    if parent_path.endswith("+}"):
        raise BadRequest(f"Cannot create a child of a resource with a greedy path variable: {parent_path}")
    for sibling in siblings:
        other = sibling["pathPart"]
        if other == part:
            raise Conflict("Another resource with the same parent already has this name: " + part)
        both_greedy = other.endswith("+}") == part.endswith("+}")
        if other.startswith("{") and part.startswith("{") and both_greedy:
            raise BadRequest(f"A sibling ({other}) of this resource already has a variable path part -- only one is allowed")


def child_path(parent_path: str, part: str) -> str:
    return f"{parent_path.rstrip('/')}/{part}"


def check_method(name: str) -> None:
    if name not in METHODS:
        raise BadRequest("Invalid HttpMethod specified. Valid options are GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY")


def check_request_parameters(parameters: Mapping[str, Any] | None) -> None:
    for name in parameters or ():
        if not _REQUEST_PARAMETER.match(name):
            raise BadRequest(
                "Invalid mapping expression specified: Validation Result: warnings : [], "
                f"errors : [Invalid mapping expression specified: {name}]"
            )


def check_response_parameters(parameters: Mapping[str, Any] | None) -> None:
    for name in parameters or ():
        if not _RESPONSE_PARAMETER.match(name):
            raise BadRequest(
                "Invalid mapping expression specified: Validation Result: warnings : [], "
                f"errors : [Invalid mapping expression specified: {name}]"
            )


def check_name(name: str, what: str) -> None:
    if not _NAME.match(name):
        raise BadRequest(f"{what} name must be alphanumeric: {name}")


def check_stage_name(name: str) -> None:
    if not _STAGE_NAME.match(name) or name == "test-invoke-stage":
        raise BadRequest("Stage name only allows a-zA-Z0-9_-")


def check_variables(variables: Mapping[str, str] | None) -> None:
    for name, value in (variables or {}).items():
        if not _VARIABLE_NAME.match(name):
            raise BadRequest(f"Stage variable name can only have alphanumeric characters and underscores: {name}")
        if not _VARIABLE_VALUE.match(value):
            raise BadRequest(f"Stage variable value can only have the characters A-Za-z0-9-._~:/?#&=,: {name}")


def checked_integration(document: Document) -> Document:
    """An integration with its defaults. Raises BadRequest for what could never run."""
    kind = document["type"]
    if kind not in ("AWS", "AWS_PROXY", "HTTP", "HTTP_PROXY", "MOCK"):
        raise BadRequest(f"Invalid integration type specified: {kind}. Valid options are HTTP, AWS, MOCK, HTTP_PROXY, AWS_PROXY")
    if document.get("contentHandling") not in (None, "", "CONVERT_TO_BINARY", "CONVERT_TO_TEXT"):
        raise BadRequest("Invalid content handling specified. Valid options are CONVERT_TO_BINARY, CONVERT_TO_TEXT")
    if kind != "MOCK" and not document.get("uri"):
        raise BadRequest("URI must be specified for integration type " + kind)
    if kind in ("AWS", "AWS_PROXY"):
        uri = document["uri"]
        if not uri.startswith("arn:"):
            raise BadRequest("Invalid ARN specified in the request")
        if len(uri.split(":", 5)) < 6 or uri.split(":", 5)[2] != "apigateway":
            raise BadRequest("AWS ARN for integration must contain path or action")
        if not uri.split(":", 5)[5].startswith(("path/", "action/")):
            raise BadRequest("AWS ARN for integration must contain path or action")
    if kind == "AWS_PROXY" and not document["uri"].split(":")[4].endswith("lambda"):
        raise BadRequest(
            "Integrations of type 'AWS_PROXY' currently only supports Lambda function and Firehose stream invocations."
        )
    if kind != "MOCK" and not document.get("httpMethod"):
        raise BadRequest("Enumeration value for HttpMethod must be non-empty")
    if kind in ("HTTP", "HTTP_PROXY") and not document["uri"].startswith(("http://", "https://", "${stageVariables.")):
        raise BadRequest("Invalid HTTP endpoint specified for URI")
    if document.get("responseTransferMode") == "STREAM":
        _check_streaming(document)
    if document.get("connectionType") == "VPC_LINK":
        raise NotImplementedFault("VPC links are not supported by this node")
    timeout = document.setdefault("timeoutInMillis", DEFAULT_TIMEOUT_MS)
    if not 50 <= timeout <= 300_000:
        raise BadRequest("Timeout should be between 50 ms and 29000 ms")
    behavior = document.setdefault("passthroughBehavior", "WHEN_NO_MATCH")
    if behavior not in ("WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER"):
        raise BadRequest("Invalid enum value for passthroughBehavior. Valid options are WHEN_NO_MATCH, WHEN_NO_TEMPLATES, NEVER.")
    document.setdefault("cacheKeyParameters", [])
    return document


def _check_streaming(document: Document) -> None:
    """Raises BadRequest, NotImplementedFault: only functions stream, through the address that is made for it."""
    if document["type"] == "HTTP_PROXY":
        raise NotImplementedFault("responseTransferMode STREAM of HTTP_PROXY integrations is not supported by this node")
    if document["type"] != "AWS_PROXY" or not document["uri"].endswith("/response-streaming-invocations"):
        raise BadRequest(
            "Response transfer mode STREAM is supported for AWS_PROXY and HTTP_PROXY integrations, "
            "with a function's response-streaming-invocations as its uri"
        )


def method_snapshots(resources: Iterable[Document]) -> Document:
    """A deployment's `apiSummary`: {path: {method: who may call}}."""
    return {
        resource["path"]: {
            name: {"authorizationType": method["authorizationType"], "apiKeyRequired": bool(method.get("apiKeyRequired"))}
            for name, method in resource["resourceMethods"].items()
        }
        for resource in resources
        if resource.get("resourceMethods")
    }


def check_deployable(resources: Iterable[Document]) -> None:
    """Raises BadRequest: an API without methods, or with a method that leads nowhere, cannot be deployed."""
    methods = [method for resource in resources for method in resource.get("resourceMethods", {}).values()]
    if not methods:
        raise BadRequest("The REST API doesn't contain any methods")
    if any("methodIntegration" not in method for method in methods):
        raise BadRequest("No integration defined for method")


def shown_gateway_response(kind: str, own: Document | None) -> Document:
    """A gateway response as it is set, or its default."""
    if own is not None:
        return own | {"defaultResponse": False}
    default: Document = {"responseType": kind, "statusCode": GATEWAY_RESPONSES[kind], "responseParameters": {}}
    return without_nothing(default | {"responseTemplates": DEFAULT_RESPONSE_TEMPLATES, "defaultResponse": True})
