"""Writes of single items inside a transaction: what single requests, batches and transactions share."""

from dataclasses import dataclass
from typing import Any

from cumulet.services.tables import storage
from cumulet.services.tables.catalogue import Catalogue
from cumulet.services.tables.changes import Changes, Cost
from cumulet.services.tables.errors import ConditionalCheckFailed, ValidationFault
from cumulet.services.tables.item_keys import ItemKeys, keys_of
from cumulet.services.tables.model import Table
from cumulet.services.tables.plans import WritePlan
from cumulet.services.tables.throughput import Buckets
from cumulet.services.tables.values import Item, check_updated, normalise
from cumulet.store.contract import Reader, Txn

_UPDATED_INDEX_TYPE = "The update expression attempted to update the secondary index key to unsupported type"
_UPDATED_INDEX_EMPTY = (
    "The update expression attempted to update the secondary index key to a value that is not supported. "
    "The AttributeValue for a key attribute cannot contain an empty value."
)


@dataclass(slots=True)
class Written:
    """What a write found and made. `old` is as it was stored."""

    table: Table
    key: bytes
    old: bytes | None
    old_item: Item | None
    new_item: Item | None
    new_size: int
    cost: Cost


class Writer:
    """Carries out plans in the transactions of one shard."""

    def __init__(self, shard: str, catalogue: Catalogue, changes: Changes, buckets: Buckets) -> None:
        self.shard = shard
        self._catalogue = catalogue
        self._changes = changes
        self._buckets = buckets

    def locate(self, reader: Reader, plan: WritePlan) -> tuple[ItemKeys, bytes]:
        """The plan's table and its item's key. Raises ResourceNotFound, ValidationFault."""
        keys = keys_of(self._catalogue.get_usable(reader, plan.table))
        if plan.item is not None:
            return keys, keys.of_item(plan.item)
        return keys, keys.of_key(plan.key)

    def write(self, txn: Txn, plan: WritePlan, now_ms: int, *, tells_cost: bool = True) -> Written:
        """Raises ConditionalCheckFailed, ValidationFault, ResourceNotFound, ProvisionedThroughputExceeded,
        ItemCollectionSizeLimitExceeded."""
        keys, key = self.locate(txn, plan)
        if plan.is_blind and not tells_cost and keys.table.is_plain:
            self._put_blindly(txn, plan, key)
            return Written(keys.table, key, None, None, plan.item, plan.size, {})
        return self.write_at(txn, plan, keys, key, now_ms)

    def write_at(
        self, txn: Txn, plan: WritePlan, keys: ItemKeys, key: bytes, now_ms: int, *, factor: float = 1.0, is_admitted: bool = False
    ) -> Written:
        """The same at a known key. `factor` is 2 in transactions; `is_admitted`: it is not refused for what it costs."""
        old = txn.get(key)
        old_item = storage.item_of(old) if old is not None and not (plan.is_blind and keys.table.is_plain) else None
        check(plan, old_item, old)
        new_item, new = self._made(plan, keys, old_item, old)
        cost = self._changes.write(
            txn, self.shard, keys, key, old, new, new_item=new_item, old_item=old_item, now_ms=now_ms, is_limited=True
        )
        if factor != 1.0:
            cost = {name: units * factor for name, units in cost.items()}
        self._buckets.take(self.shard, keys.table, cost, is_admitted=is_admitted)
        return Written(keys.table, key, old, old_item, new_item, storage.size_of(new) if new is not None else 0, cost)

    def _put_blindly(self, txn: Txn, plan: WritePlan, key: bytes) -> None:
        if plan.item is not None:
            txn.put(key, storage.pack_item(plan.item, plan.size))
        else:
            txn.delete(key)

    def _made(self, plan: WritePlan, keys: ItemKeys, old_item: Item | None, old: bytes | None) -> tuple[Item | None, bytes | None]:
        """The item that the plan makes of the old one, and as it is stored."""
        if plan.kind == "Put":
            assert plan.item is not None
            return plan.item, storage.pack_item(plan.item, plan.size)
        if plan.kind == "Delete":
            return None, None
        assert plan.update is not None
        for name in keys.names:
            if plan.update.touches(name):
                raise ValidationFault(
                    f"One or more parameter values were invalid: Cannot update attribute {name}. This attribute is part of the key"
                )
        _check_index_types(plan, keys)
        if old_item is None and plan.is_removal:
            return None, None
        base = old_item if old_item is not None else _key_item(plan.key, keys)
        item = plan.update.apply(base)
        size = check_updated(item)
        for index in keys.written:
            if any(plan.update.touches(name) for name in index.schema.names):
                _check_index_key(index.types, item)
                index.check(item)
        return item, storage.pack_item(item, size)


def check(plan: WritePlan, old_item: Item | None, old: bytes | None) -> None:
    """Raises ConditionalCheckFailed, with the item where that was asked for."""
    if plan.condition is not None and not plan.condition.matches(old_item):
        raise ConditionalCheckFailed(item=old_item if plan.tells_failed and old is not None else None)


def returned(plan: WritePlan, written: Written) -> Any:
    """The Attributes of the answer as JSON or a fragment of it, None for none."""
    match plan.returns:
        case "ALL_OLD":
            return storage.fragment_of(written.old) if written.old is not None else None
        case "ALL_NEW":
            return written.new_item
        case "UPDATED_OLD":
            assert plan.update is not None
            return (plan.update.touched(written.old_item) or None) if written.old_item is not None else None
        case "UPDATED_NEW":
            assert plan.update is not None
            return (plan.update.touched(written.new_item) or None) if written.new_item is not None else None
    return None


def _key_item(key: Any, keys: ItemKeys) -> Item:
    """The item that has only its key."""

    return {name: normalise(key[name]) for name in keys.names}


def _check_index_types(plan: WritePlan, keys: ItemKeys) -> None:
    """What the request alone tells: an index's key would get a value of another type."""
    assert plan.update is not None
    for index in keys.written:
        for name, kind in index.types.items():
            given = plan.update.kind_of(name)
            if given is not None and given != kind:
                raise ValidationFault(_UPDATED_INDEX_TYPE)


def _check_index_key(types: dict[str, Any], item: Item) -> None:
    for name, kind in types.items():
        value = item.get(name)
        if value is None:
            continue
        if kind not in value:
            raise ValidationFault(_UPDATED_INDEX_TYPE)
        if not value[kind]:
            raise ValidationFault(_UPDATED_INDEX_EMPTY)
