"""Probes of one line each: what hostile code tries in the real jail, through the real Python runtime, and what must happen.

Numbers 1 to 3, 5 to 10, 12 to 15 and 30 of the list in docs/security.md.
"""

import json
import os
import socket

import pytest

PROBES = {
    # What is outside must not be there.
    "files of the machine": (
        "[p for p in ('/etc/shadow', '/etc/passwd', '/root/.ssh', '/home', '/var/lib', '/proc/1/root/etc/shadow',"
        " '/var/task/../../etc/shadow') if os.path.exists(p)]",
        [],
    ),
    "the root folder": ("[n for n in os.listdir('/') if n not in {TREE}]", [".packages"]),
    "processes of the machine": ("max(int(n) for n in os.listdir('/proc') if n.isdigit()) < 50", True),
    "environment of process 1": ("[error_of(open, '/proc/1/' + n) for n in ('environ', 'maps', 'mem')]", ["EACCES"] * 3),
    "inherited descriptors": ("[n for n in range(4, 4096) if is_open(n)]", []),
    "the place of all code": ("os.listdir('/.packages')", []),
    "working folder leads out": ("os.path.realpath('/proc/self/cwd')", "/var/task"),
    # Nothing of the tree can be changed but what is meant for it.
    "writing to code": ("error_of(lambda: open('/var/task/x', 'w'))", "EROFS"),
    "writing to the system": ("error_of(lambda: open('/usr/x', 'w'))", "EROFS"),
    "writing to the root": ("error_of(lambda: os.mkdir('/x'))", "EROFS"),
    "changing core_pattern": ("error_of(lambda: open('/proc/sys/kernel/core_pattern', 'w')) in ('EROFS', 'EACCES')", True),
    "sysrq": ("os.path.exists('/proc/sysrq-trigger') and not os.path.samefile('/proc/sysrq-trigger', '/dev/null')", False),
    "own program": ("error_of(lambda: open('/proc/self/exe', 'wb')) in ('EROFS', 'ETXTBSY', 'EACCES')", True),
    # Privileges.
    "capabilities": ("[l.split()[1] for l in open('/proc/self/status') if l.startswith('Cap')]", ["0" * 16] * 5),
    "no new privileges and a filter": (
        "[l.split()[1] for l in open('/proc/self/status') if l.startswith(('NoNewPrivs', 'Seccomp:'))]",
        ["1", "2"],
    ),
    "user id": ("os.getuid() != 0 and error_of(lambda: os.setuid(0)) in ('EPERM', 'EINVAL')", True),
    "sudo": (
        "os.system('su -c true >/dev/null 2>&1; sudo -n true >/dev/null 2>&1; mount -t tmpfs x /tmp >/dev/null 2>&1') != 0",
        True,
    ),
    # System calls that must not even begin.
    "mount": ("call(165, b'x', b'/tmp', b'tmpfs', 0, 0)", "EPERM"),
    "umount": ("call(166, b'/tmp', 0)", "EPERM"),
    "pivot_root": ("call(155, b'/tmp', b'/tmp')", "EPERM"),
    "chroot": ("call(161, b'/tmp')", "EPERM"),
    "open_by_handle_at": ("call(304, -1, 0, 0)", "EPERM"),
    "fsopen": ("call(430, b'tmpfs', 0)", "EPERM"),
    "nested user namespace": ("call(272, 0x10000000)", "EPERM"),
    "clone into a new user namespace": ("call(56, 0x10000000 | 17, 0, 0, 0, 0)", "EPERM"),
    "clone3": ("call(435, 0, 0)", "ENOSYS"),
    "setns": ("call(308, 0, 0)", "EPERM"),
    "ptrace": ("call(101, 16, 1, 0, 0)", "EPERM"),
    "process_vm_readv": ("call(310, 1, 0, 0, 0, 0, 0)", "EPERM"),
    "pidfd_getfd": ("call(438, 0, 0, 0)", "EPERM"),
    "kcmp": ("call(312, 1, 1, 0, 0, 0)", "EPERM"),
    "bpf": ("call(321, 0, 0, 0)", "EPERM"),
    "perf_event_open": ("call(298, 0, 0, 0, 0, 0)", "EPERM"),
    "userfaultfd": ("call(323, 0)", "EPERM"),
    "io_uring_setup": ("call(425, 1, 0)", "EPERM"),
    "add_key": ("call(248, 0, 0, 0, 0, 0)", "EPERM"),
    "keyctl": ("call(250, 0, 0, 0, 0, 0)", "EPERM"),
    "init_module": ("call(175, 0, 0, 0)", "EPERM"),
    "kexec_load": ("call(246, 0, 0, 0, 0)", "EPERM"),
    "reboot": ("call(169, 0xfee1dead, 672274793, 0, 0)", "EPERM"),
    "settimeofday": ("call(164, 0, 0)", "EPERM"),
    "x32 calls": ("call(0x40000000 | 39)", "ENOSYS"),
    "calls of tomorrow": ("call(900)", "ENOSYS"),
    # Sockets and devices.
    "raw socket": ("error_of(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))", "EPERM"),
    "packet socket": ("error_of(lambda: socket.socket(17, socket.SOCK_RAW, 0))", "EPERM"),
    "vsock": ("error_of(lambda: socket.socket(40, socket.SOCK_STREAM, 0))", "EPERM"),
    "AF_ALG": ("error_of(lambda: socket.socket(38, socket.SOCK_SEQPACKET, 0))", "EPERM"),
    "netlink but for routes": ("error_of(lambda: socket.socket(16, socket.SOCK_RAW, 9))", "EPERM"),
    "interfaces can be listed": ("error_of(lambda: socket.socket(16, socket.SOCK_RAW, 0))", None),
    "devices": (
        "sorted(os.listdir('/dev'))",
        ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"],
    ),
    "mknod": ("error_of(lambda: os.mknod('/tmp/mem', 0o20600, os.makedev(1, 1)))", "EPERM"),
    # Neighbours and parents.
    "killing everybody": ("error_of(lambda: os.kill(-1, 0)) in ('ESRCH', None)", True),
    "killing init": ("error_of(os.kill, 1, 9) in ('EPERM', None) and os.path.exists('/proc/1')", True),
    "typing for the terminal": ("error_of(lambda: fcntl.ioctl(0, 0x5412, b'x')) in ('EPERM', 'ENOTTY')", True),
    # Other tenants', by every spelling.
    "the store of the node": ("[p for p in PATHS if os.path.exists(p)]", []),
    "the store by name": ("error_of(open, PATHS[0])", "ENOENT"),
    "out by /proc/self/root": ("sorted(os.listdir('/proc/self/root')) == sorted(os.listdir('/'))", True),
    "out by symlink": ("(os.symlink('../../../../etc/shadow', '/tmp/s'), error_of(open, '/tmp/s'))[1]", "ENOENT"),
    "out by /proc/self/fd": (
        "[os.readlink('/proc/self/fd/%d' % n) for n in range(3) if n != 0 and '/' in os.readlink('/proc/self/fd/%d' % n)]",
        [],
    ),
    "descriptors of process 1": ("error_of(os.listdir, '/proc/1/fd')", "EACCES"),
    "the tree of process 1": ("error_of(os.listdir, '/proc/1/root/')", "EACCES"),
    "the memory of process 1": ("error_of(open, '/proc/1/mem', 'rb')", "EACCES"),
    "mounts tell no folders of the machine": (
        "[w for w in ('prison', 'code', 'store') for l in open('/proc/self/mountinfo') if '/' + w in l.split()[4]]",
        [],
    ),
    "name of the machine": ("os.uname().nodename", "environment"),
    "kernel's symbols": ("open('/proc/kallsyms').read(1)", ""),
    "kernel's messages": ("(error_of(open, '/dev/kmsg'), call(103, 3, 0, 0))", ["ENOENT", "EPERM"]),
    "cgroups": ("(os.path.exists('/sys/fs/cgroup'), os.path.exists('/sys'))", [False, False]),
    "own cgroup is not told": (
        "[l for l in open('/proc/self/cgroup') if 'cumulet' in l and '/..' not in l and l.count('/') < 2]",
        [],
    ),
    # Privilege: nothing set-uid gives any, and no namespace brings any back.
    "set-uid programs": (
        "not os.path.exists('/usr/bin/passwd') or subprocess.run(['passwd', '-S', 'root'], capture_output=True).returncode != 0",
        True,
    ),
    "set-uid of one's own": ("(open('/tmp/x', 'w').close(), os.chmod('/tmp/x', 0o4755), os.statvfs('/tmp').f_flag & 2)[2]", 2),
    "capset": (
        "call(126, struct.pack('Ii', 0x20080522, 0), struct.pack('IIIIII', 0xffffffff, 0xffffffff, 0, 0xffffffff, 0xffffffff, 0))",
        "EPERM",
    ),
    "ambient capabilities": ("libc.prctl(47, 2, 21, 0, 0)", -1),
    "new mount API": ("[call(n, -1, 0, 0, 0, 0) for n in (428, 429, 431, 432, 433, 442)]", ["EPERM"] * 6),
    "keyrings": ("[call(n, 0, 0, 0, 0, 0) for n in (248, 249, 250)]", ["EPERM"] * 3),
    "io_uring": ("[call(n, 1, 0, 0, 0) for n in (425, 426, 427)]", ["EPERM"] * 3),
    "swap, ports and descriptor tables": ("[call(n, 0, 0, 0) for n in (167, 172, 173, 154)]", ["EPERM"] * 4),
    "what lists mounts": ("[call(n, 0, 0, 0, 0) for n in (457, 458)]", ["ENOSYS"] * 2),
    "memory policy": ("[call(n, 0, 0, 0, 0, 0, 0) for n in (237, 238, 256, 279)]", ["ENOSYS"] * 4),
    "every call that is not listed": (
        "[n for n in (*range(337, 424), *range(463, 1000)) if call(n, 0, 0, 0, 0, 0, 0) != 'ENOSYS']",
        [],
    ),
    "other architecture": ("in_child(lambda: run_code(bytes.fromhex('b814000000cd80c3'))) & 0x7f", 31),
    "a filter of one's own cannot open": ("libc.prctl(22, 1, 0, 0, 0)", -1),
    "abstract sockets of the machine": ("error_of(lambda: socket.socket(socket.AF_UNIX).connect(ABSTRACT))", "ECONNREFUSED"),
    "bluetooth, can, tipc, xdp": (
        "[error_of(socket.socket, family, socket.SOCK_RAW, 0) for family in (29, 30, 31, 44)]",
        ["EPERM"] * 4,
    ),
    "devices of the machine": (
        "[n for n in ('mem', 'kvm', 'kmsg', 'fuse', 'loop0', 'sda', 'vda', 'net', 'tty', 'ptmx') if os.path.exists('/dev/' + n)]",
        [],
    ),
    "stopping the group": ("error_of(os.kill, 1, 0) in (None, 'EPERM')", True),
    "signals to process 1 do nothing": (
        "([error_of(os.kill, 1, n) for n in (9, 19, 15)], time.sleep(0.05), os.path.exists('/proc/1'))[2]",
        True,
    ),
    "limits cannot be raised": (
        "resource.setrlimit(resource.RLIMIT_NPROC, (5000, 5000))",
        "ValueError: not allowed to raise maximum limit",
    ),
    # Native code of one's own is allowed, and is inside all the same.
    "memfd and exec": ("run_memfd()", 0),
}

