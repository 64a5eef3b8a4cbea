"""A secret and whose it is: what a signature is checked against."""

from collections.abc import Callable
from dataclasses import dataclass

from cumulet.core.context import Principal


@dataclass(frozen=True, slots=True)
class Credential:
    """`expires_at_ms` (Unix milliseconds) is None for keys that do not expire by themselves."""

    access_key_id: str
    secret_key: str
    principal: Principal
    expires_at_ms: int | None = None


FindCredential = Callable[[str, str | None], Credential | None]
"""(access key id, session token or None) -> the credential, or None when there is none. Never waits: it is on the path of
every request."""
