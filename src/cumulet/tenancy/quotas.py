"""What an account may take of a node: a default, and what an operator wrote down for single accounts. Plain data; pure.

The limits file is TOML: a `[default]` table, and tables `[accounts.ACCOUNT]` that say what is different for that account.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any


class QuotaError(ValueError):
    """The limits file is not one; says where."""


@dataclass(frozen=True, slots=True)
class Quota:
    """One account's limits. `weight` is its share when the node is full, as against other accounts' weights.

    `concurrency` counts invocations at once; `requests_per_s` signed requests in the long run, `request_burst` of them at once;
    `processes`, threads included, and `memory_mb` (0: no limit) are what all its environments may take together;
    `waiting_events`, `waiting_event_bytes` what may be accepted asynchronously and is not settled yet; `code_bytes` and `functions`
    are per region; `log_bytes_per_s` is what its functions may print together.
    """

    weight: float = 1.0
    concurrency: int = 1000
    requests_per_s: float = 50_000.0
    request_burst: int = 50_000
    processes: int = 8192
    memory_mb: int = 0
    waiting_events: int = 200_000
    waiting_event_bytes: int = 4 * 1024**3
    code_bytes: int = 80_530_636_800
    functions: int = 100_000
    log_bytes_per_s: int = 8 * 1024 * 1024


_LEAST: dict[str, float] = {"weight": 0.001, "concurrency": 0, "requests_per_s": 0.01, "request_burst": 1, "processes": 16}
_MOST: dict[str, float] = {"weight": 1000.0}


@dataclass(frozen=True, slots=True)
class Quotas:
    """Every account's quota: its own, or the default."""

    default: Quota = field(default_factory=Quota)
    accounts: Mapping[str, Quota] = field(default_factory=dict)

    def of(self, account: str) -> Quota:
        return self.accounts.get(account, self.default)

    def weight_of(self, account: str) -> float:
        return self.of(account).weight


def read_quotas(text: str, base: Quota | None = None) -> Quotas:
    """The quotas of a limits file's text; `base` is what it does not mention. Raises QuotaError."""
    import tomllib  # most nodes have no limits file

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise QuotaError(f"the limits file is not TOML: {error}") from None
    unknown = set(document) - {"default", "accounts"}
    if unknown:
        raise QuotaError(f"the limits file has tables default and accounts, not {', '.join(sorted(unknown))}")
    default = _changed(base or Quota(), document.get("default", {}), "default")
    accounts = document.get("accounts", {})
    if not isinstance(accounts, dict):
        raise QuotaError("accounts: must be a table of tables")
    for account in accounts:
        if not (len(account) == 12 and account.isascii() and account.isdigit()):
            raise QuotaError(f"accounts.{account}: an account is twelve digits")
    return Quotas(default, {name: _changed(default, table, f"accounts.{name}") for name, table in accounts.items()})


def _changed(quota: Quota, table: Any, where: str) -> Quota:
    if not isinstance(table, dict):
        raise QuotaError(f"{where}: must be a table")
    known = {each.name for each in fields(Quota)}
    changes: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise QuotaError(f"{where}.{name}: no such limit; there are {', '.join(sorted(known))}")
        changes[name] = _judged(f"{where}.{name}", name, value, is_whole=isinstance(getattr(quota, name), int))
    return replace(quota, **changes)


def _judged(where: str, name: str, value: Any, *, is_whole: bool) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int if is_whole else (int, float)):
        raise QuotaError(f"{where}: must be a {'whole ' if is_whole else ''}number")
    least, most = _LEAST.get(name, 0), _MOST.get(name, 2**53)
    if not least <= value <= most:
        raise QuotaError(f"{where}: must be from {least:g} to {most:g}")
    return int(value) if is_whole else float(value)
