"""`@connections` below a stage's address: the management API, whose model knows nothing of the stage in its path.

At the node's own address the same service is reached like any other (`gateway/steps.py`).
"""

from collections.abc import Callable
from dataclasses import replace

from cumulet.core.context import Context
from cumulet.core.errors import Fault, NotImplementedFault
from cumulet.core.http import Response
from cumulet.gateway.exchange import Exchange
from cumulet.services.connections.api import ConnectionsService
from cumulet.services.connections.errors import Forbidden
from cumulet.services.connections.model import Scope
from cumulet.wire.service import load_service

PATH = "/@connections/"
_SERVICE, _SIGNING_NAME = "apigatewaymanagementapi", "execute-api"


class Management:
    """`signed` tells who signed an exchange's request, or raises the Fault of the signature."""

    def __init__(self, service: ConnectionsService, signed: Callable[[Exchange], Context]) -> None:
        self._service = service
        self._signed = signed

    async def answer(self, exchange: Exchange, path: str, scope: Scope) -> Response:
        """The answer to a request for `path`, which begins with PATH, at the address of a stage."""
        wire = load_service(_SERVICE)
        request = replace(exchange.request, path=path)
        try:
            context = self._signed(exchange)
            if exchange.signature is None or exchange.signature.service != _SIGNING_NAME:
                raise Forbidden(f"Credential should be scoped to correct service: '{_SIGNING_NAME}'.")
            operation = wire.match(request)
            handler = self._service.within(scope).handlers.get(operation.name)
            if handler is None:
                raise NotImplementedFault(f"This node does not implement {_SERVICE}:{operation.name}")
            return operation.encode(await handler(context, operation.decode(request)), exchange.request_id)
        except Fault as fault:
            return wire.encode_fault(request, fault, exchange.request_id)
