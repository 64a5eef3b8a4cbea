"""Freezing control groups, under each hierarchy that this machine has."""

import os
import signal
import subprocess
import sys
import time

import pytest

from cumulet.sandbox import cgroup, freezer
from cumulet.sandbox.jail import Limits

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="making control groups wants root")


def hierarchies():
    found = [("freeze", folder) for folder in cgroup._v2_folders()] + cgroup._v1_parents(("freezer",))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason="nothing here can be frozen"))]


@pytest.fixture(params=hierarchies(), ids=lambda found: found[0])
def group(request):
    controller, folder = request.param
    made = ((controller, f"{folder}/test-{os.getpid()}"),)
    yield made
    cgroup.kill_all(made)
    assert cgroup.remove(made)


@pytest.fixture
def busy(group):
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        cgroup.adopt(group, Limits(1 << 30, 100), process.pid)
        yield process
        process.kill()


def ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_what_is_frozen_gets_no_cpu_until_it_is_thawed(group, busy):
    switch = freezer.open_freezer(group)
    switch.freeze()
    time.sleep(0.05)
    before = ticks(busy.pid)
    time.sleep(0.3)
    assert ticks(busy.pid) - before <= 1
    switch.thaw()
    deadline = time.monotonic() + 10
    while ticks(busy.pid) - before <= 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    switch.close()


def test_what_is_frozen_dies_when_it_is_killed_and_thawed(group, busy):
    switch = freezer.open_freezer(group)
    switch.freeze()
    busy.kill()
    switch.thaw()
    assert busy.wait(10) == -signal.SIGKILL
    switch.close()


def test_a_group_that_cannot_be_frozen_says_so():
    assert freezer.open_freezer((("memory", "/nowhere"),)) is None
    assert not freezer.can_freeze((("memory", "/nowhere"), ("pids", "/nowhere")))
