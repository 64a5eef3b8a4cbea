"""Between two calls an environment is frozen: what a handler left running gets no CPU, and loses nothing by it."""

import asyncio
import json
import time

import pytest

from cumulet.runtimes.resting import Resting

BUSY = """
import os, subprocess, threading, time

def spin():
    while True:
        pass

def cpu():
    return time.process_time()

def handler(event, context):
    found = cpu()
    if event.get("begin"):
        threading.Thread(target=spin, daemon=True).start()
    return {"cpu_s": cpu() if event.get("begin") else found}
"""
PAUSE_S = 0.6


async def cpu_between_calls(bench, environment):
    """CPU seconds that the runtime's process got while the environment rested."""
    before = json.loads((await bench.call(environment, b'{"begin": true}')).payload)["cpu_s"]
    environment.rest()
    await asyncio.sleep(PAUSE_S)
    environment.wake()
    return json.loads((await bench.call(environment)).payload)["cpu_s"] - before


async def test_a_busy_thread_gets_no_cpu_between_calls(bench):
    environment = await bench.start({"index.py": BUSY})
    assert await cpu_between_calls(bench, environment) < PAUSE_S / 2


async def test_it_gets_cpu_while_a_call_is_under_way(bench):
    environment = await bench.start({"index.py": BUSY + "\ndef slow(event, context):\n    spin_s = cpu()\n    time.sleep(0.3)\n"})
    before = json.loads((await bench.call(environment, b'{"begin": true}')).payload)["cpu_s"]
    await asyncio.sleep(PAUSE_S)  # nobody said that it rests
    assert json.loads((await bench.call(environment)).payload)["cpu_s"] - before > PAUSE_S / 10


async def test_a_child_process_gets_none_either(bench):
    code = """
import os, subprocess, time
def handler(event, context):
    if event.get("begin"):
        pid = os.fork()
        if pid == 0:
            while True:
                pass
        handler.pid = pid
    fields = open("/proc/%d/stat" % handler.pid).read().rsplit(")", 1)[1].split()
    return {"cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")}
"""
    environment = await bench.start({"index.py": code})
    assert await cpu_between_calls(bench, environment) < PAUSE_S / 2


async def test_calls_that_follow_at_once_are_answered(bench):
    environment = await bench.start({"index.py": "def handler(event, context):\n    return event\n"})
    for number in range(200):
        assert (await bench.call(environment, b"%d" % number)).payload == b"%d" % number
        environment.rest()
        if number % 20 == 0:
            await asyncio.sleep(0.008)
        environment.wake()


async def test_an_environment_that_rests_is_killed_like_any_other(bench):
    environment = await bench.start({"index.py": BUSY})
    await bench.call(environment, b'{"begin": true}')
    environment.rest()
    await asyncio.sleep(0.05)
    environment.kill()
    assert (await asyncio.wait_for(environment.exited, 10)).signal == 9


async def test_a_program_that_waits_in_many_ways_goes_on_after_a_rest(bench):
    """Being frozen must not break what it waits in."""
    code = """
import asyncio, queue, selectors, socket, threading, time
log = []
def waits(name, wait):
    def run():
        try:
            log.append((name, wait()))
        except BaseException as error:
            log.append((name, repr(error)))
    threading.Thread(target=run, daemon=True).start()

a, b = socket.socketpair()
inbox, event = queue.Queue(), threading.Event()
def handler(told, context):
    if told.get("begin"):
        waits("queue", inbox.get)
        waits("event", event.wait)
        waits("recv", lambda: a.recv(1).decode())
        waits("sleep", lambda: time.sleep(0.05))
        waits("loop", lambda: asyncio.run(asyncio.sleep(0.05, "slept")))
        return {"cpu_s": 0}
    inbox.put("put"); event.set(); b.send(b"!")
    deadline = time.monotonic() + 5
    while len(log) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    return sorted(log, key=str)
"""
    environment = await bench.start({"index.py": code})
    await bench.call(environment, b'{"begin": true}')
    environment.rest()
    await asyncio.sleep(0.1)
    environment.wake()
    answered = json.loads((await bench.call(environment)).payload)
    assert answered == [["event", True], ["loop", "slept"], ["queue", "put"], ["recv", "!"], ["sleep", None]]


