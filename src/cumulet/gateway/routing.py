"""Which door a request is for, told from its bytes alone: pure, no table of resources is asked.

A client that signs says its service itself, in the scope of the signature; all other signs (host, target header, query action,
path) only stand in where there is no signature, so that the refusal has the form of the protocol that the client speaks.
"""

import re
from urllib.parse import parse_qsl

from cumulet.core.http import Request

_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")
_QUERY_SCOPE = re.compile(r"X-Amz-Credential=[^&]*?(?:/|%2[Ff])([A-Za-z0-9-]+)(?:/|%2[Ff])([A-Za-z0-9-]+)(?:/|%2[Ff])aws4_request")
_TARGETS = {"Logs_20140328": "logs"}
_VERSIONS = {"2010-05-08": "iam", "2011-06-15": "sts"}
_LAMBDA_PATH = re.compile(r"/20\d\d-\d\d-\d\d/")
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
    """The service's signing name, None when nothing in the request tells it."""
    return _signed_for(request) or _target_of(request) or _host_names(host) or _action_of(request) or _path_of(request)


def _signed_for(request: Request) -> str | None:
    authorization = request.header("authorization")
    if authorization:
        match = _SCOPE.search(authorization)
        return match[2] if match else None
    if "X-Amz-Credential=" in request.query:
        match = _QUERY_SCOPE.search(request.query)
        return match[2] if match else None
    return None


def _target_of(request: Request) -> str | None:
    return _TARGETS.get(request.header("x-amz-target").partition(".")[0])


def _host_names(host: str) -> str | None:
    match = _HOST.match(host)
    return match[1] if match else None


def _action_of(request: Request) -> str | None:
    text = request.query
    if request.header("content-type").startswith("application/x-www-form-urlencoded") and len(request.body) < 1_000_000:
        text = request.body.decode("latin-1") + "&" + text
    if "Action=" not in text:
        return None
    return _VERSIONS.get(dict(parse_qsl(text)).get("Version", ""))


def _path_of(request: Request) -> str | None:
    return "lambda" if _LAMBDA_PATH.match(request.path) else None
