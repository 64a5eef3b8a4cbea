"""Keys of items and of their index entries, from attribute values to bytes: made once a table, used for every item. Pure.

Values in items are normalised before; values in keys are judged here.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from cumulet.services.tables import keys, storage, values
from cumulet.services.tables.errors import ValidationFault
from cumulet.services.tables.model import Index, KeySchema, Table
from cumulet.services.tables.values import Item

MISMATCH = "The provided key element does not match the schema"
_END = b"\x00\x01"


class ItemKeys:
    """The keys of one table's items."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.prefix = storage.items_prefix(table.number)
        self.names = table.key.names
        self.hash_name = table.key.hashes[0]
        self.range_name = table.key.ranges[0] if table.key.ranges else None
        self._hash_type = table.types[self.hash_name]
        self._range_type = table.types[self.range_name] if self.range_name is not None else ""
        self._size = len(self.names)
        self.indexes = {index.name: IndexKeys(table, index) for index in table.indexes}
        self.written = [self.indexes[index.name] for index in table.written_indexes]

    def of_item(self, item: Item) -> bytes:
        """The whole key of a normalised item. Raises ValidationFault as PutItem does, also for keys of indexes."""
        value = item.get(self.hash_name)
        encoded = _short_text(value, 2048) if self._hash_type == "S" and value is not None else None
        if encoded is None:
            encoded = _item_part(item, self.hash_name, self._hash_type, is_hash=True)
        key = self.prefix + zlib.crc32(encoded).to_bytes(4, "big") + encoded
        if self.range_name is not None:
            value = item.get(self.range_name)
            encoded = _short_text(value, 1024) if self._range_type == "S" and value is not None else None
            key += encoded if encoded is not None else _item_part(item, self.range_name, self._range_type, is_hash=False)
        for index in self.written:
            index.check(item)
        return key

    def of_key(self, key: Any) -> bytes:
        """The whole key of the item that a Key names. Raises ValidationFault, SerializationFault."""
        if type(key) is not dict or len(key) != self._size:
            raise ValidationFault(MISMATCH)
        value = key.get(self.hash_name)
        encoded = _short_text(value, 2048) if self._hash_type == "S" and type(value) is dict else None
        if encoded is None:
            encoded = _key_part(key, self.hash_name, self._hash_type, is_hash=True)
        result = self.prefix + zlib.crc32(encoded).to_bytes(4, "big") + encoded
        if self.range_name is None:
            return result
        value = key.get(self.range_name)
        encoded = _short_text(value, 1024) if self._range_type == "S" and type(value) is dict else None
        return result + (encoded if encoded is not None else _key_part(key, self.range_name, self._range_type, is_hash=False))

    def of_keys(self, given: Sequence[Any]) -> list[bytes]:
        """The same of many: of two plain strings, as nearly all keys are, without a call for each."""
        if self._hash_type != "S" or self._range_type != "S":
            return [self.of_key(key) for key in given]
        hash_name, range_name, prefix, of_key, crc32 = self.hash_name, self.range_name, self.prefix, self.of_key, zlib.crc32
        found = []
        for key in given:
            try:
                hashed, ranged = key[hash_name], key[range_name]
                text = hashed["S"] + ranged["S"]
                if len(key) != 2 or len(hashed) != 1 or len(ranged) != 1 or not text.isascii() or "\x00" in text:
                    raise ValueError
                start, end = hashed["S"].encode() + _END, ranged["S"].encode() + _END
                if not 2 < len(start) <= 2050 or not 2 < len(end) <= 1026:
                    raise ValueError
            except (KeyError, TypeError, ValueError, AttributeError):
                found.append(of_key(key))  # which says what is wrong with it, if anything is
            else:
                found.append(prefix + crc32(start).to_bytes(4, "big") + start + end)
        return found

    def hash_of(self, item: Item) -> bytes:
        """The encoded partition key of a stored item."""
        return keys.encode(item[self.hash_name])

    def key_of(self, item: Item) -> Item:
        """The item's key attributes."""
        return {name: item[name] for name in self.names}

    def index(self, name: str) -> "IndexKeys":
        """Raises ValidationFault when the table has no such index."""
        found = self.indexes.get(name)
        if found is None:
            raise ValidationFault(f"The table does not have the specified index: {name}")
        return found


