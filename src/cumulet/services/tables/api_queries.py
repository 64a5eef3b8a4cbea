"""Query and Scan: what of a table or index is asked for, from expressions to ranges of keys."""

from collections.abc import Mapping
from typing import Any

from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.tables import keys, legacy, storage
from cumulet.services.tables.changes import Cost
from cumulet.services.tables.consumption import consumed, read_units
from cumulet.services.tables.data import Data
from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import (
    Condition,
    KeyCondition,
    Placeholders,
    Projection,
    parse_condition,
    parse_key_condition,
    parse_projection,
)
from cumulet.services.tables.item_keys import IndexKeys, ItemKeys, checked_key, keys_of
from cumulet.services.tables.model import Table
from cumulet.services.tables.names import table_name
from cumulet.services.tables.plans import placeholders_of
from cumulet.services.tables.reading import Page, PageRequest, read_page
from cumulet.store.contract import Reader

_QUERY_EXPRESSIONS = ("ProjectionExpression", "FilterExpression", "KeyConditionExpression")
_QUERY_LEGACY = ("AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions")
_SCAN_EXPRESSIONS = ("ProjectionExpression", "FilterExpression")
_SCAN_LEGACY = ("AttributesToGet", "ScanFilter", "ConditionalOperator")
_BAD_START = "The provided starting key is invalid"


