"""The system call filter: a BPF program that says which calls the kernel does not even begin.

What is not allowed does not exist (ENOSYS): programs then do without, as on an older kernel. Calls that programs know to be a
matter of privilege are refused as such (EPERM). A filter for one architecture kills whoever calls by another's numbers. The
kernel keeps for each call number whether it is always allowed, so most calls never run this program.
"""

import functools
import os
import struct
from typing import Dict, List, Optional, Sequence, Tuple

from cumulet.sandbox import syscalls

EPERM, ENOSYS = 1, 38

_X86_64 = os.uname().machine == "x86_64"
_AUDIT_ARCH = 0xC000003E if _X86_64 else 0xC00000B7

# name: (x86_64, aarch64); None where the architecture has no such call
_REFUSED: Dict[str, Tuple[Optional[int], Optional[int]]] = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "unshare": (272, 97),
    "setns": (308, 268),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sync": (162, 81),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "personality": (135, 92),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "lookup_dcookie": (212, 18),
    "fanotify_init": (300, 262),
    "memfd_secret": (447, 447),
    "process_madvise": (440, 440),
}
_CLONE = 56 if _X86_64 else 220
_CLONE3 = 435
_SOCKET = 41 if _X86_64 else 198
_IOCTL = 16 if _X86_64 else 29
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag that clone knows
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_RAW = 3
_NETLINK_ROUTE = 0
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_LOAD, _JEQ, _JGT, _JGE, _JSET, _AND, _RET = 0x20, 0x15, 0x25, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_NR, _ARCH, _ARG0, _ARG1, _ARG2 = 0, 4, 16, 24, 32  # offsets in struct seccomp_data; the low halves of the arguments


def _instruction(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, when_true, when_false, value)


def _errno(number: int) -> int:
    return 0x00050000 | number


def _refuse(number: int, errno: int) -> List[bytes]:
    """One call by its number, whatever its arguments."""
    return [_instruction(_JEQ, number, 0, 1), _instruction(_RET, _errno(errno))]


def _only_for(number: int, body: List[bytes]) -> List[bytes]:
    """`body`, which ends in a return on every way through it, for one call; others pass by."""
    return [_instruction(_JEQ, number, 0, len(body))] + body


@functools.lru_cache(maxsize=None)
def program(allowed: Tuple[str, ...] = ()) -> bytes:
    """The filter for this machine's architecture. `allowed` are calls that it lets pass although others refuse them: a whole filter
    that is installed later still can."""
    passing = [number for number in (_own(pair) for pair in syscalls.table().values()) if number is not None]
    passing += [number for number in (_own(_REFUSED[name]) for name in allowed) if number is not None]
    code = [
        _instruction(_LOAD, _ARCH),
        _instruction(_JEQ, _AUDIT_ARCH, 1, 0),
        _instruction(_RET, _KILL),
        _instruction(_LOAD, _NR),
    ]
    for name, numbers in _REFUSED.items():
        if name in allowed:
            continue
        number = _own(numbers)
        if number is not None:
            code += _refuse(number, EPERM)
    code += _refuse(_CLONE3, ENOSYS)  # its flags are behind a pointer; without it the C library uses clone
    code += _only_for(
        _CLONE,
        [
            _instruction(_LOAD, _ARG0),
            _instruction(_JSET, _NEW_NAMESPACES, 0, 1),
            _instruction(_RET, _errno(EPERM)),
            _instruction(_RET, _ALLOW),
        ],
    )
    code += _only_for(
        _IOCTL,
        [
            _instruction(_LOAD, _ARG1),
            _instruction(_JEQ, _TIOCSTI, 1, 0),
            _instruction(_JEQ, _TIOCLINUX, 0, 1),
            _instruction(_RET, _errno(EPERM)),
            _instruction(_RET, _ALLOW),
        ],
    )
    code += _only_for(_SOCKET, _socket_rules())
    for first, last in _ranges(passing):
        code += [
            _instruction(_JGT, last, 3, 0),  # ascending: what is beyond this range may be in a later one,
            _instruction(_JGE, first, 0, 1),  # what is before it is in none
            _instruction(_RET, _ALLOW),
            _instruction(_RET, _errno(ENOSYS)),
        ]
    code.append(_instruction(_RET, _errno(ENOSYS)))  # newer calls, and x32's, whose numbers have bit 30 set
    return b"".join(code)


def _own(numbers: Tuple[Optional[int], Optional[int]]) -> Optional[int]:
    return numbers[0] if _X86_64 else numbers[1]


def _ranges(numbers: Sequence[int]) -> List[Tuple[int, int]]:
    """First and last of each run of numbers, ascending."""
    found: List[Tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _socket_rules() -> List[bytes]:
    """UNIX sockets; INET ones but no raw packets; of netlink only the routing family, which lists interfaces."""
    return [
        _instruction(_LOAD, _ARG0),
        _instruction(_JEQ, _AF_UNIX, _to("allow", 1), 0),
        _instruction(_JEQ, _AF_NETLINK, _to("netlink", 2), 0),
        _instruction(_JEQ, _AF_INET, _to("inet", 3), 0),
        _instruction(_JEQ, _AF_INET6, _to("inet", 4), _to("refuse", 4)),
        _instruction(_LOAD, _ARG1),  # inet
        _instruction(_AND, 0xF),
        _instruction(_JEQ, _SOCK_RAW, _to("refuse", 7), _to("allow", 7)),
        _instruction(_LOAD, _ARG2),  # netlink
        _instruction(_JEQ, _NETLINK_ROUTE, _to("allow", 9), _to("refuse", 9)),
        _instruction(_RET, _errno(EPERM)),  # refuse
        _instruction(_RET, _ALLOW),  # allow
    ]


_SOCKET_LABELS = {"inet": 5, "netlink": 8, "refuse": 10, "allow": 11}


def _to(label: str, at: int) -> int:
    """The jump from instruction `at` of the socket rules to a label."""
    return _SOCKET_LABELS[label] - at - 1
