"""Walking into a jail: the recipe."""

import os
import signal

from cumulet.sandbox import cgroup, kernel, mounts, namespaces, privileges, rlimits, seccomp
from cumulet.sandbox.jail import Jail, JailError

_FILTER = seccomp.program()


def enter(jail: Jail) -> None:
    """Confine the calling process, process 1 of a new pid namespace, for good. Raises JailError: then it must end at once.

    The caller is root, or the owner of a user namespace (`namespaces.become_owner_of_namespaces`).
    """
    is_root = os.getuid() == 0
    uid, gid = (jail.uid, jail.gid) if is_root else (os.getuid(), os.getgid())
    step = "cgroup"
    try:
        cgroup.join(jail.cgroup, jail.limits)  # first: afterwards its path is out of sight
        step = "namespaces"
        proc_self = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
        kernel.unshare(namespaces.NEWNS | namespaces.NEWIPC | namespaces.NEWUTS)
        kernel.sethostname(jail.hostname)
        step = "mounts"
        mounts.make_private()
        mounts.assemble(jail, uid, gid)
        mounts.pivot(jail)
        step = "limits"
        rlimits.set_all(jail)
        step = "ids"
        if is_root:
            privileges.become(uid, gid)  # before the user namespace: bind sources needed root, nothing after this does
        privileges.enter_user_namespace(proc_self, uid, gid)
        os.chdir(jail.cwd)
        step = "privileges"
        privileges.drop()
        step = "seccomp"
        kernel.install_filter(_FILTER)  # last: it forbids most of the calls above
    except OSError as error:
        raise JailError(step, str(error))


def die_with_parent() -> None:
    """From now on this process is killed when its parent ends, however that ends."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
