"""System calls that Python's standard library does not wrap, with their errors as OSError."""

import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_libc.syscall.restype = ctypes.c_long

X86_64 = os.uname().machine == "x86_64"
_PIVOT_ROOT = 155 if X86_64 else 41
_CAPSET = 126 if X86_64 else 91
_PIDFD_OPEN = 434
_SCHED_SETATTR = 314 if X86_64 else 274


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare %#x" % flags)


def setns(fd: int, kind: int) -> None:
    _checked(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _checked(_libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode() or None), "mount " + target)


def umount(target: str, flags: int) -> None:
    _checked(_libc.umount2(target.encode(), flags), "umount " + target)


def pivot_root(new: str, old: str) -> None:
    _checked(_libc.syscall(_PIVOT_ROOT, new.encode(), old.encode()), "pivot_root")


def sethostname(name: str) -> None:
    _checked(_libc.sethostname(name.encode(), len(name.encode())), "sethostname")


def prctl(option: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
    return _checked(_libc.prctl(option, a, b, c, d), "prctl %d" % option)


def pidfd_open(pid: int) -> int:
    return _checked(_libc.syscall(_PIDFD_OPEN, pid, 0), "pidfd_open")


def set_priority(nice: int, slice_us: int) -> None:
    """How nice the calling thread is, and for how long it may run, 100 us to 100 ms, before it is another's turn: the shorter, the
    sooner who wakes meanwhile gets on. Linux before 6.12 chooses the latter itself. What is started from here has both too."""
    attributes = struct.pack("=IIQiIQQQ", 48, 0, 0, nice, 0, slice_us * 1000, 0, 0)
    if _libc.syscall(_SCHED_SETATTR, 0, attributes, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, nice)  # a sandbox that has no such call, or refuses it


def capset_none() -> None:
    """Give up every capability of this thread: effective, permitted and inheritable."""

    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    class Data(ctypes.Structure):
        _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]

    header, data = Header(0x20080522, 0), (Data * 2)()
    _checked(_libc.syscall(_CAPSET, ctypes.byref(header), ctypes.byref(data)), "capset")


def install_filter(program: bytes) -> None:
    """Load a BPF program of 8-byte instructions as this thread's seccomp filter, for good."""

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    handle = Program(len(program) // 8, program)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(handle))


PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2