async def test_a_node_program_rests_too(bench):
    code = """
let left = 0;
exports.handler = async (event) => {
  if (event.begin) setInterval(() => { const end = Date.now() + 50; while (Date.now() < end) left++; }, 1);
  const used = process.cpuUsage();
  return { cpu_s: (used.user + used.system) / 1e6 };
};
"""
    environment = await bench.start({"index.js": code}, runtime="nodejs20.x")
    assert await cpu_between_calls(bench, environment) < PAUSE_S / 2


async def test_what_a_snapshot_left_running_rests(bench):
    code = "import threading\n" + BUSY.replace("def cpu", "threading.Thread(target=spin, daemon=True).start()\n\ndef cpu")
    environment = await bench.start({"index.py": code}, version="1", is_snap_started=True)
    await bench.call(environment)
    environment.rest()
    (template,) = [task.result() for task in bench.runtimes._snapshots._templates.values()]
    group = dict(template.shell.tree._group)
    await asyncio.sleep(0.5)
    before = cpu_of_group(group)
    await asyncio.sleep(PAUSE_S)
    assert cpu_of_group(group) - before < PAUSE_S / 2
    environment.wake()
    await bench.call(environment)
    other = await bench.start_blobs(
        environment.spec.code, (), version="1", is_snap_started=True, config_id=environment.spec.config_id
    )
    assert json.loads((await bench.call(other)).payload)


def cpu_of_group(group):
    folder = next(iter(group.values()))
    seconds = 0.0
    with open(f"{folder}/cgroup.procs") as file:
        for pid in file.read().split():
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            seconds += (int(fields[11]) + int(fields[12])) / 100
    return seconds


class Sleepy:
    def __init__(self, settles_after_s=0.0):
        self.settles_after_s = settles_after_s
        self.frozen = asyncio.Event()

    def settle(self, rested_s):
        return rested_s >= self.settles_after_s

    def freeze(self):
        self.frozen.set()


async def test_who_is_called_again_at_once_is_never_frozen():
    resting, sleeper = Resting(delay_s=0.02), Sleepy()
    for _ in range(100):
        resting.add(sleeper)
        await asyncio.sleep(0)
        resting.remove(sleeper)
    other = Sleepy()
    resting.add(other)
    await asyncio.wait_for(other.frozen.wait(), 5)
    assert not sleeper.frozen.is_set()


async def test_many_are_frozen_in_turns():
    resting, sleepers = Resting(), [Sleepy() for _ in range(300)]
    for sleeper in sleepers:
        resting.add(sleeper)
    await asyncio.wait_for(asyncio.gather(*(sleeper.frozen.wait() for sleeper in sleepers)), 5)


async def test_who_has_something_to_settle_is_frozen_later():
    resting, sleeper, started = Resting(), Sleepy(settles_after_s=0.1), time.monotonic()
    resting.add(sleeper)
    await asyncio.wait_for(sleeper.frozen.wait(), 5)
    assert time.monotonic() - started >= 0.1


@pytest.mark.parametrize("extension_waits", [True, False])
async def test_an_environment_with_extensions_rests_when_they_are_done(bench, extension_waits):
    from tests.runtimes.test_extensions import LOYAL, start

    text = LOYAL if extension_waits else LOYAL.replace('say("told", json.dumps(event))', "import time; time.sleep(0.2)")
    environment = await start(bench, {"loyal": text}, {"index.py": BUSY})
    assert await cpu_between_calls(bench, environment) < PAUSE_S * (0.5 if extension_waits else 0.8)
    environment.rest()
    await asyncio.sleep(0.05)
    environment.kill()  # with a shutdown phase
    exit = await asyncio.wait_for(environment.exited, 10)
    assert exit is not None
    if extension_waits:
        assert b'"SHUTDOWN"' in bytes(bench.output)


async def test_where_no_group_can_be_had_the_first_process_stops_the_others(bench):
    bench.runtimes._group = ()
    environment = await bench.start({"index.py": BUSY})
    assert await cpu_between_calls(bench, environment) < PAUSE_S / 2
    environment.rest()
    await asyncio.sleep(0.05)
    environment.kill()
    await asyncio.wait_for(environment.exited, 10)
