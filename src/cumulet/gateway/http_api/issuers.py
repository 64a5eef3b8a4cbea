"""The public keys of token issuers: found by OpenID Connect discovery, kept, and fetched again when a key is not known.

How often an issuer is asked is limited, whatever ids the tokens of strangers have.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import orjson

from cumulet.core.clock import Clock
from cumulet.gateway.buckets import Buckets
from cumulet.gateway.http_api.backends import SendHttp
from cumulet.gateway.http_api.tokens import Key, TokenError, keys_of

_KEPT_S = 2 * 3600.0
_TIMEOUT_S = 5.0
_MOST_BYTES = 512 * 1024
_MOST_ISSUERS = 1000
_REFETCHES, _REFETCHES_PER_S = 5, 1 / 30


@dataclass(slots=True)
class _Issuer:
    keys: dict[str, Key] = field(default_factory=dict)
    fetched_s: float = float("-inf")
    fetching: asyncio.Lock = field(default_factory=asyncio.Lock)


class Issuers:
    """Keys by issuer and key id."""

    def __init__(self, clock: Clock, send: SendHttp) -> None:
        self._clock = clock
        self._send = send
        self._issuers: OrderedDict[str, _Issuer] = OrderedDict()
        self._refetches = Buckets(clock)

    def find_key(self, issuer: str, key_id: str) -> Key | None:
        """The key, where it is known and not old."""
        return self._find(self._issuer(issuer), key_id)

    async def key(self, issuer: str, key_id: str) -> Key:
        """Raises TokenError: no such key, or the issuer does not answer."""
        kept = self._issuer(issuer)
        key = self._find(kept, key_id)
        if key is None:
            await self._refresh(issuer, kept, key_id)
            key = self._find(kept, key_id, is_any_age=True)
        if key is None:
            raise TokenError("no key of the issuer has the token's key id")
        return key

    def _find(self, kept: _Issuer, key_id: str, *, is_any_age: bool = False) -> Key | None:
        """A token without an id is for an issuer with one key."""
        if not is_any_age and kept.fetched_s + _KEPT_S < self._clock.monotonic_s():
            return None
        if not key_id and len(kept.keys) == 1:
            return next(iter(kept.keys.values()))
        return kept.keys.get(key_id)

    def _issuer(self, issuer: str) -> _Issuer:
        kept = self._issuers.get(issuer)
        if kept is None:
            kept = self._issuers[issuer] = _Issuer()
            if len(self._issuers) > _MOST_ISSUERS:
                self._issuers.popitem(last=False)
        self._issuers.move_to_end(issuer)
        return kept

    async def _refresh(self, issuer: str, kept: _Issuer, key_id: str) -> None:
        """One request at a time; keys that are old serve on while the issuer does not answer."""
        async with kept.fetching:
            if self._find(kept, key_id) is not None:  # somebody else has just fetched it
                return
            if not self._refetches.take((issuer,), _REFETCHES_PER_S, _REFETCHES):
                if not kept.keys:
                    raise TokenError("OIDC discovery endpoint communication error")
                return
            try:
                kept.keys = await self._fetch(issuer)
                kept.fetched_s = self._clock.monotonic_s()
            except TokenError:
                if not kept.keys:
                    raise

    async def _fetch(self, issuer: str) -> dict[str, Key]:
        discovered = await self._json(issuer.rstrip("/") + "/.well-known/openid-configuration")
        location = discovered.get("jwks_uri") if isinstance(discovered, dict) else None
        if not isinstance(location, str) or not location.startswith(("https://", "http://")):
            raise TokenError("OIDC discovery endpoint communication error")
        if issuer.startswith("https://") and not location.startswith("https://"):
            raise TokenError("the issuer's keys are not protected as the issuer is")
        return keys_of(await self._json(location))

    async def _json(self, url: str) -> Any:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                response = await self._send("GET", url, [("Accept", "application/json")], b"")
        except (TimeoutError, OSError):
            raise TokenError("OIDC discovery endpoint communication error") from None
        body = response.body
        if response.status != 200 or not isinstance(body, bytes) or len(body) > _MOST_BYTES:
            raise TokenError("OIDC discovery endpoint communication error")
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise TokenError("OIDC discovery endpoint communication error") from None
