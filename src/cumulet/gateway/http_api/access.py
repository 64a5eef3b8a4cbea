"""Who may call a route: signatures, tokens, and functions that authorize, with their cache."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.errors import Fault
from cumulet.gateway import policies
from cumulet.gateway.authorizers import Grants, error_message
from cumulet.gateway.exchange import Exchange
from cumulet.gateway.http_api import events, tokens
from cumulet.gateway.http_api.backends import Backends
from cumulet.gateway.http_api.call import Call
from cumulet.gateway.http_api.compiled import Authorizer
from cumulet.gateway.http_api.issuers import Issuers
from cumulet.gateway.http_api.mappings import as_text
from cumulet.gateway.http_api.reading import request_value
from cumulet.gateway.http_api.refusals import Refusal, forbidden, server_error, unauthorized
from cumulet.gateway.http_api.tokens import Key, TokenError
from cumulet.gateway.policies import PolicyError, Question

_ACTION = "execute-api:Invoke"
_VERIFIED, _VERIFIED_CHARS = 1_000, 4_096
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Grant:
    """What an authorizer's function said: a plain yes or no, or a policy that is asked for each route."""

    is_authorized: bool
    policy: Any
    context: dict[str, Any]


@dataclass(slots=True)
class _Verified:
    """A token whose signature holds under the key that it names. `shown` are its claims as integrations get them; `checked` is the
    authorizer that has found them right, which holds `until_s`."""

    key_id: str
    key: Key
    claims: dict[str, Any]
    shown: dict[str, str]
    scopes: list[str] | None
    checked: Authorizer | None = None
    until_s: float = 0.0


class Access:
    """`signed` tells who signed an exchange's request, or raises the Fault of the signature."""

    def __init__(self, backends: Backends, issuers: Issuers, signed: Callable[[Exchange], Context], clock: Clock) -> None:
        self._backends = backends
        self._issuers = issuers
        self._signed = signed
        self._clock = clock
        self._grants: Grants[Grant] = Grants(clock)
        self._verified: dict[str, _Verified] = {}

    def check(self, call: Call, exchange: Exchange) -> Awaitable[None] | None:
        """Raises Refusal, at once or when what it returns is awaited. Adds the caller to the call."""
        route = call.route
        if route.authorization == "NONE":
            return None
        if route.authorization == "AWS_IAM":
            call.caller = self._caller(call, exchange)
            return None
        if route.authorizer is None:
            raise server_error("The route's authorizer is gone")
        if route.authorization == "JWT":
            return self._check_token(call, route.authorizer)
        return self._ask(call, route.authorizer)

    def flush(self, api_id: str, stage: str | None = None) -> None:
        self._grants.forget(api_id, stage)

    def _caller(self, call: Call, exchange: Exchange) -> Any:
        """Who signed for `execute-api` in the API's region and account. Policies are not evaluated. Raises Refusal."""
        try:
            context = self._signed(exchange)
        except Fault as fault:
            raise forbidden(fault.message) from None
        place = call.stage.place
        if exchange.signature is None or exchange.signature.service != "execute-api" or context.region != place.region:
            raise forbidden("The signature is for another service or region")
        if context.account != place.account:
            raise forbidden("The caller belongs to another account")
        return context.principal

    def _check_token(self, call: Call, authorizer: Authorizer) -> Awaitable[None] | None:
        """Waits only where the issuer must be asked. Raises Refusal: 401 without a token that holds, 403 where its scopes do not
        suffice."""
        token = _token_of(call, authorizer)
        if not token:
            raise unauthorized("The request has no token", "Bearer")
        known = self._verified.get(token)
        try:
            key_id = known.key_id if known is not None else tokens.key_id_of(token)
            key = self._issuers.find_key(authorizer.issuer, key_id)
            if key is None:
                return self._fetch_key(call, authorizer, token, key_id)
            self._accept(call, authorizer, self._verify(token, key_id, key))
        except TokenError as error:
            raise _invalid_token(call, error) from None
        return None

    async def _fetch_key(self, call: Call, authorizer: Authorizer, token: str, key_id: str) -> None:
        try:
            key = await self._issuers.key(authorizer.issuer, key_id)
            self._accept(call, authorizer, self._verify(token, key_id, key))
        except TokenError as error:
            raise _invalid_token(call, error) from None

    def _accept(self, call: Call, authorizer: Authorizer, verified: _Verified) -> None:
        """Raises TokenError, Refusal."""
        now_s, scopes, wanted = self._clock.now_ms() / 1000, verified.scopes, call.route.scopes
        if verified.checked is not authorizer or now_s >= verified.until_s:
            tokens.check_claims(verified.claims, issuer=authorizer.issuer, audience=authorizer.audience, now_s=now_s)
            verified.checked, verified.until_s = authorizer, tokens.expires_at_s(verified.claims)
        if wanted and not wanted.intersection(scopes or ()):
            words = "the token does not have the scopes that the route wants"
            scope = " ".join(sorted(wanted))
            raise forbidden(words, f'Bearer scope="{scope}" error="insufficient_scope" error_description="{words}"')
        call.claims = verified.shown
        call.scopes = scopes if wanted else None

    def _verify(self, token: str, key_id: str, key: Key) -> _Verified:
        """A signature is checked once for a token and a key: clients send the same token again and again. Raises TokenError."""
        known = self._verified.get(token)
        if known is not None and known.key is key:
            return known
        claims = tokens.signed_claims_of(token, key)
        verified = _Verified(key_id, key, claims, tokens.shown_claims(claims), tokens.scopes_of(claims))
        if len(token) <= _VERIFIED_CHARS:
            if len(self._verified) >= _VERIFIED:
                self._verified.clear()
            self._verified[token] = verified
        return verified

    async def _ask(self, call: Call, authorizer: Authorizer) -> None:
        """Ask the authorizer's function, or its cache. Raises Refusal."""
        identity = _identity_of(call, authorizer)
        is_cached = authorizer.ttl_s > 0 and bool(identity)
        key = (call.stage.api_id, call.stage.name, authorizer.id, *identity)
        grant = self._grants.find(key) if is_cached else None
        if grant is None:
            grant = await self._invoke(call, authorizer, identity)
            if is_cached:
                self._grants.keep(key, grant, authorizer.ttl_s)
        call.granted = grant.context
        if not grant.is_authorized or not _allows(grant, call):
            raise forbidden("The authorizer denies the request")

    async def _invoke(self, call: Call, authorizer: Authorizer, identity: list[str]) -> Grant:
        """Raises Refusal."""
        if authorizer.function is None:
            raise server_error("The authorizer's URI leads to no function of this account")
        event = orjson.dumps(events.authorizer_event_of(call, authorizer.payload_version, identity))
        try:
            result = await self._backends.invoke(call, authorizer.function, event, _TIMEOUT_S, ids.request_id())
        except Refusal as refusal:
            raise server_error(refusal.why) from None
        if result.function_error is not None:
            if error_message(result.payload) == "Unauthorized":
                raise unauthorized("The authorizer says Unauthorized")
            raise server_error("The authorizer's function failed")
        return _grant_of(result.payload, is_simple=authorizer.is_simple)


