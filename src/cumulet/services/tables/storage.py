"""Where tables lie: one shard an account and region. The only module of the service that knows keys.

All that changes together (items of several tables, their index entries and stream records) is in one shard, so that one
transaction can change it. Documents have packed keys; what there is much of begins with one byte of its kind and the table's
number. A partition is placed by a hash of its key, so that a scan can be cut into segments without looking at anything.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from cumulet.services.tables.model import Document, Place, Table
from cumulet.store.contract import Reader, Txn
from cumulet.store.keys import after, pack, prefix_range, unpack

_SHARD_PREFIX = "tables/"
_NUMBER = pack("number")

ITEM, ENTRY, DUE, RECORD, LAST_RECORD, COLLECTION = b"\x10", b"\x11", b"\x12", b"\x13", b"\x14", b"\x15"
SAVED, HISTORY, LAST_HISTORY = b"\x16", b"\x17", b"\x18"
VERSION, GONE = b"\x19", b"\x1a"
SIZE_BYTES = 4
"""An item is kept as what it counts for, in four bytes, and its JSON: so that neither pages nor capacity need it decoded."""
HASH_SPACE = 1 << 32


def shard_of(place: Place) -> str:
    return f"{_SHARD_PREFIX}{place.account}/{place.region}"


def find_place(shard: str) -> Place | None:
    """The place of a shard of this service."""
    if not shard.startswith(_SHARD_PREFIX):
        return None
    account, _, region = shard[len(_SHARD_PREFIX) :].partition("/")
    return Place(account, region)


# Documents


def new_number(txn: Txn) -> int:
    """A number that nothing in this shard had before."""
    number = int(txn.get(_NUMBER) or b"0") + 1
    txn.put(_NUMBER, b"%d" % number)
    return number


def table_key(name: str) -> bytes:
    return pack("table", name)


def put_table(txn: Txn, table: Table) -> None:
    txn.put(table_key(table.name), orjson.dumps(table.to_document()))


def delete_table(txn: Txn, name: str) -> None:
    txn.delete(table_key(name))


def list_table_names(reader: Reader, after_name: str | None, limit: int) -> list[str]:
    start, end = prefix_range("table")
    if after_name is not None:
        start = after(table_key(after_name))
    return [str(unpack(key)[1]) for key, _ in reader.scan(start, end, limit=limit)]


def put_document(txn: Txn, document: Document, *path: str | int) -> None:
    txn.put(pack(*path), orjson.dumps(document))


def find_document(reader: Reader, *path: str | int) -> Document | None:
    data = reader.get(pack(*path))
    return None if data is None else orjson.loads(data)


def delete_document(txn: Txn, *path: str | int) -> None:
    txn.delete(pack(*path))


def list_documents(reader: Reader, *path: str | int, limit: int | None = None) -> Iterator[Document]:
    for _, data in reader.scan(*prefix_range(*path), limit=limit):
        yield orjson.loads(data)


# Items and their index entries


def items_prefix(table_number: int) -> bytes:
    return ITEM + table_number.to_bytes(4, "big")


def entries_prefix(table_number: int, index_number: int) -> bytes:
    return ENTRY + table_number.to_bytes(4, "big") + index_number.to_bytes(2, "big")


def partition(encoded: bytes) -> bytes:
    """What the keys of one partition begin with after the prefix of their table or index."""
    return zlib.crc32(encoded).to_bytes(4, "big") + encoded


def end_of(prefix: bytes) -> bytes:
    """The end of all keys that begin so."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,))


def segment_range(prefix: bytes, segment: int, total: int) -> tuple[bytes, bytes]:
    """[start, end) of one of `total` equal shares of the hash space."""
    low, high = segment * HASH_SPACE // total, (segment + 1) * HASH_SPACE // total
    start = prefix + low.to_bytes(4, "big")
    return start, end_of(prefix) if high == HASH_SPACE else prefix + high.to_bytes(4, "big")


def pack_item(item: dict[str, Any], size: int) -> bytes:
    return size.to_bytes(SIZE_BYTES, "big") + orjson.dumps(item)


