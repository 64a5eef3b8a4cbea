"""The first process of an execution environment: walks into the jail, starts the runtime, and stays as its init.

As process 1 of its pid namespace it reaps whatever is orphaned; when the runtime ends it reports how and ends, and the kernel
kills all the rest.
"""

import functools
import gc
import json
import os
import signal
import socket
import sys
import time
from typing import Any, Dict, Tuple

from cumulet.guest import extensions, python_runtime, shell, snapshot, variables
from cumulet.sandbox import enter, freezer, jail, kernel, privileges

_CHANNEL_FD = 3
"""Where the runtime has its channel, and the zygote what it is told by."""


def run(
    launch: Dict[str, Any],
    base: enter.MadeBase,
    channel_fd: int,
    output_fd: int,
    status_fd: int,
    net: int = -1,
    *,
    is_first: bool = True,
) -> None:
    """Become the environment that `launch` describes, in a copy of the tree `base` and in the network `net`. Never returns.

    One that is not the first process of its namespace becomes the runtime itself.

    This process is a copy of the zygote, and each page that it is the first to write on is copied for it: that is most of what a
    start costs, so that little is done here that could be done before.
    """
    status = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, status_fd)
    try:
        channel_fd = _moved(channel_fd, _CHANNEL_FD)
        enter.die_with_parent()
        kernel.unblock_signals()
        os.setsid()
        walls = jail.from_json(launch["jail"])
        if not is_first:
            if launch.get("is_shell"):
                settings = enter.build(walls, base, net, functools.partial(_hand_over, status, "ear"), is_changed_later=True)
                _take_streams(output_fd)
                python_runtime.rehearse()
                shell.become_alone(walls, settings, status)
            else:
                _enter(walls, base, net, status)
                _take_streams(output_fd)
            status.close()
            _become_runtime(launch)
        start = _start_shell if launch.get("is_shell") else _start
        pid, beside = start(launch, walls, base, net, channel_fd, output_fd, status)
        enter.die_with_parent()  # again: who changes ids loses that wish, and a frozen environment notices nothing by itself
        os.close(channel_fd)
        os.close(output_fd)
        if beside or not freezer.can_freeze(walls.cgroup):
            extensions.obey(status, pid)
        _reap(pid, beside, status)
    except jail.JailError as error:
        _tell(status, {"jail_error": str(error)})
    except BaseException as error:
        _tell(status, {"jail_error": "%s: %s" % (type(error).__name__, error)})
    finally:
        os._exit(0)


def _start(
    launch: Dict[str, Any],
    walls: jail.Jail,
    base: enter.MadeBase,
    net: int,
    channel_fd: int,
    output_fd: int,
    status: socket.socket,
) -> Tuple[int, Dict[int, str]]:
    """Enter the jail and start the extensions and then the runtime: its pid, and theirs with their names."""
    _enter(walls, base, net, status)
    if launch["serves_runtime_api"]:
        launch["environment"]["AWS_LAMBDA_RUNTIME_API"] = _listen(status)
    privileges.hide()  # before any of the function's code runs: it has the same ids
    beside: Dict[int, str] = {}
    if launch["extensions"]:
        beside = extensions.start(launch["extensions"], launch["environment"], status)
        extensions.wait_for_start(status, beside)
    pid = kernel.fork()
    if pid == 0:
        status.close()
        _take_streams(output_fd)
        _become_runtime(launch)
    return pid, beside


def _enter(walls: jail.Jail, base: enter.MadeBase, net: int, status: socket.socket) -> None:
    started = time.monotonic()
    enter.enter(walls, base, net, functools.partial(_hand_over, status, "ear"))
    status.send(b'{"jailed": %f}' % ((time.monotonic() - started) * 1000))


def _start_shell(
    launch: Dict[str, Any],
    walls: jail.Jail,
    base: enter.MadeBase,
    net: int,
    channel_fd: int,
    output_fd: int,
    status: socket.socket,
) -> Tuple[int, Dict[int, str]]:
    def start(gate: int) -> None:
        status.close()
        _take_streams(output_fd)
        _become_runtime(launch, gate)

    before_drop = functools.partial(snapshot.start_maker, status) if launch.get("is_template") else None
    settings = enter.build(walls, base, net, functools.partial(_hand_over, status, "ear"), is_changed_later=True)
    return shell.become(launch, walls, settings, status, start, before_drop), {}


def _moved(fd: int, number: int) -> int:
    """The descriptor under the number that it has from now on, in place of the zygote's own."""
    if fd != number:
        os.dup2(fd, number)
        os.close(fd)
    os.set_inheritable(number, True)
    return number


def _take_streams(output_fd: int) -> None:
    """The standard ones. There is no input."""
    null = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((null, 0), (output_fd, 1), (output_fd, 2)):
        os.dup2(source, target)


def _become_runtime(launch: Dict[str, Any], gate: int = -1) -> None:
    """The process that runs user code: only its channel and its output are open, and in a shell the gate until it has opened."""
    try:
        if gate >= 0 and not launch["argv"]:
            gate = os.dup2(gate, 4, inheritable=False) if gate != 4 else gate
        os.closerange(5 if gate == 4 else 4, 1 << 16)
        privileges.show()
        variables.take(launch["environment"])
        if launch["argv"]:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and a program would go on ignoring it
            try:
                os.execve(launch["argv"][0], launch["argv"], dict(os.environ))
            except OSError as error:
                os.write(2, ("%s: %s\n" % (launch["argv"][0], error.strerror)).encode())
                os._exit(126)
        gc.enable()
        if launch.get("web"):
            from cumulet.guest.web import program

            program.serve(
                socket.socket(fileno=_CHANNEL_FD), launch["web"], is_alone=launch["jail"].get("network", "host") != "host"
            )
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, _CHANNEL_FD)
        python_runtime.serve(channel, gate, is_told=not launch.get("is_shell"), is_template=bool(launch.get("is_template")))
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def _listen(status: socket.socket) -> str:
    """Where this environment's Runtime API is asked: the socket is made inside the jail and served by the node."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    _hand_over(status, "listening", listener)
    address = "%s:%d" % listener.getsockname()
    listener.close()
    return address


def _hand_over(status: socket.socket, name: str, listener: socket.socket) -> None:
    rights = listener.fileno().to_bytes(4, sys.byteorder)
    status.sendmsg([json.dumps({name: True}).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def _reap(runtime: int, beside: Dict[int, str], status: socket.socket) -> None:
    """Reap everything that ends and tell of what the node started, until the runtime and all extensions have ended."""
    left = {runtime, *beside}
    while left:
        ended, wait_status = os.wait()
        if ended not in left:
            continue
        left.remove(ended)
        how = extensions.how_of(wait_status)
        _tell(status, how if ended == runtime else {"extension": beside[ended], **how})


def _tell(status: socket.socket, message: Dict[str, Any]) -> None:
    try:
        status.send(json.dumps(message).encode())
    except OSError:
        pass  # the node is gone, and with it everyone who would want to know
