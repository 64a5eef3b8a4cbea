"""Names of processes that are never used twice: what a killed node left behind is known by them."""

import os


def own_name() -> str:
    """The calling process: `PID-START`."""
    return "%d-%d" % (os.getpid(), _start_time(os.getpid()))


def is_alive(name: str) -> bool:
    """Whether the process with that name, by `own_name`, still lives."""
    try:
        pid, started = name.split("-")
        return _start_time(int(pid)) == int(started)
    except (ValueError, OSError):
        return False


def _start_time(pid: int) -> int:
    """When the process started, in ticks since boot."""
    with open("/proc/%d/stat" % pid) as file:
        return int(file.read().rsplit(")", 1)[1].split()[19])
