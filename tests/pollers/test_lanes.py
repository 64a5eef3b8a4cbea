"""The pure decisions against a model: whatever a function does, each record is handled or dropped, in order, and none is passed
over; a restart from the kept position repeats only what was not settled."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.invoke.contract import InvocationResult
from cumulet.pollers import documents, positions
from cumulet.pollers.contract import StreamRecord
from cumulet.pollers.lanes import Batch, Drop, Failed, FailedFrom, Lane, NotInvoked, Send, Succeeded
from cumulet.pollers.positions import LanePosition, Position
from cumulet.pollers.settings import StreamSettings, settings_of
from cumulet.pollers.shards import ShardWork


def record(n, key=b"k", created_ms=0, size=1):
    return StreamRecord(str(n), created_ms, key, {"n": n}, size)


SETTINGS = st.builds(
    StreamSettings,
    batch_size=st.integers(1, 5),
    batching_window_ms=st.sampled_from([0, 1000]),
    is_bisected=st.booleans(),
    maximum_retries=st.none() | st.integers(0, 2),
    maximum_age_ms=st.none() | st.sampled_from([500, 5000]),
)


@given(SETTINGS, st.integers(1, 12), st.data())
def test_every_record_is_handled_or_dropped_once_and_in_order(settings, count, data):
    lane, now_ms = Lane(settings), 0
    fate, tries, dropped = [], {}, []
    for n in range(count):
        lane.take(record(n, created_ms=n), now_ms)
    for _ in range(2000):
        step = lane.next_step(now_ms, is_dry=True)
        if isinstance(step, Send):
            batch = step.batch
            numbers = [each.order for each in batch.records]
            assert numbers and numbers == list(range(len(fate), len(fate) + len(numbers))), "the next ones, in order"
            assert len(numbers) <= settings.batch_size
            kind = data.draw(st.sampled_from(["ok", "bad", "part", "throttle"])) if now_ms < 50_000 else "ok"
            index = data.draw(st.integers(0, len(numbers) - 1)) if kind == "part" else 0
            outcome = {"ok": Succeeded(), "bad": Failed(), "part": FailedFrom(index), "throttle": NotInvoked()}[kind]
            drop = lane.settle(outcome, now_ms)
            fate += numbers if kind == "ok" else numbers[:index] if kind == "part" else []
            if kind in ("bad", "part"):
                tries[numbers[index]] = tries.get(numbers[index], 0) + 1
            if drop is not None:
                assert drop.condition == "RetryAttemptsExhausted"
                assert drop.batch.failures == settings.maximum_retries + 1 <= drop.batch.invokes
                assert [each.order for each in drop.batch.records] == numbers[index:]
                dropped += numbers[index:]
                fate += numbers[index:]
            lane.release()
        elif isinstance(step, Drop):
            assert step.condition == "RecordAgeExceeded"
            for each in step.batch.records:
                assert now_ms - each.created_ms > settings.maximum_age_ms
                fate.append(each.order)
            lane.release()
        elif step.until_ms is None:
            break
        else:
            assert step.until_ms > now_ms, "no loop may spin"
            now_ms = step.until_ms
        assert lane.after == (str(fate[-1]) if fate else None), "settled exactly up to what is handled or dropped"
    assert fate == list(range(count)) and lane.is_settled
    if settings.maximum_retries is None:
        assert not dropped


@given(st.lists(st.binary(min_size=1, max_size=1), max_size=40), st.lists(st.integers(1, 10), min_size=1, max_size=4), st.data())
def test_over_restarts_with_other_lanes_nothing_is_lost_and_nothing_settled_is_repeated(keys, counts, data):
    records = [record(n, key) for n, key in enumerate(keys)]
    position, done = Position(), []
    for count in [*counts, counts[-1]]:
        work = ShardWork("s", positions.decode(positions.encode(position)), StreamSettings(batch_size=2, parallelisation=count))
        start = -1 if work.cursor is None else int(work.cursor)
        work.take([each for each in records if each.order > start], 0)
        for _ in range(data.draw(st.integers(0, 10))):
            lane = data.draw(st.sampled_from(work.lanes))
            step = lane.next_step(0, is_dry=True)
            if isinstance(step, Send):
                lane.settle(Succeeded(), 0)
                lane.release()
                done += [each.order for each in step.batch.records]
        position = work.position()
        assert {each.order for each in records if position.is_settled(each)} == set(done)
    for lane in work.lanes:
        while isinstance(step := lane.next_step(0, is_dry=True), Send):
            lane.settle(Succeeded(), 0)
            lane.release()
            done += [each.order for each in step.batch.records]
    assert sorted(done) == list(range(len(keys)))
    for key in set(keys):
        mine = [n for n in done if keys[n] == key]
        assert mine == sorted(mine)
    assert work.position().after == (str(len(keys) - 1) if keys else None) and work.position().older == ()


def test_a_batch_keeps_below_the_payload_limit_and_one_giant_goes_alone():
    lane = Lane(StreamSettings(batch_size=100))
    for n, size in enumerate((3 << 20, 2 << 20, 2 << 20, 7 << 20, 1)):
        lane.take(record(n, size=size), 0)
    sent = []
    while isinstance(step := lane.next_step(0, is_dry=True), Send):
        sent.append([each.order for each in step.batch.records])
        lane.settle(Succeeded(), 0)
        lane.release()
    assert sent == [[0, 1], [2], [3], [4]]


BATCH = Batch((record(1), record(2), record(3)))


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("null", Succeeded()),
        ("", Succeeded()),
        ("{}", Succeeded()),
        ('""', Succeeded()),
        ('{"batchItemFailures": []}', Succeeded()),
        ('{"batchItemFailures": null}', Succeeded()),
        ('{"batchItemFailures": [{"itemIdentifier": "2"}]}', FailedFrom(1)),
        ('{"batchItemFailures": [{"itemIdentifier": "3"}, {"itemIdentifier": "2"}]}', FailedFrom(1)),
        ('{"batchItemFailures": [{"itemIdentifier": "1"}]}', FailedFrom(0)),
        ('{"batchItemFailures": [{"itemIdentifier": ""}]}', Failed()),
        ('{"batchItemFailures": [{"itemIdentifier": null}]}', Failed()),
        ('{"batchItemFailures": [{"itemIdentifier": 2}]}', Failed()),
        ('{"batchItemFailures": [{"item": "2"}]}', Failed()),
        ('{"batchItemFailures": [{"itemIdentifier": "3"}, {"itemIdentifier": "9"}]}', Failed()),
        ('{"batchItemFailures": ["2"]}', Failed()),
        ('{"batchItemFailures": "2"}', Failed()),
        ("[1]", Failed()),
        ("{", Failed()),
    ],
)
def test_what_a_functions_answer_says_of_its_batch(answer, outcome):
    settings = settings_of({"FunctionResponseTypes": ["ReportBatchItemFailures"]})
    assert documents.outcome(InvocationResult(answer.encode(), "1"), BATCH, settings) == outcome
    assert documents.outcome(InvocationResult(answer.encode(), "1"), BATCH, StreamSettings()) == Succeeded()
    assert documents.outcome(InvocationResult(answer.encode(), "1", "Unhandled"), BATCH, settings) == Failed()


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=20))
def test_windows_cut_the_stream_without_overlap_and_each_ends_once(arrivals):
    settings = StreamSettings(batch_size=3, tumbling_ms=30)
    times = sorted(at for at, _ in arrivals)
    lane, now_ms, seen, ended = Lane(settings), 0, {}, []
    for n, at in enumerate(times):
        now_ms = at
        lane.take(record(n, created_ms=at), now_ms)
        while isinstance(step := lane.next_step(now_ms, is_dry=True), Send):
            _handle(lane, step, now_ms, seen, ended)
    while not isinstance(step := lane.next_step(now_ms, is_dry=True), Send) and step.until_ms is not None:
        now_ms = step.until_ms
    if isinstance(step, Send):
        _handle(lane, step, now_ms, seen, ended)
    assert seen == {start: sum(at // 30 * 30 == start for at in times) for start in {at // 30 * 30 for at in times}}
    assert ended == sorted(seen) and lane.window_ms is None and lane.is_settled


def _handle(lane, step, now_ms, seen, ended):
    batch = step.batch
    if batch.is_final:
        assert lane.state == {"count": seen[batch.window_ms]}
        ended.append(batch.window_ms)
        lane.settle(Succeeded(), now_ms)
    else:
        count = lane.state.get("count", 0) + len(batch.records)
        seen[batch.window_ms] = count
        lane.settle(Succeeded({"count": count}, 20), now_ms)
    lane.release()


def test_positions_survive_their_encoding():
    position = Position((LanePosition("5", 30, {"a": 1}), LanePosition(None)), ((7, -1),))
    assert positions.decode(positions.encode(position)) == position
    assert json.loads(positions.encode(position))
