"""Temporary credentials without a record: all about them is in the session token, authenticated by the node's secret.

So a function's credentials cost no write when it starts, and every node that shares the secret understands them.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass

from cumulet.auth.credentials import Credential
from cumulet.core import ids
from cumulet.core.context import Principal

_SIGNATURE_BYTES = 32


@dataclass(frozen=True, slots=True)
class SessionCredentials:
    """What a client is given. `role_id` is the assumed role's unique id."""

    credential: Credential
    session_token: str


class Sessions:
    """Makes and recognises session tokens by one secret of at least 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, principal_arn: str, account: str, user_id: str, *, duration_s: int, now_ms: int) -> SessionCredentials:
        """Credentials that act as `principal_arn` until `duration_s` from now."""
        return self._issue(ids.upper_id("ASIA", 20), principal_arn, account, user_id, now_ms + duration_s * 1000)

    def issue_for_role(self, role_arn: str, session_name: str, role_id: str, *, duration_s: int, now_ms: int) -> SessionCredentials:
        """Credentials of an assumed role: `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`."""
        account, role_name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
        arn = f"arn:aws:sts::{account}:assumed-role/{role_name}/{session_name}"
        return self.issue(arn, account, f"{role_id}:{session_name}", duration_s=duration_s, now_ms=now_ms)

    def find(self, access_key_id: str, token: str) -> Credential | None:
        """The credential of a key id with its token; None for a token that this secret did not make, or for another key."""
        try:
            raw = base64.urlsafe_b64decode(token)
        except ValueError:
            return None
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._mac(b"token", body)):
            return None
        told_key_id, arn, account, user_id, expires_at_ms = json.loads(body)
        if told_key_id != access_key_id:
            return None
        return Credential(access_key_id, self._secret_key(body), Principal(account, arn, user_id, access_key_id), expires_at_ms)

    def _issue(self, access_key_id: str, arn: str, account: str, user_id: str, expires_at_ms: int) -> SessionCredentials:
        body = json.dumps([access_key_id, arn, account, user_id, expires_at_ms]).encode()
        token = base64.urlsafe_b64encode(self._mac(b"token", body) + body).decode()
        principal = Principal(account, arn, user_id, access_key_id)
        return SessionCredentials(Credential(access_key_id, self._secret_key(body), principal, expires_at_ms), token)

    def _secret_key(self, body: bytes) -> str:
        return base64.b64encode(self._mac(b"secret", body)).decode()[:40]

    def _mac(self, purpose: bytes, body: bytes) -> bytes:
        return hmac.new(self._secret, purpose + b"\x00" + body, hashlib.sha256).digest()
