"""The first process of a pre-warmed shell: a jail that stands, and a program in it that has started but has nobody's code yet.

The program is confined for good from its start. This process stays trusted until the node tells it whose environment the shell
becomes; then it mounts that function's code where placeholders were, takes the folder of all code off, and confines itself.
Only after that does the node tell the program anything of the function. A shell becomes one function's, once.
"""

import json
import os
import socket
import time
from typing import Any, Callable, Dict

from cumulet.sandbox import enter, jail, mounts

PACKAGES = "/.packages"
"""Where the node's unpacked archives stand in a shell that is nobody's yet."""


def become(launch: Dict[str, Any], status: socket.socket, start: Callable[[], None]) -> int:
    """Build the jail, start the program by `start()` in a child, wait for the order, and fill and close the jail.

    Returns the program's pid. Raises JailError, and EOFError when the node no longer wants the shell.
    """
    walls = jail.from_json(launch["jail"])
    enter.build(walls)
    pid = os.fork()
    if pid == 0:
        enter.confine(walls, _proc_self())
        start()
    status.send(json.dumps({"jailed": 0.0}).encode())
    message = status.recv(1 << 14)
    if not message:
        raise EOFError("the node has closed the shell")
    started = time.monotonic()
    try:
        _fill(json.loads(message)["fill"])
    except OSError as error:
        raise jail.JailError("mounts", str(error))
    enter.confine(walls, _proc_self())
    status.send(json.dumps({"specialised": (time.monotonic() - started) * 1000}).encode())
    return pid


def _fill(places: "Dict[str, str]") -> None:
    """{placeholder: name of a folder of unpacked code, or "" for none}."""
    for placeholder, name in places.items():
        if name:
            mounts.fill(placeholder, os.path.join(PACKAGES, name))
        else:
            mounts.take_off(placeholder)
    mounts.take_off(PACKAGES)


def _proc_self() -> int:
    return os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
