"""Several calls at once in one environment: asynchronous Python handlers that ask for it."""

import asyncio
import json

import pytest

from cumulet.runtimes.contract import EnvironmentLost

MEETING = """
import asyncio, logging, os
log = logging.getLogger()
waiting, met = [], None
async def handler(event, context):
    global met
    met = met or asyncio.Event()
    waiting.append(context.aws_request_id)
    if len(waiting) == 3:
        met.set()
    await met.wait()  # nobody is answered before all three are here
    log.warning("met")
    if event == 1:
        raise KeyError("one")
    return [event, os.getpid(), context.aws_request_id]
"""
THREE = {"CUMULET_CONCURRENCY": "3"}


async def test_calls_meet_in_one_environment(bench):
    environment = await bench.start({"index.py": MEETING}, environment=THREE)
    assert environment.calls_at_once == 3
    answers = await asyncio.gather(*(bench.call(environment, str(number).encode()) for number in range(3)))
    (zero, pid, first), (two, same_pid, last) = (json.loads(answers[at].payload) for at in (0, 2))
    assert (zero, two) == (0, 2) and pid == same_pid and first != last
    assert answers[1].error_type == "KeyError"
    ids = {line.split("\t")[2] for line in bench.output.decode().splitlines() if line.endswith("\tmet")}
    assert len(ids) == 3 and {first, last} < ids
    assert json.loads((await bench.call(environment, b"5")).payload)[0] == 5


async def test_streams_go_side_by_side(bench):
    code = """
import asyncio
here = []
async def handler(event, context):
    here.append(event)
    while len(here) < 2:
        await asyncio.sleep(0)
    for number in range(3):
        yield f"{event}{number} "
        await asyncio.sleep(0)
"""
    environment = await bench.start({"index.py": code}, environment=THREE)
    answers = await asyncio.gather(bench.call(environment, b'"a"'), bench.call(environment, b'"b"'))
    assert [answer.payload for answer in answers] == [b"a0 a1 a2 ", b"b0 b1 b2 "]


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("def handler(e, c):\n    return e\n", "8"),
        ("async def handler(e, c):\n    return e\n", ""),
        ("async def handler(e, c): ...", "x"),
    ],
)
async def test_it_has_to_be_asked_for_and_asynchronous(bench, code, wanted):
    environment = await bench.start({"index.py": code}, environment={"CUMULET_CONCURRENCY": wanted})
    assert environment.calls_at_once == 1


async def test_the_oldest_call_runs_out_of_time_and_takes_the_others_along(bench):
    environment = await bench.start({"index.py": MEETING}, environment=THREE)
    first, second = (asyncio.ensure_future(bench.call(environment)) for _ in range(2))
    await asyncio.sleep(0.1)
    environment.expire()
    with pytest.raises(TimeoutError):
        await first
    environment.kill()
    with pytest.raises(EnvironmentLost):
        await second
