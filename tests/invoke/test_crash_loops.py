"""Claims about functions that crash at every call."""

import json

from cumulet.core.clock import ManualClock
from cumulet.invoke.crash_loops import CrashLoops

KEY, OTHER = ("f", "$LATEST", "1"), ("g", "$LATEST", "1")


def crash_often(loops, many, key=KEY):
    delays = []
    for _ in range(many):
        loops.crashed(key)
        delays.append(loops.delay_s(key))
    return delays


def test_the_first_crashes_cost_nothing_and_then_each_start_waits_twice_as_long_up_to_a_second():
    loops = CrashLoops(ManualClock())
    assert loops.delay_s(KEY) == 0
    assert crash_often(loops, 12) == [0, 0, 0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    assert crash_often(loops, 10_000)[-1] == 1.0


def test_a_good_call_ends_a_loop_and_nobody_else_is_in_it():
    loops = CrashLoops(ManualClock())
    crash_often(loops, 20)
    assert loops.delay_s(OTHER) == 0
    loops.succeeded(OTHER)
    assert loops.delay_s(KEY) == 1.0
    loops.succeeded(KEY)
    assert (loops.delay_s(KEY), len(loops)) == (0, 0)
    assert crash_often(loops, 3) == [0, 0, 0]


def test_after_a_minute_all_is_forgotten():
    clock = ManualClock()
    loops = CrashLoops(clock)
    crash_often(loops, 20)
    clock.advance(seconds=59)
    assert loops.delay_s(KEY) == 1.0
    clock.advance(seconds=1)
    assert loops.delay_s(KEY) == 0
    assert crash_often(loops, 4) == [0, 0, 0, 0.01]


def test_no_more_versions_are_remembered_than_a_node_can_hold():
    loops = CrashLoops(ManualClock())
    for number in range(12_000):
        loops.crashed((str(number), "$LATEST", "1"))
    assert len(loops) == 10_000


async def test_a_crash_loop_is_told_every_time_and_its_starts_wait(bench, crash, waits):
    def crashing(event, write):
        if event:
            raise crash

    spec = bench.define("f", crashing)
    for _ in range(5):
        assert json.loads((await bench.invoke(spec, True)).payload)["errorType"] == "Runtime.ExitError"
    assert waits == [0.01]
    await bench.invoke(spec, False)
    await bench.invoke(spec, True)
    await bench.invoke(spec, True)
    assert waits == [0.01, 0.02]


async def test_an_init_that_fails_again_and_again_waits_too(bench, init_error, waits):
    spec = bench.define("f", init_error())
    for _ in range(6):
        assert json.loads((await bench.invoke(spec)).payload)["errorType"] == "Runtime.ImportModuleError"
    assert waits == [0.01, 0.02]
    assert bench.invoker.pool.used_mb == 0
