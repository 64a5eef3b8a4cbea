"""How much of the node one client may take over HTTP, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one client may take. `body_bytes` leaves room for a 50 MB archive as base64 inside JSON.

    `each` bounds the connections of one source address, and its requests in flight; those of this machine are not counted while
    `is_loopback_free`. When nine of ten `connections` are taken, idle ones are kept for a fifth of `idle_s` only.

    A body of more than `spooled_bytes` waits on disk until it is whole.

    Reading has three deadlines: `head_s` from the first byte (or from connecting) to the end of the headers, `stall_s` between
    two pieces of a body, and a body or an answer that moves slower than `least_bytes_per_s` is given up as a whole.
    """

    target_bytes: int = 16_384
    head_bytes: int = 65_536
    headers: int = 100
    spooled_bytes: int = 1024 * 1024
    body_bytes: int = 80 * 1024 * 1024
    all_bodies_bytes: int = 1024 * 1024 * 1024
    connections: int = 10_000
    each: int = 1000
    is_loopback_free: bool = True
    pipelined: int = 16
    head_s: float = 10.0
    stall_s: float = 20.0
    idle_s: float = 75.0
    least_bytes_per_s: int = 4096
