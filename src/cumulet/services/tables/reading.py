"""Pages of items: queries and scans of tables and indexes, cut at 1 MB or a limit.

A page is read in small parts, between which the node does other things; as with the service whose API this is, a page is no
snapshot. What is neither filtered nor projected is never decoded.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson

from cumulet.services.tables import storage
from cumulet.services.tables.expressions import Condition, Projection
from cumulet.services.tables.item_keys import IndexKeys, ItemKeys
from cumulet.services.tables.model import Document
from cumulet.store.contract import Reader, Store

PAGE_BYTES = 1 << 20
_CHUNK, _DECODED_CHUNK = 1_024, 256


@dataclass(slots=True)
class PageRequest:
    """[start, end) of the keys of a table or index; `fetches` says that an index's entries lead to whole items."""

    keys: ItemKeys
    index: IndexKeys | None
    start: bytes
    end: bytes
    is_reverse: bool = False
    limit: int | None = None
    condition: Condition | None = None
    projection: Projection | None = None
    is_count: bool = False
    fetches: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether items go out as they are stored."""
        return self.condition is None and self.projection is None and not self.fetches


@dataclass(slots=True)
class Page:
    """`size` bytes were evaluated; `fetched_bytes` are of the whole items that an index led to. `last_key` is where the next page
    goes on, None when there is none."""

    items: list[Any] = field(default_factory=list)
    count: int = 0
    scanned: int = 0
    size: int = 0
    fetched_bytes: list[int] = field(default_factory=list)
    last: tuple[bytes, bytes] | None = None
    last_key: Document | None = None


async def read_page(store: Store, shard: str, request: PageRequest) -> Page:
    page = Page()
    read, most = (_read_whole, _CHUNK) if request.is_whole else (_read_decoded, _DECODED_CHUNK)
    while True:
        asked = most if request.limit is None else min(most, request.limit - page.scanned)
        before = page.scanned
        is_full = await store.read(shard, lambda reader, asked=asked: read(reader, request, page, asked))  # type: ignore[misc]
        if is_full or page.scanned == request.limit:
            page.last_key = _last_key(request, page)
            return page
        if page.scanned - before < asked:
            return page
        await asyncio.sleep(0)


def _read_whole(reader: Reader, request: PageRequest, page: Page, most: int) -> bool:
    """Take up to `most` more; whether the page is full before its limit."""
    total, items, fragment = page.size, page.items, orjson.Fragment
    has_room = page.scanned == 0  # one item goes on any page
    last = page.last
    seen = 0
    is_full = False
    for pair in _pairs(reader, request, page, most):
        value = pair[1]
        size = int.from_bytes(value[:4], "big")
        if total + size > PAGE_BYTES and not has_room:
            is_full = True
            break
        has_room = False
        total += size
        seen += 1
        last = pair
        if not request.is_count:
            items.append(fragment(value[4:]))
    page.size, page.last = total, last
    page.scanned += seen
    page.count += seen
    return is_full


def _read_decoded(reader: Reader, request: PageRequest, page: Page, most: int) -> bool:
    for pair in _pairs(reader, request, page, most):
        size = storage.size_of(pair[1])
        if page.size + size > PAGE_BYTES and page.scanned:
            return True
        page.size += size
        page.scanned += 1
        page.last = pair
        item: Document | None = storage.item_of(pair[1])
        if request.fetches and item is not None:
            item = _fetched(reader, request, page, item)
        if item is None or (request.condition is not None and not request.condition.matches(item)):
            continue
        page.count += 1
        if not request.is_count:
            page.items.append(request.projection.apply(item) if request.projection is not None else item)
    return False


def _pairs(reader: Reader, request: PageRequest, page: Page, most: int) -> Any:
    start, end = request.start, request.end
    if page.last is not None:
        start, end = (start, page.last[0]) if request.is_reverse else (page.last[0] + b"\x00", end)
    return reader.scan(start, end, reverse=request.is_reverse, limit=most)


def _fetched(reader: Reader, request: PageRequest, page: Page, entry: Document) -> Document | None:
    whole = reader.get(request.keys.of_key(request.keys.key_of(entry)))
    if whole is None:
        return None
    page.fetched_bytes.append(storage.size_of(whole))
    return storage.item_of(whole)


def _last_key(request: PageRequest, page: Page) -> Document | None:
    """The key attributes of the last item that was evaluated."""
    if page.last is None:
        return None
    item = storage.item_of(page.last[1])
    names = request.index.names if request.index is not None else request.keys.names
    return {name: item[name] for name in names}
