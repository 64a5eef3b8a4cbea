"""One request to an HTTP API, taken apart no further than is asked for: what events, mappings, authorizers and logs all read."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from cumulet.core import ids
from cumulet.core.context import Principal
from cumulet.core.http import Request
from cumulet.gateway.function_urls import clf_time
from cumulet.gateway.http_api.compiled import Route, Stage

NOT_FORWARDED = frozenset(("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"))


@dataclass(slots=True)
class Call:
    """`path` and `full_path` are percent-decoded, as this service hands them on; the first is without the stage.

    `claims` and `scopes` are a token's, `granted` is what an authorizer's function adds, `caller` who signed.
    """

    request: Request
    request_id: str
    host: str
    now_ms: int
    stage: Stage
    route: Route
    path: str
    full_path: str
    path_parameters: dict[str, str]
    claims: dict[str, str] | None = None
    scopes: list[str] | None = None
    granted: dict[str, Any] | None = None
    caller: Principal | None = None
    noted: dict[str, Any] = field(default_factory=dict)
    _trace_id: str = ""

    def header(self, name: str) -> str | None:
        """All values of a header (name in lower case), joined."""
        values = [value for key, value in self.request.headers if key == name]
        return ",".join(values) if values else None

    def query(self, name: str) -> str | None:
        values = [value for key, value in self.query_pairs() if key == name]
        return ",".join(values) if values else None

    def query_pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.request.query, keep_blank_values=True) if self.request.query else []

    def trace_id(self) -> str:
        """The client's trace header, or a new root."""
        if not self._trace_id:
            made = f"Root=1-{self.now_ms // 1000:08x}-{self.request_id.replace('-', '')[:24]}"
            self._trace_id = self.request.header("x-amzn-trace-id") or made
        return self._trace_id

    def forwarded(self) -> list[tuple[str, str, str]]:
        """(lower-case name, usual spelling, value) of the headers that the gateway sets."""
        request = self.request
        told = request.header("x-forwarded-for")
        return [
            ("x-amzn-trace-id", "X-Amzn-Trace-Id", self.trace_id()),
            ("x-forwarded-for", "X-Forwarded-For", f"{told}, {request.source_ip}" if told else request.source_ip),
            ("x-forwarded-port", "X-Forwarded-Port", self.host.rpartition(":")[2] if ":" in self.host else _port(request.scheme)),
            ("x-forwarded-proto", "X-Forwarded-Proto", request.scheme),
        ]

    def domain(self) -> str:
        return self.host.partition(":")[0]

    def time(self) -> str:
        return clf_time(self.now_ms // 1000)

    def extended_id(self) -> str:
        """`$context.extendedRequestId`."""
        return ids.extended_request_id(self.request_id)

    def arn(self) -> str:
        """What an authorizer is asked about."""
        stage = self.stage
        place = f"{stage.place.region}:{stage.place.account}"
        return f"arn:aws:execute-api:{place}:{stage.api_id}/{stage.name}/{self.request.method}{self.path}"

    def context(self, path: str) -> Any:
        """`$context.…`: what is known of the call by now; None for what is not."""
        if path in self.noted:
            return self.noted[path]
        read = _CONTEXT.get(path)
        if read is not None:
            return read(self)
        first, _, rest = path.partition(".")
        if first != "authorizer":
            return None
        if rest.startswith("claims."):
            return (self.claims or {}).get(rest[7:])
        return (self.granted or {}).get(rest)


def _port(scheme: str) -> str:
    return "443" if scheme == "https" else "80"


def decoded(path: str) -> str:
    return unquote(path) if "%" in path else path


def _caller(name: str) -> Any:
    return lambda call: getattr(call.caller, name) if call.caller else None


_CONTEXT: dict[str, Any] = {
    "accountId": lambda call: call.stage.place.account,
    "apiId": lambda call: call.stage.api_id,
    "domainName": Call.domain,
    "domainPrefix": lambda call: call.domain().partition(".")[0],
    "extendedRequestId": Call.extended_id,
    "httpMethod": lambda call: call.request.method,
    "identity.accountId": _caller("account"),
    "identity.caller": _caller("user_id"),
    "identity.sourceIp": lambda call: call.request.source_ip,
    "identity.user": _caller("user_id"),
    "identity.userAgent": lambda call: call.request.header("user-agent") or None,
    "identity.userArn": _caller("arn"),
    "path": lambda call: call.full_path,
    "protocol": lambda call: "HTTP/1.1",
    "requestId": lambda call: call.request_id,
    "requestTime": Call.time,
    "requestTimeEpoch": lambda call: call.now_ms,
    "routeKey": lambda call: call.route.key,
    "stage": lambda call: call.stage.name,
}
