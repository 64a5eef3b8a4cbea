"""The first process of a pre-warmed shell: a jail that stands, and a program in it that has started but has nobody's code yet.

The program is confined for good from its start. This process stays trusted until the node tells it whose environment the shell
becomes; then it sets the limits, mounts that function's code where placeholders were, takes the folder of all code off, opens the
gate behind which a forked runtime waits, and confines itself. A shell becomes one function's, once.
"""

import json
import os
import socket
import time
from typing import Any, Callable, Dict, Optional

from cumulet.sandbox import cgroup, enter, jail, kernel, mounts, privileges

PACKAGES = "/.packages"
"""Where the node's unpacked archives stand in a shell that is nobody's yet."""


def become(
    launch: Dict[str, Any],
    walls: jail.Jail,
    settings: "Optional[cgroup.Settings]",
    status: socket.socket,
    start: Callable[[int], None],
    before_drop: Optional[Callable[[], None]] = None,
) -> int:
    """Where the jail has been built, start the program by `start(gate)` in a child, wait for the order, fill and close the jail.

    `gate` is the end of a pipe that gives a byte once the jail is filled. Returns the program's pid. Raises JailError, and EOFError
    when the node no longer wants the shell. `before_drop` is `enter.confine`'s.
    """
    if launch.get("scatters"):
        mounts.make_room(walls.cwd)
    gate, opener = os.pipe()
    pid = kernel.fork()
    if pid == 0:
        enter.confine(walls, _proc_self(), before_drop)
        start(gate)
    started = _wait_and_fill(walls, settings, status, walls.cwd if launch.get("scatters") else "")
    os.write(opener, b".")  # this process holds the other end too: a program that waits for the node instead breaks no pipe
    _say_specialised(status, started)
    enter.confine(walls, _proc_self())
    privileges.hide()
    return pid


def become_alone(walls: jail.Jail, settings: "Optional[cgroup.Settings]", status: socket.socket) -> None:
    """The same in the process that is to be the runtime itself: it is confined when it is told whose it is. Raises JailError, and
    EOFError when the node no longer wants the shell."""
    proc_self = _proc_self()
    started = _wait_and_fill(walls, settings, status, "")
    enter.confine(walls, proc_self)
    _say_specialised(status, started)


def _wait_and_fill(walls: jail.Jail, settings: "Optional[cgroup.Settings]", status: socket.socket, scattered: str) -> float:
    """When the order came."""
    status.send(b'{"jailed": 0.0}')
    message = status.recv(1 << 14)
    if not message:
        raise EOFError("the node has closed the shell")
    started = time.monotonic()
    try:
        _fill(walls, json.loads(message), settings, scattered)
    except OSError as error:
        raise jail.JailError("mounts", str(error))
    return started


def _say_specialised(status: socket.socket, started: float) -> None:
    status.send(b'{"specialised": %f}' % ((time.monotonic() - started) * 1000))


def _fill(walls: jail.Jail, order: Dict[str, Any], settings: "Optional[cgroup.Settings]", scattered: str) -> None:
    """`fill` is {place: name of a folder of unpacked code, or "" for none}; `limits` and `tmp_bytes` are there when they differ
    from the shell's own. `scattered` is the place whose entries are mounted one by one, "" for none."""
    if settings is not None:
        if order.get("limits"):
            settings.change(jail.Limits(**order["limits"]))
        settings.close()
    if order.get("tmp_bytes"):
        mounts.resize("/tmp", order["tmp_bytes"])
    mounted = {target for _source, target in walls.binds}
    for place, name in order["fill"].items():
        if place == scattered:
            mounts.scatter(place, os.path.join(PACKAGES, name))
        elif name:
            mounts.fill(place, os.path.join(PACKAGES, name), place in mounted)
        elif place in mounted:
            mounts.take_off(place)
    mounts.take_off(PACKAGES)


def _proc_self() -> int:
    return os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
