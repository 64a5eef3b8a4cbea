"""Accounts and their long-lived access keys.

All keys are held in memory, because every request asks for one and may not wait; what is acknowledged is in the store first.
Several nodes on one store will have to tell each other of a revoked key: this class is where that goes.
"""

import secrets
from dataclasses import asdict, dataclass, replace

import orjson

from cumulet.auth.credentials import Credential
from cumulet.auth.sessions import Sessions
from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Principal
from cumulet.core.settings import DEFAULT_ACCOUNT
from cumulet.store.contract import Reader, Store, Txn
from cumulet.store.keys import pack, prefix_range

_SHARD = "system"
_SECRET_KEY = pack("node", "secret")


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A stored key pair. `user_name` None: the account's root. `created_at_ms` is in Unix milliseconds."""

    access_key_id: str
    secret_key: str
    account: str
    created_at_ms: int
    user_name: str | None = None
    user_id: str | None = None
    is_active: bool = True

    @property
    def principal(self) -> Principal:
        if self.user_name is None:
            return Principal(self.account, f"arn:aws:iam::{self.account}:root", self.account, self.access_key_id)
        arn = f"arn:aws:iam::{self.account}:user/{self.user_name}"
        return Principal(self.account, arn, self.user_id or self.access_key_id, self.access_key_id)


class AccessKeys:
    """Made by `open`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._keys: dict[str, AccessKey] = {}
        self._credentials: dict[str, Credential] = {}
        self.secret = b""
        self.sessions = Sessions(self.secret)
        self.root: AccessKey

    @classmethod
    async def open(cls, store: Store, clock: Clock, root_key: tuple[str, str] | None = None) -> "AccessKeys":
        """Load all keys. The first time, make the default account's root pair, or take `root_key` for it."""
        keys = cls(store, clock)
        keys.secret = await store.write(_SHARD, _node_secret)
        keys.sessions = Sessions(keys.secret)
        for key in await store.read(_SHARD, _all_keys):
            keys._remember(key)
        roots = [key for key in keys._keys.values() if key.account == DEFAULT_ACCOUNT and key.user_name is None and key.is_active]
        if root_key is not None:
            made = AccessKey(*root_key, account=DEFAULT_ACCOUNT, created_at_ms=clock.now_ms())
            if keys._keys.get(made.access_key_id) is None or keys._keys[made.access_key_id].secret_key != made.secret_key:
                await keys._save(made)
            keys.root = keys._keys[made.access_key_id]
        elif roots:
            keys.root = min(roots, key=lambda key: key.created_at_ms)
        else:
            keys.root = await keys.create(DEFAULT_ACCOUNT)
        return keys

    def find(self, access_key_id: str, session_token: str | None) -> Credential | None:
        """The credential behind a request's key id. A long-lived key has no token, a temporary one always has."""
        if session_token is not None:
            return self.sessions.find(access_key_id, session_token)
        return self._credentials.get(access_key_id)

    async def create(self, account: str, user_name: str | None = None, user_id: str | None = None) -> AccessKey:
        """A new key pair, durable when this returns."""
        key = AccessKey(ids.upper_id("AKIA", 20), ids.secret_key(), account, self._clock.now_ms(), user_name, user_id)
        await self._save(key)
        return key

    def get(self, access_key_id: str) -> AccessKey | None:
        return self._keys.get(access_key_id)

    def list(self, account: str, user_name: str | None = None) -> list[AccessKey]:
        """An account's keys, or a user's, oldest first."""
        found = [key for key in self._keys.values() if key.account == account and user_name in (None, key.user_name)]
        return sorted(found, key=lambda key: (key.created_at_ms, key.access_key_id))

    async def set_active(self, access_key_id: str, is_active: bool) -> None:
        await self._save(replace(self._keys[access_key_id], is_active=is_active))

    async def revoke(self, access_key_id: str) -> None:
        """Forget a key for good. Nothing happens when there is none."""
        self._keys.pop(access_key_id, None)
        self._credentials.pop(access_key_id, None)
        await self._store.write(_SHARD, lambda txn: txn.delete(pack("key", access_key_id)))

    async def _save(self, key: AccessKey) -> None:
        await self._store.write(_SHARD, lambda txn: txn.put(pack("key", key.access_key_id), orjson.dumps(asdict(key))))
        self._remember(key)

    def _remember(self, key: AccessKey) -> None:
        self._keys[key.access_key_id] = key
        if key.is_active:
            self._credentials[key.access_key_id] = Credential(key.access_key_id, key.secret_key, key.principal)
        else:
            self._credentials.pop(key.access_key_id, None)


def _node_secret(txn: Txn) -> bytes:
    found = txn.get(_SECRET_KEY)
    if found is None:
        found = secrets.token_bytes(32)
        txn.put(_SECRET_KEY, found)
    return found


def _all_keys(reader: Reader) -> "list[AccessKey]":
    return [AccessKey(**orjson.loads(value)) for _, value in reader.scan(*prefix_range("key"))]
