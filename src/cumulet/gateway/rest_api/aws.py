"""AWS integrations with the node's own services: `arn:aws:apigateway:REGION:SERVICE:path/…` or `:action/NAME`, signed and sent
through the public door like any client's request.
"""

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from cumulet.core.errors import Fault
from cumulet.core.http import Request, Response
from cumulet.gateway.rest_api.backends import Backends
from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.rest_api.outgoing import Outgoing
from cumulet.gateway.rest_api.refusals import Refusal, server_error
from cumulet.gateway.rest_api.variables import with_stage_variables
from cumulet.services.rest_apis.model import Place
from cumulet.wire.models import UnknownServiceError, load_model

_VARIABLE = re.compile(r"\{([a-zA-Z0-9._\-]+)\+?\}")
_MODELS = {"states": "stepfunctions", "monitoring": "cloudwatch", "email": "ses"}
_DROPPED = frozenset(("host", "content-length", "authorization", "x-amz-date", "x-amz-security-token", "connection"))


@dataclass(frozen=True, slots=True)
class ServiceUri:
    """`subdomain` stands before the service in a few ARNs, as an account does for SQS's path."""

    region: str
    service: str
    subdomain: str
    is_action: bool
    path: str


def parse_uri(uri: str) -> ServiceUri:
    """Raises Refusal for what is no such ARN."""
    parts = uri.split(":", 5)
    if len(parts) != 6 or parts[2] != "apigateway":
        raise server_error()
    kind, _, path = parts[5].partition("/")
    if kind not in ("path", "action"):
        raise server_error()
    subdomain, _, service = parts[4].rpartition(".")
    return ServiceUri(parts[3], service, subdomain, kind == "action", path)


class ServiceCall:
    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def send(self, call: Call, uri: ServiceUri, outgoing: Outgoing) -> Response:
        """The service's answer, whatever its status. Raises Refusal."""
        request = request_of(uri, outgoing)
        credentials = call.method.integration.credentials
        role = with_stage_variables(credentials, call.variables) if credentials else None
        place = Place(call.stage.place.account, uri.region)
        try:
            async with asyncio.timeout(self._backends.timeout_s(call.method.integration)):
                return await self._backends.send_signed(request, uri.service, uri.region, place, role)
        except TimeoutError:
            raise Refusal("INTEGRATION_TIMEOUT", "Endpoint request timed out") from None
        except Fault as fault:
            call.note(f"Execution failed due to configuration error: {fault.message}")
            raise server_error() from None


def request_of(uri: ServiceUri, outgoing: Outgoing) -> Request:
    """The request, unsigned. An action's name goes where the service's protocol wants it."""
    path = _VARIABLE.sub(lambda match: quote(outgoing.path.get(match[1], ""), safe="/%-._~"), uri.path)
    query = dict(outgoing.query)
    headers = {name.lower(): values[-1] for name, values in outgoing.headers.items() if name.lower() not in _DROPPED}
    body = outgoing.body
    if uri.is_action:
        action, *given = path.split("&")
        for pair in given:
            name, _, value = pair.partition("=")
            query[name] = [value]
        path = "/"
        body = _spell_action(uri, action, query, headers, body)
    else:
        path, _, own = path.partition("?")
        path = "/" + path.lstrip("/")
        if own:
            query = {name: [value] for name, _, value in (pair.partition("=") for pair in own.split("&"))} | query
    text = urlencode([(name, value) for name, values in query.items() for value in values], quote_via=quote)
    method = outgoing.method or "POST"
    return Request(method, path, text, list(headers.items()), body if method not in ("GET", "HEAD") else b"")


def _spell_action(uri: ServiceUri, action: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes) -> bytes:
    """Puts the action into the target header or among the parameters; the body to send."""
    try:
        metadata = load_model(_MODELS.get(uri.service, uri.service)).metadata
    except UnknownServiceError:
        raise server_error() from None
    protocols = metadata.get("protocols") or [metadata["protocol"]]
    is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if "json" in protocols and not (is_form and "query" in protocols):
        headers.setdefault("x-amz-target", f"{metadata['targetPrefix']}.{action}")
        headers["content-type"] = f"application/x-amz-json-{metadata.get('jsonVersion', '1.0')}"
        return body or b"{}"
    query.setdefault("Action", [action])
    query.setdefault("Version", [str(metadata["apiVersion"])])
    return body if is_form else b""