class IndexKeys:
    """The keys of one index's entries, and what of an item is projected into them."""

    def __init__(self, table: Table, index: Index) -> None:
        self.index = index
        self.prefix = storage.entries_prefix(table.number, index.number)
        self.schema: KeySchema = index.key
        self.types = {name: table.types[name] for name in index.key.names}
        self.names = tuple(dict.fromkeys((*index.key.names, *table.key.names)))
        self._projected = None if index.projection == "ALL" else (*self.names, *index.attributes)
        self._to_check = [name for name in index.key.names if name not in table.key.names]
        self._table_names = table.key.names

    def check(self, item: Item) -> None:
        """Raises ValidationFault for an item that the index cannot take: it has the key's attributes, but not such values."""
        for name in self._to_check:
            value = item.get(name)
            if value is None:
                continue
            kind = self.types[name]
            if kind not in value:
                raise ValidationFault(
                    f"One or more parameter values were invalid: Type mismatch for Index Key {name} "
                    f"Expected: {kind} Actual: {values.type_of(value)} IndexName: {self.index.name}"
                )
            if kind != "N" and not value[kind]:
                what = "string" if kind == "S" else "binary"
                raise ValidationFault(
                    "One or more parameter values are not valid. A value specified for a secondary index key is not supported. "
                    f"The AttributeValue for a key attribute cannot contain an empty {what} value. "
                    f"IndexName: {self.index.name}, IndexKey: {name}"
                )
            keys.validate_key(name, value, is_hash=name in self.schema.hashes)

    def of_item(self, item: Item) -> bytes | None:
        """The whole key of an item's entry; None for an item that the index does not have."""
        for name, kind in self.types.items():
            value = item.get(name)
            if value is None or not value.get(kind):
                return None
        return self.prefix + self.position(item)

    def position(self, key: Mapping[str, Any]) -> bytes:
        """What follows the prefix, from normalised key attributes of the index and the table."""
        hashed = b"".join([keys.encode(key[name]) for name in self.schema.hashes])
        rest = b"".join([keys.encode(key[name]) for name in (*self.schema.ranges, *self._table_names)])
        return storage.partition(hashed) + rest

    def projected(self, item: Item) -> Item:
        if self._projected is None:
            return item
        return {name: item[name] for name in self._projected if name in item}


def keys_of(table: Table) -> ItemKeys:
    """Compiled once a table, as long as its definition stays."""
    found: ItemKeys | None = table.__dict__.get("_keys")
    if found is None:
        found = table.__dict__["_keys"] = ItemKeys(table)
    return found


def checked_key(key: Any, names: Sequence[str], types: Mapping[str, str], fault: str) -> Item:
    """A normalised key of exactly these attributes. Raises ValidationFault with the given words."""
    if type(key) is not dict or len(key) != len(names):
        raise ValidationFault(fault)
    found: Item = {}
    for name in names:
        if name not in key:
            raise ValidationFault(fault)
        value = values.normalise(key[name])
        if types[name] not in value:
            raise ValidationFault(fault)
        found[name] = value
    return found


def _short_text(value: dict[str, Any] | None, most: int) -> bytes | None:
    """The encoding of a string as nearly all keys are; None for whatever needs a closer look."""
    if value is None or len(value) != 1:
        return None
    text = value.get("S")
    if type(text) is not str or not 0 < len(text) <= most or not text.isascii() or "\x00" in text:
        return None
    return text.encode() + _END


def _item_part(item: Item, name: str, kind: str, *, is_hash: bool) -> bytes:
    value = item.get(name)
    if value is None:
        raise ValidationFault(f"One or more parameter values were invalid: Missing the key {name} in the item")
    if kind not in value:
        raise ValidationFault(
            f"One or more parameter values were invalid: Type mismatch for key {name} expected: {kind} "
            f"actual: {values.type_of(value)}"
        )
    keys.validate_key(name, value, is_hash=is_hash, of_item=True)
    return keys.encode(value)


def _key_part(key: Mapping[str, Any], name: str, kind: str, *, is_hash: bool) -> bytes:
    if name not in key:
        raise ValidationFault(MISMATCH)
    value = values.normalise(key[name])
    if kind not in value:
        raise ValidationFault(MISMATCH)
    keys.validate_key(name, value, is_hash=is_hash)
    return keys.encode(value)
