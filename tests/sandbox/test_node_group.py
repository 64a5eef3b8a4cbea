"""The node's own control group: it goes first, whatever its environments do, and nobody takes it for a left-over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cumulet.sandbox import cgroup

pytestmark = pytest.mark.skipif(os.getuid() != 0 or not cgroup._v1_parents(("cpu",)), reason="wants root and cgroup v1 for cpu")
NODE = """
from cumulet.sandbox import cgroup
own, environments = cgroup.enter_own(), cgroup.open_node_group()
print(own[0][1], dict(environments)["cpu"], flush=True)
input()
cgroup.remove_whole(environments)
cgroup.leave_own(own)
"""


@pytest.fixture
def node():
    process = subprocess.Popen([sys.executable, "-c", NODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.folders = [Path(folder) for folder in process.stdout.readline().split()]
    yield process
    process.kill()
    process.communicate()


def test_a_node_weighs_more_than_its_environments_and_leaves_nothing(node):
    own, environments = node.folders
    assert (own / "cgroup.procs").read_text().split() == [str(node.pid)]
    assert own.parent == environments.parent
    assert int((own / "cpu.shares").read_text()) >= 10 * int((environments / "cpu.shares").read_text())
    node.communicate("end\n", timeout=20)
    assert node.returncode == 0 and not own.exists() and not environments.exists()


def test_a_nodes_group_is_swept_when_it_is_dead_and_not_before(node):
    own, environments = node.folders
    cgroup.sweep_stale()
    assert node.poll() is None and own.exists() and environments.exists()
    node.kill()
    node.wait()
    cgroup.sweep_stale()
    assert not own.exists() and not environments.exists()
