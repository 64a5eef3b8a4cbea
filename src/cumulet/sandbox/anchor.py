"""The first process of a pid namespace where nobody has to be told how the others end: a program of some 300 bytes that waits.

The kernel ends a namespace with its first process, and gives it the orphans. To be that a copy of an interpreter would do as well,
but costs a fork and a megabyte. This one has an id of its own, which nothing else on the machine uses, no capability, no memory
that others may see, ignores the end of its children so that the kernel reaps them, and dies with the zygote. It opens nothing.
"""

import os
import signal
import struct
from typing import List, Optional

from cumulet.sandbox import kernel

ID = 199_999
"""Of user and group: below those of environments."""

_AT = 0x400000
_HEAD_BYTES, _SEGMENT_BYTES, _ACTION_BYTES = 64, 56, 32
_LOAD, _STACK = 1, 0x6474E551
_READ_EXECUTE, _READ_WRITE = 5, 6
_EXECUTABLE, _X86_64, _VERSION = 2, 62, 1

_RT_SIGACTION, _PAUSE, _SETGROUPS, _SETRESUID, _SETRESGID, _PRCTL = 13, 34, 116, 117, 119, 157
_SIGKILL, _SIGCHLD, _IGNORE = 9, 17, 1
_SYSCALL = b"\x0f\x05"
_LOAD_NUMBER = b"\xb8"
_LOAD_ARGUMENT = (b"\xbf", b"\xbe", b"\xba", b"\x41\xba", b"\x41\xb8")
"""mov edi, esi, edx, r10d, r8d."""


def open_program() -> Optional[int]:
    """The program as a descriptor, None where it cannot be had: on other machines than x86_64, and where memory is not run."""
    if not kernel.X86_64:
        return None
    try:
        fd = os.memfd_create("anchor")
    except OSError:
        return None
    os.write(fd, _program())
    try:
        pid = start(fd)
    except OSError:
        os.close(fd)
        return None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return fd


def start(program: int) -> int:
    """Start it in the pid namespace in which the caller's children are born. Raises OSError."""
    closed = [(os.POSIX_SPAWN_CLOSE, number) for number in (0, 1, 2)]
    return os.posix_spawn("/proc/self/fd/%d" % program, ["environment"], {}, file_actions=closed, setsigmask=[])


def _program() -> bytes:
    segments_at = _HEAD_BYTES
    action_at = segments_at + 2 * _SEGMENT_BYTES
    code_at = action_at + _ACTION_BYTES
    code = _code(_AT + action_at)
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "=HHIQQQIHHHHHH", _EXECUTABLE, _X86_64, _VERSION, _AT + code_at, segments_at, 0, 0, _HEAD_BYTES, _SEGMENT_BYTES, 2, 0, 0, 0
    )
    whole = code_at + len(code)
    loaded = struct.pack("=IIQQQQQQ", _LOAD, _READ_EXECUTE, 0, _AT, _AT, whole, whole, 0x1000)
    stack = struct.pack("=IIQQQQQQ", _STACK, _READ_WRITE, 0, 0, 0, 0, 0, 16)
    action = struct.pack("=QQQQ", _IGNORE, 0, 0, 0)
    return head + loaded + stack + action + code


def _code(action: int) -> bytes:
    steps: List[bytes] = [
        _call(_SETGROUPS, 0, 0),
        _call(_SETRESGID, ID, ID, ID),
        _call(_SETRESUID, ID, ID, ID),  # a zygote that is not root cannot, and need not
        _call(_PRCTL, kernel.PR_SET_PDEATHSIG, _SIGKILL),  # after the ids: who changes them loses that wish
        _call(_PRCTL, kernel.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        _call(_PRCTL, kernel.PR_SET_DUMPABLE, 0),
        _call(_RT_SIGACTION, _SIGCHLD, action, 0, 8),
    ]
    wait = _call(_PAUSE)
    back = b"\xeb" + struct.pack("=b", -len(wait) - 2)
    return b"".join(steps) + wait + back


def _call(number: int, *arguments: int) -> bytes:
    loads = [code + struct.pack("=I", value) for code, value in zip(_LOAD_ARGUMENT, arguments)]  # noqa: B905 (Python 3.8)
    return b"".join(loads) + _LOAD_NUMBER + struct.pack("=I", number) + _SYSCALL
