"""What the person who starts a node can choose. One value, made once by the command line or a test."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DEFAULT_PORT = 4566
DEFAULT_KEEP_ALIVE = "hybrid"
DEFAULT_ACCOUNT = "000000000000"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """HTTPS on a port of its own. `pair` is (certificate chain, key), None: the node makes its own; `folder` holds further ones for
    names of their own. With `is_only` plain HTTP answers on loopback alone, and addresses are told as https."""

    port: int
    pair: tuple[Path, Path] | None = None
    folder: Path | None = None
    is_only: bool = False


NetworkPolicy = Literal["none", "platform", "egress", "host"]
"""What a function reaches, from the narrowest to the widest: nothing, the node, public addresses too, what the machine does."""


@dataclass(frozen=True, slots=True)
class WallSettings:
    """What keeps functions apart from the machine and from each other.

    `network` is the policy of functions that choose none; None: `egress` where the machine can give it, else `platform`.
    `network_most` is the widest that a function may choose; None: that same one. Without `is_weak_allowed` a node does not start
    where a part of the wall is weaker than it should be.
    """

    isolation: Literal["process", "gvisor"] = "process"
    is_weak_allowed: bool = False
    network: NetworkPolicy | None = None
    network_most: NetworkPolicy | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """`root_key` is (access key id, secret) for the default account; None: made at the first start and kept.

    `memory_budget_mb` bounds what all live execution environments take together; None: three quarters of the machine's memory.
    `account_concurrency` is what accounts may run at once of which the file `limits` says nothing; `most_waiting` bounds how many
    invocations wait for room. `keep_alive` is how long idle environments stay, as `invoke/keep_alive.py` reads it. `shells` bounds
    how many programs stand ready without code (Node.js, Java, Ruby). `port` 0 takes a free one.
    `strict_urls`: a function URL without authorisation answers only where the resource policy lets everybody in, as on AWS.
    `url_style` is how addresses of APIs and function URLs are told (`gateway/names.py`).
    `websocket_idle_s` and `websocket_life_s` bound how long a client of a WebSocket API may be silent, and stay at all.
    `log_format` is how the node's own log on stderr reads.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    tls: TlsSettings | None = None
    integration_timeout_s: float | None = None
    client_connections: int = 1000
    is_compressing: bool = True
    url_style: Literal["auto", "host", "path"] = "auto"
    root_key: tuple[str, str] | None = None
    durability: Literal["sync", "os"] = "sync"
    strict_runtimes: bool = False
    strict_urls: bool = False
    shells: int = 4
    store: Literal["embedded", "memory"] = "embedded"
    memory_budget_mb: int | None = None
    account_concurrency: int = 1000
    limits: Path | None = None
    most_waiting: int = 10_000
    keep_alive: str = DEFAULT_KEEP_ALIVE
    websocket_idle_s: float = 600.0
    websocket_life_s: float = 7200.0
    log_format: Literal["json", "text"] = "json"
    wall: WallSettings = WallSettings()
