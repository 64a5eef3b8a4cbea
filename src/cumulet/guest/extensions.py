"""External extensions: a layer's programs beside the runtime, in the same jail, and the node's hand in there while they run."""

import json
import os
import select
import signal
import socket
import sys
import threading
from typing import Any, Dict, List

FOLDER = "/opt/extensions"
_LOOK_S = 0.02


def start(names: List[str], environment: Dict[str, str], status: socket.socket) -> Dict[int, str]:
    """Start every program; {pid: name}. Their output goes to a pipe of its own, whose other end the node gets."""
    reader, writer = os.pipe()
    _send(status, {"extension_output": True}, reader)
    os.close(reader)
    told = {name: value for name, value in environment.items() if name != "_HANDLER"}
    started = {}
    for name in names:
        pid = os.fork()
        if pid == 0:
            _become(os.path.join(FOLDER, name), told, writer)
        started[pid] = name
    os.close(writer)
    return started


def wait_for_start(status: socket.socket, started: Dict[int, str]) -> None:
    """Until the node says that every extension has registered; it is told of one that ends before. Raises EOFError when it wants
    the environment no longer."""
    while True:
        readable, _, _ = select.select([status], [], [], _LOOK_S)
        if readable:
            message = status.recv(1 << 14)
            if not message:
                raise EOFError("the node has closed the environment")
            if "start_runtime" in json.loads(message):
                return
        ended, wait_status = os.waitpid(-1, os.WNOHANG)
        if ended in started:
            status.send(json.dumps({"extension": started.pop(ended), **how_of(wait_status)}).encode())


def how_of(wait_status: int) -> Dict[str, int]:
    """How a process ended, as the node is told."""
    return {"signal": os.WTERMSIG(wait_status)} if os.WIFSIGNALED(wait_status) else {"code": os.WEXITSTATUS(wait_status)}


def obey(status: socket.socket, runtime: int) -> None:
    """From now on do what the node tells, in a thread: signal the runtime, connect to a port of an extension's, stop everybody."""
    threading.Thread(target=_obey, args=(status, runtime), daemon=True).start()


def _obey(status: socket.socket, runtime: int) -> None:
    while True:
        try:
            message = status.recv(1 << 14)
        except OSError:
            return
        if not message:
            return
        order = json.loads(message)
        if "signal_runtime" in order:
            try:
                os.kill(runtime, order["signal_runtime"])
            except ProcessLookupError:
                pass  # it has ended by itself
        elif "stop" in order:
            _signal_all(signal.SIGSTOP if order["stop"] else signal.SIGCONT)
        elif "dial" in order:
            _dial(status, order["dial"], order["number"])


def _signal_all(number: int) -> None:
    """To every process of the namespace but this one."""
    try:
        os.kill(-1, number)
    except OSError:
        pass  # there is none


def _dial(status: socket.socket, port: int, number: int) -> None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0) as connected:
            _send(status, {"dialled": number}, connected.fileno())
    except OSError as error:
        status.send(json.dumps({"dialled": number, "error": str(error)}).encode())


def _become(path: str, environment: Dict[str, str], output: int) -> None:
    try:
        null = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((null, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.closerange(3, 1 << 16)
        for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.execve(path, [path], environment)
    except OSError as error:
        os.write(2, ("%s: %s\n" % (path, error.strerror)).encode())
    finally:
        os._exit(126)


def _send(status: socket.socket, message: Dict[str, Any], fd: int) -> None:
    status.sendmsg([json.dumps(message).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fd.to_bytes(4, sys.byteorder))])
