"""Hostile code in the real jail, through the real Python runtime: what it tries, and what must happen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cumulet.sandbox import cgroup

LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
PROBES = {
    # What is outside must not be there.
    "files of the machine": (
        "[p for p in ('/etc/shadow', '/etc/passwd', '/root/.ssh', '/home', '/var/lib', '/proc/1/root/etc/shadow',"
        " '/var/task/../../etc/shadow') if os.path.exists(p)]",
        [],
    ),
    "the root folder": ("[n for n in os.listdir('/') if n not in {TREE}]", [".packages"]),
    "processes of the machine": ("max(int(n) for n in os.listdir('/proc') if n.isdigit()) < 50", True),
    "environment of process 1": ("b'CANARY' in open('/proc/1/environ', 'rb').read()", False),
    "inherited descriptors": ("[n for n in range(4, 4096) if _is_open(n)]", []),
    "the place of all code": ("os.listdir('/.packages')", []),
    "working folder leads out": ("os.path.realpath('/proc/self/cwd')", "/var/task"),
    # Nothing of the tree can be changed but what is meant for it.
    "writing to code": ("_error(lambda: open('/var/task/x', 'w'))", "EROFS"),
    "writing to the system": ("_error(lambda: open('/usr/x', 'w'))", "EROFS"),
    "writing to the root": ("_error(lambda: os.mkdir('/x'))", "EROFS"),
    "changing core_pattern": ("_error(lambda: open('/proc/sys/kernel/core_pattern', 'w')) in ('EROFS', 'EACCES')", True),
    "sysrq": ("os.path.exists('/proc/sysrq-trigger') and not os.path.samefile('/proc/sysrq-trigger', '/dev/null')", False),
    "own program": ("_error(lambda: open('/proc/self/exe', 'wb')) in ('EROFS', 'ETXTBSY', 'EACCES')", True),
    # Privileges.
    "capabilities": ("[l.split()[1] for l in open('/proc/self/status') if l.startswith('Cap')]", ["0" * 16] * 5),
    "no new privileges and a filter": (
        "[l.split()[1] for l in open('/proc/self/status') if l.startswith(('NoNewPrivs', 'Seccomp:'))]",
        ["1", "2"],
    ),
    "user id": ("os.getuid() != 0 and _error(lambda: os.setuid(0)) in ('EPERM', 'EINVAL')", True),
    "sudo": (
        "os.system('su -c true >/dev/null 2>&1; sudo -n true >/dev/null 2>&1; mount -t tmpfs x /tmp >/dev/null 2>&1') != 0",
        True,
    ),
    # System calls that must not even begin.
    "mount": ("_call(165, b'x', b'/tmp', b'tmpfs', 0, 0)", "EPERM"),
    "umount": ("_call(166, b'/tmp', 0)", "EPERM"),
    "pivot_root": ("_call(155, b'/tmp', b'/tmp')", "EPERM"),
    "chroot": ("_call(161, b'/tmp')", "EPERM"),
    "open_by_handle_at": ("_call(304, -1, 0, 0)", "EPERM"),
    "fsopen": ("_call(430, b'tmpfs', 0)", "EPERM"),
    "nested user namespace": ("_call(272, 0x10000000)", "EPERM"),
    "clone into a new user namespace": ("_call(56, 0x10000000 | 17, 0, 0, 0, 0)", "EPERM"),
    "clone3": ("_call(435, 0, 0)", "ENOSYS"),
    "setns": ("_call(308, 0, 0)", "EPERM"),
    "ptrace": ("_call(101, 16, 1, 0, 0)", "EPERM"),
    "process_vm_readv": ("_call(310, 1, 0, 0, 0, 0, 0)", "EPERM"),
    "pidfd_getfd": ("_call(438, 0, 0, 0)", "EPERM"),
    "kcmp": ("_call(312, 1, 1, 0, 0, 0)", "EPERM"),
    "bpf": ("_call(321, 0, 0, 0)", "EPERM"),
    "perf_event_open": ("_call(298, 0, 0, 0, 0, 0)", "EPERM"),
    "userfaultfd": ("_call(323, 0)", "EPERM"),
    "io_uring_setup": ("_call(425, 1, 0)", "EPERM"),
    "add_key": ("_call(248, 0, 0, 0, 0, 0)", "EPERM"),
    "keyctl": ("_call(250, 0, 0, 0, 0, 0)", "EPERM"),
    "init_module": ("_call(175, 0, 0, 0)", "EPERM"),
    "kexec_load": ("_call(246, 0, 0, 0, 0)", "EPERM"),
    "reboot": ("_call(169, 0xfee1dead, 672274793, 0, 0)", "EPERM"),
    "settimeofday": ("_call(164, 0, 0)", "EPERM"),
    "x32 calls": ("_call(0x40000000 | 39)", "ENOSYS"),
    "calls of tomorrow": ("_call(900)", "ENOSYS"),
    # Sockets and devices.
    "raw socket": ("_error(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))", "EPERM"),
    "packet socket": ("_error(lambda: socket.socket(17, socket.SOCK_RAW, 0))", "EPERM"),
    "vsock": ("_error(lambda: socket.socket(40, socket.SOCK_STREAM, 0))", "EPERM"),
    "AF_ALG": ("_error(lambda: socket.socket(38, socket.SOCK_SEQPACKET, 0))", "EPERM"),
    "netlink but for routes": ("_error(lambda: socket.socket(16, socket.SOCK_RAW, 9))", "EPERM"),
    "interfaces can be listed": ("_error(lambda: socket.socket(16, socket.SOCK_RAW, 0))", None),
    "devices": (
        "sorted(os.listdir('/dev'))",
        ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"],
    ),
    "mknod": ("_error(lambda: os.mknod('/tmp/mem', 0o20600, os.makedev(1, 1)))", "EPERM"),
    # Neighbours and parents.
    "killing everybody": ("_error(lambda: os.kill(-1, 0)) in ('ESRCH', None)", True),
    "killing init": ("os.kill(1, 9) or os.path.exists('/proc/1')", True),
    "typing for the terminal": ("_error(lambda: fcntl.ioctl(0, 0x5412, b'x')) in ('EPERM', 'ENOTTY')", True),
    # Native code of one's own is allowed, and is inside all the same.
    "memfd and exec": ("os.waitstatus_to_exitcode(_run_memfd())", 0),
}
HELPERS = """
import ctypes, errno, fcntl, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def _error(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno]

