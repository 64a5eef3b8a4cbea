"""Walking into a jail: the recipe."""

import os
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

from cumulet.sandbox import cgroup, kernel, mounts, namespaces, network, privileges, rlimits, seccomp
from cumulet.sandbox.jail import Base, Jail, JailError

_FILTER = seccomp.program()
HandOver = Callable[[socket.socket], None]
"""Takes the socket on which the node listens in the jail; it is closed here afterwards."""

_TEMPLATE_FILTER = seccomp.program(allowed=("setns",))


@dataclass(frozen=True)
class MadeBase:
    """`namespace` is the mount namespace, as a descriptor, in which the base is the whole tree."""

    namespace: int
    own: mounts.Own


def enter(jail: Jail, base: MadeBase, net: int = -1, hand_over: Optional[HandOver] = None) -> None:
    """Confine the calling process, process 1 of a new pid namespace, for good. Raises JailError: then it must end at once.

    `net` is the network namespace that is given, closed here; `hand_over` takes the ear in one that is made here. The caller is
    root, or the owner of a user namespace (`namespaces.become_owner_of_namespaces`).
    """
    proc_self = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    build(jail, base, net, hand_over)
    confine(jail, proc_self)


def make_base(base: Base) -> MadeBase:
    """Made in a child. Raises JailError."""
    own = mounts.work_out(base)
    done, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        try:
            kernel.unshare(namespaces.NEWNS)
            made = os.open("/proc/self/ns/mnt", os.O_RDONLY)
            mounts.make_private()
            mounts.assemble(base)
            mounts.pivot(base)
            theirs.sendmsg([b"made"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, made.to_bytes(4, sys.byteorder))])
        except OSError as error:
            theirs.send(str(error).encode())
        finally:
            os._exit(0)
    theirs.close()
    message, ancillary, _flags, _address = done.recvmsg(1 << 12, socket.CMSG_SPACE(4))
    done.close()
    for _level, kind, raw in ancillary:
        if kind == socket.SCM_RIGHTS:
            return MadeBase(int.from_bytes(raw[:4], sys.byteorder), own)
    raise JailError("base", message.decode())


def build(
    jail: Jail, base: MadeBase, net: int = -1, hand_over: Optional[HandOver] = None, *, is_changed_later: bool = False
) -> Optional[cgroup.Settings]:
    """The first half: the caller stands inside the walls, but could still climb them. Raises JailError.

    If they are to be changed later, returns the group's limits: to be changed or closed before the second half.
    """
    uid, gid = _ids(jail)
    step = "cgroup"
    try:
        cgroup.join(jail.cgroup, jail.limits)  # first: afterwards its path is out of sight
        settings = cgroup.Settings(jail.cgroup) if is_changed_later else None
        step = "namespaces"
        kernel.setns(base.namespace, namespaces.NEWNS)  # into the tree that all jails of this kind share,
        kernel.unshare(namespaces.NEWNS | namespaces.NEWIPC | namespaces.NEWUTS)  # and at once into a copy of it
        kernel.sethostname(jail.hostname)
        step = "network"
        if jail.network == "given":
            network.enter(net)
            os.close(net)
        elif jail.network == "own":
            network.enter_new()
            if jail.ear_port and hand_over is not None:
                ear = network.listen(jail.ear_port)
                hand_over(ear)
                ear.close()
        step = "mounts"
        mounts.add(jail, base.own, uid, gid)
    except OSError as error:
        raise JailError(step, str(error))
    return settings


def confine(jail: Jail, proc_self: int, before_drop: Optional[Callable[[], None]] = None) -> None:
    """The second half: what could climb is given up for good. `proc_self` is the caller's open /proc/self, closed here.
    Raises JailError.

    `before_drop` is called where the caller has power over its own user namespace and over nothing else. A snapshot's template
    wants that: its forks enter namespaces that are made there, and then give up that call as well.
    """
    uid, gid = _ids(jail)
    step = "limits"
    try:
        rlimits.set_all(jail)
        step = "ids"
        if os.getuid() == 0:
            privileges.become(uid, gid)  # before the user namespace: bind sources needed root, nothing after this does
        privileges.enter_user_namespace(proc_self, uid, gid)
        os.chdir(jail.cwd)
        step = "privileges"
        if before_drop is not None:
            before_drop()
        privileges.drop()
        step = "seccomp"
        kernel.install_filter(_TEMPLATE_FILTER if before_drop is not None else _FILTER)  # last: it forbids most of the calls above
    except OSError as error:
        raise JailError(step, str(error))


def _ids(jail: Jail) -> Tuple[int, int]:
    """The ids that user code runs under outside: the jail's own when the node is root, else the node's."""
    return (jail.uid, jail.gid) if os.getuid() == 0 else (os.getuid(), os.getgid())


def die_with_parent() -> None:
    """From now on this process is killed when its parent ends, however that ends."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
