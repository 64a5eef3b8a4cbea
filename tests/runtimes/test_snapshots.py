"""SnapStart: a version is initialised once, and forked for each of its environments."""

import asyncio
import json
from pathlib import Path

import pytest

from cumulet.runtimes.contract import EnvironmentLost, InitError

SNAP = {"version": "1", "is_snap_started": True}
COUNTER = """
import os, time, uuid, random, ssl
born = uuid.uuid4().hex
calls = 0
def handler(event, context):
    global calls
    calls += 1
    return {"born": born, "calls": calls, "env": dict(os.environ)}
"""


async def told(bench, environment, event=b"{}"):
    return json.loads((await bench.call(environment, event)).payload)


async def started(bench, code, count=1, **more):
    """Environments of one version."""
    blob = await bench.blobs.put(bench.zip_of({"index.py": code} if isinstance(code, str) else code))
    how = {"config_id": "same", **SNAP, **more}
    return [await bench.start_blobs(blob, (), **how) for _ in range(count)]


async def test_init_runs_once_for_all_environments(bench):
    first, second = await started(bench, COUNTER, 2)
    one, other = await told(bench, first), await told(bench, second)
    assert one["born"] == other["born"] and one["calls"] == other["calls"] == 1
    assert (await told(bench, first))["calls"] == 2
    assert one["env"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"
    assert first.phases.keys() == {"prepare", "restore"}


async def test_random_numbers_differ_between_forks(bench):
    code = """
import os, random, secrets, ssl, uuid
def handler(event, context):
    return [random.random(), uuid.uuid4().hex, secrets.token_hex(), ssl.RAND_bytes(16).hex()]
"""
    environments = await started(bench, code, 12)
    drawn = [await told(bench, environment) for environment in environments]
    for kind in zip(*drawn, strict=True):
        assert len(set(kind)) == len(environments)


async def test_each_has_its_own_temporary_folder(bench):
    code = """
import os
def handler(event, context):
    if event: open("/tmp/mine", "w").write("x"); open("/dev/shm/mine", "w").write("x")
    return os.listdir("/tmp") + os.listdir("/dev/shm")
"""
    one, other = await started(bench, code, 2)
    assert await told(bench, one, b'{"write": 1}') == ["mine", "mine"]
    assert await told(bench, other) == []
    assert await told(bench, one) == ["mine", "mine"]


async def test_a_fork_has_no_power_and_cannot_get_any(bench):
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def refused(result):
    return result == -1 and ctypes.get_errno()
def handler(event, context):
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    def opened(path):
        try: return bool(open(path, "rb"))
        except OSError as error: return error.errno
    return {
        "caps": [status[name].strip() for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")],
        "no_new": status["NoNewPrivs"].strip(), "seccomp": status["Seccomp"].strip(), "uid": os.getuid(),
        "setns": refused(libc.setns(own, 0)), "unshare": refused(libc.unshare(0x10000000)),
        "mount": refused(libc.mount(b"x", b"/tmp", b"tmpfs", 0, None)), "umount": refused(libc.umount2(b"/tmp", 2)),
        "fds": sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in os.listdir("/proc/self/fd") if fd not in "012"
                      and os.path.exists(f"/proc/self/fd/{fd}")),
        "siblings": [opened(f"/proc/{pid}/mem") for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (os.getpid(),)],
        "packages": os.path.exists("/.packages") and os.listdir("/.packages"),
    }
"""
    one, _other = await started(bench, code, 2)
    seen = await told(bench, one)
    assert set(seen["caps"]) == {"0" * 16} and (seen["no_new"], seen["seccomp"]) == ("1", "2") and seen["uid"] == 993
    assert seen["setns"] == seen["unshare"] == seen["mount"] == seen["umount"] == 1
    assert all(answer in (1, 13) for answer in seen["siblings"]), seen["siblings"]
    assert seen["packages"] in (False, [])


async def test_memory_is_limited_for_each(bench):
    code = """
def handler(event, context):
    if event.get("mb"): return len(bytearray(event["mb"] << 20))
    return "well"
"""
    one, other = await started(bench, code, 2, memory_mb=128)
    with pytest.raises(EnvironmentLost) as lost:
        await bench.call(one, b'{"mb": 400}')
    assert lost.value.exit.is_out_of_memory
    assert await told(bench, other) == "well"


async def test_the_end_of_one_is_told_and_leaves_the_others(bench):
    code = "import os\ndef handler(event, context):\n    if event.get('code') is not None: os._exit(event['code'])\n    return 1\n"
    one, other = await started(bench, code, 2)
    with pytest.raises(EnvironmentLost) as lost:
        await bench.call(one, b'{"code": 7}')
    assert lost.value.exit.code == 7
    assert await told(bench, other) == 1


async def test_killing_one_leaves_nothing_of_it(bench):
    code = """
import os, subprocess
def handler(event, context):
    subprocess.Popen(["/bin/sh", "-c", "sleep 1000 & sleep 1000"], start_new_session=True, stdout=subprocess.DEVNULL)
    return 1
"""
    one, other = await started(bench, code, 2)
    await told(bench, one)
    groups = [Path(folder) for _, folder in one._tree._group]
    async with asyncio.timeout(5):
        while not any(len((group / "cgroup.procs").read_text().split()) >= 3 for group in groups):
            await asyncio.sleep(0.01)
    one.kill()
    await asyncio.wait_for(one.exited, 5)
    assert not any(group.exists() for group in groups)
    assert await told(bench, other) == 1


async def test_hooks_run_before_and_after(bench):
    hooks = Path(pytest.importorskip("snapshot_restore_py").__file__).read_text()
    code = """
from snapshot_restore_py import register_before_snapshot, register_after_restore
seen = []
register_before_snapshot(seen.append, "before 1")
register_before_snapshot(seen.append, "before 2")
register_after_restore(seen.append, "after 1")
@register_after_restore
def after():
    seen.append("after 2")
def handler(event, context):
    return seen
"""
    (one,) = await started(bench, {"index.py": code, "snapshot_restore_py.py": hooks})
    assert await told(bench, one) == ["before 2", "before 1", "after 1", "after 2"]


async def test_a_failing_hook_is_an_init_error(bench):
    hooks = Path(pytest.importorskip("snapshot_restore_py").__file__).read_text()
    code = """
from snapshot_restore_py import register_after_restore
register_after_restore(lambda: 1 / 0)
def handler(event, context): pass
"""
    with pytest.raises(InitError) as failed:
        await started(bench, {"index.py": code, "snapshot_restore_py.py": hooks})
    assert failed.value.error_type == "ZeroDivisionError"


async def test_threads_and_sockets_at_the_snapshot_are_told(bench):
    code = """
import socket, threading, time
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
open_one = socket.socketpair()
def handler(event, context):
    return 1
"""
    (one,) = await started(bench, code)
    assert await told(bench, one) == 1
    assert b"1 threads ran when the snapshot was taken" in bench.output and b"2 sockets were open" in bench.output


async def test_a_failing_init_is_told_as_ever(bench):
    with pytest.raises(InitError) as failed:
        await started(bench, "import nothing_of_that_name\ndef handler(event, context): pass\n")
    assert failed.value.error_type == "Runtime.ImportModuleError"


async def test_latest_is_never_a_snapshot(bench):
    one, other = await started(bench, COUNTER, 2, version="$LATEST", is_snap_started=False)
    assert (await told(bench, one))["born"] != (await told(bench, other))["born"]


async def test_a_retired_function_keeps_nothing_ready(bench):
    (one,) = await started(bench, COUNTER)
    bench.runtimes.retire("id")
    await told(bench, one)  # what runs goes on
    one.kill()
    await one.exited
    assert not bench.runtimes._snapshots._templates
