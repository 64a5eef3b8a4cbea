"""The file tree of a jail: put together on an empty tmpfs, then made the only tree there is."""

import os
from typing import List, NamedTuple, Tuple

from cumulet.sandbox import kernel
from cumulet.sandbox.jail import Base, Jail, Mount

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_RELATIME = 1 << 21
MNT_DETACH = 2

_MASKED = (
    "kcore",
    "keys",
    "key-users",
    "sysrq-trigger",
    "timer_list",
    "sched_debug",
    "kmsg",
    "kallsyms",
    "slabinfo",
    "scsi",
    "acpi",
)
_STATVFS_FLAGS = ((1, MS_RDONLY), (2, MS_NOSUID), (4, MS_NODEV), (8, MS_NOEXEC), (1024, MS_NOATIME), (2048, MS_NODIRATIME))


def make_private() -> None:
    """From here on no mount of this namespace is seen outside, nor one from outside seen here."""
    kernel.mount("", "/", "", MS_REC | MS_PRIVATE)


def assemble(base: Base) -> None:
    """Put a base together at its root."""
    kernel.mount("cumulet", base.root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=2k,mode=755")
    for mount in base.mounts:
        _make(mount, base.root + mount.target)
    for target, points_to in base.symlinks:
        path = base.root + target
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(points_to, path)


class Own(NamedTuple):
    """What every jail of a base mounts for itself, worked out once: whoever does it is a fresh copy of a process, in which whatever
    has to be asked or made anew costs more than the mounts."""

    calls: Tuple[kernel.MountCall, ...]
    rooms: Tuple[Mount, ...]
    in_rooms: Tuple[Mount, ...]


def work_out(base: Base) -> Own:
    """Of a base that is about to be put together, by a process that sees a /proc. A tmpfs of 0 bytes gets `tmp_bytes`."""
    calls: List[kernel.MountCall] = []
    rooms = tuple(mount for mount in base.own if mount.kind == "tmpfs")
    in_rooms = []
    for mount in base.own:
        if mount.kind == "proc":
            calls += _proc_calls(mount.target)
        elif mount.kind == "bind":
            in_rooms.append(mount)
        elif mount.kind != "tmpfs":
            raise ValueError("no jail makes a %s for itself" % mount.kind)
    return Own(tuple(calls), rooms, tuple(in_rooms))


def add(jail: Jail, own: Own, owner_uid: int, owner_gid: int) -> None:
    """Mount what is the jail's own where the caller's root is a copy of its base. tmpfs folders belong to the given ids."""
    for call in own.calls:
        kernel.mount_as(call)
    for room in own.rooms:
        _make_room(room, room.size_bytes or jail.tmp_bytes, owner_uid, owner_gid)
    for mount in own.in_rooms:
        _bind(mount, mount.target)
    for source, target in jail.binds:
        kernel.mount(source, target, "", MS_BIND)
    for target in jail.taken_off:
        take_off(target)


def pivot(base: Base) -> None:
    """Make the base's root the root, read-only, and let go of the old one."""
    os.chdir(base.root)
    kernel.pivot_root(".", ".")  # the old root is stacked on the new one at the same place, and taken off again
    kernel.umount(".", MNT_DETACH)
    os.chdir("/")
    kernel.mount("", "/", "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def fill(placeholder: str, source: str, is_mounted: bool) -> None:
    """Mount a folder, read-only, where a placeholder was left ahead, itself a mount or a bare folder: in a jail that is built but
    not yet confined."""
    if is_mounted:
        kernel.umount(placeholder, MNT_DETACH)
    kernel.mount(source, placeholder, "", MS_BIND)  # read-only as the mount that it comes from


def make_room(target: str) -> None:
    """A folder to scatter into later, for a program that starts in it and stays there."""
    kernel.mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, "size=256k,nr_inodes=1k,mode=755")
    os.mkdir(os.path.join(target, "lib"), 0o755)  # the dynamic linker remembers for good which folders it found missing


def scatter(target: str, source: str) -> None:
    """Mount every entry of `source`, read-only, in the folder that `make_room` made, and make that read-only."""
    names = os.listdir(source)
    if "lib" not in names:
        os.rmdir(os.path.join(target, "lib"))
    for name in names:
        origin, place = os.path.join(source, name), os.path.join(target, name)
        if os.path.islink(origin):
            os.symlink(os.readlink(origin), place)
        else:
            if name == "lib" and not os.path.isdir(origin):
                os.rmdir(place)
            _bind(Mount("bind", place, origin), place)
    kernel.mount("", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def resize(target: str, size_bytes: int) -> None:
    """Change how much a tmpfs may hold."""
    options = "size=%d,nr_inodes=%d" % (size_bytes, inodes_of(size_bytes))
    kernel.mount("", target, "tmpfs", MS_REMOUNT | MS_NOSUID | MS_NODEV, options)


def inodes_of(size_bytes: int) -> int:
    """How many files a tmpfs of that size may hold."""
    return max(1024, size_bytes >> 13)


def cover(target: str, size_bytes: int, uid: int, gid: int) -> None:
    """An empty, writable tmpfs over what is mounted there."""
    _make_room(Mount("tmpfs", target, mode=0o1777), size_bytes, uid, gid)


def take_off(target: str) -> None:
    """Unmount what must not be seen any longer."""
    kernel.umount(target, MNT_DETACH)


def _make(mount: Mount, target: str) -> None:
    if mount.kind in ("bind", "device"):
        _bind(mount, target)
        return
    os.makedirs(target, exist_ok=True)
    if mount.kind == "proc":
        for call in _proc_calls(target):
            kernel.mount_as(call)
    elif mount.kind != "folder":
        raise ValueError("unknown kind of mount: %s" % mount.kind)


def _make_room(room: Mount, size_bytes: int, uid: int, gid: int) -> None:
    options = "size=%d,nr_inodes=%d,mode=%o,uid=%d,gid=%d" % (size_bytes, inodes_of(size_bytes), room.mode, uid, gid)
    exec_flag = 0 if room.is_exec else MS_NOEXEC
    kernel.mount("tmpfs", room.target, "tmpfs", MS_NOSUID | MS_NODEV | exec_flag, options)


def _bind(mount: Mount, target: str) -> None:
    if os.path.isdir(mount.source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target):
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    kernel.mount(mount.source, target, "", MS_BIND)
    flags = MS_NOSUID
    if mount.kind != "device":
        flags |= MS_NODEV | (MS_RDONLY if mount.is_read_only else 0)
    _remount(target, flags | (0 if mount.is_exec else MS_NOEXEC))


def _remount(target: str, flags: int) -> None:
    """Add flags to a bind mount, keeping those it has: an unprivileged owner of the namespace may not take any away."""
    has = os.statvfs(target).f_flag
    for bit, flag in _STATVFS_FLAGS:
        if has & bit and not (flag == MS_NODEV and not flags & MS_NODEV):
            flags |= flag
    kernel.mount("", target, "", MS_REMOUNT | MS_BIND | flags)


def _proc_calls(proc: str) -> "List[kernel.MountCall]":
    """A /proc in which what tells of the machine is hidden, and what can change it read-only."""
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    calls = [kernel.mount_call("proc", proc, "proc", flags)]
    for name in _MASKED:
        path = os.path.join(proc, name)
        if os.path.isdir("/proc/" + name):
            calls.append(kernel.mount_call("tmpfs", path, "tmpfs", MS_RDONLY | flags, "size=4k,nr_inodes=1,mode=000"))
        elif os.path.exists("/proc/" + name):
            calls.append(kernel.mount_call("/dev/null", path, "", MS_BIND))
    for name in ("sys", "irq", "bus", "fs"):
        path = os.path.join(proc, name)
        if os.path.isdir("/proc/" + name):
            calls.append(kernel.mount_call(path, path, "", MS_BIND))
            calls.append(kernel.mount_call("", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | flags))
    return calls
