"""Who may connect: signatures and Lambda authorizers. Only `$connect` asks; what it finds out stays with the connection."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from cumulet.core.clock import Clock
from cumulet.core.context import Context, Principal
from cumulet.core.errors import Fault
from cumulet.gateway import policies
from cumulet.gateway.authorizers import error_message
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.policies import PolicyError, Question
from cumulet.gateway.rest_api.access import grant_of
from cumulet.gateway.rest_api.call import caller_identity
from cumulet.gateway.rest_api.compiled import function_of
from cumulet.gateway.rest_api.refusals import Refusal
from cumulet.gateway.rest_api.variables import with_stage_variables
from cumulet.gateway.websocket_api.backends import RouteBackends
from cumulet.gateway.websocket_api.call import Refused, RouteCall, server_error
from cumulet.store.documents import Document

_ACTION = "execute-api:Invoke"
_TIMEOUT_S = 29.0


class Access:
    """`signed` tells who signed an exchange's request, or raises the Fault of the signature."""

    def __init__(self, backends: RouteBackends, signed: Callable[[Exchange], Context], clock: Clock) -> None:
        self._backends = backends
        self._signed = signed
        self._clock = clock

    async def check(self, call: RouteCall, exchange: Exchange) -> dict[str, Any] | None:
        """What an authorizer found out, for `requestContext.authorizer`; None where there is none. Raises Refused."""
        if call.route.is_key_required:
            raise Refused(403, "Forbidden")  # the keys are those of usage plans, which this kind of API does not know here
        match call.route.authorization:
            case "NONE":
                return None
            case "AWS_IAM":
                call.context["identity"].update(caller_identity(self._caller(call, exchange)))
                return None
            case "CUSTOM":
                return await self._authorize(call)
        raise server_error()

    def _caller(self, call: RouteCall, exchange: Exchange) -> Principal:
        """Who signed for `execute-api` in the API's region: somebody of the API's account."""
        try:
            context = self._signed(exchange)
        except Fault as fault:
            is_missing = fault.code == "MissingAuthenticationTokenException"
            raise Refused(403, "Missing Authentication Token" if is_missing else fault.message) from None
        place = call.stage.place
        assert exchange.signature is not None
        if exchange.signature.service != "execute-api":
            raise Refused(403, "Credential should be scoped to correct service: 'execute-api'.")
        if context.region != place.region:
            raise Refused(403, f"Credential should be scoped to a valid region, not '{context.region}'.")
        if context.account != place.account:
            what = f"{_ACTION} on resource: {route_arn(call)}"
            raise Refused(403, f"User: {context.principal.arn} is not authorized to perform: {what}")
        return context.principal

    async def _authorize(self, call: RouteCall) -> dict[str, Any]:
        authorizer = call.route.authorizer
        if authorizer is None:
            raise server_error()
        if not all(call.value_of(source.removeprefix("$")) for source in authorizer.get("IdentitySource") or ()):
            raise Refused(401, "Unauthorized")
        started_s = self._clock.monotonic_s()
        answer = await self._ask(call, authorizer)
        latency_ms = int((self._clock.monotonic_s() - started_s) * 1000)
        try:
            grant = grant_of(answer)
            verdict = policies.evaluate(grant.policy, Question(_ACTION, route_arn(call)))
        except (Refusal, PolicyError):
            raise server_error() from None
        if verdict != "allow":
            raise Refused(403, "User is not authorized to access this resource")
        return {"principalId": grant.principal, **grant.context, "integrationLatency": latency_ms}

    async def _ask(self, call: RouteCall, authorizer: Document) -> bytes:
        uri = with_stage_variables(authorizer["AuthorizerUri"], call.variables)
        payload = orjson.dumps(_event_of(call))
        result = await self._backends.invoke(call, function_of(uri) or uri, payload, _TIMEOUT_S)
        if result.function_error is None:
            return result.payload
        if error_message(result.payload) == "Unauthorized":
            raise Refused(401, "Unauthorized")
        raise server_error()


def route_arn(call: RouteCall) -> str:
    place = call.stage.place
    return f"arn:aws:execute-api:{place.region}:{place.account}:{call.stage.api_id}/{call.stage.name}/{call.route.key}"


def _event_of(call: RouteCall) -> Mapping[str, Any]:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html"""
    return {
        "type": "REQUEST",
        "methodArn": route_arn(call),
        "headers": _last(call.headers),
        "multiValueHeaders": call.headers,
        "queryStringParameters": _last(call.query),
        "multiValueQueryStringParameters": call.query,
        "stageVariables": dict(call.variables),
        "requestContext": call.context,
    }


def _last(values: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {name: each[-1] for name, each in values.items()}
