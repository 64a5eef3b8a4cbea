"""Telling the kernel that control groups change all the time on this machine: the mount option `favordynmods` (Linux 6.0).

Without it moving a process into a group waits for every processor to have come by: 11 ms at the median, while nothing else about
any group can be changed, the freezing of another environment included. With it, 0.15 ms; forks and exits cost a little more. It
holds for the whole machine and stays when the node ends: others may have come to count on it.
"""

from typing import Dict, List, Tuple

from cumulet.sandbox import kernel

_OPTION = "favordynmods"
_REMOUNT = 32
_FLAGS: Dict[str, int] = {
    "ro": 1,
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "noatime": 1 << 10,
    "nodiratime": 1 << 11,
    "relatime": 1 << 21,
}


def favor() -> None:
    """Set it, where that can be done and wasn't."""
    for place, flags, options in mounted(_read()):
        if _OPTION not in options:
            try:
                kernel.mount("none", place, "cgroup2", _REMOUNT | flags, ",".join([*options, _OPTION]))
            except OSError:  # not root, an older kernel, or a mount that is not ours to change
                pass


def is_favored() -> bool:
    return any(_OPTION in options for _, _, options in mounted(_read()))


def mounted(mountinfo: str) -> List[Tuple[str, int, List[str]]]:
    """(place, flags of the mount, options of the file system) of v2's hierarchy, mostly a list of none or one. A remount takes off
    what is not said again, flags and options alike."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            place, flags = before.split(" ")[4:6]
            options = [option for option in after.split(" ")[2].split(",") if option not in ("rw", "ro")]
            found.append((place, sum(_FLAGS.get(flag, 0) for flag in flags.split(",")), options))
    return found


def _read() -> str:
    with open("/proc/self/mountinfo") as file:
        return file.read()
