"""System calls that Python's standard library does not wrap, with their errors as OSError."""

import ctypes
import errno
import os
import struct
import sys
from typing import Optional, Tuple

_libc = ctypes.CDLL(None, use_errno=True)
_libc_holding_gil = ctypes.PyDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_libc.syscall.restype = ctypes.c_long

X86_64 = os.uname().machine == "x86_64"
_PIVOT_ROOT = 155 if X86_64 else 41
_CAPSET = 126 if X86_64 else 91
_PIDFD_OPEN = 434
_SCHED_SETATTR = 314 if X86_64 else 274


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


_NO_CAPABILITIES = (_CapData * 2)()


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def fork() -> int:
    """os.fork for a process of one thread, without what Python does around it.

    Its hooks make locks and randomness anew, and touch so many pages of the child and its parent that these cost more to copy than
    all else. Who runs anybody's code afterwards calls `snapshot.freshen` instead.
    """
    return _checked(_libc_holding_gil.fork(), "fork")


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare %#x" % flags)


def setns(fd: int, kind: int) -> None:
    _checked(_libc.setns(fd, kind), "setns")


MountCall = Tuple[bytes, bytes, bytes, int, Optional[bytes]]


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    mount_as(mount_call(source, target, kind, flags, options))


def mount_call(source: str, target: str, kind: str, flags: int, options: str = "") -> MountCall:
    """The arguments of the system call."""
    return source.encode(), target.encode(), kind.encode(), flags, options.encode() or None


def mount_as(call: MountCall) -> None:
    if _libc.mount(*call) < 0:
        _checked(-1, "mount " + call[1].decode())


def umount(target: str, flags: int) -> None:
    _checked(_libc.umount2(target.encode(), flags), "umount " + target)


def pivot_root(new: str, old: str) -> None:
    _checked(_libc.syscall(_PIVOT_ROOT, new.encode(), old.encode()), "pivot_root")


def sethostname(name: str) -> None:
    _checked(_libc.sethostname(name.encode(), len(name.encode())), "sethostname")


def prctl(option: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
    return _checked(_libc.prctl(option, a, b, c, d), "prctl %d" % option)


def open_signals(number: int) -> int:
    """From now on that signal is not delivered to this process: it makes this descriptor readable."""
    signals = _signal_set(number)
    _checked(_libc.sigprocmask(_SIG_SETMASK, signals, None), "sigprocmask")
    return _checked(_libc.signalfd(-1, signals, os.O_CLOEXEC | os.O_NONBLOCK), "signalfd")


def unblock_signals() -> None:
    """The end of `open_signals`, in a fork."""
    _checked(_libc.sigprocmask(_SIG_SETMASK, _NO_SIGNALS, None), "sigprocmask")


def _signal_set(*numbers: int) -> bytes:
    return sum(1 << (number - 1) for number in numbers).to_bytes(128, sys.byteorder)


_SIG_SETMASK = 2
_NO_SIGNALS = _signal_set()


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
    header = _CapHeader(0x20080522, 0)
    _checked(_libc.syscall(_CAPSET, ctypes.byref(header), ctypes.byref(_NO_CAPABILITIES)), "capset")


def drop_bounding_set() -> None:
    """No capability can ever be gained again by running a program."""
    drop = _libc.prctl
    for capability in range(64):
        if drop(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            if ctypes.get_errno() != errno.EINVAL:
                _checked(-1, "prctl %d" % PR_CAPBSET_DROP)
            return  # beyond the last that this kernel knows


def install_filter(program: bytes) -> None:
    """Load a BPF program of 8-byte instructions as this thread's seccomp filter, for good."""
    handle = _Filter(len(program) // 8, program)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(handle))


PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2
