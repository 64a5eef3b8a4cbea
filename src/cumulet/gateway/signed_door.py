"""Requests of integrations to the node's own services: signed as their role, and sent through the public door."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from cumulet.auth.signing import signed_headers
from cumulet.core.clock import Clock
from cumulet.core.errors import Fault
from cumulet.core.http import Request, Response
from cumulet.core.place import Place

CredentialsOf = Callable[[str], tuple[str, str, str]]
"""A role's ARN -> key id, secret and session token of temporary credentials."""


PublicDoor = Callable[[Request], Awaitable[Response]]
"""The node's own, for requests that come from inside of it."""


class NoCredentials(Fault):
    """An integration with a service names a role of the API's own account."""

    code = "AccessDeniedException"
    status = 403


class SignedDoor:
    """See `SendSigned`."""

    def __init__(
        self,
        gateway: PublicDoor,
        credentials_of: CredentialsOf,
        endpoint: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._gateway = gateway
        self._credentials_of = credentials_of
        self._endpoint = endpoint
        self._clock = clock

    async def send(self, request: Request, service: str, region: str, place: Place, role: str | None) -> Response:
        """Raises Fault when there is nobody to sign as."""
        if role is None or role.split(":")[4:5] != [place.account] or ":role/" not in role:
            raise NoCredentials("the integration names no role of the API's account as its credentials")
        if request.path.startswith(("/_aws/", "/restapis/")):
            raise NoCredentials("an integration with a service does not lead to a deployed API")
        if not request.header("host"):
            request.headers.append(("host", urlsplit(self._endpoint()).netloc))
        signed = signed_headers(request, service, region, self._credentials_of(role), self._clock.now_ms())
        response = await self._gateway(
            Request(request.method, request.path, request.query, signed, request.body, request.source_ip)
        )
        if not isinstance(response.body, bytes):
            response.body = b"".join([piece async for piece in response.body])
        return response
