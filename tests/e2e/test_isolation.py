"""Which wall a node keeps, and that it does not start with a weaker one than it was told to keep."""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pytest

from real_node import Node

NOBODY = ("setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups")


class NodeOfNobody(Node):
    """A node whose user has no power over the machine."""

    prefix = ("nice", "-n", "5", *NOBODY)  # nor may it take back what somebody has made nice


def can_be_nobody():
    if os.getuid() != 0:
        return False
    try:
        done = subprocess.run([*NOBODY, sys.executable, "-c", "import cumulet.server"], capture_output=True, cwd="/", check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


of_nobody = pytest.mark.skipif(not can_be_nobody(), reason="wants root, setpriv, and an interpreter that everybody may run")


@pytest.fixture
def folder(monkeypatch):
    """A data folder of nobody's, where nobody may go: pytest's own temporary folders are for its user alone."""
    with tempfile.TemporaryDirectory() as made:
        os.chown(made, 65533, 65533)
        monkeypatch.setenv("HOME", made)
        yield Path(made) / "data"


def refused(make):
    with pytest.raises(AssertionError) as caught:
        make()
    return str(caught.value)


def test_an_isolation_that_is_not_there_is_refused(tmp_path):
    assert "--isolation gvisor is not supported" in refused(lambda: Node(tmp_path / "data", "--isolation", "gvisor"))


@of_nobody
def test_a_weak_wall_is_refused_unless_it_is_allowed(folder):
    assert "the wall would be weak: cgroups" in refused(lambda: NodeOfNobody(folder))


@of_nobody
def test_a_policy_that_cannot_be_had_is_refused(folder):
    told = refused(lambda: NodeOfNobody(folder, "--allow-weak-wall", "--network", "egress"))
    assert "no egress: only root can make links" in told


CODE = """
import os, socket, threading, time, boto3

def handler(event, context):
    used_s = time.process_time()
    if event == "begin":
        boto3.client("sts")
        threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()
        return time.process_time()
    if event == "used":
        return used_s
    return {
        "account": boto3.client("sts").get_caller_identity()["Account"],
        "links": [name for _, name in socket.if_nameindex()],
        "proc": os.listdir("/.proc"),
        "processes": max(int(name) for name in os.listdir("/proc") if name.isdigit()) < 50,
        "power": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
    }
"""


@of_nobody
def test_a_node_without_power_keeps_what_wall_it_can(folder):
    node = NodeOfNobody(folder, "--durability", "os", "--allow-weak-wall")
    assert "# network platform (no egress: only root can make links)" in node.lines
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("index.py", CODE)
    client = node.client("lambda")
    client.create_function(
        FunctionName="f",
        Runtime=f"python3.{sys.version_info.minor}",
        Handler="index.handler",
        Role="arn:aws:iam::000000000000:role/r",
        Code={"ZipFile": archive.getvalue()},
        MemorySize=256,
        Timeout=60,
    )

    def call(event):
        answer = client.invoke(FunctionName="f", Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, payload
        return payload

    assert call("look") == {
        "account": "000000000000",
        "links": ["lo"],
        "proc": [],
        "processes": True,
        "power": ["0000000000000000"],
    }
    before_s = call("begin")
    time.sleep(0.6)
    assert call("used") - before_s < 0.3  # stopped between the calls
    assert any("WARNING: the wall is weak" in line for line in node.log)
    assert node.stop() == 0
