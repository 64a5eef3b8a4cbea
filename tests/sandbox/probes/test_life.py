"""What hostile code leaves behind and how it ends: probes 21, 28 and 30. For what is frozen between calls (22) see
tests/runtimes/test_resting.py."""

import signal
from pathlib import Path

import pytest

DAEMON = """
def handler(event, context):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            {how}
            while True:
                time.sleep(1000)
        os._exit(0)
    os.wait()
    return "answered"
"""


@pytest.mark.parametrize(
    "how", ["os.closerange(0, 100)", "pass", "signal.signal(15, signal.SIG_IGN)", "[os.fork() for _ in range(4)]"]
)
def test_a_daemon_goes_with_its_environment(start, how):
    """Also one that keeps the output open: the answer does not wait for it, and neither does the end."""
    inmate = start(DAEMON.format(how=how))
    assert inmate.call(wait_s=10).answer == "answered"
    group = next(iter(inmate.group.values()))
    with open(f"{group}/cgroup.procs") as file:
        assert len(file.read().split()) >= 2  # the runtime and the daemon
    assert inmate.kill() < 10
    assert not Path(group).exists()


def test_orphans_are_reaped(start):
    code = """
def state_of(pid):
    try:
        return open("/proc/%s/stat" % pid).read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""  # reaped since it was listed

def handler(event, context):
    for _ in range(50):
        if os.fork() == 0:
            if os.fork() == 0:
                os._exit(0)
            os._exit(0)
        os.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        states = [state_of(n) for n in os.listdir("/proc") if n.isdigit()]
        if states.count("Z") == 0:
            return 0
        time.sleep(0.01)
    return states.count("Z")
"""
    assert start(code).call().answer == 0


ENDS = {
    "exit": ("os._exit(7)", 7, None),
    "segmentation fault": ("ctypes.string_at(0)", None, signal.SIGSEGV),
    "illegal instruction": ("run_code(b'\\x0f\\x0b')", None, signal.SIGILL),
    "own SIGKILL": ("os.kill(os.getpid(), 9)", None, signal.SIGKILL),
    "abort": ("os.abort()", None, signal.SIGABRT),
    "another program": ("os.execv('/bin/true', ['true'])", 0, None),
    "native stack": ("run_code(bytes.fromhex('50ebfd'))", None, signal.SIGSEGV),
    "call by another architecture": ("run_code(bytes.fromhex('b814000000cd80c3'))", None, signal.SIGSYS),
}


@pytest.mark.parametrize("how", ENDS)
def test_the_end_is_told_and_another_environment_answers(prison, how):
    statement, code, number = ENDS[how]
    outcome = prison.run(f"def handler(event, context):\n    {statement}\n")
    assert (outcome.exit.code, outcome.exit.signal) == (code, number)
    assert prison.ask("1 + 1") == 2


STRANGE = {
    "standard streams closed": "os.close(0); os.close(1); os.close(2)",
    "another folder": "os.chdir('/tmp')",
    "another mask and limits": "os.umask(0o777); resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
    "a trace function": "sys.settrace(lambda *a: None)",
    "builtins gone": "__import__('builtins').print = None",
}


@pytest.mark.parametrize("how", STRANGE)
def test_what_code_does_to_itself_stays_its_own(start, how):
    inmate = start(f"def handler(event, context):\n    if event:\n        {STRANGE[how]}\n    return 'ok'\n")
    assert inmate.call(True).answer == "ok"
    assert inmate.call(False).answer == "ok"


def test_native_code_is_allowed_and_stays_inside(prison):
    code = """
def handler(event, context):
    forty_two = run_code(bytes.fromhex("b82a000000c3"))
    fd = os.memfd_create("program")
    os.write(fd, open("/bin/sh", "rb").read())
    told = subprocess.run(["/proc/self/fd/%d" % fd, "-c", "id -u; cat /etc/shadow; grep CapEff /proc/self/status"],
                          pass_fds=(fd,), capture_output=True, text=True)
    return [forty_two, told.stdout.split(), "No such file" in told.stderr]
"""
    number, told, is_hidden = prison.run(code).answer
    assert number == 42 and told == ["993", "CapEff:", "0" * 16] and is_hidden
