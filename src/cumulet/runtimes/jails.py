"""Which jail an environment gets: the machine's programs read-only, the function's code, and a little room to write.

Pure but for asking which folders this machine has.
"""

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cumulet.runtimes.contract import FunctionSpec
from cumulet.runtimes.variables import LAYERS, TASK_ROOT
from cumulet.sandbox.cgroup import Group
from cumulet.sandbox.jail import Base, Jail, Limits, Mount

_SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/ssl",
    "/etc/ca-certificates",
    "/etc/pki",
    "/etc/alternatives",
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
SHM_BYTES = 64 << 20
_FIRST_UID = 200_000
_UIDS = 60_000
CORE_MB = 1769
"""The memory size at which a function has one core's share, as on Lambda."""
PROCESSES = 1024
"""Processes and threads at once, as on Lambda."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a runtime adds to the tree: `folders` at their own places, `bound` as (source, target)."""

    folders: tuple[str, ...] = ()
    bound: tuple[tuple[str, str], ...] = ()


_KEPT = "/var/runtime/.kept"
PACKAGES = "/.packages"
"""Where all unpacked archives stand while a jail is built; taken off before any code of a function runs."""
SEEN_PROC = "/.proc"
"""Without the machine's own power the kernel lets nobody mount a /proc who sees none yet: this one, taken off when that is done."""
_WANTS_SEEN_PROC = os.getuid() != 0


@functools.cache
def base_of(runtime: Runtime, *, root: Path, packages: Path) -> Base:
    """What all jails of a runtime have in common."""
    mounts = [*_system_mounts(), *(Mount("bind", folder, folder) for folder in runtime.folders)]
    mounts += [Mount("device", f"/dev/{name}", f"/dev/{name}") for name in _DEVICES]
    if _WANTS_SEEN_PROC:
        mounts.append(Mount("proc", SEEN_PROC))
    mounts += [Mount("folder", target) for target in ("/proc", "/dev/shm", "/tmp", TASK_ROOT, LAYERS)]
    mounts += [Mount("bind", _in_base(target), source) for source, target in runtime.bound]
    mounts.append(Mount("bind", PACKAGES, str(packages)))
    own = [Mount("proc", "/proc"), _writable("/dev/shm", SHM_BYTES), _writable("/tmp", 0)]
    own += [Mount("bind", mount.target[len(_KEPT) :], mount.target) for mount in mounts if mount.target.startswith(_KEPT)]
    links = (*_system_links(), ("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0"), *_STANDARD_LINKS)
    key = hashlib.sha256(repr((root, mounts, links, own)).encode()).hexdigest()[:16]
    return Base(key, str(root), tuple(mounts), links, tuple(own))


@functools.cache
def _system_mounts() -> tuple[Mount, ...]:
    folders = [path for path in _SYSTEM_FOLDERS if Path(path).is_dir() and not Path(path).is_symlink()]
    return tuple(Mount("bind", path, path) for path in (*folders, *(path for path in _SYSTEM_FILES if Path(path).exists())))


@functools.cache
def _system_links() -> tuple[tuple[str, str], ...]:
    """On a merged-/usr machine /bin and its like are links, and are links in the jail."""
    return tuple((path, str(Path(path).readlink())) for path in _SYSTEM_FOLDERS if Path(path).is_symlink())


def jail_of(
    spec: FunctionSpec,
    base: Base,
    *,
    code: str | None,
    layers: str | None,
    group: Group,
    number: int,
    is_shell: bool = False,
) -> Jail:
    """The jail of the node's `number`-th environment. `code` and `layers` are names of folders of unpacked archives; without them
    their places are left bare. A shell keeps all archives in sight, to fill them when it is known whose environment it becomes."""
    places = ((TASK_ROOT, code), (LAYERS, layers))
    uid = _FIRST_UID + number % _UIDS
    return Jail(
        base=base.key,
        binds=tuple((f"{PACKAGES}/{name}", place) for place, name in places if name is not None),
        taken_off=(*([SEEN_PROC] if _WANTS_SEEN_PROC else []), *([] if is_shell else [PACKAGES])),
        limits=limits_of(spec),
        tmp_bytes=spec.ephemeral_mb << 20,
        cgroup=group,
        hostname="environment",
        uid=uid,
        gid=uid,
        rlimits=((_RLIMIT_NOFILE, 1024, 1024), (_RLIMIT_NPROC, PROCESSES, PROCESSES)),
        cwd=TASK_ROOT,
    )


def _in_base(target: str) -> str:
    """Where the base has what is bound at `target`: elsewhere when the jail's own mounts would cover it."""
    return _KEPT + target if target.startswith(("/tmp/", "/dev/shm/")) else target


def limits_of(spec: FunctionSpec) -> Limits:
    """As on Lambda the memory size says how much of a core a function gets; here, of what its account gets."""
    return Limits(memory_bytes=spec.memory_mb << 20, pids=PROCESSES, cpu_share=spec.memory_mb / CORE_MB)


_RLIMIT_NPROC, _RLIMIT_NOFILE = 6, 7
_STANDARD_LINKS = (("/dev/stdout", "/proc/self/fd/1"), ("/dev/stderr", "/proc/self/fd/2"))


def _writable(target: str, size_bytes: int) -> Mount:
    return Mount("tmpfs", target, is_read_only=False, size_bytes=size_bytes, mode=0o1777)


def own_folders(executable: str, prefix: str) -> tuple[str, ...]:
    """The folders to add so that an interpreter outside the system's own finds itself: none for /usr/bin/python3."""
    wanted = {str(Path(prefix).resolve()), str(Path(executable).resolve().parent.parent)}
    return tuple(sorted(path for path in wanted if not path.startswith("/usr/") and path not in ("/", "/usr")))
