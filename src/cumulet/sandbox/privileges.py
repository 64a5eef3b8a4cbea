"""Ids and capabilities: user code has none that matter, and no way to get any."""

import os

from cumulet.sandbox import kernel, namespaces

INSIDE_UID = 993
"""What user code sees as its own id, as on Lambda."""
INSIDE_GID = 990


def become(uid: int, gid: int) -> None:
    """Take the given ids for good, in place of root's."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    # Changing ids makes a process undumpable, and so the owner of nothing in its own /proc/self.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


def enter_user_namespace(proc_self: int, uid: int, gid: int) -> None:
    """A user namespace in which only the given ids exist. `proc_self` is an open /proc/self, closed here."""
    kernel.unshare(namespaces.NEWUSER)
    namespaces.map_ids(proc_self, INSIDE_UID, uid, INSIDE_GID, gid)


def hide() -> None:
    """Keep the caller's memory and descriptors from other processes with the same ids, which see it in /proc."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def show() -> None:
    """The opposite: a process owns its own /proc/self."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


def drop() -> None:
    """No capability in any set, and no program that would give one."""
    kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    kernel.drop_bounding_set()
    kernel.capset_none()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
