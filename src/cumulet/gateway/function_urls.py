"""What a function URL makes of HTTP: the event (payload format 2.0) from a request, the response from what the function returned,
and CORS. Pure: resolving the URL, checking signatures and invoking happen elsewhere.
"""

import base64
import binascii
import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from cumulet.core.context import Principal
from cumulet.core.http import Request, Response
from cumulet.core.patterns import wildcards

MAXIMUM_PAYLOAD_BYTES = 6 * 1024 * 1024
_TEXT_TYPES = frozenset(("application/json", "application/javascript", "application/xml"))
_HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade"))
_PORTS = {"http": "80", "https": "443"}
_CLOSED = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
_JSON = ("Content-Type", "application/json")
_OBJECT, _LIST = (dict, type(None)), (list, type(None))
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Cors:
    """A URL's cross-origin rules, as its configuration names them."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: int | None = None
    allow_credentials: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> "Cors | None":
        """From the wire's `Cors` structure; None and the empty structure are no rules at all."""
        if not config:
            return None
        return cls(
            tuple(config.get("AllowOrigins") or ()),
            tuple(config.get("AllowMethods") or ()),
            tuple(config.get("AllowHeaders") or ()),
            tuple(config.get("ExposeHeaders") or ()),
            config.get("MaxAge"),
            bool(config.get("AllowCredentials")),
        )


class InvalidFunctionResponse(ValueError):
    """The function returned what no HTTP response can be made of."""


def event_of(
    request: Request, *, path: str, url_id: str, domain: str, request_id: str, now_ms: int, caller: Principal | None = None
) -> bytes:
    """The event's JSON text. `path` is the part below the URL; `caller` is None for an anonymous one."""
    headers, cookies = headers_and_cookies(request.headers)
    headers["x-forwarded-for"] = request.source_ip
    headers["x-forwarded-proto"] = request.scheme
    headers["x-forwarded-port"] = domain.rpartition(":")[2] if ":" in domain else _PORTS[request.scheme]
    context: dict[str, Any] = {
        "accountId": caller.account if caller else "anonymous",
        "apiId": url_id,
        "domainName": domain,
        "domainPrefix": url_id,
        "http": {
            "method": request.method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": clf_time(now_ms // 1000),
        "timeEpoch": now_ms,
    }
    if caller:
        context["authorizer"] = {"iam": identity(caller)}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if request.query:
        event["queryStringParameters"] = joined(parse_qsl(request.query, keep_blank_values=True))
    if request.body:
        event["body"], event["isBase64Encoded"] = body_text(request.body, headers.get("content-type", ""))
    return orjson.dumps(event)


def response_of(payload: bytes) -> Response:
    """What the function returned, as HTTP. Raises InvalidFunctionResponse.

    A JSON object with `statusCode` is a response; any other JSON value is the body of a 200.
    """
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise InvalidFunctionResponse("the function's answer is no JSON") from error
    if not isinstance(value, dict) or "statusCode" not in value:
        return Response(200, [_JSON], payload)
    given, cookies = value.get("headers"), value.get("cookies")
    headers = [_JSON] if given is None and cookies is None else _response_headers(given, cookies)
    return Response(_status(value["statusCode"]), headers, _response_body(value.get("body"), value.get("isBase64Encoded")))


def streamed_response_of(prelude: bytes) -> Response:
    """Status and headers, without a body, from the JSON object that a stream may begin with. Raises InvalidFunctionResponse."""
    try:
        value = orjson.loads(prelude)
    except orjson.JSONDecodeError as error:
        raise InvalidFunctionResponse("the stream's prelude is no JSON") from error
    if not isinstance(value, dict):
        raise InvalidFunctionResponse("the stream's prelude is no object")
    return Response(_status(value.get("statusCode", 200)), _response_headers(value.get("headers"), value.get("cookies")))


def error(status: int, message: str, member: str = "message") -> Response:
    """A refusal as function URLs word it."""
    return Response(status, [_JSON], orjson.dumps({member: message}))


def closed() -> Response:
    """What AWS answers who is not let in: without the signature that is wanted, or without a policy that opens the URL."""
    response = error(403, _CLOSED, "Message")
    response.headers.append(("x-amzn-ErrorType", "AccessDeniedException"))
    return response


def preflight(request: Request, cors: Cors) -> Response | None:
    """The answer to a browser's question before a cross-origin call; None when the request is not such a question."""
    if request.method != "OPTIONS" or not request.header("access-control-request-method") or not request.header("origin"):
        return None
    headers = _origin_headers(request.header("origin"), cors)
    if headers:
        if cors.allow_methods:
            headers.append(("Access-Control-Allow-Methods", ",".join(cors.allow_methods)))
        if cors.allow_headers:
            headers.append(("Access-Control-Allow-Headers", ",".join(cors.allow_headers)))
        if cors.max_age_s is not None:
            headers.append(("Access-Control-Max-Age", str(cors.max_age_s)))
    return Response(200, headers)


def with_cors(request: Request, response: Response, cors: Cors) -> Response:
    """The response with the URL's CORS headers, which replace those that the function set itself."""
    origin = request.header("origin")
    if not origin:
        return response
    ours = _origin_headers(origin, cors)
    if ours and cors.expose_headers:
        ours.append(("Access-Control-Expose-Headers", ",".join(cors.expose_headers)))
    kept = [(name, value) for name, value in response.headers if not name.lower().startswith("access-control-")]
    return Response(response.status, kept + ours, response.body)


def headers_and_cookies(pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, str], list[str]]:
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in pairs:
        if name == "cookie":
            cookies += [part for part in value.replace("; ", ";").split(";") if part]
        elif name in headers:
            headers[name] += "," + value
        else:
            headers[name] = value
    return headers, cookies


def joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def identity(caller: Principal) -> dict[str, Any]:
    return {
        "accessKey": caller.access_key_id,
        "accountId": caller.account,
        "callerId": caller.user_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": caller.arn,
        "userId": caller.user_id,
    }


def body_text(body: bytes, content_type: str) -> tuple[str, bool]:
    """(text, is base64): text only for types that say they are; forms and unknown types travel as base64."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml")):
        try:
            return body.decode("utf-8"), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode("ascii"), True


@functools.lru_cache(maxsize=8)
def clf_time(seconds: int) -> str:
    at = time.gmtime(seconds)
    return f"{at[2]:02}/{_MONTHS[at[1] - 1]}/{at[0]}:{at[3]:02}:{at[4]:02}:{at[5]:02} +0000"


def _status(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 599:
        raise InvalidFunctionResponse(f"statusCode {value!r}")
    return value


def _response_headers(headers: Any, cookies: Any) -> list[tuple[str, str]]:
    if not isinstance(headers, _OBJECT) or not isinstance(cookies, _LIST):
        raise InvalidFunctionResponse("headers must be an object and cookies a list")
    found: list[tuple[str, str]] = []
    is_typed = False
    for name, value in (headers or {}).items():
        if not isinstance(value, (str, int, float)):
            raise InvalidFunctionResponse(f"header {name} is no string")
        if (lower := name.lower()) in _HOP_BY_HOP:
            continue
        is_typed = is_typed or lower == "content-type"
        found.append((name, value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)))
    if not is_typed:
        found.append(_JSON)
    for cookie in cookies or ():
        if not isinstance(cookie, str):
            raise InvalidFunctionResponse("a cookie is no string")
        found.append(("Set-Cookie", cookie))
    return found


def _response_body(body: Any, is_base64: Any) -> bytes:
    if body is None:
        return b""
    if not isinstance(body, str):
        raise InvalidFunctionResponse("body is no string")
    if not is_base64:
        return body.encode("utf-8", "replace")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidFunctionResponse("body is no base64") from error


def _origin_headers(origin: str, cors: Cors) -> list[tuple[str, str]]:
    if not any(_origin_matches(pattern, origin) for pattern in cors.allow_origins):
        return []
    is_any = "*" in cors.allow_origins and not cors.allow_credentials
    headers = [("Access-Control-Allow-Origin", "*" if is_any else origin)]
    if not is_any:
        headers.append(("Vary", "Origin"))
    if cors.allow_credentials:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    return headers


def _origin_matches(pattern: str, origin: str) -> bool:
    """Exactly, or with `*` in the pattern standing for any run of characters (`https://*.example.com`)."""
    return wildcards(pattern)(origin)
