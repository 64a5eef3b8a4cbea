"""Transactions: several items read or written all or nothing, for whatever operation asks.

All tables of one account and region lie in one shard of the store, whose transactions are serialisable: so a transaction is one
transaction, and never meets another halfway.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cumulet.services.tables import storage
from cumulet.services.tables.changes import Cost
from cumulet.services.tables.consumption import add_cost, read_units
from cumulet.services.tables.data import Data
from cumulet.services.tables.errors import (
    ConditionalCheckFailed,
    IdempotentParameterMismatch,
    ItemCollectionSizeLimitExceeded,
    ProvisionedThroughputExceeded,
    TransactionCanceled,
    ValidationFault,
)
from cumulet.services.tables.item_keys import ItemKeys, keys_of
from cumulet.services.tables.model import Document, Table
from cumulet.services.tables.plans import ReadPlan, WritePlan
from cumulet.services.tables.writing import Writer, check
from cumulet.store.contract import Reader, Txn

MOST_BYTES = 4 << 20
TOKEN_MS = 10 * 60 * 1000
_FORGOTTEN_AT_ONCE = 2
_FINE: Document = {"Code": "None"}


@dataclass(frozen=True, slots=True)
class Token:
    """A ClientRequestToken, and a digest of all that must be the same under the same token."""

    token: str
    digest: str


@dataclass(slots=True)
class Found:
    """What a transaction read: items as JSON or fragments of it, None for those that are not there; costs by table as called."""

    items: list[Any]
    costs: dict[str, tuple[Table, str, Cost]]


async def read_all(data: Data, shard: str, plans: Sequence[tuple[str, ReadPlan]]) -> Found:
    """(the table as it was called, the plan) of each item. Raises ValidationFault, ResourceNotFound."""

    def get(reader: Reader) -> list[tuple[ItemKeys, bytes, bytes | None]]:
        catalogue = data.catalogue_of(shard)
        found = []
        for _, plan in plans:
            keys = keys_of(catalogue.get_usable(reader, plan.table))
            data.buckets.check(shard, keys.table)
            key = keys.of_key(plan.key)
            found.append((keys, key, reader.get(key)))
        return found

    stored = await data.store.read(shard, get)
    if len({key for _, key, _ in stored}) != len(stored):
        raise ValidationFault("Transaction request cannot include multiple operations on one item")
    if sum(storage.size_of(value) for _, _, value in stored if value is not None) > MOST_BYTES:
        raise _too_large()
    found = Found([], {})
    for (keys, _, value), (given, plan) in zip(stored, plans, strict=True):
        units = 2 * read_units(storage.size_of(value) if value is not None else 0, is_consistent=True)
        add_cost(found.costs.setdefault(given, (keys.table, given, {}))[2], {"": units})
        data.buckets.charge(shard, keys.table, "", units)
        if value is None:
            found.items.append(None)
        elif plan.projection is None:
            found.items.append(storage.fragment_of(value))
        else:
            found.items.append(plan.projection.apply(storage.item_of(value)))
    return found


async def write_all(
    data: Data, shard: str, plans: list[tuple[str, WritePlan]], token: Token | None, *, tells_size: bool = False
) -> "Outcome":
    """(the table as it was called, the plan) of each item. Raises TransactionCanceled with a reason for each, ValidationFault,
    ResourceNotFound, IdempotentParameterMismatch."""
    writer, now_ms = data.writer_of(shard), data.clock.now_ms()

    def write(txn: Txn) -> Outcome:
        if token is not None:
            known = _known(txn, token.token, now_ms)
            if known is not None:
                if known["digest"] != token.digest:
                    raise IdempotentParameterMismatch(
                        "The request uses the same client token as a previous, but non-identical request."
                    )
                return Outcome(data, writer, plans).repeat(txn)
            _remember(txn, token.token, token.digest, now_ms)
        return Outcome(data, writer, plans).write(txn, now_ms, tells_size=tells_size)

    outcome = await data.store.write(shard, write)
    for table, _, _ in outcome.costs.values():
        data.written(shard, table)
    return outcome


class Outcome:
    """A transaction being carried out."""

    def __init__(self, data: Data, writer: Writer, plans: list[tuple[str, WritePlan]]) -> None:
        self._data = data
        self._writer = writer
        self._plans = plans
        self.costs: dict[str, tuple[Table, str, Cost]] = {}
        self.metrics: dict[str, list[Document]] = {}
        self.split = "Write"

    def write(self, txn: Txn, now_ms: int, *, tells_size: bool) -> "Outcome":
        """Raises TransactionCanceled with a reason for each member."""
        located = self._locate(txn)
        reasons: list[Document] = []
        size = 0
        for (given, plan), (keys, key) in zip(self._plans, located, strict=True):
            try:
                size += self._write_one(txn, given, plan, keys, key, now_ms, tells_size=tells_size)
                reasons.append(_FINE)
            except ConditionalCheckFailed as fault:
                item = {} if fault.item is None else {"Item": fault.item}
                reasons.append({"Code": "ConditionalCheckFailed", "Message": fault.message, **item})
            except ItemCollectionSizeLimitExceeded as fault:
                reasons.append({"Code": "ItemCollectionSizeLimitExceeded", "Message": fault.message})
            except ProvisionedThroughputExceeded as fault:
                reasons.append({"Code": "ProvisionedThroughputExceeded", "Message": fault.message})
            except ValidationFault as fault:
                reasons.append({"Code": "ValidationError", "Message": fault.message})
        if any(reason is not _FINE for reason in reasons):
            raise TransactionCanceled(reasons)
        if size > MOST_BYTES:
            raise _too_large()
        return self

    def repeat(self, txn: Txn) -> "Outcome":
        """The same request came before: nothing is written, and it costs what reading its items costs."""
        self.split = "Read"
        for (given, _), (keys, key) in zip(self._plans, self._locate(txn), strict=True):
            value = txn.get(key)
            units = 2 * read_units(storage.size_of(value) if value is not None else 0, is_consistent=True)
            add_cost(self.costs.setdefault(given, (keys.table, given, {}))[2], {"": units})
        return self

    def _locate(self, txn: Txn) -> list[tuple[ItemKeys, bytes]]:
        located, reasons = [], []
        for _, plan in self._plans:
            try:
                located.append(self._writer.locate(txn, plan))
                reasons.append(_FINE)
            except ValidationFault as fault:
                reasons.append({"Code": "ValidationError", "Message": fault.message})
        if len(located) < len(reasons):
            raise TransactionCanceled(reasons)
        if len({key for _, key in located}) != len(located):
            raise ValidationFault("Transaction request cannot include multiple operations on one item")
        return located

    def _write_one(
        self, txn: Txn, given: str, plan: WritePlan, keys: ItemKeys, key: bytes, now_ms: int, *, tells_size: bool
    ) -> int:
        """The bytes of the item that was written or checked."""
        cost = self.costs.setdefault(given, (keys.table, given, {}))[2]
        if plan.kind == "ConditionCheck":
            old = txn.get(key)
            check(plan, storage.item_of(old) if old is not None else None, old)
            size = storage.size_of(old) if old is not None else 0
            add_cost(cost, {"": 2 * read_units(size, is_consistent=True)})
            return size
        written = self._writer.write_at(txn, plan, keys, key, now_ms, factor=2.0)
        add_cost(cost, written.cost)
        item = written.new_item if written.new_item is not None else written.old_item
        if tells_size and item is not None and (metrics := self._data.collection_metrics(txn, keys, item)) is not None:
            self.metrics.setdefault(given, []).append(metrics)
        return written.new_size or (storage.size_of(written.old) if written.old is not None else 0)


def _too_large() -> ValidationFault:
    return ValidationFault("Collection size of all items in the transaction exceeds the limit of 4 MB")


def _known(txn: Txn, token: str, now_ms: int) -> Document | None:
    known = storage.find_document(txn, "token", token)
    return known if known is not None and known["at_ms"] > now_ms - TOKEN_MS else None


def _remember(txn: Txn, token: str, digest: str, now_ms: int) -> None:
    """Keep a token for ten minutes; whoever comes later clears away what is older."""
    for old in list(storage.list_documents(txn, "token-time", limit=_FORGOTTEN_AT_ONCE)):
        if old["at_ms"] <= now_ms - TOKEN_MS:
            storage.delete_document(txn, "token-time", old["at_ms"], old["token"])
            kept = storage.find_document(txn, "token", old["token"])
            if kept is not None and kept["at_ms"] == old["at_ms"]:
                storage.delete_document(txn, "token", old["token"])
    storage.put_document(txn, {"digest": digest, "at_ms": now_ms}, "token", token)
    storage.put_document(txn, {"token": token, "at_ms": now_ms}, "token-time", now_ms, token)