def item_of(value: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(memoryview(value)[SIZE_BYTES:])
    return found


def size_of(value: bytes) -> int:
    return int.from_bytes(value[:SIZE_BYTES], "big")


def fragment_of(value: bytes) -> orjson.Fragment:
    """The stored JSON as it is, to be spliced into an answer."""
    return orjson.Fragment(value[SIZE_BYTES:])


def fragment_of_all(stored: list[bytes]) -> orjson.Fragment:
    """A list of items' JSON."""
    return orjson.Fragment(b"[" + b",".join(stored) + b"]")


def sizes_of(values: Sequence[bytes]) -> tuple[int, ...]:
    """What items count for, all at once."""
    return struct.unpack(f">{len(values)}I", b"".join([value[:SIZE_BYTES] for value in values]))


# What is due


def due_key(expires_s: int, table_number: int, item_key: bytes) -> bytes:
    """`item_key` is the item's whole key."""
    return DUE + expires_s.to_bytes(8, "big") + table_number.to_bytes(4, "big") + item_key


def split_due(key: bytes) -> tuple[int, int, bytes]:
    """(expiry, table number, item key)."""
    return int.from_bytes(key[1:9], "big"), int.from_bytes(key[9:13], "big"), key[13:]


# Stream records


def stream_prefix(table_number: int, stream_number: int, shard: int = 0) -> bytes:
    return RECORD + table_number.to_bytes(4, "big") + stream_number.to_bytes(4, "big") + shard.to_bytes(2, "big")


def last_record_key(table_number: int, stream_number: int, shard: int = 0) -> bytes:
    return LAST_RECORD + stream_prefix(table_number, stream_number, shard)[1:]


def record_key(prefix: bytes, sequence: int) -> bytes:
    return prefix + sequence.to_bytes(8, "big")


def collection_key(table_number: int, encoded_hash: bytes) -> bytes:
    """Where the bytes of an item collection are counted, for tables with local indexes."""
    return COLLECTION + table_number.to_bytes(4, "big") + encoded_hash


def purge(txn: Txn, prefix: bytes, limit: int) -> bool:
    """Delete up to `limit` keys that begin so; whether there may be more."""
    keys = [key for key, _ in txn.scan(prefix, end_of(prefix), limit=limit)]
    for key in keys:
        txn.delete(key)
    return len(keys) == limit


# Copies of tables, and what they are made from


def saved_prefix(backup_number: int) -> bytes:
    """Where a backup's items lie, by what follows the prefix of their table."""
    return SAVED + backup_number.to_bytes(4, "big")


def history_prefix(table_number: int) -> bytes:
    return HISTORY + table_number.to_bytes(4, "big")


def last_history_key(table_number: int) -> bytes:
    return LAST_HISTORY + table_number.to_bytes(4, "big")


def last_history(reader: Reader, table_number: int) -> int:
    """The number of the last change that was kept of a table."""
    return int.from_bytes(reader.get(last_history_key(table_number)) or b"", "big")


def put_history(txn: Txn, table_number: int, item_key: bytes, old: bytes | None, now_ms: int) -> None:
    """Keep what an item was before a change: the time, the length of the item's key, the key, the item as it was stored."""
    number = last_history(txn, table_number) + 1
    txn.put(last_history_key(table_number), number.to_bytes(8, "big"))
    tail = item_key[len(items_prefix(table_number)) :]
    value = now_ms.to_bytes(8, "big") + len(tail).to_bytes(4, "big") + tail + (old or b"")
    txn.put(history_prefix(table_number) + number.to_bytes(8, "big"), value)


def split_history(key: bytes, value: bytes) -> tuple[int, int, bytes, bytes | None]:
    """(number, time in ms, the item's key after its table's prefix, what was there or None) of a change."""
    end = 12 + int.from_bytes(value[8:12], "big")
    return int.from_bytes(key[-8:], "big"), int.from_bytes(value[:8], "big"), value[12:end], value[end:] or None


# When items of global tables were last written, and where

Version = tuple[int, str]
"""(time in ms, region): the greater one wins. (0, "") is what was written before its table was a global one."""
UNVERSIONED: Version = (0, "")


def put_version(txn: Txn, item_key: bytes, version: Version, *, is_gone: bool) -> None:
    """Of an item that was written or, `is_gone`, deleted; the latter is listed by time too, to be forgotten one day."""
    txn.put(VERSION + item_key[1:], version[0].to_bytes(8, "big") + bytes((is_gone,)) + version[1].encode())
    if is_gone:
        txn.put(GONE + item_key[1:5] + version[0].to_bytes(8, "big") + item_key[5:], b"")


def find_version(reader: Reader, item_key: bytes) -> Version | None:
    raw = reader.get(VERSION + item_key[1:])
    return (int.from_bytes(raw[:8], "big"), raw[9:].decode()) if raw is not None else None


WrittenRow = tuple[bytes, bytes | None, Version]
"""(the item's key after its table's prefix, the item or None where it was deleted, its version)"""


def some_written(reader: Reader, table_number: int, cursor: bytes, limit: int) -> tuple[list[WrittenRow], bytes | None]:
    """Some of all that was written to a table and of what is gone from it, from a cursor on, b"" for the beginning; and the next
    cursor, None at the end."""
    items, gone = (kind + table_number.to_bytes(4, "big") for kind in (ITEM, GONE))
    start = cursor or items
    prefix = items if start.startswith(items) else gone
    rows: list[WrittenRow] = []
    last, count = start, 0
    for key, value in reader.scan(start, end_of(prefix), limit=limit):
        last, count = key, count + 1
        if prefix is items:
            rows.append((key[5:], value, find_version(reader, key) or UNVERSIONED))
        elif _is_still_gone(reader, key):
            version = find_version(reader, ITEM + key[1:5] + key[13:])
            assert version is not None
            rows.append((key[13:], None, version))
    if count == limit:
        return rows, last + b"\x00"
    return rows, gone if prefix is items else None


def _is_still_gone(reader: Reader, gone_key: bytes) -> bool:
    """Whether the item of an entry of the list by time was not written since."""
    raw = reader.get(VERSION + gone_key[1:5] + gone_key[13:])
    return raw is not None and bool(raw[8]) and raw[:8] == gone_key[5:13]


def forget_gone(txn: Txn, table_number: int, before_ms: int, limit: int) -> bool:
    """Forget up to `limit` deletions that are older; whether there may be more."""
    prefix = GONE + table_number.to_bytes(4, "big")
    pairs = list(txn.scan(prefix, prefix + before_ms.to_bytes(8, "big"), limit=limit))
    for key, _ in pairs:
        if _is_still_gone(txn, key):
            txn.delete(VERSION + key[1:5] + key[13:])
        txn.delete(key)
    return len(pairs) == limit


def table_prefixes(table_number: int) -> tuple[bytes, ...]:
    """Where all that a table holds lies, but for its stream, which outlives it, and the index by time."""
    number = table_number.to_bytes(4, "big")
    kinds = (ITEM, ENTRY, COLLECTION, HISTORY, LAST_HISTORY, VERSION, GONE)
    return tuple(kind + number for kind in kinds)
