"""The first process of an environment that is alone: it holds a namespace, and is of no other use to anybody."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from cumulet.sandbox import anchor, kernel, namespaces

pytestmark = pytest.mark.skipif(os.getuid() != 0 or not kernel.X86_64, reason="wants root, on x86_64")


@pytest.fixture
def program():
    fd = anchor.open_program()
    assert fd is not None
    yield fd
    os.close(fd)


@pytest.fixture
def started(program):
    pid = anchor.start(program)
    wait_until(lambda: is_ready(pid))
    yield pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def status_of(pid):
    """What the kernel tells of a process, its masks as numbers."""
    with open(f"/proc/{pid}/status") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    masks = ("SigIgn", "SigBlk", "CapInh", "CapPrm", "CapEff", "CapAmb")
    return lines | {name: int(lines[name], 16) for name in masks}


def is_ready(pid):
    """It has done the last that it does before it waits."""
    return status_of(pid)["SigIgn"] & 1 << (signal.SIGCHLD - 1)


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_it_has_no_power_and_an_id_of_its_own(started):
    status = status_of(started)
    assert status["Uid"].split() == status["Gid"].split() == [str(anchor.ID)] * 4
    assert status["Groups"].strip() == ""
    assert [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "SigBlk")] == [0] * 5
    assert status["NoNewPrivs"] == "1"


def test_it_holds_nothing_and_shows_nothing(started):
    assert {path.name for path in Path(f"/proc/{started}/fd").iterdir()}.isdisjoint({"0", "1", "2"})
    assert Path(f"/proc/{started}/mem").stat().st_uid == 0  # not its own: others of its id may not look into it
    assert int(status_of(started)["VmRSS"].split()[0]) < 64


def test_it_dies_with_who_started_it(program):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            pid = anchor.start(program)
            wait_until(lambda: is_ready(pid))
            os.write(writer, str(pid).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        pid = int(file.read())
    os.waitpid(child, 0)
    wait_until(lambda: has_ended(pid))


def has_ended(pid):
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] in "ZX"  # whoever inherits it has not looked yet
    return True


def test_orphans_are_not_left_to_it(program):
    """In a namespace of its own it is given what is orphaned, and the kernel has that reaped."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    reader, writer = os.pipe()
    pid, first = namespaces.fork_into_new_pid_namespace(own, lambda: anchor.start(program))
    if pid == 0:
        os.read(reader, 1)
        if os.fork() == 0 and os.fork() == 0:
            os._exit(0)
        os._exit(0)
    wait_until(lambda: is_ready(first))
    os.write(writer, b".")
    os.waitpid(pid, 0)
    for fd in (own, reader, writer):
        os.close(fd)
    try:
        wait_until(lambda: not children_of(first))
    finally:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()
