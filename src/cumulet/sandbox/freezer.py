"""Freezing a control group: nothing in it runs until it is thawed; what it waits for goes on waiting.

Under v2 a frozen process can still be killed. Under v1 it dies when it is thawed: who kills thaws afterwards.
"""

import os
from typing import Optional, Tuple

_SWITCHES = {
    "unified": ("cgroup.freeze", b"1", b"0"),
    "freeze": ("cgroup.freeze", b"1", b"0"),
    "freezer": ("freezer.state", b"FROZEN", b"THAWED"),
}


class Freezer:
    """One group's switch, kept open: it is thrown between two calls."""

    def __init__(self, path: str, frozen: bytes, thawed: bytes) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._frozen = frozen
        self._thawed = thawed

    def freeze(self) -> None:
        """From a moment later on, without waiting for it. Raises OSError when the group is gone."""
        os.write(self._fd, self._frozen)

    def thaw(self) -> None:
        """Raises OSError when the group is gone."""
        os.write(self._fd, self._thawed)

    def close(self) -> None:
        os.close(self._fd)


def open_freezer(group: Tuple[Tuple[str, str], ...]) -> Optional[Freezer]:
    """The switch of a group (`cgroup.Group`), None when it has none. Raises OSError when the group is gone."""
    for controller, folder in group:
        if controller in _SWITCHES:
            name, frozen, thawed = _SWITCHES[controller]
            return Freezer(os.path.join(folder, name), frozen, thawed)
    return None


def can_freeze(group: Tuple[Tuple[str, str], ...]) -> bool:
    return any(controller in _SWITCHES for controller, _ in group)
