"""What hostile code sees of others: probes 1 to 4, 13, 23, 24 and 29."""

import os
from pathlib import Path

import pytest
from tests.sandbox.probes.conftest import CANARY

SCAN = r"""
def handler(event, context):
    pattern = re.compile(event["kind"].encode() + rb"\x2d[0-9a-f]{32}")
    found, read = set(), 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb") as memory:
        for line in maps:
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            if "r" not in line.split()[1] or "[v" in line:
                continue
            memory.seek(first)
            for at in range(first, last, 1 << 24):
                try:
                    data = memory.read(min(1 << 24, last - at))
                except OSError:
                    break
                read += len(data)
                found |= {match.decode() for match in pattern.findall(data)}
    return [sorted(found), read > 1 << 20]
"""


def test_memory_holds_no_secret_of_the_node(prison):
    assert CANARY in os.environ["CANARY"]
    assert prison.run(SCAN, {"kind": "CANARY"}).answer == [[], True]


def test_the_scan_finds_what_is_there(prison):
    planted = "secret = 'PLANTED-' + os.urandom(16).hex()\n"
    found, _ = prison.run(planted + SCAN, {"kind": "PLANTED"}).answer
    assert found


SECRETS = """
import tempfile
def handler(event, context):
    secret = os.environ["SECRET"]
    for path in ("/tmp/left", "/dev/shm/left"):
        open(path, "w").write(secret)
    key = 0x1234
    shm = libc.shmget(key, 4096, 0o1600)
    address = libc.shmat
    address.restype = ctypes.c_void_p
    ctypes.memmove(address(shm, None, 0), secret.encode(), len(secret))
    queue = libc.msgget(key, 0o1600)
    ear = socket.socket(socket.AF_UNIX)
    ear.bind("\\0left")
    ear.listen()
    globals()["kept"] = ear
    print(secret, flush=True)
    return sorted(os.listdir("/var/task"))
"""
LOOK = """
def handler(event, context):
    return {
        "variables": "SECRET" in os.environ,
        "files": [path for path in ("/tmp/left", "/dev/shm/left") if os.path.exists(path)],
        "shared memory": libc.shmget(0x1234, 4096, 0),
        "queues": libc.msgget(0x1234, 0),
        "sockets": error_of(lambda: socket.socket(socket.AF_UNIX).connect("\\0left")),
        "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit())[-1] < 100,
        "code": sorted(os.listdir("/var/task")),
        "others' code": [name for name in ("/.packages", "/packages", "/code") if os.path.isdir(name) and os.listdir(name)],
        "globals": "kept" in globals(),
    }
"""
NOTHING = {
    "variables": False,
    "files": [],
    "shared memory": -1,
    "queues": -1,
    "sockets": "ECONNREFUSED",
    "processes": True,
    "code": ["index.py"],
    "others' code": [],
    "globals": False,
}


def test_what_one_tenant_leaves_another_does_not_find(start):
    """While the first still lives: nothing of it is in reach."""
    victim = start(SECRETS, account="111111111111", variables={"SECRET": CANARY}, files={"private.txt": CANARY})
    assert victim.call().answer == ["index.py", "private.txt"]
    assert start(LOOK, account="222222222222").call().answer == NOTHING


def test_what_one_environment_keeps_is_its_own(start):
    """State lasts between the calls of one environment, as on Lambda, and never reaches another of the same function."""
    code = """
seen = []
def handler(event, context):
    seen.append(event)
    before = os.path.exists("/tmp/left")
    open("/tmp/left", "w").close()
    return [seen, before]
"""
    first, second = start(code, function_id="same"), start(code, function_id="same")
    assert first.call(1).answer == [[1], False]
    assert first.call(2).answer == [[1, 2], True]
    assert second.call(3).answer == [[3], False]


def test_init_runs_inside_the_walls(prison):
    """What is imported is the tenant's code: it must not run anywhere but in its own jail."""
    code = """
at_import = [os.getuid() != 0, os.path.exists("/etc/shadow"), call(165, b"x", b"/tmp", b"tmpfs", 0, 0), os.getppid() in (0, 1)]
def handler(event, context):
    return at_import
"""
    assert prison.run(code).answer == [True, False, "EPERM", True]


def test_ids_differ_between_environments(start):
    if os.getuid() != 0:
        pytest.skip("a node that is not root has one id for all")
    ids = [Path(f"/proc/{pids_of(start('def handler(event, context): pass'))[-1]}").stat().st_uid for _ in range(3)]
    assert len(set(ids)) == 3 and min(ids) >= 200_000


def pids_of(inmate):
    with open(next(iter(inmate.group.values())) + "/cgroup.procs") as file:
        return sorted(int(pid) for pid in file.read().split())


@pytest.mark.parametrize(
    "path",
    ["/proc/self/exe", "os.__file__", "index.__file__", "/var/task/index.py", "/usr/lib/os-release", "/etc/hosts", "/var/runtime"],
)
def test_what_runs_cannot_be_overwritten(prison, path):
    code = f"""
import index
def attempt(path):
    if not os.path.exists(path):
        return "ENOENT"
    if os.path.isdir(path):
        return error_of(open, path + "/x", "w")
    return error_of(os.open, path, os.O_WRONLY) or error_of(os.open, path, os.O_WRONLY | os.O_TRUNC)
def handler(event, context):
    path = {path if ".__file__" in path else repr(path)}
    return [attempt(path), error_of(os.replace, "/tmp/none", path), error_of(os.unlink, path), error_of(os.rename, path, "/x")]
"""
    attempt, replaced, unlinked, renamed = prison.run(code).answer
    assert attempt in ("EROFS", "ETXTBSY", "EACCES", "ENOENT")
    assert {replaced, unlinked, renamed} <= {"EROFS", "EACCES", "ENOENT", "EPERM", "EXDEV", "EBUSY", "EISDIR", "ENOTDIR"}
