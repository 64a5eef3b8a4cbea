"""The life of a request, as one list of steps from top to bottom. Each step adds to the exchange what it finds out; a Fault
raised in any of them is rendered in the caller's own protocol, and any other exception is a bug: logged whole, told as a bare 500.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Protocol

from cumulet.auth.credentials import FindCredential
from cumulet.auth.faults import InvalidSignature
from cumulet.auth.sigv4 import verify
from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.errors import Fault, InternalFault, NotImplementedFault
from cumulet.core.http import Request, Response
from cumulet.gateway.exchange import Door, Exchange, Service
from cumulet.gateway.execute_api import ExecuteApi
from cumulet.gateway.metrics import Metrics
from cumulet.gateway.nodelog import LineWriter
from cumulet.gateway.refusals import plain_refusal, refusal
from cumulet.gateway.routing import find_function_url, find_service
from cumulet.wire import chunked
from cumulet.wire.service import load_service

log = logging.getLogger("cumulet.gateway")
access_log = logging.getLogger("cumulet.access")
"""Its `disabled` flag switches the request log; the lines themselves go straight to the writer, past `logging`."""

Step = Callable[[Exchange], Awaitable[Response | None] | None]
"""A step that has to wait returns what it waits for; that may bring the answer."""


class RateLimit(Protocol):
    """How many requests an account may make."""

    def take(self, account: str) -> Awaitable[None] | None:
        """Count one request, which goes on when what this returns is done. Raises the Fault of a caller who asks too often."""
        ...


class Gateway:
    """Answers every request of the one port. `doors` are {path or path prefix ending in "/": door}."""

    def __init__(
        self,
        *,
        services: Mapping[str, Service],
        doors: Mapping[str, Door],
        function_urls: Door,
        apis: ExecuteApi,
        find_credential: FindCredential,
        rate_limit: RateLimit,
        clock: Clock,
        metrics: Metrics,
        lines: LineWriter,
    ) -> None:
        self._services = services
        self._pages = {path: door for path, door in doors.items() if not path.endswith("/")}
        self._trees = [(path, door) for path, door in doors.items() if path.endswith("/")]
        self._function_urls = function_urls
        self._apis = apis
        self._find_credential = find_credential
        self._rate_limit = rate_limit
        self._clock = clock
        self._metrics = metrics
        self._lines = lines
        self.steps: tuple[Step, ...] = (
            self._identify,  # a request id, before anything can fail
            self._route,  # function URL, API, page of the node, or service: from the bytes alone
            self._enter_door,  # everything but services ends here
            self._authenticate,  # nothing of the body is parsed, and no resource looked up, before this
            self._limit_rate,  # per account, so only after its name is proven
            self._unchunk,  # its chunks are signed with what was just verified
            self._match_operation,
            self._decode,
            self._handle,
            self._encode,
        )

    async def __call__(self, request: Request) -> Response:
        """The answer, whatever happens."""
        answer = self.answer(request)
        return answer if isinstance(answer, Response) else await answer

    def answer(self, request: Request) -> Response | Awaitable[Response]:
        """The same: at once where no step has to wait."""
        started = time.perf_counter()
        exchange = Exchange(request, request.header("host").lower())
        steps = iter(self.steps)
        waiting = self._walk(exchange, steps)
        return self._answered(exchange, started) if waiting is None else self._walk_on(exchange, steps, waiting, started)

    def _walk(self, exchange: Exchange, steps: Iterator[Step]) -> Awaitable[Response | None] | None:
        """Up to a step that has to wait, or has answered."""
        try:
            for step in steps:
                waiting = step(exchange)
                if waiting is not None:
                    return waiting
                if exchange.response is not None:
                    return None
        except Exception as error:
            exchange.response = _failure(exchange, error)
        return None

    async def _walk_on(
        self, exchange: Exchange, steps: Iterator[Step], waiting: Awaitable[Response | None] | None, started: float
    ) -> Response:
        while waiting is not None:
            try:
                exchange.response = await waiting
            except Exception as error:
                exchange.response = _failure(exchange, error)
            waiting = self._walk(exchange, steps) if exchange.response is None else None
        return self._answered(exchange, started)

    def _answered(self, exchange: Exchange, started: float) -> Response:
        response = exchange.response
        assert response is not None
        self._note(exchange, response, time.perf_counter() - started)
        return response

    def _identify(self, exchange: Exchange) -> None:
        exchange.request_id = ids.request_id()

    def _route(self, exchange: Exchange) -> None:
        request = exchange.request
        if find_function_url(request, exchange.host) is not None:
            exchange.door, exchange.operation_name = self._function_urls, "function-url"
            return
        exchange.door = self._apis.find_door(request, exchange.host)
        if exchange.door is not None:
            exchange.operation_name = "execute-api"
            return
        exchange.door = self._pages.get(request.path)
        if exchange.door is None:
            for prefix, door in self._trees:
                if request.path.startswith(prefix):
                    exchange.door = door
        if exchange.door is not None:
            return
        name = find_service(request, exchange.host)
        exchange.service = self._services.get(name or "")
        if exchange.service is None:
            raise NotImplementedFault(f"This node has no service {name!r}" if name else "This request names no service")
        exchange.wire = load_service(exchange.service.name)

    def _enter_door(self, exchange: Exchange) -> Awaitable[Response] | None:
        if exchange.door is None:
            return None
        answer = exchange.door(exchange)
        if not isinstance(answer, Response):
            return answer
        exchange.response = answer
        return None

    def _authenticate(self, exchange: Exchange) -> None:
        exchange.context = self.signed_context(exchange)
        assert exchange.signature is not None and exchange.service is not None
        wanted = exchange.service.signing_name or exchange.service.name
        if exchange.signature.service != wanted:
            raise InvalidSignature(f"Credential should be scoped to correct service: '{wanted}'.")

    def _limit_rate(self, exchange: Exchange) -> Awaitable[None] | None:
        assert exchange.context is not None
        return self._rate_limit.take(exchange.context.account)

    def _unchunk(self, exchange: Exchange) -> None:
        """A body that comes in signed chunks, or with a trailer, becomes the body itself."""
        payload_hash = exchange.request.header("x-amz-content-sha256")
        if not chunked.is_chunked(payload_hash):
            return
        request, signature = exchange.request, exchange.signature
        assert signature is not None
        scope = f"{signature.date[:8]}/{signature.region}/{signature.service}"
        signer = chunked.ChunkSigner(signature.seed, signature.key, signature.date, scope)
        request.body = chunked.decode(request.body, payload_hash, signer, dict(request.headers))
        request.headers = [pair for pair in map(_without_chunks, request.headers) if pair is not None]

    def _match_operation(self, exchange: Exchange) -> None:
        assert exchange.wire is not None
        exchange.operation = exchange.wire.match(exchange.request)
        exchange.operation_name = exchange.operation.name

    def _decode(self, exchange: Exchange) -> None:
        assert exchange.operation is not None
        exchange.input = exchange.operation.decode(exchange.request)

    async def _handle(self, exchange: Exchange) -> None:
        assert exchange.service is not None and exchange.context is not None
        handler = exchange.service.handlers.get(exchange.operation_name)
        if handler is None:
            raise NotImplementedFault(f"This node does not implement {exchange.service.name}:{exchange.operation_name}")
        exchange.result = await handler(exchange.context, exchange.input)

    def _encode(self, exchange: Exchange) -> None:
        assert exchange.operation is not None
        exchange.response = exchange.operation.encode(exchange.result, exchange.request_id)

    def signed_context(self, exchange: Exchange) -> Context:
        """Who signed the request. Raises the Fault of a signature that is missing, wrong, expired or unknown."""
        signature = verify(exchange.request, self._find_credential, self._clock.now_ms())
        exchange.signature = signature
        principal = signature.credential.principal
        return Context(
            principal.account,
            signature.region,
            exchange.request_id,
            principal,
            exchange.endpoint,
            exchange.request.source_ip,
            exchange.request.header("user-agent"),
        )

    def _note(self, exchange: Exchange, response: Response, seconds: float) -> None:
        service = exchange.service.name if exchange.service else ""
        self._metrics.requests.add(service, exchange.operation_name, str(response.status))
        self._metrics.request_seconds.observe(seconds, service)
        if access_log.disabled:
            return
        request = exchange.request
        self._lines.write(
            {
                "time_ms": self._clock.now_ms(),
                "level": "INFO",
                "logger": "cumulet.access",
                "request_id": exchange.request_id,
                "method": request.method,
                "path": request.path,
                "service": service,
                "operation": exchange.operation_name,
                "account": exchange.context.account if exchange.context else "",
                "status": response.status,
                "ms": round(seconds * 1000, 3),
                "bytes_in": len(request.body),
                "bytes_out": len(response.body) if isinstance(response.body, bytes) else None,
                "source_ip": request.source_ip,
            }
        )


def _without_chunks(header: tuple[str, str]) -> tuple[str, str] | None:
    """A header as it is of the body itself: `aws-chunked` is no encoding of what is kept."""
    name, value = header
    if name == "content-encoding":
        rest = [each for each in map(str.strip, value.split(",")) if each and each.lower() != "aws-chunked"]
        return (name, ", ".join(rest)) if rest else None
    return header


def _failure(exchange: Exchange, error: Exception) -> Response:
    """A Fault as the client can read it; anything else is a bug."""
    if not isinstance(error, Fault):
        log.error("bug while answering", exc_info=error, extra={"fields": {"request_id": exchange.request_id}})
        error = InternalFault("The node failed to answer this request; its log says why.")
    return _refusal(exchange, error)


def _refusal(exchange: Exchange, fault: Fault) -> Response:
    """The fault in the protocol that the client speaks."""
    if exchange.operation is not None:
        return exchange.operation.encode_fault(fault, exchange.request_id)
    if exchange.wire is not None:
        return exchange.wire.encode_fault(exchange.request, fault, exchange.request_id)
    if exchange.door is not None:
        return plain_refusal(fault, exchange.request_id)
    return refusal(exchange.request, find_service(exchange.request, exchange.host) or "", fault, exchange.request_id)
