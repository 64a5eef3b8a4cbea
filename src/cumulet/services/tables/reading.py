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
    """`items` are decoded, `stored` the JSON of items as they are kept. `size` bytes were evaluated; `fetched_bytes` are of whole
    items that an index led to. `last_key` is where the next page goes on, None when there is none."""

    items: list[Any] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)
    count: int = 0
    scanned: int = 0
    size: int = 0
    fetched_bytes: list[int] = field(default_factory=list)
    last: tuple[bytes, bytes] | None = None
    last_key: Document | None = None

    @property
    def shown(self) -> Any:
        """A list of the items as JSON, or a fragment of it."""
        return storage.fragment_of_all(self.stored) if self.stored else self.items

    @property
    def listed(self) -> list[Any]:
        """The same, one by one."""
        return self.items + [orjson.Fragment(each) for each in self.stored]


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
    pairs = list(_pairs(reader, request, page, most))
    is_full = False
    if page.size + sum([len(pair[1]) for pair in pairs]) > PAGE_BYTES:  # as JSON an item is longer than what it counts for
        room = _room(pairs, page)
        is_full = room < len(pairs)
        del pairs[room:]
    if not pairs:
        return is_full
    page.size += sum(storage.sizes_of([pair[1] for pair in pairs]))
    page.last = pairs[-1]
    page.scanned += len(pairs)
    page.count += len(pairs)
    if not request.is_count:
        page.stored += [pair[1][storage.SIZE_BYTES :] for pair in pairs]
    return is_full


def _room(pairs: list[tuple[bytes, bytes]], page: Page) -> int:
    """How many more items the page has room for; one goes on any page."""
    total = page.size
    for position, size in enumerate(storage.sizes_of([pair[1] for pair in pairs])):
        total += size
        if total > PAGE_BYTES and page.scanned + position:
            return position
    return len(pairs)


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
