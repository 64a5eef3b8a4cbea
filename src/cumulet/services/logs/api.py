"""The operations of CloudWatch Logs."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import Handler, operation, operations_of
from cumulet.services.logs import storage
from cumulet.services.logs.errors import InvalidParameter, ResourceAlreadyExists, ResourceNotFound
from cumulet.services.logs.model import RETENTION_DAYS, Event, Group, Stream, check_batch, split_by_age
from cumulet.services.logs.pattern import compile_pattern
from cumulet.services.logs.sink import StoreLogSink, append
from cumulet.store.contract import Reader, Store, Txn

_MAX_SCANNED = 50_000
_MAX_PAGE_BYTES = 1024 * 1024
_TAIL_INTERVAL_S = 0.5
_TAIL_LIMIT_S = 3 * 3600
_EXPIRY_INTERVAL_S = 60.0
_EXPIRY_BATCH = 2000


class LogsService:
    """Reads see what was written before them: they flush the sink first."""

    def __init__(self, store: Store, clock: Clock, sink: StoreLogSink) -> None:
        self._store = store
        self._clock = clock
        self._sink = sink
        self.handlers: Mapping[str, Handler] = operations_of(self)

    async def run(self, stop: asyncio.Event) -> None:
        """Forget what has passed its retention, until told to stop."""
        while not stop.is_set():
            await self.expire()
            try:
                await asyncio.wait_for(stop.wait(), _EXPIRY_INTERVAL_S)
            except TimeoutError:
                continue

    async def expire(self) -> None:
        now_ms = self._clock.now_ms()
        for shard in filter(storage.is_shard, await self._store.list_shards()):
            for group in await self._store.read(shard, lambda reader: list(storage.list_groups(reader))):
                oldest_ms = group.oldest_ms(now_ms)
                if oldest_ms:
                    await self._forget(shard, group.name, oldest_ms)

    async def _forget(self, shard: str, name: str, oldest_ms: int) -> None:
        """In steps, so that no transaction grows with the log."""

        def forget(txn: Txn) -> int:
            return storage.delete_events_before(txn, name, oldest_ms, _EXPIRY_BATCH)

        while await self._store.write(shard, forget):
            pass

    @operation("CreateLogGroup")
    async def create_log_group(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        group_class = req.get("logGroupClass") or "STANDARD"
        group = Group(req["logGroupName"], self._clock.now_ms(), group_class=group_class, tags=req.get("tags") or {})

        def create(txn: Txn) -> None:
            if storage.find_group(txn, group.name) is not None:
                raise ResourceAlreadyExists("The specified log group already exists")
            storage.put_group(txn, group)

        await self._write(ctx, create)
        return {}

    @operation("DeleteLogGroup")
    async def delete_log_group(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._sink.flush()

        def delete(txn: Txn) -> None:
            _get_group(txn, req["logGroupName"])
            storage.delete_group(txn, req["logGroupName"])

        await self._write(ctx, delete)
        return {}

    @operation("DescribeLogGroups")
    async def describe_log_groups(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._sink.flush()
        wanted = req.get("logGroupNamePattern")
        groups = await self._read(ctx, lambda reader: list(storage.list_groups(reader, req.get("logGroupNamePrefix") or "")))
        if wanted:
            groups = [group for group in groups if wanted.lower() in group.name.lower()]
        if req.get("logGroupIdentifiers"):
            names = {_group_name(text) for text in req["logGroupIdentifiers"]}
            groups = [group for group in groups if group.name in names]
        shown, token = _page(groups, req.get("limit") or 50, req.get("nextToken"), lambda group: group.name)
        return _with_token({"logGroups": [_shown_group(ctx, group) for group in shown]}, token)

    @operation("CreateLogStream")
    async def create_log_stream(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def create(txn: Txn) -> None:
            _get_group(txn, req["logGroupName"])
            if storage.find_stream(txn, req["logGroupName"], req["logStreamName"]) is not None:
                raise ResourceAlreadyExists("The specified log stream already exists")
            storage.put_stream(txn, req["logGroupName"], Stream(req["logStreamName"], self._clock.now_ms()))

        await self._write(ctx, create)
        return {}

    @operation("DeleteLogStream")
    async def delete_log_stream(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._sink.flush()

        def delete(txn: Txn) -> None:
            _get_stream(txn, req["logGroupName"], req["logStreamName"])
            storage.delete_stream(txn, req["logGroupName"], req["logStreamName"])

        await self._write(ctx, delete)
        return {}

    @operation("DescribeLogStreams")
    async def describe_log_streams(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._sink.flush()
        name = _named_group(req)
        if req.get("orderBy") == "LastEventTime" and req.get("logStreamNamePrefix"):
            raise InvalidParameter("Cannot order by LastEventTime with a logStreamNamePrefix.")

        def read(reader: Reader) -> list[Stream]:
            _get_group(reader, name)
            return [s for s in storage.list_streams(reader, name) if s.name.startswith(req.get("logStreamNamePrefix") or "")]

        streams = await self._read(ctx, read)
        by_time = req.get("orderBy") == "LastEventTime"
        streams.sort(
            key=(lambda s: (s.last_ms or 0, s.name)) if by_time else (lambda s: s.name), reverse=bool(req.get("descending"))
        )
        shown, token = _page(streams, req.get("limit") or 50, req.get("nextToken"), lambda stream: stream.name)
        return _with_token({"logStreams": [_shown_stream(ctx, name, stream) for stream in shown]}, token)

    @operation("PutLogEvents")
    async def put_log_events(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        group_name, stream_name = req["logGroupName"], req["logStreamName"]
        lines = [(event["timestamp"], event["message"]) for event in req["logEvents"]]
        check_batch(lines)

        def look(reader: Reader) -> Group:
            _get_stream(reader, group_name, stream_name)
            return _get_group(reader, group_name)

        now_ms = self._clock.now_ms()
        accepted, rejected = split_by_age(lines, await self._read(ctx, look), now_ms)
        if accepted:
            await append(self._store, ctx.account, ctx.region, [(group_name, stream_name, accepted)], now_ms)
        answer: dict[str, Any] = {"nextSequenceToken": f"{now_ms:056d}"}
        return answer | ({"rejectedLogEventsInfo": rejected} if rejected else {})

    @operation("GetLogEvents")
    async def get_log_events(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """Tokens `f/…` and `b/…` name the edge that was reached; the same token comes back at the end, as on AWS."""
        await self._sink.flush()
        name, stream, limit = _named_group(req), req["logStreamName"], req.get("limit") or 10_000
        token = _read_token(req.get("nextToken"))
        forward = token["d"] == "f" if token else bool(req.get("startFromHead"))
        beyond = (token["t"], token["s"]) if token else None
        end_ms = req["endTime"] if req.get("endTime") is not None else None

        def read(reader: Reader) -> list[Event]:
            _get_stream(reader, name, stream)
            found: list[Event] = []
            size = 0
            events = storage.list_stream_events(
                reader, name, stream, req.get("startTime") or 0, end_ms, reverse=not forward, beyond=beyond
            )
            for event in events:
                size += len(event.message)
                if len(found) == limit or size > _MAX_PAGE_BYTES:
                    break
                found.append(event)
            return found if forward else found[::-1]

        events = await self._read(ctx, read)
        edge = (token["t"], token["s"]) if token else (0, 0)
        first = (events[0].timestamp_ms, events[0].sequence) if events else edge
        last = (events[-1].timestamp_ms, events[-1].sequence) if events else edge
        return {
            "events": [
                {"timestamp": event.timestamp_ms, "message": event.message.rstrip("\n"), "ingestionTime": event.ingested_ms}
                for event in events
            ],
            "nextForwardToken": "f/" + _token({"d": "f", "t": last[0], "s": last[1]}),
            "nextBackwardToken": "b/" + _token({"d": "b", "t": first[0], "s": first[1]}),
        }

    @operation("FilterLogEvents")
    async def filter_log_events(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._sink.flush()
        name, limit = _named_group(req), req.get("limit") or 10_000
        wants = compile_pattern(req.get("filterPattern") or "")
        streams, prefix = set(req.get("logStreamNames") or ()), req.get("logStreamNamePrefix") or ""
        token = _read_token(req.get("nextToken"))
        after = Event(token["n"], token["t"], token["s"], "", 0) if token else None
        end_ms = req["endTime"] + 1 if req.get("endTime") is not None else None

        def read(reader: Reader) -> tuple[list[Event], Event | None]:
            _get_group(reader, name)
            found: list[Event] = []
            size = 0
            for number, event in enumerate(storage.list_events(reader, name, req.get("startTime") or 0, end_ms, after)):
                if (
                    event.stream.startswith(prefix)
                    and (not streams or event.stream in streams)
                    and wants(event.message.rstrip("\n"))
                ):
                    found.append(event)
                    size += len(event.message)
                if len(found) == limit or size > _MAX_PAGE_BYTES or number == _MAX_SCANNED:
                    return found, event
            return found, None

        events, last = await self._read(ctx, read)
        shown = [
            {
                "logStreamName": event.stream,
                "timestamp": event.timestamp_ms,
                "message": event.message.rstrip("\n"),
                "ingestionTime": event.ingested_ms,
                "eventId": event.id,
            }
            for event in events
        ]
        next_token = _token({"n": last.stream, "t": last.timestamp_ms, "s": last.sequence}) if last is not None else None
        return _with_token({"events": shown, "searchedLogStreams": []}, next_token)

    @operation("StartLiveTail")
    async def start_live_tail(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        names = [_group_name(text) for text in req["logGroupIdentifiers"]]
        for name in names:
            await self._read(ctx, lambda reader, name=name: _get_group(reader, name))
        return {"responseStream": self._tail(ctx, req, names)}

    async def _tail(self, ctx: Context, req: dict[str, Any], names: list[str]) -> AsyncIterator[dict[str, Any]]:
        wants = compile_pattern(req.get("logEventFilterPattern") or "")
        session = {"requestId": ctx.request_id, "sessionId": ids.request_id(), "logGroupIdentifiers": req["logGroupIdentifiers"]}
        yield {"sessionStart": session}
        since_ms, ended_s = self._clock.now_ms(), self._clock.monotonic_s() + _TAIL_LIMIT_S
        seen: set[str] = set()
        while self._clock.monotonic_s() < ended_s:
            await asyncio.sleep(_TAIL_INTERVAL_S)
            await self._sink.flush()
            results = []
            for name in names:
                # Looks back a little: lines of one moment come from several environments, not quite in order.
                look_from_ms = since_ms
                events = await self._read(
                    ctx, lambda reader, name=name, at=look_from_ms: list(storage.list_events(reader, name, at - 2000))
                )
                for event in events:
                    if event.id not in seen and event.ingested_ms >= since_ms - 2000 and wants(event.message.rstrip("\n")):
                        seen.add(event.id)
                        results.append(_tailed(ctx, name, event))
            yield {"sessionUpdate": {"sessionMetadata": {"sampled": False}, "sessionResults": results[:500]}}
            since_ms = self._clock.now_ms()
            if len(seen) > 100_000:
                seen.clear()

    @operation("PutRetentionPolicy")
    async def put_retention_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        days = req["retentionInDays"]
        if days not in RETENTION_DAYS:
            raise InvalidParameter(f"Value '{days}' at 'retentionInDays' must be one of {list(RETENTION_DAYS)}")
        await self._change(ctx, req["logGroupName"], lambda group: replace(group, retention_days=days))
        return {}

    @operation("DeleteRetentionPolicy")
    async def delete_retention_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._change(ctx, req["logGroupName"], lambda group: replace(group, retention_days=None))
        return {}

    @operation("TagResource")
    async def tag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._change(ctx, _group_name(req["resourceArn"]), lambda group: replace(group, tags=group.tags | req["tags"]))
        return {}

    @operation("UntagResource")
    async def untag_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._untag(ctx, _group_name(req["resourceArn"]), req["tagKeys"])
        return {}

    @operation("ListTagsForResource")
    async def list_tags_for_resource(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        group = await self._read(ctx, lambda reader: _get_group(reader, _group_name(req["resourceArn"])))
        return {"tags": group.tags}

    @operation("TagLogGroup")
    async def tag_log_group(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._change(ctx, req["logGroupName"], lambda group: replace(group, tags=group.tags | req["tags"]))
        return {}

    @operation("UntagLogGroup")
    async def untag_log_group(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._untag(ctx, req["logGroupName"], req["tags"])
        return {}

    @operation("ListTagsLogGroup")
    async def list_tags_log_group(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        group = await self._read(ctx, lambda reader: _get_group(reader, req["logGroupName"]))
        return {"tags": group.tags}

    @operation("TestMetricFilter")
    async def test_metric_filter(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        wants = compile_pattern(req["filterPattern"])
        matches = [
            {"eventNumber": number, "eventMessage": message, "extractedValues": {}}
            for number, message in enumerate(req["logEventMessages"], 1)
            if wants(message)
        ]
        return {"matches": matches}

    @operation("DescribeMetricFilters")
    async def describe_metric_filters(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """None: they cannot be made here."""
        return {"metricFilters": []}

    @operation("DescribeSubscriptionFilters")
    async def describe_subscription_filters(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """None: they cannot be made here."""
        await self._read(ctx, lambda reader: _get_group(reader, req["logGroupName"]))
        return {"subscriptionFilters": []}

    async def _untag(self, ctx: Context, name: str, keys: list[str]) -> None:
        await self._change(ctx, name, lambda group: replace(group, tags={k: v for k, v in group.tags.items() if k not in keys}))

    async def _change(self, ctx: Context, name: str, rule: Any) -> None:
        await self._write(ctx, lambda txn: storage.put_group(txn, rule(_get_group(txn, name))))

    async def _read(self, ctx: Context, body: Any) -> Any:
        return await self._store.read(storage.shard_of(ctx.account, ctx.region), body)

    async def _write(self, ctx: Context, body: Any) -> Any:
        return await self._store.write(storage.shard_of(ctx.account, ctx.region), body)


def _get_group(reader: Reader, name: str) -> Group:
    group = storage.find_group(reader, name)
    if group is None:
        raise ResourceNotFound("The specified log group does not exist.")
    return group


def _get_stream(reader: Reader, group: str, name: str) -> Stream:
    _get_group(reader, group)
    stream = storage.find_stream(reader, group, name)
    if stream is None:
        raise ResourceNotFound("The specified log stream does not exist.")
    return stream


def _group_name(text: str) -> str:
    """A group's name from its name or ARN, with or without `:*`."""
    return text.split(":log-group:", 1)[1].removesuffix(":*") if text.startswith("arn:") else text


