"""Namespaces: what a jail sees of processes, mounts, users, queues and host names is its own."""

import os
import signal
from typing import Callable, Optional, Tuple

from cumulet.sandbox import kernel

NEWNS = 0x00020000
NEWCGROUP = 0x02000000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWUSER = 0x10000000
NEWPID = 0x20000000
NEWNET = 0x40000000


def become_owner_of_namespaces() -> None:
    """For a zygote that is not root: a user namespace of its own, in which it may make all the others.

    Only its own ids are mapped, so that its children run under the same ids outside. It goes on as process 1 of a pid namespace
    that belongs to it, because it may return from its children's only to one it owns; the process that called stays behind, waits
    for it, and ends as it ends.
    """
    uid, gid = os.getuid(), os.getgid()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # a process that has changed its ids does not own its own /proc/self otherwise
    kernel.unshare(NEWUSER | NEWPID)
    map_ids(os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY), uid, uid, gid, gid)
    pid = os.fork()
    if pid != 0:
        os.closerange(0, 1024)  # whoever waits for the zygote to close its end must not wait for this one
        _, status = os.waitpid(pid, 0)
        os._exit(0 if status == 0 else 1)


def fork_into_new_pid_namespace(own: int, start_first: Optional[Callable[[], int]] = None) -> Tuple[int, int]:
    """Like os.fork, and the caller stays in its own pid namespace, which is open as `own`; the child is in a new one.

    The pid, 0 in the child, and the pid of the new namespace's first process: what `start_first` has started, else the child.
    """
    kernel.unshare(NEWPID)
    pid = first = -1
    try:
        if start_first is not None:
            first = start_first()
        pid = kernel.fork()
    finally:
        if pid != 0:
            # Otherwise the next unshare would be refused: children are born into one namespace at a time.
            kernel.setns(own, NEWPID)
        if pid < 0 < first:
            os.kill(first, signal.SIGKILL)
    return pid, first if start_first is not None else pid


def map_ids(proc_self: int, inside_uid: int, outside_uid: int, inside_gid: int, outside_gid: int) -> None:
    """Map one user and one group into the caller's new user namespace. `proc_self` is an open folder, closed here."""
    try:
        for name, text in (
            ("setgroups", "deny"),  # first: without it an unprivileged process may not map groups
            ("uid_map", "%d %d 1" % (inside_uid, outside_uid)),
            ("gid_map", "%d %d 1" % (inside_gid, outside_gid)),
        ):
            fd = os.open(name, os.O_WRONLY, dir_fd=proc_self)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)
    finally:
        os.close(proc_self)
