"""Which jail an environment gets: the machine's programs read-only, the function's code, and a little room to write.

Pure but for asking which folders this machine has.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from cumulet.runtimes.contract import FunctionSpec
from cumulet.runtimes.variables import LAYERS, TASK_ROOT
from cumulet.sandbox import mounts as trees
from cumulet.sandbox.cgroup import Group
from cumulet.sandbox.jail import Jail, Limits, Mount

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


@functools.cache
def _system_mounts() -> tuple[Mount, ...]:
    folders = [path for path in _SYSTEM_FOLDERS if Path(path).is_dir() and not Path(path).is_symlink()]
    return tuple(Mount("bind", path, path) for path in (*folders, *(path for path in _SYSTEM_FILES if Path(path).exists())))


@functools.cache
def _system_links() -> tuple[tuple[str, str], ...]:
    """On a merged-/usr machine /bin and its like are links, and are links in the jail."""
    return tuple((path, str(Path(path).readlink())) for path in _SYSTEM_FOLDERS if Path(path).is_symlink())


def jail_of(
    spec: FunctionSpec, runtime: Runtime, *, root: Path, code: Path | None, layers: Path | None, group: Group, number: int
) -> Jail:
    """The jail of the node's `number`-th environment. `code` and `layers` are unpacked archives; without code both places are left
    bare, to be filled when it is known whose environment this becomes."""
    mounts = [*_system_mounts(), *(Mount("bind", folder, folder) for folder in runtime.folders)]
    mounts += [Mount("proc", "/proc"), *(Mount("device", f"/dev/{name}", f"/dev/{name}") for name in _DEVICES)]
    mounts.append(_writable("/dev/shm", SHM_BYTES))
    mounts.append(_writable("/tmp", spec.ephemeral_mb << 20))
    mounts += [Mount("bind", target, source) for source, target in runtime.bound]
    mounts += [Mount("bind", TASK_ROOT, str(code))] if code is not None else [Mount("folder", TASK_ROOT), Mount("folder", LAYERS)]
    if layers is not None:
        mounts.append(Mount("bind", LAYERS, str(layers)))
    uid = _FIRST_UID + number % _UIDS
    return Jail(
        root=str(root),
        mounts=tuple(mounts),
        limits=limits_of(spec),
        cgroup=group,
        hostname="environment",
        uid=uid,
        gid=uid,
        rlimits=((_RLIMIT_NOFILE, 1024, 1024), (_RLIMIT_NPROC, PROCESSES, PROCESSES)),
        cwd=TASK_ROOT,
        symlinks=(*_system_links(), ("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0"), *_STANDARD_LINKS),
    )


def limits_of(spec: FunctionSpec) -> Limits:
    return Limits(memory_bytes=spec.memory_mb << 20, pids=PROCESSES, cpu_share=max(spec.memory_mb / CORE_MB, 0.02))


_RLIMIT_NPROC, _RLIMIT_NOFILE = 6, 7
_STANDARD_LINKS = (("/dev/stdout", "/proc/self/fd/1"), ("/dev/stderr", "/proc/self/fd/2"))


def _writable(target: str, size_bytes: int) -> Mount:
    return Mount("tmpfs", target, is_read_only=False, size_bytes=size_bytes, inodes=trees.inodes_of(size_bytes), mode=0o1777)


def own_folders(executable: str, prefix: str) -> tuple[str, ...]:
    """The folders to add so that an interpreter outside the system's own finds itself: none for /usr/bin/python3."""
    wanted = {str(Path(prefix).resolve()), str(Path(executable).resolve().parent.parent)}
    return tuple(sorted(path for path in wanted if not path.startswith("/usr/") and path not in ("/", "/usr")))
