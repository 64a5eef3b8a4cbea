"""A zygote: an interpreter that stands ready, with nobody's code in it, and becomes execution environments by forking.

Started by the node with the control socket as file descriptor 3. Each request is one message: a letter, and JSON. B: a base
(`sandbox.jail.Base`) is made ready for environments to stand in; the answer is `{}`. L: a launch comes with, as passed file
descriptors, the runtime's channel, its output pipe, the status socket and, if it is given one, its network namespace; the answer
has a pidfd of the environment's first process. A: the same, alone. Its first process is an anchor (`sandbox.anchor`), and its only
other process this one's child: it is named by its "pid" in the answer, and in a message, how it "ended", that nobody asked for.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
from functools import partial
from typing import Dict, List

_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_CONTROL_FD = 3
_MAX_MESSAGE = 1 << 18
_SLICE_US = 200
"""Short: an environment that is called is not to wait until others, which compute, have done so for some milliseconds."""


def main() -> None:
    """Prepare, then fork for every request until the node is gone."""
    sys.path.insert(0, _PACKAGE_PARENT)
    from cumulet.guest import preload
    from cumulet.sandbox import enter, kernel, namespaces

    sys.path.remove(_PACKAGE_PARENT)

    enter.die_with_parent()
    os.set_inheritable(_CONTROL_FD, False)
    control = socket.socket(fileno=_CONTROL_FD)
    if os.getuid() != 0:
        namespaces.become_owner_of_namespaces()
        enter.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # for those who are forked; nobody's Ctrl-C comes here
    preload.load()
    preload.prepare(_PACKAGE_PARENT)
    gc.disable()
    zygote = Zygote(control)
    gc.collect()
    gc.freeze()  # so that no child's collector touches, and so copies, what is shared
    nice = max(0, os.getpriority(os.PRIO_PROCESS, 0))  # the node's own, had so far, may be a higher one: answers go before starts
    kernel.set_priority(nice, _SLICE_US)
    control.send(b"{}")
    zygote.serve()


class Zygote:
    """What it has made, and who it waits for."""

    def __init__(self, control: socket.socket) -> None:
        from cumulet.guest import environment
        from cumulet.sandbox import anchor, enter, jail, kernel, namespaces

        self._enter, self._environment, self._jail, self._kernel, self._namespaces = enter, environment, jail, kernel, namespaces
        self._control = control
        self._bases: "Dict[str, enter.MadeBase]" = {}
        self._first_of: Dict[int, int] = {}  # of an environment that is alone, the first process of its namespace
        self._ended_children = kernel.open_signals(signal.SIGCHLD)
        self._own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
        program = anchor.open_program()
        self._start_anchor = partial(anchor.start, program) if program is not None else None

    def serve(self) -> None:
        """Until the node is gone, also when it left something unread."""
        try:
            self._serve()
        except ConnectionError:
            pass

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._ended_children, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while True:
            for fd, _events in poll.poll():
                if fd == self._ended_children:
                    self._reap()
                elif not self._take_request():
                    return

    def _take_request(self) -> bool:
        data, ancillary, _flags, _address = self._control.recvmsg(_MAX_MESSAGE, socket.CMSG_SPACE(4 * 4), socket.MSG_CMSG_CLOEXEC)
        if not data:
            return False
        fds = [fd for level, kind, raw in ancillary if kind == socket.SCM_RIGHTS for fd in _ints(raw)]
        try:
            if data.startswith(b"B"):
                base = self._jail.base_from_json(json.loads(data[1:]))
                self._bases[base.key] = self._enter.make_base(base)
                self._control.send(b"{}")
            else:
                self._fork(data, fds)
        except (OSError, self._jail.JailError) as error:
            self._control.send(json.dumps({"error": str(error)}).encode())
        for fd in fds:
            os.close(fd)
        return True

    def _fork(self, request: bytes, fds: List[int]) -> None:
        """Leaves the request to the fork to read: pages that are written here are copied again after each fork. Raises OSError."""
        start_first = self._start_anchor if request.startswith(b"A") else None
        pid, first = self._namespaces.fork_into_new_pid_namespace(self._own_namespace, start_first)
        if pid == 0:
            launch = json.loads(request[1:])
            base = self._bases[launch["jail"]["base"]]
            self._environment.run(launch, base, *fds, is_first=start_first is None)  # never returns
        answer = b"{}"
        if first != pid:
            self._first_of[pid] = first
            answer = b'{"pid": %d}' % pid
        pidfd = self._kernel.pidfd_open(first)
        self._control.sendmsg([answer], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, pidfd.to_bytes(4, sys.byteorder))])
        os.close(pidfd)

    def _reap(self) -> None:
        """Tell of the environments that are alone how they ended, and end what is left in them."""
        os.read(self._ended_children, 1 << 12)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            first = self._first_of.pop(pid, 0)
            if first:
                how = {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"code": os.WEXITSTATUS(status)}
                self._control.send(json.dumps({"ended": pid, **how}).encode())
                try:
                    os.kill(first, signal.SIGKILL)  # after the message: its end is what the node acts on
                except ProcessLookupError:
                    pass


def _ints(raw: bytes) -> "List[int]":
    return [int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw) - 3, 4)]


if __name__ == "__main__":
    main()