CODE = """
import json

def run_memfd():
    fd = os.memfd_create("program")
    os.write(fd, open("/usr/bin/true", "rb").read())
    return in_child(lambda: os.execv("/proc/self/fd/%d" % fd, ["true"]))

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
    globals().update(event["names"])
    return {name: probe(text) for name, text in event["probes"].items()}
"""
TREE = (
    "('bin', 'sbin', 'dev', 'etc', 'lib', 'lib32', 'lib64', 'libx32', 'proc', 'root', 'home', 'opt', 'tmp', 'usr', 'var', 'work')"
)

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of system calls here are those of x86-64")


@pytest.fixture(scope="module")
def probed(prison):
    """All probes in one environment, each in its own process, so that none spoils the next."""
    texts = {name: text.replace("{TREE}", TREE) for name, (text, _) in PROBES.items()}
    paths = [str(prison.folder / "store" / "keys"), str(prison.folder / "run"), str(prison.folder / "code")]
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind("")  # the kernel chooses an abstract name that nobody has
        ear.listen()
        names = {"PATHS": paths, "ABSTRACT": ear.getsockname().decode()}
        outcome = prison.run(CODE, {"names": names, "probes": texts})
    assert outcome.error is None, outcome
    return outcome.answer


@pytest.mark.parametrize("name", PROBES)
def test_probe(probed, name):
    assert json.loads(json.dumps(probed[name])) == PROBES[name][1]