def _call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        return errno.errorcode[ctypes.get_errno()]
    return "went through"

def _is_open(fd):
    try:
        os.fstat(fd)
        return True
    except OSError:
        return False

def _run_memfd():
    fd = os.memfd_create("program")
    os.write(fd, open("/usr/bin/true", "rb").read())
    pid = os.fork()
    if pid == 0:
        os.execv("/proc/self/fd/%d" % fd, ["true"])
    return os.waitpid(pid, 0)[1]
"""
TREE = (
    "('bin', 'sbin', 'dev', 'etc', 'lib', 'lib32', 'lib64', 'libx32', 'proc', 'root', 'home', 'opt', 'tmp', 'usr', 'var', 'work')"
)

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of system calls here are those of x86-64")


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """All probes, run in one environment each in its own process, so that none spoils the next."""
    folder = tmp_path_factory.mktemp("probes")
    folder.chmod(0o755)
    code = HELPERS + "\nPROBES = " + repr({name: text.replace("{TREE}", TREE) for name, (text, _) in PROBES.items()})
    code += """
import json

def probe(text):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            os.dup2(writer, 3)
            os.close(writer)
            found = eval(text)
        except BaseException as error:
            found = "%s: %s" % (type(error).__name__, error)
        os.write(3, json.dumps(found).encode())
        os._exit(0)
    os.close(writer)
    told = os.fdopen(reader, "rb").read()
    os.waitpid(pid, 0)
    return json.loads(told) if told else "died"

def handler(event, context):
    return {name: probe(text) for name, text in PROBES.items()}
"""
    (folder / "index.py").write_text(code)
    script = Path(__file__).with_name("run_in_jail.py")
    environment = os.environ | {"CANARY": "in the node's environment"}
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", PROBES)
def test_probe(probed, name):
    assert probed[name] == PROBES[name][1]


def test_no_group_is_left_behind(probed):
    assert cgroup.sweep_stale() == 0
