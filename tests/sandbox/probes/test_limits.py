"""What hostile code uses up: probes 16 to 20. What it does to neighbours' speed is measured by a benchmark, not here."""

import pytest

from cumulet.runtimes.jails import PROCESSES
from cumulet.sandbox import cgroup

STILL = "def handler(event, context):\n    return event\n"


@pytest.fixture
def neighbour(start):
    """Another tenant's environment, which must go on answering."""
    inmate = start(STILL, account="111111111111")
    yield inmate
    assert inmate.call("still here").answer == "still here"


def test_a_fork_bomb_meets_its_limit_and_goes_as_a_whole(start, neighbour):
    inmate = start("def handler(event, context):\n    return until_error(lambda: os.fork() or time.sleep(1000))\n", memory_mb=2048)
    forked, error = inmate.call().answer
    assert error == "EAGAIN" and PROCESSES / 2 < forked < PROCESSES
    inmate.kill()  # returns when all are gone, and their group with them


def test_a_bomb_of_bombs(start, neighbour):
    code = """
def handler(event, context):
    while True:
        try:
            os.fork()
        except OSError:
            pass
"""
    inmate = start(code)
    outcome = inmate.call(wait_s=2)
    assert outcome.error == "timeout" or outcome.exit.is_out_of_memory
    assert inmate.kill() < 15


def test_a_thread_bomb_meets_the_same_limit(start, neighbour):
    code = """
def begin():
    try:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    except RuntimeError as error:
        raise OSError(11, str(error))
def handler(event, context):
    threading.stack_size(1 << 16)
    return until_error(begin, 5000)
"""
    begun, error = start(code, memory_mb=512).call().answer
    assert error == "EAGAIN" and begun < PROCESSES


MEMORY = {
    "heap": "[bytearray(1 << 20) for _ in range(2000)]",
    "map": "mmap.mmap(-1, 1 << 31).write(bytes(1 << 20) * 1024)",
    "tmp": "open('/tmp/x', 'wb').write(bytes(400 << 20))",
    "shared memory": "[open('/dev/shm/%d' % n, 'wb').write(bytes(1 << 20)) for n in range(1000)]",
    "memory file": "[os.write(fd, bytes(1 << 20)) for fd in [os.memfd_create('x')] for _ in range(1000)]",
    "System V": "[ctypes.memset(libc.shmat(libc.shmget(n, 1 << 26, 0o1600), None, 0), 1, 1 << 26) for n in range(1, 32)]",
    "children": "[os.fork() or (bytearray(64 << 20), time.sleep(1000)) for _ in range(20)]",
}


@pytest.mark.parametrize("kind", MEMORY)
def test_memory_beyond_the_limit_ends_that_environment_alone(start, neighbour, kind):
    code = f"""
libc.shmat.restype = ctypes.c_void_p
def handler(event, context):
    {MEMORY[kind]}
    time.sleep(1)
"""
    inmate = start(code, memory_mb=128)
    outcome = inmate.call()
    is_refused = outcome.error in ("OSError", "MemoryError", "BufferError")
    # Where a child is what the kernel kills, its parent lives on.
    is_ended = outcome.exit.is_out_of_memory if outcome.exit is not None else cgroup.was_out_of_memory(tuple(inmate.group.items()))
    assert is_refused or is_ended, outcome


BUFFERS = """
kept = []
def pipes():
    reader, writer = os.pipe()
    kept.extend((reader, writer))
    fcntl.fcntl(writer, 1031, 1 << 20)  # F_SETPIPE_SZ
    os.set_blocking(writer, False)
    os.write(writer, bytes(1 << 20))
def sockets():
    pair = socket.socketpair()
    kept.extend(pair)
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    pair[0].setblocking(False)
    pair[0].send(bytes(1 << 20))
def handler(event, context):
    return until_error(globals()[event])
"""


@pytest.mark.parametrize("kind", ["pipes", "sockets"])
def test_buffers_of_the_kernel_are_counted_or_refused(start, neighbour, kind):
    outcome = start(BUFFERS, memory_mb=128).call(kind)
    if outcome.exit is None:
        count, error = outcome.answer
        assert error in ("EMFILE", "EPERM", "ENOBUFS", "ENOMEM") and count <= 512
    else:
        assert outcome.exit.is_out_of_memory or outcome.exit.signal == 9


def test_a_full_disk_is_ones_own(start, neighbour):
    code = """
def fill(path):
    with open(path, "wb", buffering=0) as file:
        while True:
            if file.write(bytes(1 << 20)) < 1 << 20:
                raise OSError(28, "short")
def handler(event, context):
    found = {"bytes": error_of(fill, "/tmp/bytes"), "size": os.path.getsize("/tmp/bytes")}
    os.unlink("/tmp/bytes")
    found["files"] = until_error(lambda: open("/tmp/%d" % len(os.listdir("/tmp")), "w").close())
    for name in os.listdir("/tmp"):
        os.unlink("/tmp/" + name)
    with open("/tmp/sparse", "wb") as sparse:
        found["sparse"] = error_of(sparse.truncate, 1 << 40)
        found["blocks"] = os.stat("/tmp/sparse").st_blocks
    found["name"] = error_of(open, "/tmp/" + "n" * 300, "w")
    return found
"""
    found = start(code, ephemeral_mb=16).call().answer
    count, error = found.pop("files")
    assert error == "ENOSPC" and count <= 4096
    assert found["size"] <= 16 << 20
    assert (found["bytes"], found["sparse"], found["blocks"], found["name"]) == ("ENOSPC", None, 0, "ENAMETOOLONG")


def test_descriptors_end_inside(start, neighbour):
    code = """
import select, tempfile
def handler(event, context):
    return {
        "files": until_error(lambda: open("/dev/null")),
        "epoll": until_error(select.epoll),
        "events": until_error(lambda: checked(libc.eventfd(0, 0))),
        "timers": until_error(lambda: checked(libc.timerfd_create(1, 0))),
    }
def checked(fd):
    if fd < 0:
        raise OSError(ctypes.get_errno(), "refused")
    opened.append(fd)
    return fd
opened = []
"""
    found = start(code).call().answer
    assert found["files"][1] == "EMFILE" and found["files"][0] <= 1024
    assert found["epoll"][1] == "EMFILE"
    assert found["events"][1] == "EMFILE"


STUBBORN = """
def handler(event, context):
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    {how}
"""


@pytest.mark.parametrize(
    "how", ["while True: pass", "time.sleep(1000)", "re.match('(a+)+$', 'a' * 40 + 'b')", "run_code(b'\\xeb\\xfe')"]
)
def test_who_ignores_all_signals_is_ended(start, neighbour, how):
    inmate = start(STUBBORN.format(how=how))
    assert inmate.call(wait_s=0.5).error == "timeout"
    assert inmate.kill() < 5
