"""From an invocation to its result, its log and its environment's fate."""

import asyncio
import json

import pytest

from cumulet.invoke.faults import TooManyRequests
from cumulet.invoke.keep_alive import Fixed
from cumulet.runtimes.contract import Exit, InitError
from cumulet.tenancy.quotas import Quota, Quotas


async def test_a_warm_environment_is_used_again(bench):
    spec = bench.define("f", lambda event, write: event)
    first, second = await bench.invoke(spec, {"n": 1}), await bench.invoke(spec, {"n": 2})
    assert (json.loads(first.payload), first.is_cold_start) == ({"n": 1}, True)
    assert (json.loads(second.payload), second.is_cold_start) == ({"n": 2}, False)
    assert list(first.phases) == ["queue", "fork", "jail", "init", "invoke"] and list(second.phases) == ["queue", "invoke"]
    assert len(bench.runtimes.environments) == 1


async def test_calls_at_once_have_an_environment_each(bench):
    async def slow(event, write):
        await asyncio.sleep(0.05)

    spec = bench.define("slow", slow)
    await asyncio.gather(*(bench.invoke(spec) for _ in range(5)))
    assert len(bench.runtimes.live) == 5
    await asyncio.gather(*(bench.invoke(spec) for _ in range(5)))
    assert len(bench.runtimes.live) == 5


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def held_start(bench):
    """A call at work, and another whose environment has to wait for its turn to start: both, and what ends the first."""
    finish, bench.runtimes.turn = asyncio.Event(), asyncio.Semaphore(1)
    spec = bench.define("f", lambda event, write: finish.wait())
    first = asyncio.create_task(bench.invoke(spec))
    await settle()
    await bench.runtimes.turn.acquire()
    second = asyncio.create_task(bench.invoke(spec))
    await settle()
    assert not second.done() and len(bench.runtimes.live) == 1
    return first, second, finish


async def test_who_waits_for_a_start_gets_what_falls_free_sooner_and_the_start_is_dropped(bench, held_start):
    first, second, finish = held_start
    finish.set()
    assert [each.is_cold_start for each in await asyncio.gather(first, second)] == [True, False]
    assert list((await second).phases) == ["queue", "invoke"]
    bench.runtimes.turn.release()
    await settle()
    assert (len(bench.runtimes.environments), bench.invoker.pool.idle) == (1, 1)
    assert bench.invoker.pool.used_mb == bench.invoker.pool.room.size_mb(bench.spec("f"))


async def test_one_that_was_given_an_environment_and_is_cancelled_gives_it_back(bench, held_start):
    first, second, finish = held_start
    finish.set()
    await first
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    bench.runtimes.turn.release()
    await settle()
    assert len(bench.runtimes.live) == bench.invoker.pool.idle <= 1
    assert (await bench.invoke(bench.spec("f"))).function_error is None


async def test_a_start_that_had_begun_is_there_for_the_next_call(bench, held_start):
    first, second, finish = held_start
    bench.runtimes.turn.release()
    finish.set()
    await asyncio.gather(first, second)
    await settle()
    assert len(bench.runtimes.live) == bench.invoker.pool.idle


async def test_the_log_has_start_output_end_and_report(bench):
    spec = bench.define("f", lambda event, write: write("one\ntwo"))
    result = await bench.invoke(spec, is_log_tail_wanted=True)
    start, one, two, end, report = bench.logged
    assert start.startswith("START RequestId: ") and start.endswith(" Version: $LATEST\n")
    assert (one, two) == ("one\n", "two\n") and end.startswith("END RequestId: ")
    for part in (
        "Duration: ",
        "Billed Duration: ",
        "Memory Size: 128 MB",
        "Max Memory Used: 10 MB",
        "Init Duration: 1.00 ms",
        "Phases: queue ",
    ):
        assert part in report
    assert result.log_tail.decode() == "".join(bench.logged)


async def test_a_record_of_several_lines_is_one_event(bench):
    def talk(event, write):
        for part in ("on\0", "\nand on\0\n", "\0\n", "end\nnext\0\n"):
            write(part)

    await bench.invoke(bench.define("f", talk))
    assert bench.logged[1:-2] == ["on\nand on\n\nend\n", "next\n\n"]


async def test_json_logs_are_documents_at_their_level(bench):
    spec = bench.define("f", lambda event, write: None, log_format="JSON")
    await bench.invoke(spec)
    assert [json.loads(line)["type"] for line in bench.logged] == ["platform.start", "platform.report"]
    bench.logged.clear()
    await bench.invoke(bench.spec("f", log_format="JSON", system_log_level="WARN", config_id="2"))
    assert bench.logged == []


