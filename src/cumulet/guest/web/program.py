"""Any program that listens on $PORT, served: this process starts it, waits until it answers, and hands requests over to it.

Variables are those of AWS's Lambda Web Adapter, so that packages made for it run as they are.
"""

import os
import re
import shlex
import signal
import socket
import threading
import time
from typing import Any, Dict, Tuple

from cumulet.guest import concurrent
from cumulet.guest.web import http1
from cumulet.guest.web.calls import is_among
from cumulet.guest.web.relay import Relay

_HOST = "127.0.0.1"
_USUAL_PORT = 8080
_POLL_S = 0.005
_CHECK_LIMIT_S = 1.0
_ONE_PROGRAM = re.compile(r"[A-Za-z0-9_./'-]+(?:\s[^;&|(){}<>`\n]*)?\Z")
_BIN_FOLDERS = ("/var/task/bin", "/opt/python/bin")


def serve(sock: socket.socket, launch: Dict[str, Any], *, is_alone: bool) -> None:
    """Start the program that `launch` tells of ("command", for a shell; "path", a folder to search for programs; "checks_http":
    ready is who answers requests, not who listens), and serve calls until the node closes the channel. `is_alone`: nobody else is
    on this loopback. Never returns."""
    address = (_HOST, _port(is_alone))
    os.environ["PORT"] = str(address[1])
    os.environ["PATH"] = ":".join([launch["path"], os.environ["PATH"], "/var/task/bin"] if launch["path"] else [os.environ["PATH"]])
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    pid = os.fork()
    if pid == 0:
        _become(launch["command"], sock.fileno())
    signal.signal(signal.SIGTERM, lambda _number, _frame: _pass_on_sigterm(pid))
    threading.Thread(target=_end_with, args=(pid,), daemon=True).start()
    _wait_until_ready(address, launch["checks_http"])
    Relay(sock, address, concurrent.wanted()).serve()


def _port(is_alone: bool) -> int:
    """As the function says, or as the adapter's users expect; a free one where others are about."""
    told = os.environ.get("AWS_LWA_PORT") or os.environ.get("PORT") or ""
    if told.isdigit() and 0 < int(told) < 65536:
        return int(told)
    if is_alone:
        return _USUAL_PORT
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _become(command: str, channel_fd: int) -> None:
    """The program; never returns."""
    try:
        os.closerange(channel_fd, 1 << 16)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and a program would go on ignoring it
        os.execve("/bin/sh", ["/bin/sh", "-c", _shell_text(_runnable(command))], dict(os.environ))
    except OSError as error:
        os.write(2, ("/bin/sh: %s\n" % error.strerror).encode())
    finally:
        os._exit(126)


def _runnable(command: str) -> str:
    """A script that pip has installed names the interpreter of the machine where that was: here it is run by the function's own."""
    name = command.split(None, 1)[0] if command.split() else ""
    for folder in _BIN_FOLDERS:
        path = os.path.join(folder, name)
        if "/" not in name and os.path.isfile(path) and _is_of_another_python(path):
            return "python3 %s%s" % (shlex.quote(path), command.lstrip()[len(name) :])
    return command


def _shell_text(command: str) -> str:
    """One program takes the shell's place, so that signals reach it and its end is its own; anything more is left to the shell."""
    name = command.split(None, 1)[0]
    is_one = _ONE_PROGRAM.match(command) and any(
        os.access(os.path.join(folder, name), os.X_OK) for folder in os.environ["PATH"].split(":")
    )
    return "exec " + command if is_one else command


def _is_of_another_python(path: str) -> bool:
    with open(path, "rb") as script:
        first = script.readline(256).decode("latin-1").strip()
    return first.startswith("#!") and "python" in first and not os.path.exists(first[2:].split()[0])


def _end_with(pid: int) -> None:
    """The environment ends when its program does, in the same way."""
    _pid, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        os._exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    if signal.getsignal(number) in (signal.SIG_DFL, None):
        os.kill(os.getpid(), number)
        time.sleep(1)
    os._exit(128 + number)


def _pass_on_sigterm(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has ended, and this process is about to


def _wait_until_ready(address: Tuple[str, int], checks_http: bool) -> None:
    """Poll; who waits for how long is the node's affair."""
    protocol = _setting("READINESS_CHECK_PROTOCOL", "http" if checks_http else "tcp").lower()
    path = _setting("READINESS_CHECK_PATH", "/")
    port = _setting("READINESS_CHECK_PORT", "")
    healthy = _setting("READINESS_CHECK_HEALTHY_STATUS", "100-499")
    target = (address[0], int(port) if port.isdigit() else address[1])
    while not _is_ready(target, protocol, path, healthy):
        time.sleep(_POLL_S)


def _is_ready(address: Tuple[str, int], protocol: str, path: str, healthy: str) -> bool:
    try:
        connection = http1.Connection(address, _CHECK_LIMIT_S)
    except OSError:
        return False
    try:
        if protocol == "tcp":
            return True
        response = connection.ask("GET", path, [("host", "%s:%d" % address), ("connection", "close")], b"")
        return is_among(response.status, healthy)
    except (OSError, http1.HttpError):
        return False
    finally:
        connection.close()


def _setting(name: str, default: str) -> str:
    """A variable of the adapter's, by its name now or its older one."""
    return os.environ.get("AWS_LWA_" + name) or os.environ.get(name) or default
