"""HTTP and HTTP_PROXY integrations: the URL with its variables filled in, and the request to it."""

import asyncio
import re
from urllib.parse import quote, urlencode

from cumulet.core.http import Response
from cumulet.gateway.rest_api.backends import Backends
from cumulet.gateway.rest_api.call import Call
from cumulet.gateway.rest_api.outgoing import Outgoing
from cumulet.gateway.rest_api.refusals import Refusal
from cumulet.gateway.rest_api.variables import with_stage_variables

PATH_VARIABLE = re.compile(r"\{([a-zA-Z0-9._\-]+)\+?\}")
HOP_BY_HOP = frozenset(("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host"))


class HttpCall:
    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def send(self, call: Call, outgoing: Outgoing) -> Response:
        """The server's answer. Raises Refusal when there is none."""
        url = url_of(call, outgoing)
        headers = [(name, value) for name, value in outgoing.header_pairs() if name.lower() not in HOP_BY_HOP]
        headers.append(("x-amzn-apigateway-api-id", call.stage.api_id))
        call.note(f"Sending request to {url}")
        body = b"" if outgoing.method in ("GET", "HEAD") and not outgoing.body else outgoing.body
        try:
            async with asyncio.timeout(self._backends.timeout_s(call.method.integration)):
                response = await self._backends.send_http(outgoing.method, url, headers, body)
        except TimeoutError:
            call.note("Execution failed due to a timeout error")
            raise Refusal("INTEGRATION_TIMEOUT", "Endpoint request timed out") from None
        except OSError as error:
            call.note(f"Execution failed due to configuration error: {error}")
            raise Refusal("INTEGRATION_FAILURE", "Internal server error", 500) from None
        response.headers = [(name, value) for name, value in response.headers if name.lower() not in HOP_BY_HOP]
        return response


def url_of(call: Call, outgoing: Outgoing) -> str:
    """`{name}` is what was mapped to the path, else nothing; the query is added to the URI's own."""
    uri = with_stage_variables(call.method.integration.uri, call.variables)
    url = PATH_VARIABLE.sub(lambda match: quote(outgoing.path.get(match[1], ""), safe="/%:@!$&'()*+,;=-._~"), uri)
    query = urlencode([(name, value) for name, values in outgoing.query.items() for value in values])
    if query:
        url += ("&" if "?" in url else "?") + query
    return url