async def test_a_raising_handler_is_a_result(bench):
    def broken(event, write):
        raise ValueError("no")

    result = await bench.invoke(bench.define("f", broken))
    assert (result.function_error, json.loads(result.payload)["errorMessage"]) == ("Unhandled", "no")
    assert len(bench.runtimes.live) == 1


async def test_a_timeout_ends_the_environment_and_the_next_call_works(bench):
    async def once_slow(event, write):
        if event:
            await asyncio.sleep(30)

    spec = bench.define("f", once_slow, timeout_s=1)
    result = await bench.invoke(spec, True)
    document = json.loads(result.payload)
    assert document["errorType"] == "Sandbox.Timedout" and document["errorMessage"].endswith(
        "Error: Task timed out after 1.00 seconds"
    )
    assert any("Task timed out after 1.00 seconds" in line for line in bench.logged)
    assert bench.runtimes.live == []
    assert (await bench.invoke(spec, False)).function_error is None


async def test_a_crash_is_told_and_the_next_call_has_a_new_environment(bench, crash):
    def crashing(event, write):
        if event:
            raise crash

    spec = bench.define("f", crashing)
    document = json.loads((await bench.invoke(spec, True)).payload)
    assert document["errorType"] == "Runtime.ExitError" and document["errorMessage"].endswith(
        "Runtime exited with error: exit status 1"
    )
    assert (await bench.invoke(spec, False)).is_cold_start


async def test_a_failing_init_is_the_first_answer(bench, init_error):
    result = await bench.invoke(bench.define("f", init_error()))
    assert result.function_error == "Unhandled" and json.loads(result.payload)["errorType"] == "Runtime.ImportModuleError"
    assert bench.invoker.pool.used_mb == 0


async def test_what_a_failing_init_printed_is_in_the_log_and_its_tail(bench, init_error):
    def failing(write):
        write("[ERROR] no\0\nTraceback\nlast")
        raise init_error()

    spec = bench.define("f", None, timeout_s=3)
    bench.runtimes.initialise["f"] = failing
    result = await bench.invoke(spec, is_log_tail_wanted=True)
    error, last, start, end, report = bench.logged
    assert (error, last) == ("[ERROR] no\nTraceback\n", "last\n") and start.startswith("START ") and end.startswith("END ")
    assert "Status: error\tError Type: Runtime.ImportModuleError" in report
    assert result.log_tail.decode() == "".join(bench.logged)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InitError("Runtime.ExitError", b"", 5.0, Exit(code=1)), "Runtime exited with error: exit status 1\nRuntime.ExitError\n"),
        (InitError("Sandbox.Timedout", b"", 10_000.0, Exit(signal=9)), "Task timed out after 10.00 seconds"),
    ],
)
async def test_the_log_says_how_an_init_ended(bench, error, told):
    await bench.invoke(bench.define("f", error))
    assert any(told in line for line in bench.logged)


async def test_cancelling_ends_the_invocation_and_its_environment(bench):
    begun = asyncio.Event()

    async def endless(event, write):
        begun.set()
        await asyncio.Event().wait()

    caller = asyncio.create_task(bench.invoke(bench.define("f", endless)))
    await asyncio.wait_for(begun.wait(), 2)
    caller.cancel()
    await asyncio.wait((caller,))
    await asyncio.sleep(0)
    assert bench.invoker.pool.live == 0 and bench.invoker.concurrency.running("000000000000") == 0


async def test_cancelling_during_a_start_leaves_an_environment_for_the_next_call(bench):
    spec = bench.define("f", lambda event, write: "hello")
    caller = asyncio.create_task(bench.invoke(spec))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait((caller,))
    result = await bench.invoke(spec)
    assert result.payload == b'"hello"' and not result.is_cold_start


async def test_the_accounts_limit_is_said_in_the_reason(make_bench):
    bench = make_bench(quotas=Quotas(Quota(concurrency=2)))

    async def slow(event, write):
        await asyncio.sleep(0.05)

    spec = bench.define("f", slow)
    results = await asyncio.gather(*(bench.invoke(spec) for _ in range(3)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, TooManyRequests)]
    assert [fault.fields["Reason"] for fault in refused] == ["ConcurrentInvocationLimitExceeded"]
    assert (await bench.invoke(spec)).function_error is None


async def test_what_is_reserved_is_the_functions_own(make_bench):
    bench = make_bench(quotas=Quotas(Quota(concurrency=2)))

    async def slow(event, write):
        await asyncio.sleep(0.05)

    mine, other = bench.define("mine", slow), bench.define("other", slow)
    bench.invoker.concurrency.set_reserved("000000000000", "mine", 1)
    results = await asyncio.gather(
        bench.invoke(mine), bench.invoke(mine), bench.invoke(other), bench.invoke(other), return_exceptions=True
    )
    reasons = [result.fields["Reason"] if isinstance(result, TooManyRequests) else None for result in results]
    assert reasons == [None, "ReservedFunctionConcurrentInvocationLimitExceeded", None, "ConcurrentInvocationLimitExceeded"]
    bench.invoker.concurrency.set_reserved("000000000000", "mine", 0)
    with pytest.raises(TooManyRequests):
        await bench.invoke(mine)


