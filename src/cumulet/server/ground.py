"""What all parts of a node stand on: its settings, clock and store, who has a key, and what accounts may have."""

import contextlib
from dataclasses import dataclass

from cumulet.auth.keys import AccessKeys
from cumulet.core.clock import Clock, SystemClock
from cumulet.core.settings import Settings
from cumulet.store.contract import Store
from cumulet.store.open import open_store
from cumulet.tenancy.quotas import Quota, Quotas, read_quotas


@dataclass(frozen=True, slots=True)
class Ground:
    settings: Settings
    clock: Clock
    store: Store
    keys: AccessKeys
    quotas: Quotas


async def open_ground(settings: Settings, closing: contextlib.AsyncExitStack) -> Ground:
    """Raises StoreRefused when the data folder cannot be used, QuotaError when the limits file is not one, OSError."""
    clock, quotas = SystemClock(), _quotas(settings)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = await open_store(settings.store, settings.data, settings.durability)
    closing.push_async_callback(store.close)
    return Ground(settings, clock, store, await AccessKeys.open(store, clock, settings.root_key), quotas)


def _quotas(settings: Settings) -> Quotas:
    default = Quota(concurrency=settings.account_concurrency)
    return Quotas(default) if settings.limits is None else read_quotas(settings.limits.read_text(), default)
