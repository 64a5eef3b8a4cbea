"""What hostile code has at hand; it stands before every probe's own."""
# ruff: noqa: F401

import ctypes
import errno
import fcntl
import mmap
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def error_of(attempt, *arguments):
    """The name of the error with which something fails, None when it does not."""
    try:
        attempt(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def call(number, *arguments):
    """A system call by its number."""
    if libc.syscall(number, *arguments) < 0:
        return errno.errorcode[ctypes.get_errno()]
    return "went through"


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def in_child(attempt):
    """The wait status of a child that does something."""
    pid = os.fork()
    if pid == 0:
        try:
            attempt()
        finally:
            os._exit(99)
    return os.waitpid(pid, 0)[1]


def run_code(machine_code):
    """Native code in a page that was written first."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(machine_code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_long)(address)()


def until_error(attempt, most=100_000):
    """How often something can be done, and the error that ends it."""
    kept = []
    for count in range(most):
        try:
            kept.append(attempt())
        except OSError as error:
            name = errno.errorcode[error.errno]
            del kept
            return count, name
    return most, None
