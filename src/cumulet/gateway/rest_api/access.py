"""Who may call a method: the API's resource policy, signatures, and Lambda authorizers with their cache."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.errors import Fault
from cumulet.core.patterns import PatternError, compile_pattern
from cumulet.gateway import policies
from cumulet.gateway.authorizers import Grants, error_message
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.policies import PolicyError, Question, Verdict
from cumulet.gateway.rest_api import proxy
from cumulet.gateway.rest_api.backends import Backends
from cumulet.gateway.rest_api.call import Call, caller_identity
from cumulet.gateway.rest_api.compiled import function_of
from cumulet.gateway.rest_api.refusals import Refusal, missing_token
from cumulet.gateway.rest_api.variables import request_value, with_stage_variables
from cumulet.services.rest_apis.model import Document

_ACTION = "execute-api:Invoke"
_TIMEOUT_S = 29.0
_CODES = {"ExpiredTokenException": "EXPIRED_TOKEN", "MissingAuthenticationTokenException": "MISSING_AUTHENTICATION_TOKEN"}


@dataclass(frozen=True, slots=True)
class Grant:
    """What an authorizer said. `context` is what it adds for the integration."""

    principal: str
    policy: Any
    context: Mapping[str, Any]
    usage_key: str | None


class Access:
    """`signed` tells who signed an exchange's request, or raises the Fault of the signature."""

    def __init__(self, backends: Backends, signed: Callable[[Exchange], Context], clock: Clock) -> None:
        self._backends = backends
        self._signed = signed
        self._clock = clock
        self._grants: Grants[Grant] = Grants(clock)
        self._policies: dict[str, Any] = {}

    def check(self, call: Call, exchange: Exchange) -> Awaitable[None] | None:
        """Raises Refusal, at once or when what it returns is awaited. Adds the caller to the call's context."""
        kind = call.method.authorization
        caller: Context | None = None
        if kind == "AWS_IAM":
            caller = self._caller(call, exchange)
            call.context["identity"].update(caller_identity(caller.principal))
        verdict = self._resource_verdict(call, caller)
        if verdict == "deny":
            raise _denied(call, caller, explicit=True)
        if verdict == "none" and (caller is None or caller.account != call.stage.place.account):
            raise _denied(call, caller, explicit=False)
        if kind == "CUSTOM":
            return self._authorize(call)
        if kind == "COGNITO_USER_POOLS":
            raise NotServed("Authorizers of type COGNITO_USER_POOLS are not served by this node")
        return None

    def flush(self, api_id: str, stage: str) -> None:
        self._grants.forget(api_id, stage)

    def _caller(self, call: Call, exchange: Exchange) -> Context:
        """Who signed for `execute-api` in the API's region. Raises Refusal."""
        try:
            context = self._signed(exchange)
        except Fault as fault:
            kind = _CODES.get(fault.code, "INVALID_SIGNATURE")
            is_missing = kind == "MISSING_AUTHENTICATION_TOKEN"
            raise missing_token() if is_missing else Refusal(kind, fault.message, error_type=fault.code) from None
        assert exchange.signature is not None
        if exchange.signature.service != "execute-api":
            raise Refusal("INVALID_SIGNATURE", "Credential should be scoped to correct service: 'execute-api'.")
        if context.region != call.stage.place.region:
            raise Refusal("INVALID_SIGNATURE", f"Credential should be scoped to a valid region, not '{context.region}'.")
        return context

    def _resource_verdict(self, call: Call, caller: Context | None) -> Verdict:
        """What the API's own policy says; without one, callers of the API's own account and anonymous ones are let in."""
        text = call.stage.deployment.policy
        if not text:
            return "allow" if caller is None or caller.account == call.stage.place.account else "none"
        document = self._policies.get(text)
        if document is None:
            if len(self._policies) > 1000:
                self._policies.clear()
            document = self._policies[text] = policies.expanded(orjson.loads(text), api_arn(call))
        question = Question(
            _ACTION,
            method_arn(call),
            caller.principal.arn if caller else None,
            caller.account if caller else None,
            {
                "aws:sourceip": call.request.source_ip,
                "aws:useragent": call.request.header("user-agent"),
                "aws:securetransport": "true" if call.request.scheme == "https" else "false",
                **({"aws:principalarn": caller.principal.arn, "aws:principalaccount": caller.account} if caller else {}),
            },
        )
        try:
            return policies.evaluate(document, question, has_principals=True)
        except PolicyError:
            return "deny"

    async def _authorize(self, call: Call) -> None:
        """Ask the method's authorizer, or its cache. Raises Refusal."""
        authorizer = call.method.authorizer
        if authorizer is None:
            raise _misconfigured()
        identity = _identity_of(call, authorizer)
        ttl_s = authorizer["authorizerResultTtlInSeconds"]
        key = (call.stage.api_id, call.stage.name, authorizer["id"], *identity)
        grant = self._grants.find(key) if ttl_s and identity else None
        started = self._clock.monotonic_s()
        if grant is None:
            grant = await self.ask(call, authorizer, identity)
            if ttl_s and identity:
                self._grants.keep(key, grant, ttl_s)
        latency_ms = int((self._clock.monotonic_s() - started) * 1000)
        call.context["authorizer"] = {"principalId": grant.principal, **grant.context, "integrationLatency": latency_ms}
        call.api_key = grant.usage_key
        try:
            verdict = policies.evaluate(grant.policy, Question(_ACTION, method_arn(call)))
        except PolicyError:
            raise _misconfigured() from None
        if verdict != "allow":
            explicit = " with an explicit deny in an identity-based policy" if verdict == "deny" else ""
            raise Refusal("ACCESS_DENIED", "User is not authorized to access this resource" + explicit)

    async def try_authorizer(self, call: Call, authorizer: Document) -> tuple[Grant, str]:
        """What the authorizer says to a call, and its policy's text. Raises Refusal."""
        if authorizer["type"] == "COGNITO_USER_POOLS":
            raise NotServed("Authorizers of type COGNITO_USER_POOLS are not served by this node")
        grant = await self.ask(call, authorizer, _identity_of(call, authorizer))
        return grant, orjson.dumps(grant.policy).decode()

    async def ask(self, call: Call, authorizer: Document, identity: tuple[str, ...]) -> Grant:
        """Invoke the authorizer's function. Raises Refusal."""
        uri = with_stage_variables(authorizer["authorizerUri"], call.variables)
        function = function_of(uri) or ""
        payload = orjson.dumps(_event_of(call, authorizer, identity))
        try:
            result = await self._backends.invoke(call, function, payload, _TIMEOUT_S)
        except Refusal:
            raise _misconfigured() from None
        if result.function_error is not None:
            if error_message(result.payload) == "Unauthorized":
                raise _unauthorized()
            raise Refusal("AUTHORIZER_FAILURE", None)
        return grant_of(result.payload)


