"""What functions get and give: events of payload formats 1.0 and 2.0, for integrations and authorizers, and responses. Pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from cumulet.core.http import Response
from cumulet.gateway.function_urls import InvalidFunctionResponse, body_text, headers_and_cookies, identity, joined
from cumulet.gateway.http_api.call import NOT_FORWARDED, Call

_NOT_SHOWN = NOT_FORWARDED | {"content-length", "x-amzn-trace-id"}
_TEXT = ("Content-Type", "text/plain;charset=UTF-8")
_NO_IDENTITY = dict.fromkeys(
    (
        "accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType", "cognitoIdentityId",
        "cognitoIdentityPoolId", "principalOrgId", "sourceIp", "user", "userAgent", "userArn",
    )
)  # fmt: skip


class _Shown(NamedTuple):
    """What an event of format 2.0 shows of a request's headers. `headers` is their JSON text without the last brace, and without
    those that are each request's own."""

    headers: str
    cookies: list[str]
    user_agent: str
    content_type: str
    has_trace: bool


class _Shown1(NamedTuple):
    """The same for format 1.0: the last value of each header, and all."""

    headers: str
    multi: str
    has_trace: bool


def event_of(call: Call, version: str) -> bytes:
    """The event of an integration: its JSON text."""
    return orjson.dumps(_event_2(call) if version == "2.0" else _event_1(call))


def authorizer_event_of(call: Call, version: str, identity_source: list[str]) -> dict[str, Any]:
    """The event of an authorizer: the request without its body."""
    if version == "2.0":
        event = _event_2(call) | {"type": "REQUEST", "routeArn": call.arn(), "identitySource": identity_source}
    else:
        token = ",".join(identity_source)
        event = _event_1(call) | {"type": "REQUEST", "methodArn": call.arn(), "identitySource": token, "authorizationToken": token}
        for name in ("queryStringParameters", "pathParameters", "stageVariables"):
            event[name] = event[name] or {}
        del event["multiValueHeaders"], event["multiValueQueryStringParameters"]
        del event["requestContext"]["authorizer"]
    event.pop("body", None)
    del event["isBase64Encoded"]
    return event


def _shown_of(call: Call) -> _Shown:
    request = call.request
    shown: _Shown | None = request.kept.get("http-api")
    if shown is None:
        headers, cookies = headers_and_cookies(request.headers)
        has_trace = bool(request.header("x-amzn-trace-id"))
        headers = {name: value for name, value in headers.items() if name not in _NOT_SHOWN}
        headers |= {name: value for name, _, value in call.forwarded() if has_trace or name != "x-amzn-trace-id"}
        agent, kind = headers.get("user-agent", ""), headers.get("content-type", "")
        shown = request.kept["http-api"] = _Shown(orjson.dumps(headers)[:-1].decode(), cookies, agent, kind, has_trace)
    return shown


def _headers_text(call: Call, shown: _Shown) -> orjson.Fragment:
    trace = "" if shown.has_trace else f',"x-amzn-trace-id":"{call.trace_id()}"'
    return orjson.Fragment(f'{shown.headers}{trace},"content-length":"{len(call.request.body)}"}}')


def _event_2(call: Call) -> dict[str, Any]:
    """Ready for JSON: headers are a text already."""
    request, stage = call.request, call.stage
    shown = _shown_of(call)
    domain = call.domain()
    context: dict[str, Any] = {
        "accountId": stage.place.account,
        "apiId": stage.api_id,
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "http": {
            "method": request.method,
            "path": call.full_path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": shown.user_agent,
        },
        "requestId": call.request_id,
        "routeKey": call.route.key,
        "stage": stage.name,
        "time": call.time(),
        "timeEpoch": call.now_ms,
    }
    authorizer = _authorizer_2(call)
    if authorizer:
        context["authorizer"] = authorizer
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": call.route.key,
        "rawPath": call.full_path,
        "rawQueryString": request.query,
        "headers": _headers_text(call, shown),
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if shown.cookies:
        event["cookies"] = shown.cookies
    if request.query:
        event["queryStringParameters"] = joined(call.query_pairs())
    if call.path_parameters:
        event["pathParameters"] = call.path_parameters
    if stage.variables:
        event["stageVariables"] = stage.variables
    if request.body:
        event["body"], event["isBase64Encoded"] = body_text(request.body, shown.content_type)
    return event


def _authorizer_2(call: Call) -> dict[str, Any] | None:
    if call.claims is not None:
        return {"jwt": {"claims": call.claims, "scopes": call.scopes}}
    if call.granted is not None:
        return {"lambda": call.granted}
    return {"iam": identity(call.caller)} if call.caller is not None else None


def _shown_1_of(call: Call) -> _Shown1:
    request = call.request
    shown: _Shown1 | None = request.kept.get("http-api-1")
    if shown is None:
        has_trace = bool(request.header("x-amzn-trace-id"))
        headers: dict[str, list[str]] = {}
        ours = call.forwarded()
        replaced = {name for name, _, _ in ours}
        for at, (lower, value) in enumerate(request.headers):
            if lower not in replaced and lower not in NOT_FORWARDED:
                name = request.names[at].decode("latin-1") if request.names else lower
                headers.setdefault(name, []).append(value)
        headers |= {name: [value] for lower, name, value in ours if has_trace or lower != "x-amzn-trace-id"}
        single = orjson.dumps({name: values[-1] for name, values in headers.items()})
        shown = request.kept["http-api-1"] = _Shown1(single[:-1].decode(), orjson.dumps(headers)[:-1].decode(), has_trace)
    return shown


