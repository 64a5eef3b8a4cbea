"""Claims about mappings on streams: batches, order, retries, checkpoints, destinations, windows."""

import asyncio

import pytest

from cumulet.invoke.faults import TooManyRequests

from .conftest import DEAD, STREAM

FAILURES = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
TO_DEAD = {"DestinationConfig": {"OnFailure": {"Destination": DEAD}}}


def fail_on(*bad):
    def behaviour(event):
        if any(record["n"] in bad for record in event["Records"]):
            raise ValueError("poison")

    return behaviour


def report(*bad):
    def behaviour(event):
        return {"batchItemFailures": [{"itemIdentifier": each["eventID"]} for each in event["Records"] if each["n"] in bad]}

    return behaviour


async def test_records_are_sent_in_order_in_batches(world):
    await world.map(BatchSize=3)
    await world.put(*range(7))
    assert [n for batch in world.batches for n in batch] == list(range(7))
    assert all(len(batch) <= 3 for batch in world.batches)
    assert world.pollers.last_result("u") == "OK"


async def test_an_idle_poller_asks_for_nothing(world):
    await world.map()
    await world.put(1)
    reads = world.stream.reads
    await asyncio.sleep(0.05)
    assert world.stream.reads == reads


async def test_a_batching_window_waits_for_more(world):
    await world.map(BatchSize=3, MaximumBatchingWindowInSeconds=5)
    await world.put(1, 2)
    assert world.batches == []
    await world.pass_time(4.9)
    assert world.batches == []
    await world.pass_time(0.1)
    assert world.batches == [[1, 2]]
    await world.put(3, 4, 5)
    assert world.batches == [[1, 2], [3, 4, 5]]


async def test_starting_positions(world):
    await world.put(1)
    world.clock.advance(seconds=10)
    moment = world.clock.now_ms() / 1000
    await world.put(2)
    await world.map("all")
    assert world.batches == [[1, 2]]
    await world.map("from", StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=moment)
    assert world.batches == [[1, 2], [2]]
    await world.map("new", StartingPosition="LATEST")
    assert len(world.batches) == 2
    await world.put(3)
    assert world.batches[2:] == [[3]] * 3


async def test_a_latest_position_is_kept_over_a_restart_before_the_first_record(world):
    await world.put(1)
    await world.map(StartingPosition="LATEST")
    await world.kill()
    world.stream.put(2)
    await world.start()
    assert world.batches == [[2]]


async def test_filters_let_through_what_fits_one_of_them_and_the_rest_is_passed(world):
    await world.map(FilterCriteria={"Filters": [{"Pattern": '{"n":[{"numeric":[">",5]}]}'}, {"Pattern": '{"key":["x"]}'}]})
    await world.put(1, 6, 2)
    await world.put(3, key="x")
    assert [n for batch in world.batches for n in batch] == [6, 3]
    await world.put(4)
    await world.kill()
    reads = []
    read = world.stream.read

    async def noted(arn, shard_id, after, limit):
        reads.append(after)
        return await read(arn, shard_id, after, limit)

    world.stream.read = noted
    await world.start()
    assert reads[0] == world.stream.records["s0"][-1].sequence


async def test_kill_repeats_the_unacknowledged_batch_and_loses_nothing(world):
    await world.map(BatchSize=2)
    hanging = asyncio.Event()
    await world.put(0, 1)

    async def hang(event):
        hanging.set()
        await asyncio.Event().wait()

    world.behaviour = hang
    world.stream.put(2)
    world.stream.put(3)
    world.stream.put(4)
    await hanging.wait()
    await world.kill()
    before = list(world.batches)
    world.behaviour = lambda event: None
    await world.start()
    again = world.batches[len(before) :]
    assert [n for batch in before for n in batch][:2] == [0, 1]
    assert [n for batch in again for n in batch] == [2, 3, 4]