async def test_a_full_node_evicts_idle_environments_and_makes_others_wait(make_bench):
    bench = make_bench(memory_budget_mb=256)
    bench.runtimes.peak_mb = 100

    async def slow(event, write):
        await asyncio.sleep(0.02)

    specs = [bench.define(name, slow) for name in "abcd"]
    for spec in specs:
        await bench.invoke(spec)
    assert bench.invoker.pool.used_mb <= 256 and len(bench.runtimes.live) <= 2
    results = await asyncio.gather(*(bench.invoke(spec) for spec in specs * 2))
    assert all(result.function_error is None for result in results)
    assert bench.invoker.pool.used_mb <= 256


async def test_environments_are_counted_for_what_they_take(make_bench):
    bench = make_bench(memory_budget_mb=256)

    async def slow(event, write):
        await asyncio.sleep(0.02)

    for _ in range(2):  # the first time some wait, and get what the others leave
        results = await asyncio.gather(*(bench.invoke(bench.define("f", slow)) for _ in range(16)))
        assert all(result.function_error is None for result in results)
    assert len(bench.runtimes.live) == 16 and bench.invoker.pool.used_mb == 16 * 13


async def test_a_node_that_is_really_full_evicts(make_bench):
    bench = make_bench(memory_budget_mb=256)
    for name in "abcd":
        await bench.invoke(bench.define(name, lambda event, write: None))
    bench.invoker.pool.relieve(240)
    await asyncio.sleep(0)
    assert len(bench.runtimes.live) == 3
    bench.invoker.pool.relieve(200)
    assert len(bench.runtimes.live) == 3


async def test_idle_environments_expire(make_bench):
    bench = make_bench(keep_alive=Fixed(0.0))
    await bench.invoke(bench.define("f", lambda event, write: None))
    assert bench.invoker.pool.idle == 1
    bench.invoker.pool.expire()
    await asyncio.sleep(0)
    assert bench.runtimes.live == [] and bench.invoker.pool.used_mb == 0


async def test_provisioned_environments_stand_ready_and_come_back(bench):
    spec = bench.define("f", lambda event, write: None)
    bench.invoker.set_provisioned(spec, 2)
    await _until(lambda: bench.invoker.ready_provisioned(spec) == 2)
    assert not (await bench.invoke(spec)).is_cold_start
    bench.runtimes.live[0].kill()
    await _until(lambda: bench.invoker.ready_provisioned(spec) == 2 and len(bench.runtimes.live) == 2)
    bench.invoker.set_provisioned(spec, 0)
    await _until(lambda: bench.runtimes.live == [])


async def test_output_floods_are_cut_with_a_marker(bench):
    def flood(event, write):
        for _ in range(20):
            write("x" * (1 << 20))

    await bench.invoke(bench.define("f", flood))
    assert sum(map(len, bench.logged)) < 9 << 20
    assert any("output cut" in line for line in bench.logged)


async def _until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_environment_that_takes_several_calls_is_shared_until_it_is_full(bench):
    both, go = asyncio.Event(), asyncio.Event()
    running = []

    async def meet(event, write):
        running.append(event)
        if len(running) == 2:
            both.set()
        await go.wait()
        return event

    spec = bench.define("shared", meet)
    go.set()
    await bench.invoke(spec, 0)
    (environment,) = bench.runtimes.live
    environment.calls_at_once = 2
    go.clear()
    running.clear()
    calls = [asyncio.ensure_future(bench.invoke(spec, number)) for number in (1, 2)]
    await both.wait()
    assert len(bench.runtimes.live) == 1
    third = asyncio.ensure_future(bench.invoke(spec, 3))
    while len(running) < 3:
        await asyncio.sleep(0)
    assert len(bench.runtimes.live) == 2
    go.set()
    assert [json.loads((await call).payload) for call in (*calls, third)] == [1, 2, 3]
    assert bench.invoker.pool.idle == 2


async def test_the_log_tail_of_a_call_is_its_own_and_costs_others_nothing(bench):
    spec = bench.define("f", lambda event, write: write(f"said {event}\n"))
    await bench.invoke(spec, 1)
    assert (await bench.invoke(spec, 2)).log_tail == b""
    tail = (await bench.invoke(spec, 3, is_log_tail_wanted=True)).log_tail.decode()
    assert tail.startswith("START ") and "said 3\n" in tail and "REPORT " in tail and "said 2" not in tail
    assert (await bench.invoke(spec, 4)).log_tail == b""
