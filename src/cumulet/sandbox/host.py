"""What this machine gives for walls: for `doctor`, and for a node that wants to know before it starts."""

import ctypes
import os
from dataclasses import dataclass
from typing import List

from cumulet.sandbox import cgroup, dynmods, egress, namespaces

_LANDLOCK_CREATE_RULESET = 444


NEEDED = ("namespaces", "seccomp", "cgroups")
"""Findings without which the wall is not what it is said to be. The others say how good it is."""


@dataclass(frozen=True)
class Finding:
    """`level` is "ok", "weak" (works, less than it should) or "missing" (functions can't run)."""

    name: str
    level: str
    text: str


def survey() -> List[Finding]:
    """All findings, the most basic first."""
    return [*survey_wall(), _network()]


def survey_wall() -> List[Finding]:
    """Those about the wall itself. Makes and removes a control group and some short-lived processes."""
    return [_platform(), _ids(), _namespaces(), _cgroups(), _seccomp(), _landlock()]


def _platform() -> Finding:
    name = os.uname()
    if name.sysname == "Linux" and name.machine in ("x86_64", "aarch64"):
        return Finding("platform", "ok", "Linux %s on %s" % (name.release, name.machine))
    return Finding("platform", "missing", "%s on %s: jails need Linux on x86_64 or aarch64" % (name.sysname, name.machine))


def _ids() -> Finding:
    if os.getuid() == 0:
        return Finding("ids", "ok", "root: every environment runs under a user id of its own")
    return Finding("ids", "weak", "not root: all environments share the node's own user id, apart in user namespaces")


def _namespaces() -> Finding:
    kinds = namespaces.NEWUSER | namespaces.NEWNS | namespaces.NEWPID | namespaces.NEWIPC | namespaces.NEWUTS | namespaces.NEWNET
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            if os.getuid() == 0:
                os.setresuid(65534, 65534, 65534)
            from cumulet.sandbox import kernel

            kernel.unshare(kinds)
        except OSError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        trouble = file.read()
    os.waitpid(pid, 0)
    if not trouble:
        return Finding("namespaces", "ok", "user, mount, pid, ipc, uts, network")
    hint = "; try: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 kernel.unprivileged_userns_clone=1"
    return Finding("namespaces", "missing", trouble + hint)


def _cgroups() -> Finding:
    group = cgroup.open_node_group()
    cgroup.remove(group)
    if group:
        pace = "moves into them are quick" if dynmods.is_favored() else "moves into them take milliseconds (no favordynmods)"
        return Finding("cgroups", "ok", ", ".join("%s" % controller for controller, _ in group) + "; " + pace)
    return Finding(
        "cgroups", "weak", "none that can be written: rlimits stand in, for each process alone. Run as root, or delegate a cgroup"
    )


def _seccomp() -> Finding:
    try:
        with open("/proc/sys/kernel/seccomp/actions_avail") as file:
            if "errno" in file.read():
                return Finding("seccomp", "ok", "system call filter")
    except OSError:
        pass
    return Finding("seccomp", "missing", "the kernel has no seccomp filters")


def _landlock() -> Finding:
    version = ctypes.CDLL(None).syscall(_LANDLOCK_CREATE_RULESET, None, 0, 1)
    if version > 0:
        return Finding("landlock", "ok", "ABI %d (not used yet: the mount namespace already hides everything else)" % version)
    return Finding("landlock", "weak", "the kernel has none (not used yet)")


def _network() -> Finding:
    lacking = egress.find_lack()
    if not lacking:
        return Finding("network", "ok", "none, platform and egress can be had; egress is the default")
    return Finding("network", "ok", "none and platform can be had; platform is the default, because: %s" % lacking)
