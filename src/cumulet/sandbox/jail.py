"""A jail as plain data: what one environment's walls are made of. Making one does nothing; `enter` does.

The data crosses a socket as JSON, so every field is a string, a number, a boolean, None or a list of such.
"""

from dataclasses import dataclass
from typing import Any, Dict, Tuple


@dataclass(frozen=True)
class Mount:
    """One entry of the jail's file tree, made in the order given; nothing is ever mounted with suid.

    `kind` is "bind" (of `source`, file or folder, submounts not included), "device" (a bind of a device node), "tmpfs",
    "proc", or "folder" (bare, to be mounted on later). `target` is absolute, inside the jail.
    """

    kind: str
    target: str
    source: str = ""
    is_read_only: bool = True
    is_exec: bool = True
    size_bytes: int = 0
    mode: int = 0o755


@dataclass(frozen=True)
class Limits:
    """What the cgroup enforces; where none can be had, rlimits stand in, weakly. `cpu_share` 1.0 is one core's weight."""

    memory_bytes: int
    pids: int
    cpu_share: float = 1.0


@dataclass(frozen=True)
class Base:
    """The part of a file tree that all jails of a kind have in common, put together once and then copied: read-only, but for the
    bare folders in which each jail mounts what is its own.

    `root` is an existing empty folder on the host where it is put together before the pivot. `key` names it. `own` are mounts that
    each jail makes for itself, in the order given, in its copy.
    """

    key: str
    root: str
    mounts: Tuple[Mount, ...]
    symlinks: Tuple[Tuple[str, str], ...] = ()
    own: Tuple[Mount, ...] = ()


@dataclass(frozen=True)
class Jail:
    """`binds` are (source, target) in the tree of the base, mounted after the base's `own`; then `taken_off` are unmounted. A
    source lies below a mount of the base and is mounted as that is. /tmp holds `tmp_bytes`.

    `cgroup` holds (controller, absolute folder of this environment's group); empty where none can be had. `uid` and `gid` are
    the host's ids that user code runs under when the node is root; otherwise the node's own are used. `rlimits` are (RLIMIT_*
    number, soft, hard). `cwd` is the folder to start in. `network` is where the jail's network namespace comes from: "given" (a
    descriptor is passed with the jail), "own" (it makes one, with an ear for the node at `ear_port` if that is not 0) or "host"
    (none).
    """

    base: str
    binds: Tuple[Tuple[str, str], ...]
    limits: Limits
    tmp_bytes: int
    taken_off: Tuple[str, ...] = ()
    cgroup: Tuple[Tuple[str, str], ...] = ()
    hostname: str = "cumulet"
    uid: int = 65534
    gid: int = 65534
    rlimits: Tuple[Tuple[int, int, int], ...] = ()
    cwd: str = "/var/task"
    network: str = "own"
    ear_port: int = 0


def from_json(data: Dict[str, Any]) -> Jail:
    """The jail of a JSON object with its fields."""
    fields = dict(data)
    fields["limits"] = Limits(**data["limits"])
    return Jail(**fields)


def base_from_json(data: Dict[str, Any]) -> Base:
    """The base of a JSON object with its fields."""
    mounts, own = (tuple(Mount(**mount) for mount in data[name]) for name in ("mounts", "own"))
    return Base(data["key"], data["root"], mounts, tuple((str(a), str(b)) for a, b in data["symlinks"]), own)


class JailError(Exception):
    """A wall could not be built. `step` names the facility; nothing of the user's may run."""

    def __init__(self, step: str, reason: str):
        super().__init__("%s: %s" % (step, reason))
        self.step = step
        self.reason = reason
