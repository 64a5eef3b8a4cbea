"""What all environments of one account may take together, by a control group between the node's and theirs."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from cumulet.runtimes.account_groups import AccountGroups
from cumulet.runtimes.contract import ProcessesUsedUp
from cumulet.runtimes.node_runtimes import NodeRuntimes
from cumulet.runtimes.packages import PackageCache
from cumulet.sandbox import cgroup
from cumulet.store.memory import MemoryBlobs
from cumulet.tenancy.quotas import Quota, Quotas

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="making control groups wants root")
SMALL, OTHER = "111111111111", "222222222222"
MOST = 60

BOMB = {
    "index.py": """
import os, time

def handler(event, context):
    \"\"\"Forks until it is told not to, and leaves them all where they are.\"\"\"
    made = 0
    while made < 200:
        try:
            if os.fork() == 0:
                while True:
                    time.sleep(1000)
        except OSError:
            break
        made += 1
    return made
"""
}


@pytest.fixture
async def limited(bench, tmp_path):
    """Environments of a node on which one account may have few processes."""
    quotas = Quotas(Quota(), {SMALL: Quota(processes=MOST, weight=4.0, memory_mb=160)})
    blobs = MemoryBlobs()
    runtimes = NodeRuntimes(tmp_path / "limited", PackageCache(tmp_path / "limited-code", blobs), quotas=quotas)
    await runtimes.open()
    yield type(bench)(runtimes, blobs)
    await runtimes.close()


def setting(group, controllers, name):
    return next((int((Path(folder) / name).read_text()) for controller, folder in group if controller in controllers), None)


async def test_fork_bombs_of_one_account_share_its_processes_and_leave_others_theirs(limited):
    bombs = [await limited.start(BOMB, account=SMALL) for _ in range(3)]
    made = [json.loads((await limited.call(bomb)).payload) for bomb in bombs]
    assert 0 < sum(made) < MOST
    other = await limited.start(BOMB, account=OTHER)
    assert json.loads((await limited.call(other)).payload) == 200


async def test_an_account_whose_processes_are_used_up_is_told_so_and_starts_again_when_they_are_gone(limited):
    bombs = []
    with pytest.raises(ProcessesUsedUp):
        for _ in range(MOST):  # the first few may find shells that stood ready before
            bombs.append(await limited.start(BOMB, account=SMALL))
            await limited.call(bombs[-1])
    for bomb in bombs:
        bomb.kill()
        await bomb.exited
    again = await limited.start(BOMB, account=SMALL)
    assert json.loads((await limited.call(again)).payload) > 0


async def test_an_accounts_group_weighs_what_the_account_does_and_goes_with_the_node(limited):
    await limited.start(BOMB, account=SMALL)
    await limited.start(BOMB, account=OTHER)
    small, other = [await limited.runtimes._account_groups.below(account, "") for account in (SMALL, OTHER)]
    assert setting(small, ("pids", "unified"), "pids.max") == MOST
    for name in ("cpu.shares", "cpu.weight"):
        if (weight := setting(small, ("cpu", "unified"), name)) is not None:
            assert weight == 4 * setting(other, ("cpu", "unified"), name)
            break
    else:
        pytest.fail("no weight")
    await limited.runtimes.close()
    assert not any(Path(folder).exists() for group in (small, other) for _, folder in group)


BUSY = {
    "index.py": """
import os, time

def handler(event, context):
    \"\"\"How long it had the one processor that all of them want.\"\"\"
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    until, used_s = time.monotonic() + 2, time.process_time()
    while time.monotonic() < until:
        pass
    return time.process_time() - used_s
"""
}


async def test_many_environments_of_one_account_get_no_more_of_a_processor_than_one_of_another(limited):
    accounts = [OTHER, *["333333333333"] * 6]
    environments = [await limited.start(BUSY, account=account, memory_mb=512) for account in accounts]
    one, *many = [json.loads(each.payload) for each in await asyncio.gather(*map(limited.call, environments))]
    assert one > 0.3 * (one + sum(many))


EATER = {
    "index.py": """
kept = []

def handler(event, context):
    kept.append(b"." * (100 << 20))
    return len(kept[0])
"""
}


async def test_environments_of_one_account_share_its_memory(limited):
    first, second = [await limited.start(EATER, account=SMALL, memory_mb=512) for _ in range(2)]
    await asyncio.gather(limited.call(first), limited.call(second), return_exceptions=True)
    done, left = await asyncio.wait([first.exited, second.exited], return_when=asyncio.FIRST_COMPLETED, timeout=30)
    assert [each.result().is_out_of_memory for each in done] == [True] and len(left) == 1
    other = await limited.start(EATER, account=OTHER, memory_mb=512)
    assert json.loads((await limited.call(other)).payload) == 100 << 20


SLICE = {
    "index.py": """
import ctypes, os

def handler(event, context):
    told, number = (ctypes.c_ulong * 6)(), 315 if os.uname().machine == "x86_64" else 275
    assert ctypes.CDLL(None).syscall(number, 0, told, 48, 0) == 0
    return [os.getpriority(os.PRIO_PROCESS, 0), told[3]]
"""
}


async def test_environments_compute_in_short_turns(limited):
    nice, slice_ns = json.loads((await limited.call(await limited.start(SLICE))).payload)
    assert nice == max(0, os.getpriority(os.PRIO_PROCESS, 0)) and slice_ns in (200_000, 0)  # 0: a kernel that does not tell


async def test_groups_of_accounts_that_are_gone_go_when_there_are_many(monkeypatch):
    monkeypatch.setattr("cumulet.runtimes.account_groups._MOST_KEPT", 3)
    monkeypatch.setattr("cumulet.runtimes.account_groups._FRESH_S", 0.0)
    node = cgroup.below(cgroup.open_node_group(), "")
    groups = AccountGroups(Quotas())
    groups.open(node)
    try:
        kept = await groups.below("100000000000", "busy")
        for _, folder in kept:
            Path(folder).mkdir()
        for number in range(6):
            await groups.below(f"20000000000{number}", "idle")
        names = {made.name for _, folder in node for made in Path(folder).glob("account-*")}
        assert "account-100000000000" in names and "account-200000000005" in names and len(names) <= 4
        together = await asyncio.gather(*[groups.below("300000000000", "same") for _ in range(3)])
        assert together[0] == together[1] == together[2]
    finally:
        cgroup.remove_whole(node)