def _invalid_token(call: Call, error: TokenError) -> Refusal:
    scope = " ".join(sorted(call.route.scopes))
    return unauthorized(str(error), f'Bearer scope="{scope}" error="invalid_token" error_description="{error}"')


def _token_of(call: Call, authorizer: Authorizer) -> str:
    """The token where the identity source says, with or without `Bearer`."""
    value = as_text(request_value(call, _name_of(authorizer.identity[0]))) if authorizer.identity else ""
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value.strip()


def _name_of(source: str) -> str:
    """`$request.header.X`, `${request.header.X}` -> `request.header.X`."""
    return source.removeprefix("$").removeprefix("{").removesuffix("}")


def _identity_of(call: Call, authorizer: Authorizer) -> list[str]:
    """What identifies the caller, and is the cache's key. Raises Refusal when something of it is missing."""
    values = [as_text(request_value(call, _name_of(source))) for source in authorizer.identity]
    if not all(values):
        raise unauthorized("An identity source is missing")
    return values


def _allows(grant: Grant, call: Call) -> bool:
    if grant.policy is None:
        return True
    try:
        return policies.evaluate(grant.policy, Question(_ACTION, call.arn())) == "allow"
    except PolicyError:
        raise server_error("The authorizer's policy is malformed") from None


def _grant_of(payload: bytes, *, is_simple: bool) -> Grant:
    """Raises Refusal for what is no authorizer's answer."""
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, Mapping):
        raise server_error("The authorizer's answer is no object")
    context = answer.get("context") or {}
    if not isinstance(context, dict):
        raise server_error("The authorizer's context is no object")
    if is_simple:
        if not isinstance(answer.get("isAuthorized"), bool):
            raise server_error("The authorizer's answer has no isAuthorized")
        return Grant(answer["isAuthorized"], None, context)
    if not isinstance(answer.get("policyDocument"), Mapping):
        raise server_error("The authorizer's answer has no policyDocument")
    return Grant(True, answer["policyDocument"], {"principalId": answer.get("principalId"), **context})