class NotServed(Refusal):
    """What this node has not: said with 501, as everywhere."""

    def __init__(self, message: str) -> None:
        super().__init__("DEFAULT_5XX", message, 501)


def api_arn(call: Call) -> str:
    stage = call.stage
    return f"arn:aws:execute-api:{stage.place.region}:{stage.place.account}:{stage.api_id}"


def method_arn(call: Call) -> str:
    return f"{api_arn(call)}/{call.stage.name}/{call.request.method}{call.path}"


def _identity_of(call: Call, authorizer: Document) -> tuple[str, ...]:
    """What identifies the caller to the authorizer, and is the cache's key. Raises Refusal when something of it is missing."""
    values: list[str] = []
    for source in (authorizer.get("identitySource") or "").split(","):
        value = request_value(call, source.strip()) if source.strip() else None
        if source.strip() and not value:
            raise _unauthorized()
        if value:
            values.append(value)
    expression = authorizer.get("identityValidationExpression")
    if expression and authorizer["type"] == "TOKEN":
        try:
            is_valid = compile_pattern(expression).fullmatch(values[0]) is not None
        except PatternError:
            raise _misconfigured() from None
        if not is_valid:
            raise _unauthorized()
    # A REQUEST authorizer's policy may depend on the path, but AWS's cache does not: nor does this one.
    return tuple(values)


def _event_of(call: Call, authorizer: Document, identity: tuple[str, ...]) -> Document:
    if authorizer["type"] == "TOKEN":
        return {"type": "TOKEN", "methodArn": method_arn(call), "authorizationToken": identity[0]}
    event = proxy.event_of(call)
    del event["body"], event["isBase64Encoded"]
    maps = ("queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables")
    return {"type": "REQUEST", "methodArn": method_arn(call)} | event | {name: event[name] or {} for name in maps}


def grant_of(payload: bytes) -> Grant:
    """Raises Refusal for what is no authorizer's answer."""
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise _misconfigured() from None
    if not isinstance(answer, dict) or not isinstance(answer.get("principalId"), str):
        raise _misconfigured()
    context = answer.get("context") or {}
    if not isinstance(context, dict) or any(isinstance(value, list | dict) for value in context.values()):
        raise _misconfigured()
    shown = {key: _shown(value) for key, value in context.items() if value is not None}
    usage_key = answer.get("usageIdentifierKey")
    return Grant(answer["principalId"], answer.get("policyDocument"), shown, usage_key if isinstance(usage_key, str) else None)


def _shown(value: Any) -> str:
    """Context values reach the integration as text."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _unauthorized() -> Refusal:
    return Refusal("UNAUTHORIZED", "Unauthorized")


def _misconfigured() -> Refusal:
    return Refusal("AUTHORIZER_CONFIGURATION_ERROR", None)


def _denied(call: Call, caller: Context | None, *, explicit: bool) -> Refusal:
    who = caller.principal.arn if caller else "anonymous"
    account = call.stage.place.account
    arn = method_arn(call).replace(account, "*" * 8 + account[8:], 1)
    suffix = " with an explicit deny" if explicit else ""
    return Refusal("ACCESS_DENIED", f"User: {who} is not authorized to perform: {_ACTION} on resource: {arn}{suffix}")