def _event_1(call: Call) -> dict[str, Any]:
    """Ready for JSON: headers are a text already."""
    request, stage = call.request, call.stage
    shown = _shown_1_of(call)
    trace = "" if shown.has_trace else f',"X-Amzn-Trace-Id":"{call.trace_id()}"'
    traces = "" if shown.has_trace else f',"X-Amzn-Trace-Id":["{call.trace_id()}"]'
    queries: dict[str, list[str]] = {}
    for name, value in call.query_pairs():
        queries.setdefault(name, []).append(value)
    body, is_base64 = body_text(request.body, request.header("content-type")) if request.body else (None, False)
    return {
        "version": "1.0",
        "resource": call.route.path,
        "path": call.full_path,
        "httpMethod": request.method,
        "headers": orjson.Fragment(f"{shown.headers}{trace}}}"),
        "multiValueHeaders": orjson.Fragment(f"{shown.multi}{traces}}}"),
        "queryStringParameters": {name: values[-1] for name, values in queries.items()} or None,
        "multiValueQueryStringParameters": queries or None,
        "requestContext": _context_1(call),
        "pathParameters": call.path_parameters or None,
        "stageVariables": dict(stage.variables) or None,
        "body": body,
        "isBase64Encoded": is_base64,
    }


def _context_1(call: Call) -> dict[str, Any]:
    request, stage, caller = call.request, call.stage, call.caller
    domain = call.domain()
    who = _NO_IDENTITY | {"sourceIp": request.source_ip, "userAgent": request.header("user-agent")}
    if caller is not None:
        who |= {
            "accessKey": caller.access_key_id,
            "accountId": caller.account,
            "caller": caller.user_id,
            "user": caller.user_id,
            "userArn": caller.arn,
        }
    authorizer = call.granted if call.granted is not None else {"claims": call.claims, "scopes": call.scopes}
    return {
        "accountId": stage.place.account,
        "apiId": stage.api_id,
        "authorizer": authorizer,
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "extendedRequestId": call.extended_id(),
        "httpMethod": request.method,
        "identity": who,
        "path": call.full_path,
        "protocol": "HTTP/1.1",
        "requestId": call.request_id,
        "requestTime": call.time(),
        "requestTimeEpoch": call.now_ms,
        "resourceId": call.route.key,
        "resourcePath": call.route.path,
        "stage": stage.name,
    }


def response_of(payload: bytes, version: str) -> Response:
    """What the function returned, as HTTP. Raises InvalidFunctionResponse.

    Format 2.0 also takes what is no response: a JSON value without `statusCode` is the body of a 200.
    """
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise InvalidFunctionResponse("the function's answer is no JSON") from error
    if not isinstance(answer, dict) or "statusCode" not in answer:
        if version == "2.0":
            return Response(200, [("Content-Type", "application/json")], payload)
        raise InvalidFunctionResponse("the function's answer has no statusCode")
    headers = _headers_of(answer.get("headers"), None if version == "2.0" else answer.get("multiValueHeaders"))
    if (cookies := answer.get("cookies")) is not None:
        headers += _cookies_of(cookies)
    return Response(_status_of(answer["statusCode"]), headers, _body_of(answer))


def _status_of(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 599:
        raise InvalidFunctionResponse(f"statusCode {value!r}")
    return value


def _cookies_of(cookies: Any) -> list[tuple[str, str]]:
    if not isinstance(cookies, list) or any(not isinstance(cookie, str) for cookie in cookies):
        raise InvalidFunctionResponse("cookies are a list of strings")
    return [("Set-Cookie", cookie) for cookie in cookies]


def _headers_of(single: Any, multi: Any) -> list[tuple[str, str]]:
    """Those of several values, and those of `single` that it does not name."""
    if not single and not multi:
        return [_TEXT]
    given = list(_pairs_of(single or {}, multi or {}))
    found = [(name, value) for lower, name, value in given if lower not in NOT_FORWARDED]
    if not any(lower == "content-type" for lower, _, _ in given):
        found.append(_TEXT)
    return found


def _pairs_of(single: Any, multi: Any) -> Iterator[tuple[str, str, str]]:
    """(lower-case name, name, value)."""
    if not isinstance(single, dict) or not isinstance(multi, dict):
        raise InvalidFunctionResponse("headers must be objects")
    known = set()
    for name, values in multi.items():
        if not isinstance(values, list):
            raise InvalidFunctionResponse(f"multiValueHeaders.{name} is no list")
        lower = name.lower()
        if values:
            known.add(lower)
        for value in values:
            yield lower, name, _text(name, value)
    for name, value in single.items():
        if value is not None and (lower := name.lower()) not in known:
            yield lower, name, _text(name, value)


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise InvalidFunctionResponse(f"header {name} is no string")


def _body_of(answer: dict[str, Any]) -> bytes:
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise InvalidFunctionResponse("body is no string")
    if answer.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "replace")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidFunctionResponse("body is no base64") from error
