"""SELECT: pages of a table or index for a statement, one query after the other or a scan, and the token where the next goes on."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cumulet.services.tables import keys, storage
from cumulet.services.tables.api_queries import cost_of, index_of, must_fetch, range_of
from cumulet.services.tables.changes import Cost
from cumulet.services.tables.consumption import add_cost, consumed
from cumulet.services.tables.data import Data, without_none
from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.expressions import KeyCondition
from cumulet.services.tables.item_keys import IndexKeys, ItemKeys
from cumulet.services.tables.partiql import Select
from cumulet.services.tables.partiql.access import Access, access_of
from cumulet.services.tables.plans_partiql import Execution, condition_of
from cumulet.services.tables.reading import PAGE_BYTES, PageRequest, read_page


@dataclass(slots=True)
class _Result:
    items: list[Any]
    cost: Cost
    scanned: int = 0
    size: int = 0
    last_key: Any = None
    token: str | None = None


async def select_page(data: Data, shard: str, item_keys: ItemKeys, execution: Execution, req: Mapping[str, Any]) -> dict[str, Any]:
    """What ExecuteStatement answers to a SELECT. Raises ValidationFault."""
    select = execution.statement
    assert isinstance(select, Select)
    index = index_of(item_keys, {"IndexName": select.index, "ConsistentRead": execution.is_consistent})
    types = item_keys.table.types
    schema = index.schema if index is not None else item_keys.table.key
    hashes, ranges = {name: types[name] for name in schema.hashes}, {name: types[name] for name in schema.ranges}
    access = access_of(select, hashes, ranges, execution.bindings)
    for condition in access.conditions or ():
        for name, value in condition.hash_values.items():
            keys.validate_key(name, value, is_hash=True, of_item=True)
    requests = _requests(select, access, execution, item_keys, index)
    digest = _digest(req)
    number, position = _from_token(req["NextToken"], digest, requests) if req.get("NextToken") is not None else (0, None)
    name = index.index.name if index is not None else ""
    data.buckets.check(shard, item_keys.table, name)
    result = await _read(data, shard, requests, number, position, execution, limit=req.get("Limit"), name=name, digest=digest)
    for part, units in result.cost.items():
        data.buckets.charge(shard, item_keys.table, part, units)
    told = consumed(req.get("ReturnConsumedCapacity"), item_keys.table, select.table, result.cost)
    return without_none(Items=result.items, NextToken=result.token, LastEvaluatedKey=result.last_key, ConsumedCapacity=told)


def _requests(
    select: Select, access: Access, execution: Execution, item_keys: ItemKeys, index: IndexKeys | None
) -> list[PageRequest]:
    """One for each range of keys that the clause reaches."""
    condition = condition_of(access.rest, execution.bindings, item_keys)
    projection = select.projection()
    alternatives: Sequence[KeyCondition | None] = access.conditions if access.conditions is not None else [None]
    found = []
    for alternative in alternatives:
        if alternative is not None:
            start, end = range_of(alternative, item_keys, index)
        else:
            start, end = storage.segment_range(index.prefix if index is not None else item_keys.prefix, 0, 1)
        request = PageRequest(item_keys, index, start, end, access.is_reverse, condition=condition, projection=projection)
        if index is not None and index.index.projection != "ALL":
            request.fetches = must_fetch({}, index, condition, projection)
        found.append(request)
    return found


async def _read(
    data: Data,
    shard: str,
    requests: list[PageRequest],
    number: int,
    position: bytes | None,
    execution: Execution,
    *,
    limit: int | None,
    name: str,
    digest: str,
) -> _Result:
    """From a position on, until a page is full, as many items as `limit` were evaluated, or there are no more."""
    result = _Result([], {})
    while number < len(requests):
        request = requests[number]
        if position is not None:
            _start_after(request, position)
            position = None
        request.limit = None if limit is None else limit - result.scanned
        page = await read_page(data.store, shard, request)
        result.items += page.listed
        result.scanned += page.scanned
        result.size += page.size
        add_cost(result.cost, cost_of(page, name, is_consistent=execution.is_consistent))
        if page.last_key is not None and page.last is not None:
            result.last_key = page.last_key
            result.token = _token(digest, number, page.last[0])
            break
        number += 1
        if number < len(requests) and result.size >= PAGE_BYTES:
            result.token = _token(digest, number, None)
            break
    return result


def _start_after(request: PageRequest, position: bytes) -> None:
    if request.is_reverse:
        request.end = position
    else:
        request.start = position + b"\x00"


def _digest(req: Mapping[str, Any]) -> str:
    """A token goes on with the statement it came from."""
    told = [req["Statement"], req.get("Parameters")]
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def _token(digest: str, number: int, position: bytes | None) -> str:
    parts = [digest, number, None if position is None else urlsafe_b64encode(position).decode()]
    return urlsafe_b64encode(orjson.dumps(parts)).decode()


def _from_token(token: str, digest: str, requests: Sequence[PageRequest]) -> tuple[int, bytes | None]:
    """Which request goes on, and behind which key. Raises ValidationFault for what is no token of this statement."""
    try:
        given, number, encoded = orjson.loads(urlsafe_b64decode(token))
        position = None if encoded is None else urlsafe_b64decode(encoded)
        request = requests[number] if type(number) is int and number >= 0 else None
    except (ValueError, TypeError, IndexError):
        raise ValidationFault("Invalid NextToken") from None
    if given != digest or request is None or (position is not None and not request.start <= position < request.end):
        raise ValidationFault("Invalid NextToken")
    return number, position
