"""Telling the kernel that control groups change all the time."""

import os
from pathlib import Path

import pytest

from cumulet.sandbox import cgroup, dynmods

MOUNTINFO = """\
22 28 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw
30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
"""


def test_a_remount_says_again_all_that_was_set():
    assert dynmods.mounted(MOUNTINFO) == [("/sys/fs/cgroup", 2 | 4 | 8 | 1 << 21, ["nsdelegate", "memory_recursiveprot"])]


@pytest.mark.skipif(os.getuid() != 0 or not cgroup._v2_folders(), reason="wants root and cgroup v2")
def test_what_else_is_set_stays_so():
    def others():
        lines = Path("/proc/self/mountinfo").read_text().replace(",favordynmods", "")
        return sorted(line for line in lines.splitlines() if " cgroup2 " in line)

    before = others()
    dynmods.favor()
    assert others() == before
    major, minor = (int(part) for part in os.uname().release.split(".")[:2])
    assert dynmods.is_favored() == ((major, minor) >= (6, 0))