async def test_a_failing_batch_is_retried_then_given_to_the_destination(world):
    world.behaviour = fail_on(2)
    await world.map(MaximumRetryAttempts=2, **TO_DEAD)
    await world.put(1, 2)
    await world.put(3)
    for _ in range(4):
        await world.pass_time(60)
    assert world.batches.count([1, 2]) + world.batches.count([2]) == 3
    assert world.batches[-1] == [3]
    (record,) = world.delivered
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    info = record["DDBStreamBatchInfo"]
    assert (info["shardId"], info["streamArn"], info["endSequenceNumber"]) == ("s0", STREAM, "1001")
    assert world.pollers.last_result("u") == "OK"


async def test_bisecting_finds_the_one_bad_record(world):
    world.behaviour = fail_on(5)
    await world.map(
        BatchSize=8, MaximumBatchingWindowInSeconds=1, BisectBatchOnFunctionError=True, MaximumRetryAttempts=0, **TO_DEAD
    )
    await world.put(*range(8))
    assert world.batches == [list(range(8)), [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [4], [5], [6, 7]]
    (record,) = world.delivered
    info = record["DDBStreamBatchInfo"]
    assert (info["batchSize"], info["startSequenceNumber"], info["endSequenceNumber"]) == (1, "1005", "1005")


async def test_reported_failures_checkpoint_before_the_first(world):
    world.behaviour = report(2, 3)
    await world.map(BatchSize=4, MaximumBatchingWindowInSeconds=1, MaximumRetryAttempts=2, **FAILURES, **TO_DEAD)
    await world.put(1, 2, 3, 4)
    for _ in range(3):
        await world.pass_time(60)
    assert world.batches == [[1, 2, 3, 4], [2, 3, 4], [2, 3, 4]]
    assert [each["DDBStreamBatchInfo"]["startSequenceNumber"] for each in world.delivered] == ["1001"]
    assert world.delivered[0]["requestContext"]["approximateInvokeCount"] == 3


async def test_a_record_that_gets_too_old_is_given_up(world):
    world.behaviour = fail_on(1)
    await world.map(MaximumRecordAgeInSeconds=60, **TO_DEAD)
    await world.put(1)
    await world.pass_time(30)
    await world.pass_time(31)
    assert [each["requestContext"]["condition"] for each in world.delivered] == ["RecordAgeExceeded"]
    await world.put(2)
    assert world.batches[-1] == [2]


async def test_throttles_use_up_no_retries(world):
    refusals = iter(range(5))

    def behaviour(event):
        if next(refusals, None) is not None:
            raise TooManyRequests("ConcurrentInvocationLimitExceeded")

    world.behaviour = behaviour
    await world.map(MaximumRetryAttempts=0, **TO_DEAD)
    await world.put(1)
    assert len(world.batches) == 1 and world.pollers.last_result("u").startswith("PROBLEM")
    for _ in range(6):
        await world.pass_time(60)
    assert world.batches == [[1]] * 6 and world.delivered == []
    assert world.pollers.last_result("u") == "OK"


async def test_lanes_run_at_once_and_keep_each_keys_order(world):
    release, running = asyncio.Event(), []

    async def behaviour(event):
        running.append(event["Records"][0]["key"])
        await release.wait()

    world.behaviour = behaviour
    await world.map(BatchSize=1, ParallelizationFactor=10)
    for n in range(3):
        for key in "abcdefgh":
            world.stream.put(n, key)
    await world.settle()
    assert len(running) == len(set(running)) > 1
    release.set()
    await world.settle()
    seen = {}
    for event in world.events:
        for record in event["Records"]:
            seen.setdefault(record["key"], []).append(record["n"])
    assert seen == {key: [0, 1, 2] for key in "abcdefgh"}


async def test_a_shard_is_read_after_its_parent(world):
    await world.map()
    world.behaviour = fail_on(1)
    world.stream.put(1)
    world.stream.split("s0", "s1")
    world.stream.put(2, shard="s1")
    await world.settle()
    assert world.batches == [[1]]
    world.behaviour = lambda event: None
    await world.pass_time(60)
    assert world.batches == [[1], [1], [2]]
    await world.kill()
    await world.start()
    assert len(world.batches) == 3


async def test_disabled_means_waiting_where_it_was_and_deleted_means_forgotten(world):
    await world.map()
    await world.put(1)
    await world.map(is_enabled=False)
    await world.put(2)
    assert world.batches == [[1]]
    mapping = await world.map()
    assert world.batches == [[1], [2]]
    await world.pollers.removed(mapping)
    await world.put(3)
    assert world.batches == [[1], [2]]
    assert await world.store.read("pollers/000000000000/r", lambda reader: list(reader.scan(b""))) == []


async def test_more_lanes_repeat_nothing(world):
    release = asyncio.Event()

    async def behaviour(event):
        if event["Records"][0]["key"] == "slow":
            await release.wait()

    world.behaviour = behaviour
    await world.map(BatchSize=1, ParallelizationFactor=10)
    world.stream.put(0, "slow")
    for n in range(1, 6):
        world.stream.put(n, "a")
    await world.settle()
    assert [n for batch in world.batches for n in batch][-2:] == [4, 5]
    await world.kill()
    world.behaviour = lambda event: None
    world.events.clear()
    mapping = world.mappings["u"]
    world.mappings["u"] = type(mapping)(
        *[getattr(mapping, name) for name in mapping.__slots__[:-1]], mapping.settings | {"ParallelizationFactor": 3}
    )
    await world.start()
    assert world.batches == [[0]]


async def test_a_stream_that_is_gone_is_said(world):
    await world.map()
    world.stream.is_gone = True
    world.stream.tell()
    await world.settle()
    assert world.pollers.last_result("u") == "PROBLEM: Stream not found"
    assert not await world.pollers.exists(STREAM)


def counted(event):
    state = dict(event["state"])
    for record in event["Records"]:
        state[record["key"]] = state.get(record["key"], 0) + 1
    return {"state": state}


async def test_tumbling_windows_carry_state_to_a_last_invocation(world):
    world.behaviour = counted
    world.clock.advance(seconds=30 - world.clock.now_ms() / 1000 % 30)
    await world.map(BatchSize=2, TumblingWindowInSeconds=30)
    await world.put(1, 2, 3)
    await world.kill()
    await world.start()
    await world.pass_time(10)
    await world.put(4)
    assert not any(event["isFinalInvokeForWindow"] for event in world.events)
    await world.pass_time(20)
    final = world.events[-1]
    assert final["isFinalInvokeForWindow"] and final["state"] == {"k": 4} and final["Records"] == []
    assert (final["shardId"], final["eventSourceARN"], final["isWindowTerminatedEarly"]) == ("s0", STREAM, False)
    await world.put(5)
    assert world.events[-1]["state"] == {} and world.events[-1]["window"]["start"] == final["window"]["end"]


async def test_a_window_whose_function_returns_no_state_failed(world):
    await world.map(TumblingWindowInSeconds=30, MaximumRetryAttempts=0, **TO_DEAD)
    await world.put(1)
    assert len(world.delivered) == 1


async def test_a_state_that_is_too_large_ends_the_window_early(world):
    world.behaviour = lambda event: {"state": "x" * (1 << 20)}
    await world.map(TumblingWindowInSeconds=30)
    await world.put(1)
    last = world.events[-1]
    assert last["isFinalInvokeForWindow"] and last["isWindowTerminatedEarly"]
    await world.put(2)
    assert world.events[-2]["state"] == {} and world.events[-2]["window"] == last["window"]


async def test_a_bug_in_a_source_ends_the_pollers_loudly(world):
    await world.map()

    async def broken(arn, shard_id, after, limit):
        raise RuntimeError("bug")

    world.stream.read = broken
    world.stream.put(1)
    running, world.running = world.running, None
    with pytest.raises(ExceptionGroup):
        await running
