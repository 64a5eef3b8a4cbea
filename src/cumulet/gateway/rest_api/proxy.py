"""Lambda proxy integrations: the event of payload format 1.0 from a request, and a response from what the function returned. Pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

import base64
import binascii
from typing import Any

import orjson

from cumulet.core.http import Response
from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.rest_api.media import MediaTypes

_MEMBERS = frozenset(("statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded", "cookies"))
_REMAPPED = frozenset(
    (
        "authorization", "connection", "content-length", "content-md5", "date", "expect", "host", "max-forwards",
        "proxy-authenticate", "server", "te", "trailer", "upgrade", "user-agent", "www-authenticate",
    )
)  # fmt: skip
_JSON = ("Content-Type", "application/json")
_DROPPED = frozenset(("transfer-encoding", "keep-alive"))


class MalformedProxyResponse(ValueError):
    """The function returned what no response can be made of."""


def event_of(call: Call) -> dict[str, Any]:
    """The event; its text is the invocation's payload."""
    body, is_base64 = body_of(call)
    return {
        "resource": call.method.resource_path,
        "path": call.path,
        "httpMethod": call.request.method,
        "headers": {name: values[-1] for name, values in call.headers.items()},
        "multiValueHeaders": call.headers,
        "queryStringParameters": {name: values[-1] for name, values in call.query.items()} or None,
        "multiValueQueryStringParameters": call.query or None,
        "pathParameters": call.path_parameters or None,
        "stageVariables": dict(call.variables) or None,
        "requestContext": call.context,
        "body": body,
        "isBase64Encoded": is_base64,
    }


def body_of(call: Call) -> tuple[str | None, bool]:
    """(body, is base64): bytes travel as base64 where the API calls their media type binary."""
    body = call.request.body
    if not body:
        return None, False
    if (call.header("content-type") or "application/json") in call.stage.deployment.binary:
        return base64.b64encode(body).decode("ascii"), True
    return body.decode("utf-8", "replace"), False


def response_of(payload: bytes, binary: MediaTypes, accept: str) -> Response:
    """The function's answer as HTTP. Raises MalformedProxyResponse."""
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise MalformedProxyResponse("the function's answer is no JSON") from error
    if not isinstance(answer, dict) or not answer.keys() <= _MEMBERS:
        raise MalformedProxyResponse("the function's answer has members that a proxy response has not")
    headers = _headers_of(answer.get("headers"), answer.get("multiValueHeaders"))
    body = answer.get("body")
    if body is None:
        data = b""
    elif not isinstance(body, str):
        raise MalformedProxyResponse("body is no string")
    elif answer.get("isBase64Encoded") is True and accept in binary:
        try:
            data = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MalformedProxyResponse("body is no base64") from error
    else:
        data = body.encode("utf-8", "replace")
    return Response(_status_of(answer.get("statusCode", 200)), headers, data)


def streamed_response_of(prelude: bytes) -> Response:
    """Status and headers from the JSON object that a stream begins with. Raises MalformedProxyResponse."""
    response = response_of(prelude, MediaTypes(()), "")
    if response.body:
        raise MalformedProxyResponse("the stream's prelude has a body")
    return response


def remapped(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers that only API Gateway may set go out under another name."""
    return [
        (f"x-amzn-Remapped-{name}" if name.lower() in _REMAPPED else name, value)
        for name, value in headers
        if name.lower() not in _DROPPED
    ]


def _status_of(value: Any) -> int:
    if value is None:
        return 200
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 599:
        raise MalformedProxyResponse(f"statusCode {value!r}")
    return value


def _headers_of(single: Any, multi: Any) -> list[tuple[str, str]]:
    """Both maps merged: a pair that is in both is there once."""
    if single is None and multi is None:
        return [_JSON]
    if not isinstance(single, dict | None) or not isinstance(multi, dict | None):
        raise MalformedProxyResponse("headers must be objects")
    found: list[tuple[str, str]] = []
    for name, values in (multi or {}).items():
        if not isinstance(values, list):
            raise MalformedProxyResponse(f"multiValueHeaders.{name} is no list")
        found += [(name, _text(name, value)) for value in values]
    known = {(name.lower(), value) for name, value in found}
    for name, value in (single or {}).items():
        if value is not None and (name.lower(), text := _text(name, value)) not in known:
            found.append((name, text))
    if not any(name.lower() == "content-type" for name, _ in found):
        found.append(_JSON)
    return remapped(found)


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise MalformedProxyResponse(f"header {name} is no string")
