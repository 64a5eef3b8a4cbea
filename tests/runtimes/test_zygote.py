"""A zygote as a process of its own, at the end of its socket."""

import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import cumulet

SCRIPT = Path(cumulet.__file__).parent / "guest" / "zygote.py"


def test_a_zygote_ends_without_a_word_when_its_node_left_something_unread():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-I", "-S", "-B", str(SCRIPT)]
    process = subprocess.Popen(
        command, pass_fds=(3, theirs.fileno()), preexec_fn=lambda: os.dup2(theirs.fileno(), 3), stderr=subprocess.PIPE
    )
    theirs.close()
    assert select.select([ours], [], [], 30)[0]  # it is ready, and nobody reads that
    ours.close()
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (0, b"")
