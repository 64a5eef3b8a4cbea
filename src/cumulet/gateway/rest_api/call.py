"""One request to a REST API, taken apart no further than is asked for: what events, templates, mappings and authorizers read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from cumulet.core import ids
from cumulet.core.context import Principal
from cumulet.core.http import Request, Response
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.function_urls import clf_time
from cumulet.gateway.rest_api.compiled import CompiledMethod, CompiledStage

_SHOWN_BYTES = 1024
_NOT_FORWARDED = frozenset(("connection", "content-length", "transfer-encoding", "keep-alive", "te", "upgrade", "trailer"))

_NO_IDENTITY: Mapping[str, Any] = {
    "cognitoIdentityPoolId": None,
    "accountId": None,
    "cognitoIdentityId": None,
    "caller": None,
    "sourceIp": "",
    "principalOrgId": None,
    "accessKey": None,
    "cognitoAuthenticationType": None,
    "cognitoAuthenticationProvider": None,
    "userArn": None,
    "userAgent": None,
    "user": None,
}

_PORTS = {"http": "80", "https": "443"}


@dataclass(slots=True)
class Call:
    """`path` is what follows the stage, `full_path` what the client asked for, both as sent; `path_parameters` are as sent too.
    `exchange` None: nobody asked for it, it is a test invocation. `api_key` and `response` are what steps have found.
    """

    request: Request
    request_id: str
    host: str
    now_ms: int
    stage: CompiledStage
    method: CompiledMethod
    path: str
    full_path: str
    path_parameters: dict[str, str]
    exchange: Exchange | None = None
    is_canary: bool = False
    log: list[str] | None = None
    api_key: str | None = None
    response: Response | None = None
    response_headers: list[tuple[str, str]] = field(default_factory=list)
    _headers: dict[str, list[str]] | None = None
    _by_lower: dict[str, str] | None = None
    _query: dict[str, list[str]] | None = None
    _context: dict[str, Any] | None = None
    _trace_id: str = ""

    # What follows is made when it is first asked for: many methods ask for none of it.

    @property
    def variables(self) -> Mapping[str, str]:
        """`$stageVariables`."""
        return self.stage.variables

    @property
    def headers(self) -> dict[str, list[str]]:
        """As integrations get them: in the client's spelling, with those that API Gateway adds."""
        if self._headers is None:
            self._headers = headers_of(self.request, self.host, self.trace_id)
        return self._headers

    @property
    def query(self) -> dict[str, list[str]]:
        if self._query is None:
            self._query = query_of(self.request.query)
        return self._query

    @property
    def context(self) -> dict[str, Any]:
        """`$context` and `requestContext`: steps add to it what they find out."""
        if self._context is None:
            self._context = context_of(self)
        return self._context

    @property
    def trace_id(self) -> str:
        """The client's trace header, or a new root."""
        if not self._trace_id:
            self._trace_id = trace_id_of(self.request, self.request_id, self.now_ms)
        return self._trace_id

    def told(self, name: str) -> str:
        """The first value of a header (name in lower case) as the client sent it; "" without one."""
        return self.request.header(name)

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever its spelling."""
        values = self.header_values(name)
        return values[0] if values else None

    def header_values(self, name: str) -> Sequence[str]:
        if self._by_lower is None:
            self._by_lower = {spelled.lower(): spelled for spelled in self.headers}
        return self.headers.get(self._by_lower.get(name.lower(), ""), ())

    def drop_header(self, name: str) -> None:
        for spelled in [spelled for spelled in self.headers if spelled.lower() == name]:
            del self.headers[spelled]
        self._by_lower = None

    def note(self, text: str, body: bytes | None = None) -> None:
        """A line of the log that a test invocation shows, with the beginning of a body."""
        if self.log is not None:
            self.log.append(text if body is None else f"{text}: {body[:_SHOWN_BYTES].decode('utf-8', 'replace')}")


def headers_of(request: Request, host: str, trace_id: str) -> dict[str, list[str]]:
    """The headers as a function sees them, with those that API Gateway adds."""
    names = request.names
    found: dict[str, list[str]] = {}
    spelled: dict[str, str] = {}
    for at, (lower, value) in enumerate(request.headers):
        if lower in _NOT_FORWARDED:
            continue
        name = spelled.get(lower)
        if name is None:
            name = spelled[lower] = names[at].decode("latin-1") if names else lower.title()
            found[name] = [value]
        else:
            found[name].append(value)
    for lower, name, value in (
        ("x-amzn-trace-id", "X-Amzn-Trace-Id", trace_id),
        ("x-forwarded-for", "X-Forwarded-For", request.source_ip),
        ("x-forwarded-port", "X-Forwarded-Port", host.rpartition(":")[2] if ":" in host else _PORTS[request.scheme]),
        ("x-forwarded-proto", "X-Forwarded-Proto", request.scheme),
    ):
        told = found.pop(spelled[lower], None) if lower in spelled else None
        found[name] = [f"{told[0]}, {value}"] if told and lower == "x-forwarded-for" else [value]
    return found


def query_of(query: str) -> dict[str, list[str]]:
    """Decoded values by name, in their order."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True) if query else ():
        found.setdefault(name, []).append(value)
    return found


def trace_id_of(request: Request, request_id: str, now_ms: int) -> str:
    """The client's trace header, or a new root."""
    told = request.header("x-amzn-trace-id")
    return told or f"Root=1-{now_ms // 1000:08x}-{request_id.replace('-', '')[:24]}"


def context_of(call: Call) -> dict[str, Any]:
    """`requestContext`, in the order of the documented sample."""
    request, stage, method = call.request, call.stage, call.method
    domain = call.host.partition(":")[0]
    identity = dict(_NO_IDENTITY)
    identity["sourceIp"] = request.source_ip
    identity["userAgent"] = request.header("user-agent") or None
    context: dict[str, Any] = {
        "resourceId": method.resource_id,
        "resourcePath": method.resource_path,
        "httpMethod": request.method,
        "extendedRequestId": ids.extended_request_id(call.request_id),
        "requestTime": clf_time(call.now_ms // 1000),
        "path": call.full_path,
        "accountId": stage.place.account,
        "protocol": "HTTP/1.1",
        "stage": stage.name,
        "domainPrefix": domain.partition(".")[0],
        "requestTimeEpoch": call.now_ms,
        "requestId": call.request_id,
        "identity": identity,
        "domainName": domain,
        "deploymentId": stage.deployment_id,
        "apiId": stage.api_id,
    }
    if method.operation_name:
        context["operationName"] = method.operation_name
    return context


def caller_identity(caller: Principal) -> dict[str, Any]:
    """What `identity` tells of a caller who signed."""
    return {
        "accountId": caller.account,
        "caller": caller.user_id,
        "accessKey": caller.access_key_id,
        "userArn": caller.arn,
        "user": caller.user_id,
    }
