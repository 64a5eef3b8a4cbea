"""kill -9 of the node: what was acknowledged is there after the next start, and nothing of the old one is left behind."""

import io
import json
import os
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"


def _zip(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), text)
    return buffer.getvalue()


def _create(lambdas, name, text, **more):
    lambdas.create_function(
        FunctionName=name, Runtime=PYTHON, Handler="index.handler", Role=ROLE, Code={"ZipFile": _zip(text)}, **more
    )


def _descendants(pid: int) -> set[int]:
    """All processes below `pid`."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it ended meanwhile
    found, todo = set(), [pid]
    while todo:
        children = [child for child, parent in parents.items() if parent == todo[-1]]
        todo.pop()
        found.update(children)
        todo += children
    return found


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _folders(below: Path) -> Iterator[Path]:
    """Also while other nodes remove theirs."""
    return (Path(path) for path, _, _ in os.walk(below))


def _cgroups_of(pid: int) -> list[Path]:
    """Folders of control groups whose name says that they are of the node with this process id."""
    return [path for path in _folders(Path("/sys/fs/cgroup")) if path.name.startswith("cumulet") and str(pid) in path.name]


def _mounts(data: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(data) in line]


def _gone(pids, wait_s=10.0):
    deadline = time.monotonic() + wait_s
    while alive := [pid for pid in pids if _is_alive(pid)]:
        assert time.monotonic() < deadline, [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in alive]
        time.sleep(0.05)


def _messages(node, name):
    logs = node.client("logs")
    try:
        return [event["message"] for event in logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []


@pytest.mark.parametrize("durability", ["sync", "os"])
def test_acknowledged_functions_versions_and_events_survive(start_node, durability):
    node = start_node("--durability", durability)
    lambdas = node.client("lambda")
    _create(lambdas, "kept", "def handler(e, c):\n    return 'kept'\n", Publish=True)
    lambdas.create_alias(FunctionName="kept", Name="live", FunctionVersion="1")
    _create(lambdas, "slow", "import time\ndef handler(e, c):\n    time.sleep(e['s'])\n    print('ran %d' % e['n'])\n", Timeout=30)
    assert json.loads(lambdas.invoke(FunctionName="kept")["Payload"].read()) == "kept"
    for n in range(5):
        lambdas.invoke(FunctionName="slow", InvocationType="Event", Payload=json.dumps({"n": n, "s": 2}).encode())
    time.sleep(0.5)
    pids = _descendants(node.process.pid)
    assert pids, "environments were running"
    old = node.process.pid
    node.kill()
    _gone(pids)
    assert _mounts(node.data) == []

    node.start()
    lambdas = node.client("lambda")
    assert json.loads(lambdas.invoke(FunctionName="kept", Qualifier="live")["Payload"].read()) == "kept"
    assert _cgroups_of(old) == []
    deadline = time.monotonic() + 60
    while len({m.strip() for m in _messages(node, "slow") if m.startswith("ran ")}) < 5:
        assert time.monotonic() < deadline, _messages(node, "slow")
        time.sleep(0.2)
    pids = _descendants(node.process.pid)
    new = node.process.pid
    assert node.stop() == 0
    _gone(pids, 1)
    assert _cgroups_of(new) == []
    assert _mounts(node.data) == []


def test_a_killed_node_takes_environments_with_it_that_were_frozen(start_node):
    node = start_node("--durability", "os")
    lambdas = node.client("lambda")
    _create(lambdas, "idle", "def handler(e, c):\n    return 'idle'\n")
    assert json.loads(lambdas.invoke(FunctionName="idle")["Payload"].read()) == "idle"
    time.sleep(0.5)  # far longer than an idle environment runs on
    pids = _descendants(node.process.pid)
    assert len(pids) > 2
    node.kill()
    _gone(pids)


def test_sigterm_finishes_what_is_in_flight(start_node):
    import threading

    node = start_node("--durability", "os")
    lambdas = node.client("lambda")
    _create(lambdas, "slow", "import time\ndef handler(e, c):\n    time.sleep(2)\n    return 'finished'\n", Timeout=10)
    answers = []
    calling = threading.Thread(target=lambda: answers.append(lambdas.invoke(FunctionName="slow")["Payload"].read()))
    calling.start()
    time.sleep(1)
    assert node.stop() == 0
    calling.join()
    assert answers == [b'"finished"']


def test_a_second_node_on_the_same_data_is_refused(start_node):
    import subprocess

    node = start_node("--durability", "os")
    command = [sys.executable, "-m", "cumulet.cli", "up", "--port", "0", "--data", str(node.data)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert refused.returncode != 0
    assert "in use by another node" in refused.stderr
    assert "ready" not in refused.stdout