def _named_group(req: dict[str, Any]) -> str:
    text = req.get("logGroupIdentifier") or req.get("logGroupName")
    if not text:
        raise InvalidParameter("Either logGroupName or logGroupIdentifier must be given.")
    return _group_name(text)


def _page(items: list[Any], limit: int, token: str | None, key: Any) -> tuple[list[Any], str | None]:
    """(this page, the next token). The token names the last item shown."""
    after = _read_token(token)
    start = next((at for at, item in enumerate(items, 1) if key(item) == after["k"]), 0) if after else 0
    shown = items[start : start + limit]
    return shown, _token({"k": key(shown[-1])}) if start + limit < len(items) else None


def _with_token(answer: dict[str, Any], token: str | None) -> dict[str, Any]:
    return answer | ({"nextToken": token} if token else {})


def _token(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(document)).decode()


def _read_token(token: str | None) -> dict[str, Any] | None:
    if not token:
        return None
    try:
        document = orjson.loads(base64.urlsafe_b64decode(token.removeprefix("f/").removeprefix("b/")))
    except ValueError:
        raise InvalidParameter("The specified nextToken is invalid.") from None
    if not isinstance(document, dict):
        raise InvalidParameter("The specified nextToken is invalid.")
    return document


def _shown_group(ctx: Context, group: Group) -> dict[str, Any]:
    arn = group.arn(ctx.account, ctx.region)
    shown: dict[str, Any] = {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "storedBytes": group.stored_bytes,
        "logGroupClass": group.group_class,
    }
    return shown | ({"retentionInDays": group.retention_days} if group.retention_days else {})


def _shown_stream(ctx: Context, group: str, stream: Stream) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        "arn": f"arn:aws:logs:{ctx.region}:{ctx.account}:log-group:{group}:log-stream:{stream.name}",
        "storedBytes": 0,  # as AWS answers since 2019
        "uploadSequenceToken": f"{stream.next_sequence:056d}",
    }
    if stream.first_ms is not None:
        shown |= {
            "firstEventTimestamp": stream.first_ms,
            "lastEventTimestamp": stream.last_ms,
            "lastIngestionTime": stream.ingested_ms,
        }
    return shown


def _tailed(ctx: Context, group: str, event: Event) -> dict[str, Any]:
    return {
        "logGroupIdentifier": f"{ctx.account}:{group}",
        "logStreamName": event.stream,
        "message": event.message.rstrip("\n"),
        "timestamp": event.timestamp_ms,
        "ingestionTime": event.ingested_ms,
    }