class QueryOperations:
    def __init__(self, data: Data) -> None:
        self._data = data

    @operation("Query")
    async def query(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        legacy.refuse_mixing(req, _QUERY_EXPRESSIONS, _QUERY_LEGACY)
        if req.get("KeyConditionExpression") is None and req.get("KeyConditions") is None:
            raise ValidationFault("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
        shard = self._data.shard_of(ctx)
        item_keys = await self._keys(shard, table_name(ctx, req["TableName"]))
        index = index_of(item_keys, req)
        placeholders = placeholders_of(req)
        condition = _key_condition(req, placeholders, item_keys, index)
        request = _page_request(req, placeholders, item_keys, index, "QueryFilter")
        schema = (index.schema if index is not None else item_keys.table.key).names
        _refuse_keys_in_filter(request.condition, schema, is_legacy=req.get("QueryFilter") is not None)
        request.start, request.end = range_of(condition, item_keys, index)
        request.is_reverse = req.get("ScanIndexForward") is False
        if req.get("ExclusiveStartKey") is not None:
            _start_after(request, req["ExclusiveStartKey"], condition)
        return await self._page(shard, req, request)

    @operation("Scan")
    async def scan(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        legacy.refuse_mixing(req, _SCAN_EXPRESSIONS, _SCAN_LEGACY)
        segment, total = _segment(req)
        shard = self._data.shard_of(ctx)
        item_keys = await self._keys(shard, table_name(ctx, req["TableName"]))
        index = index_of(item_keys, req)
        request = _page_request(req, placeholders_of(req), item_keys, index, "ScanFilter")
        request.start, request.end = storage.segment_range(_prefix(item_keys, index), segment, total)
        if req.get("ExclusiveStartKey") is not None:
            position = _position(request, req["ExclusiveStartKey"])
            if not request.start <= position < request.end:
                raise ValidationFault(
                    f"{_BAD_START}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. "
                    f"TotalSegments: {total} Segment: {segment}"
                )
            request.start = position + b"\x00"
        return await self._page(shard, req, request)

    async def _keys(self, shard: str, name: str) -> ItemKeys:
        def find(reader: Reader) -> Table:
            return self._data.catalogue_of(shard).get_usable(reader, name)

        return keys_of(await self._data.store.read(shard, find))

    async def _page(self, shard: str, req: dict[str, Any], request: PageRequest) -> dict[str, Any]:
        table = request.keys.table
        name = request.index.index.name if request.index is not None else ""
        self._data.buckets.check(shard, table, name)
        page = await read_page(self._data.store, shard, request)
        cost = cost_of(page, name, is_consistent=bool(req.get("ConsistentRead")))
        for part, units in cost.items():
            self._data.buckets.charge(shard, table, part, units)
        result: dict[str, Any] = {"Count": page.count, "ScannedCount": page.scanned}
        if not request.is_count:
            result["Items"] = page.shown
        if page.last_key is not None:
            result["LastEvaluatedKey"] = page.last_key
        told = consumed(req.get("ReturnConsumedCapacity"), table, req["TableName"], cost)
        if told is not None:
            result["ConsumedCapacity"] = told
        return result


def cost_of(page: Page, name: str, *, is_consistent: bool) -> Cost:
    cost = {name: read_units(page.size, is_consistent=is_consistent)}
    if page.fetched_bytes:
        cost[""] = sum(read_units(size, is_consistent=is_consistent) for size in page.fetched_bytes)
    return cost


def index_of(item_keys: ItemKeys, req: Mapping[str, Any]) -> IndexKeys | None:
    name = req.get("IndexName")
    if name is None:
        return None
    found = item_keys.index(name)
    if found.index.is_global and req.get("ConsistentRead"):
        raise ValidationFault("Consistent reads are not supported on global secondary indexes")
    if found.index.status == "CREATING":
        raise ValidationFault(f"Cannot read from backfilling global secondary index: {name}")
    if found.index.status == "DELETING":
        raise ValidationFault(f"The table does not have the specified index: {name}")
    return found


def _key_condition(
    req: Mapping[str, Any], placeholders: Placeholders, item_keys: ItemKeys, index: IndexKeys | None
) -> KeyCondition:
    schema = index.schema if index is not None else item_keys.table.key
    types = item_keys.table.types
    hashes, ranges = {name: types[name] for name in schema.hashes}, {name: types[name] for name in schema.ranges}
    if req.get("KeyConditionExpression") is not None:
        condition = parse_key_condition(req["KeyConditionExpression"], placeholders, hashes, ranges)
    else:
        condition = legacy.key_condition_of(req["KeyConditions"], hashes, ranges)
    for name, value in condition.hash_values.items():
        keys.validate_key(name, value, is_hash=True)
    return condition


def _page_request(
    req: Mapping[str, Any], placeholders: Placeholders, item_keys: ItemKeys, index: IndexKeys | None, filter_name: str
) -> PageRequest:
    condition = _filter(req, placeholders, filter_name)
    projection = _projection(req, placeholders)
    placeholders.check_all_used()
    _check_select(req, index, projection)
    request = PageRequest(item_keys, index, b"", b"", limit=req.get("Limit"), condition=condition, projection=projection)
    request.is_count = req.get("Select") == "COUNT"
    if index is not None and index.index.projection != "ALL":
        request.fetches = must_fetch(req, index, condition, projection)
    return request


def _filter(req: Mapping[str, Any], placeholders: Placeholders, legacy_name: str) -> Condition | None:
    if req.get("FilterExpression") is not None:
        return parse_condition(req["FilterExpression"], placeholders, "FilterExpression")
    given = req.get(legacy_name)
    if given is None and req.get("ConditionalOperator") is None:
        return None
    return legacy.filter_of(given or {}, req.get("ConditionalOperator"))


def _projection(req: Mapping[str, Any], placeholders: Placeholders) -> Projection | None:
    if req.get("ProjectionExpression") is not None:
        return parse_projection(req["ProjectionExpression"], placeholders)
    return legacy.projection_of(req["AttributesToGet"]) if req.get("AttributesToGet") is not None else None


def _check_select(req: Mapping[str, Any], index: IndexKeys | None, projection: Projection | None) -> None:
    select = req.get("Select")
    if select == "ALL_PROJECTED_ATTRIBUTES" and index is None:
        raise ValidationFault("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
    if select == "SPECIFIC_ATTRIBUTES" and projection is None:
        raise ValidationFault("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
    if projection is not None and select not in (None, "SPECIFIC_ATTRIBUTES"):
        given = "ProjectionExpression" if req.get("ProjectionExpression") is not None else "AttributesToGet"
        what = "only the Count" if select == "COUNT" else select
        raise ValidationFault(f"Cannot specify the {given} when choosing to get {what}")
    if index is None or not index.index.is_global or index.index.projection == "ALL":
        return
    name = index.index.name
    if select == "ALL_ATTRIBUTES":
        raise ValidationFault(
            "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index "
            f"{name} because its projection type is not ALL"
        )
    missing = sorted(projection.paths() - _projected(index)) if projection is not None else []
    if missing:
        raise ValidationFault(
            f"One or more parameter values were invalid: Global secondary index {name} does not project [{', '.join(missing)}]"
        )


def _projected(index: IndexKeys) -> frozenset[str]:
    return frozenset((*index.names, *index.index.attributes))


def must_fetch(req: Mapping[str, Any], index: IndexKeys, condition: Condition | None, projection: Projection | None) -> bool:
    """Whether a local index doesn't hold all that is asked for."""
    if index.index.is_global:
        return False
    if req.get("Select") == "ALL_ATTRIBUTES":
        return True
    asked = (projection.paths() if projection is not None else frozenset()) | (
        condition.paths() if condition is not None and projection is not None else frozenset()
    )
    return not asked <= _projected(index)


def _refuse_keys_in_filter(condition: Condition | None, names: tuple[str, ...], *, is_legacy: bool) -> None:
    for name in names if condition is not None else ():
        assert condition is not None
        if name in condition.paths():
            what = "QueryFilter" if is_legacy else "Filter Expression"
            raise ValidationFault(f"{what} can only contain non-primary key attributes: Primary key attribute: {name}")


def _prefix(item_keys: ItemKeys, index: IndexKeys | None) -> bytes:
    return index.prefix if index is not None else item_keys.prefix


def range_of(condition: KeyCondition, item_keys: ItemKeys, index: IndexKeys | None) -> tuple[bytes, bytes]:
    """[start, end) of the keys that the condition selects."""
    hashed = b"".join([keys.encode(value) for value in condition.hash_values.values()])
    prefix = _prefix(item_keys, index) + storage.partition(hashed)
    prefix += b"".join([keys.encode(value) for value in condition.range_equal.values()])
    if condition.range is None:
        return prefix, storage.end_of(prefix)
    low, high = keys.bounds(condition.range.operator, condition.range.values)
    return prefix + low, storage.end_of(prefix) if high is None else prefix + high


def _position(request: PageRequest, key: Any) -> bytes:
    """The whole key that an ExclusiveStartKey means."""
    if request.index is None:
        names = request.keys.names
        types: Mapping[str, str] = request.keys.table.types
        if type(key) is not dict or len(key) != len(names):
            raise ValidationFault("Exclusive Start Key must have same size as table's key schema")
    else:
        names = request.index.names
        types = request.keys.table.types
    found = checked_key(key, names, types, f"{_BAD_START}: The provided key element does not match the schema")
    for name, value in found.items():
        try:
            keys.validate_key(name, value, is_hash=name == request.keys.hash_name)
        except ValidationFault as fault:
            raise ValidationFault(f"{_BAD_START}: {fault.message}") from None
    return request.index.prefix + request.index.position(found) if request.index is not None else request.keys.of_key(found)


def _start_after(request: PageRequest, key: Any, condition: KeyCondition) -> None:
    """Go on behind a key, which must be one that the query could have ended at."""
    position = _position(request, key)
    hashed = b"".join([keys.encode(value) for value in condition.hash_values.values()])
    if not position.startswith(_prefix(request.keys, request.index) + storage.partition(hashed)):
        raise ValidationFault("The provided starting key is outside query boundaries based on provided conditions")
    if not request.start <= position < request.end:
        raise ValidationFault("The provided starting key does not match the range key predicate")
    if request.is_reverse:
        request.end = position
    else:
        request.start = position + b"\x00"


def _segment(req: Mapping[str, Any]) -> tuple[int, int]:
    segment, total = req.get("Segment"), req.get("TotalSegments")
    if segment is None and total is None:
        return 0, 1
    if total is None:
        raise ValidationFault(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present"
        )
    if segment is None:
        raise ValidationFault(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present"
        )
    if segment >= total:
        raise ValidationFault(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {total}"
        )
    return int(segment), int(total)
