"""A zygote: an interpreter that stands ready, with nobody's code in it, and becomes execution environments by forking.

Started by the node with the control socket as file descriptor 3. Each request is one message. A JSON base (`sandbox.jail.Base`) is
made ready for environments to stand in; the answer is `{}`. A JSON launch comes with, as passed file descriptors, the runtime's
channel, its output pipe, the status socket and, if it is given one, its network namespace; the answer has a pidfd of the
environment's first process.
"""

import gc
import json
import os
import signal
import socket
import sys
from typing import Dict

_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_CONTROL_FD = 3
_MAX_MESSAGE = 1 << 18
_SLICE_US = 200
"""Short: an environment that is called is not to wait until others, which compute, have done so for some milliseconds."""


def main() -> None:
    """Prepare, then fork for every request until the node is gone."""
    sys.path.insert(0, _PACKAGE_PARENT)
    from cumulet.guest import environment, preload
    from cumulet.sandbox import enter, jail, kernel, namespaces

    sys.path.remove(_PACKAGE_PARENT)

    enter.die_with_parent()
    control = socket.socket(fileno=_CONTROL_FD)
    if os.getuid() != 0:
        namespaces.become_owner_of_namespaces()
        enter.die_with_parent()
    kernel.ignore_signal(signal.SIGCHLD, True)  # the kernel reaps; the node learns of ends by pidfd
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # for those who are forked; nobody's Ctrl-C comes here
    preload.load()
    preload.prepare(_PACKAGE_PARENT)
    gc.disable()
    gc.collect()
    gc.freeze()  # so that no child's collector touches, and so copies, what is shared
    control.send(b"{}")
    bases: "Dict[str, enter.MadeBase]" = {}
    while True:
        data, ancillary, _flags, _address = control.recvmsg(_MAX_MESSAGE, socket.CMSG_SPACE(4 * 4))
        if not data:
            return
        fds = [fd for level, kind, raw in ancillary if kind == socket.SCM_RIGHTS for fd in _ints(raw)]
        request = json.loads(data)
        if "base" in request:
            try:
                base = jail.base_from_json(request["base"])
                bases[base.key] = enter.make_base(base)
                control.send(b"{}")
            except (OSError, jail.JailError) as error:
                control.send(json.dumps({"error": str(error)}).encode())
            continue
        try:
            pid = namespaces.fork_into_new_pid_namespace()
        except OSError as error:
            control.send(json.dumps({"error": str(error)}).encode())
            pid = -1
        if pid == 0:
            os.close(_CONTROL_FD)
            kernel.set_priority(0, _SLICE_US)  # the node's and the zygote's own may be higher
            environment.run(request, bases[request["jail"]["base"]], *fds)  # never returns
        for fd in fds:
            os.close(fd)
        if pid > 0:
            pidfd = kernel.pidfd_open(pid)
            control.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, pidfd.to_bytes(4, sys.byteorder))])
            os.close(pidfd)


def _ints(raw: bytes) -> "list[int]":
    return [int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw) - 3, 4)]


if __name__ == "__main__":
    main()
