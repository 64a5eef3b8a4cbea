"""CloudWatch Logs through its operations, on the memory store and a clock that is moved by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.core.clock import ManualClock
from cumulet.core.context import Context, Principal
from cumulet.services.logs.api import LogsService
from cumulet.services.logs.errors import InvalidParameter, ResourceAlreadyExists, ResourceNotFound
from cumulet.services.logs.sink import StoreLogSink
from cumulet.store.memory import MemoryStore

CTX = Context("000000000000", "r", "id", Principal("000000000000", "arn", "u", "k"), "http://127.0.0.1:1")


class World:
    def __init__(self):
        store = MemoryStore()
        self.clock = ManualClock()
        self.sink = StoreLogSink(store, self.clock)
        self.service = LogsService(store, self.clock, self.sink)

    async def call(self, name, **req):
        return await self.service.handlers[name](CTX, req)

    async def with_lines(self, *messages, stream="s", group="g"):
        now_ms = self.clock.now_ms()
        self.sink.take("000000000000", "r", group, stream, [(now_ms + at, message) for at, message in enumerate(messages)])


@pytest.fixture
def world():
    return World()


async def test_groups_are_created_described_and_deleted(world):
    await world.call("CreateLogGroup", logGroupName="/a/b", tags={"k": "v"})
    with pytest.raises(ResourceAlreadyExists):
        await world.call("CreateLogGroup", logGroupName="/a/b")
    (group,) = (await world.call("DescribeLogGroups", logGroupNamePrefix="/a"))["logGroups"]
    assert group["arn"] == "arn:aws:logs:r:000000000000:log-group:/a/b:*"
    assert (await world.call("ListTagsForResource", resourceArn=group["logGroupArn"]))["tags"] == {"k": "v"}
    await world.call("DeleteLogGroup", logGroupName="/a/b")
    with pytest.raises(ResourceNotFound):
        await world.call("DeleteLogGroup", logGroupName="/a/b")


async def test_what_the_sink_took_can_be_read_at_once(world):
    await world.with_lines("one\n", "two\n")
    events = (await world.call("FilterLogEvents", logGroupName="g"))["events"]
    assert [event["message"] for event in events] == ["one", "two"]
    assert len({event["eventId"] for event in events}) == 2
    (stream,) = (await world.call("DescribeLogStreams", logGroupName="g"))["logStreams"]
    assert (stream["logStreamName"], stream["lastEventTimestamp"]) == ("s", world.clock.now_ms() + 1)


async def test_put_events_are_checked_and_old_ones_rejected(world):
    await world.call("CreateLogGroup", logGroupName="g")
    await world.call("CreateLogStream", logGroupName="g", logStreamName="s")
    now_ms, day_ms = world.clock.now_ms(), 86_400_000

    async def put(*events):
        shaped = [{"timestamp": at_ms, "message": message} for at_ms, message in events]
        return await world.call("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=shaped)

    assert "rejectedLogEventsInfo" not in await put((now_ms, "a"), (now_ms + 1, "b"))
    assert (await put((now_ms - 15 * day_ms, "old")))["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    assert (await put((now_ms, "c"), (now_ms + 3 * 3_600_000, "new")))["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    with pytest.raises(InvalidParameter):
        await put((now_ms, "a"), (now_ms - 1, "b"))
    with pytest.raises(InvalidParameter):
        await put(*[(now_ms, "x" * 1000)] * 1100)
    with pytest.raises(ResourceNotFound):
        await world.call("PutLogEvents", logGroupName="g", logStreamName="none", logEvents=[])
    assert [e["message"] for e in (await world.call("FilterLogEvents", logGroupName="g"))["events"]] == ["a", "c", "b"]


async def test_get_events_pages_both_ways_and_repeats_the_token_at_the_end(world):
    await world.with_lines(*(f"line {n}" for n in range(10)))
    page = await world.call("GetLogEvents", logGroupName="g", logStreamName="s", limit=4)
    assert [e["message"] for e in page["events"]] == ["line 6", "line 7", "line 8", "line 9"]
    back = await world.call("GetLogEvents", logGroupName="g", logStreamName="s", limit=4, nextToken=page["nextBackwardToken"])
    assert [e["message"] for e in back["events"]] == ["line 2", "line 3", "line 4", "line 5"]
    end = await world.call("GetLogEvents", logGroupName="g", logStreamName="s", nextToken=page["nextForwardToken"])
    assert end["events"] == [] and end["nextForwardToken"] == page["nextForwardToken"]
    head = await world.call("GetLogEvents", logGroupName="g", logStreamName="s", limit=2, startFromHead=True)
    assert [e["message"] for e in head["events"]] == ["line 0", "line 1"]


async def test_filters_choose_streams_times_and_messages(world):
    await world.with_lines("ERROR a", "INFO b", stream="x/1")
    await world.with_lines("ERROR c", stream="y/1")
    now_ms = world.clock.now_ms()

    async def messages(**req):
        return [event["message"] for event in (await world.call("FilterLogEvents", logGroupName="g", **req))["events"]]

    assert await messages(filterPattern="ERROR") == ["ERROR a", "ERROR c"]
    assert await messages(logStreamNamePrefix="x") == ["ERROR a", "INFO b"]
    assert await messages(logStreamNames=["y/1"]) == ["ERROR c"]
    assert await messages(startTime=now_ms + 1) == ["INFO b"]
    assert await messages(endTime=now_ms) == ["ERROR a", "ERROR c"]
    assert (await world.call("FilterLogEvents", logGroupIdentifier="arn:aws:logs:r:000000000000:log-group:g:*"))["events"]


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("ab")), max_size=25), st.integers(1, 7))
async def test_pages_together_are_the_whole(lines, limit):
    world = World()
    await world.call("CreateLogGroup", logGroupName="g")
    for number, (at, stream) in enumerate(lines):
        world.sink.take("000000000000", "r", "g", stream, [(world.clock.now_ms() + at, str(number))])
    whole = (await world.call("FilterLogEvents", logGroupName="g"))["events"]
    assert len(whole) == len(lines)
    assert [event["timestamp"] for event in whole] == sorted(event["timestamp"] for event in whole)
    found, token = [], None
    while True:
        page = await world.call("FilterLogEvents", logGroupName="g", limit=limit, nextToken=token)
        found += page["events"]
        token = page.get("nextToken")
        if token is None:
            break
    assert found == whole


async def test_retention_really_deletes(world):
    await world.with_lines("old")
    await world.sink.flush()
    await world.call("PutRetentionPolicy", logGroupName="g", retentionInDays=1)
    world.clock.advance(seconds=2 * 86_400)
    await world.with_lines("new")
    await world.sink.flush()
    await world.service.expire()
    assert [e["message"] for e in (await world.call("FilterLogEvents", logGroupName="g"))["events"]] == ["new"]
    with pytest.raises(InvalidParameter):
        await world.call("PutRetentionPolicy", logGroupName="g", retentionInDays=2)


async def test_a_flood_is_cut_and_told(world):
    for _ in range(12):
        await world.with_lines("x" * (1 << 20))
    events = (await world.call("FilterLogEvents", logGroupName="g", filterPattern="cut"))["events"]
    assert [event["message"] for event in events] == ["[cumulet] log cut: 9 lines were dropped"]


async def test_floods_of_one_account_leave_room_for_lines_of_another(world):
    lines = [(world.clock.now_ms(), "x" * (1 << 20))]
    for number in range(40):
        world.sink.take("111111111111", "r", "g", f"s-{number}", lines)
    mine = "y" * (1 << 20)
    await world.with_lines(mine)
    assert [event["message"] for event in (await world.call("FilterLogEvents", logGroupName="g"))["events"]] == [mine]


async def test_a_deleted_stream_takes_its_events_along(world):
    await world.with_lines("a", stream="one")
    await world.with_lines("b", stream="two")
    await world.call("DeleteLogStream", logGroupName="g", logStreamName="one")
    assert [e["message"] for e in (await world.call("FilterLogEvents", logGroupName="g"))["events"]] == ["b"]
