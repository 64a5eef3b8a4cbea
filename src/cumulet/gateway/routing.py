"""Which door a request is for, told from its bytes alone: pure, no table of resources is asked.

A client that signs says its service itself, in the scope of the signature; all other signs (host, target header, query action,
path) only stand in where there is no signature, so that the refusal has the form of the protocol that the client speaks.
"""

import re
from urllib.parse import unquote

from cumulet.core.http import Request

_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")
_TARGETS = {"DynamoDB_20120810": "dynamodb", "DynamoDBStreams_20120810": "dynamodbstreams", "Logs_20140328": "logs"}
_VERSIONS = {"2010-05-08": "iam", "2011-06-15": "sts"}
_VERSION = re.compile(r"(?:\A|&)Version=(\d{4}-\d\d-\d\d)(?:&|\Z)")
_SCANNED_BYTES = 65_536
_LAMBDA_PATH = re.compile(r"/20\d\d-\d\d-\d\d/")
_API_GATEWAY_PATH = re.compile(r"/(?:v2/)?(?:restapis|apis|apikeys|usageplans|domainnames)(?:/|\Z)")
_HOST = re.compile(r"([a-z0-9-]+)\.(?:[a-z]{2}(?:-[a-z]+)+-\d\.)?(?:amazonaws\.com|localhost)(?::\d+)?\Z")
_URL_HOST = re.compile(r"([a-z0-9]+)\.lambda-url\.([a-z0-9-]+)\.[A-Za-z0-9.-]+(?::\d+)?\Z")
_URL_PATH = "/_aws/lambda-url/"


def find_function_url(request: Request, host: str) -> tuple[str, str] | None:
    """(URL id, path below the URL) when the request is for a function URL, by host or by path."""
    if ".lambda-url." in host:
        match = _URL_HOST.match(host)
        if match:
            return match[1], request.path
    if request.path.startswith(_URL_PATH):
        url_id, _, rest = request.path[len(_URL_PATH) :].partition("/")
        return url_id, "/" + rest
    return None


def find_service(request: Request, host: str) -> str | None:
    """The service, by botocore's name for it; None when nothing in the request tells it."""
    if request.path.startswith("/@connections/"):
        return "apigatewaymanagementapi"  # signed for `execute-api`, which is no service of its own
    name = _signed_for(request) or _target_of(request) or _host_names(host) or _action_of(request) or _path_of(request)
    # Two pairs of services sign with one name.
    if name == "apigateway" and request.path.startswith("/v2/"):
        return "apigatewayv2"
    if name == "dynamodb" and request.header("x-amz-target").startswith("DynamoDBStreams_"):
        return "dynamodbstreams"
    return name


def _signed_for(request: Request) -> str | None:
    authorization = request.header("authorization")
    if authorization:
        match = _SCOPE.search(authorization)
        return match[2] if match else None
    for part in request.query.split("&"):
        if part.startswith("X-Amz-Credential="):
            scope = unquote(part[17:]).split("/")
            return scope[3] if len(scope) == 5 else None
    return None


def _target_of(request: Request) -> str | None:
    return _TARGETS.get(request.header("x-amz-target").partition(".")[0])


def _host_names(host: str) -> str | None:
    match = _HOST.match(host)
    return match[1] if match else None


def _action_of(request: Request) -> str | None:
    """Nobody has signed for this body: it is looked at, not parsed."""
    text = request.query
    if request.header("content-type").startswith("application/x-www-form-urlencoded"):
        text = request.body[:_SCANNED_BYTES].decode("latin-1") + "&" + text
    match = _VERSION.search(text) if "Action=" in text else None
    return _VERSIONS.get(match[1]) if match else None


def _path_of(request: Request) -> str | None:
    if _LAMBDA_PATH.match(request.path):
        return "lambda"
    return "apigateway" if _API_GATEWAY_PATH.match(request.path) else None
