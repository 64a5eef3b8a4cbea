"""JSON Web Tokens that a client sends, against the keys of their issuer. Pure: no clock, no network.

Which algorithms a key may be used with follows from the key's own type, never from what the token says: an RSA key verifies RS
and PS signatures, an elliptic curve its one ES. Symmetric algorithms and `none` do not exist here, and neither the `jku`, `x5u`,
`jwk` nor `x5c` of a token is looked at.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import orjson
from jwt.exceptions import PyJWTError
from jwt.utils import base64url_decode

SKEW_S = 30
MOST_BYTES = 16 * 1024
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",)}
_LEAST_RSA_BITS = 2048
_SIGNATURE_ALONE: Any = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
"""What the claims say is checked here, against the clock that is given."""
_SPACES = re.compile(r"\s+")


class TokenError(Exception):
    """The token is not accepted; its own words say why."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, and all that may be signed with it."""

    key: Any
    algorithms: tuple[str, ...]


def keys_of(document: Any) -> dict[str, Key]:
    """The keys of a JWKS by id; those that are not for signatures, too weak or unknown are left out."""
    found: dict[str, Key] = {}
    given = document.get("keys") if isinstance(document, Mapping) else None
    for each in given if isinstance(given, list) else ():
        if isinstance(each, dict) and each.get("use", "sig") == "sig" and isinstance(each.get("kid", ""), str):
            key = _key_of(each)
            if key is not None:
                found[each.get("kid", "")] = key
    return found


def _key_of(document: dict[str, Any]) -> Key | None:
    allowed: tuple[str, ...] = _RSA if document.get("kty") == "RSA" else ()
    if document.get("kty") == "EC":
        allowed = _CURVES.get(str(document.get("crv")), ())
    if document.get("alg") is not None:
        allowed = tuple(name for name in allowed if name == document["alg"])
    if not allowed:
        return None
    try:
        key = jwt.PyJWK(document, algorithm=allowed[0]).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if document["kty"] == "RSA" and key.key_size < _LEAST_RSA_BITS:
        return None
    return Key(key, allowed)


def key_id_of(token: str) -> str:
    """What the token says that it was signed with. Raises TokenError."""
    if len(token) > MOST_BYTES:
        raise TokenError("the token is too large")
    head, _, _ = token.partition(".")
    try:
        header = orjson.loads(base64url_decode(head))
    except (ValueError, TypeError):
        raise TokenError("the token is malformed") from None
    if not isinstance(header, dict) or not isinstance(header.get("kid", ""), str):
        raise TokenError("the token is malformed")
    if "crit" in header:
        raise TokenError("the token demands an extension that is not known")
    return str(header.get("kid", ""))


def signed_claims_of(token: str, key: Key) -> dict[str, Any]:
    """The claims of a token that the key has signed. Raises TokenError."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=list(key.algorithms),
            options=_SIGNATURE_ALONE,
        )
    except (PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenError("the signature is invalid") from None
    return claims


def check_claims(claims: Mapping[str, Any], *, issuer: str, audience: frozenset[str], now_s: float) -> None:
    """Raises TokenError: they are for another time, issuer or audience."""
    _check_times(claims, now_s)
    if claims.get("iss") != issuer:
        raise TokenError("the issuer is invalid")
    named = claims.get("aud")
    named = claims.get("client_id") if named is None else named
    if not any(isinstance(each, str) and each in audience for each in (named if isinstance(named, list) else [named])):
        raise TokenError("the audience is invalid")


def expires_at_s(claims: Mapping[str, Any]) -> float:
    """Until when claims that were checked once, and are not too early any more, hold."""
    return float(claims["exp"]) + SKEW_S


def _check_times(claims: Mapping[str, Any], now_s: float) -> None:
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise TokenError("the token has no expiry")
    if expires_at <= now_s - SKEW_S:
        raise TokenError("the token has expired")
    for name in ("nbf", "iat"):
        since = _time(claims, name)
        if since is not None and since > now_s + SKEW_S:
            raise TokenError("the token is not valid yet")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise TokenError(f"{name} is no time")
    return value


def scopes_of(claims: Mapping[str, Any]) -> list[str] | None:
    """Of the `scope` or, where there is none, the `scp` claim."""
    found = claims.get("scope", claims.get("scp"))
    if isinstance(found, str):
        return [each for each in _SPACES.split(found) if each]
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else None


def shown_claims(claims: Mapping[str, Any]) -> dict[str, str]:
    """Claims as integrations get them: every value is text."""
    return {name: _shown(value) for name, value in claims.items()}


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{' '.join(_shown(each) for each in value)}]"
    return orjson.dumps(value).decode()
