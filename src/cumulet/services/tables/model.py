"""Tables and their indexes as records. Pure: what a table is, how it is kept, and how it is described on the wire."""

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from cumulet.core.arn import Arn

Document = dict[str, Any]
TableStatus = Literal["CREATING", "UPDATING", "DELETING", "ACTIVE"]
IndexStatus = Literal["CREATING", "UPDATING", "DELETING", "ACTIVE"]
ON_DEMAND: Literal["PAY_PER_REQUEST"] = "PAY_PER_REQUEST"
DEFAULT_WARM_READS, DEFAULT_WARM_WRITES = 12_000, 4_000


@dataclass(frozen=True, slots=True)
class Place:
    """Tables are named per account and region."""

    account: str
    region: str

    def table_arn(self, name: str) -> str:
        return str(Arn("dynamodb", self.region, self.account, f"table/{name}"))


@dataclass(frozen=True)
class KeySchema:
    """The attributes of a key by name: of a table one each at most, of a global index up to four each."""

    hashes: tuple[str, ...]
    ranges: tuple[str, ...] = ()

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        return self.hashes + self.ranges

    def described(self) -> list[Document]:
        kinds = [(name, "HASH") for name in self.hashes] + [(name, "RANGE") for name in self.ranges]
        return [{"AttributeName": name, "KeyType": kind} for name, kind in kinds]


@dataclass(frozen=True, slots=True)
class Throughput:
    """Provisioned capacity. The times are of the last changes, 0 when there was none."""

    reads: int
    writes: int
    increased_ms: int = 0
    decreased_ms: int = 0
    decreases_today: int = 0

    def changed(self, reads: int, writes: int, now_ms: int) -> "Throughput":
        is_more, is_less = reads > self.reads or writes > self.writes, reads < self.reads or writes < self.writes
        is_same_day = self.decreased_ms // 86_400_000 == now_ms // 86_400_000
        decreases = (self.decreases_today if is_same_day else 0) + is_less
        return Throughput(
            reads, writes, now_ms if is_more else self.increased_ms, now_ms if is_less else self.decreased_ms, decreases
        )

    def described(self) -> Document:
        found: Document = {
            "NumberOfDecreasesToday": self.decreases_today,
            "ReadCapacityUnits": self.reads,
            "WriteCapacityUnits": self.writes,
        }
        if self.increased_ms:
            found["LastIncreaseDateTime"] = self.increased_ms / 1000
        if self.decreased_ms:
            found["LastDecreaseDateTime"] = self.decreased_ms / 1000
        return found


NO_THROUGHPUT = Throughput(0, 0)


@dataclass(frozen=True)
class Index:
    """A secondary index. `number` is its own in the table and never used again; `attributes` are those projected beside keys."""

    name: str
    number: int
    is_global: bool
    key: KeySchema
    projection: Literal["KEYS_ONLY", "INCLUDE", "ALL"]
    attributes: tuple[str, ...] = ()
    status: IndexStatus = "ACTIVE"
    is_backfilling: bool = False
    throughput: Throughput = NO_THROUGHPUT
    on_demand: Document | None = None
    warm: Document | None = None

    @property
    def is_written(self) -> bool:
        """Whether writes to the table must reach the index: from the moment that it exists."""
        return self.status != "DELETING"

    def described(self, table_arn: str, count: int, size_bytes: int) -> Document:
        projection: Document = {"ProjectionType": self.projection}
        if self.attributes:
            projection["NonKeyAttributes"] = list(self.attributes)
        found: Document = {
            "IndexName": self.name,
            "KeySchema": self.key.described(),
            "Projection": projection,
            "IndexSizeBytes": size_bytes,
            "ItemCount": count,
            "IndexArn": f"{table_arn}/index/{self.name}",
        }
        if self.is_global:
            found["IndexStatus"] = self.status
            if self.status == "CREATING":
                found["Backfilling"] = self.is_backfilling
            found["ProvisionedThroughput"] = self.throughput.described()
            if self.on_demand:
                found["OnDemandThroughput"] = self.on_demand
            found["WarmThroughput"] = warm_described(self.warm, self.throughput, "ACTIVE")
        return found


@dataclass(frozen=True, slots=True)
class Stream:
    """The stream of a table's changes. `number` counts the table's streams, since each switching on starts another one."""

    number: int
    label: str
    view: Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
    created_ms: int


@dataclass(frozen=True, slots=True)
class Expiry:
    """Time to live. While ENABLING the items that were there before are being looked at."""

    attribute: str
    status: Literal["ENABLING", "ENABLED", "DISABLING"]


@dataclass(frozen=True, slots=True)
class Replica:
    """The same table in another region. `is_ours`: it was asked for here, when the stream's last record was `after`.
    `options` are what it has otherwise, `pending` the changes of settings that it is yet to be told."""

    region: str
    status: Literal["CREATING", "CREATION_FAILED", "DELETING", "ACTIVE"]
    is_ours: bool = False
    created_ms: int = 0
    after: int = 0
    options: Document = field(default_factory=dict)
    pending: tuple[Document, ...] = ()

    def described(self, account: str, table_name: str) -> Document:
        found: Document = {
            "RegionName": self.region,
            "ReplicaStatus": self.status,
            "ReplicaArn": Place(account, self.region).table_arn(table_name),
        }
        if self.options.get("KMSMasterKeyId"):
            found["KMSMasterKeyId"] = self.options["KMSMasterKeyId"]
        if self.options.get("TableClassOverride"):
            found["ReplicaTableClassSummary"] = {"TableClass": self.options["TableClassOverride"]}
        return found


@dataclass(frozen=True)
class Table:
    """`id` is the UUID that clients see, `number` what keys in the store begin with. `types` are the key attributes' by name;
    `copies` counts the backups and restores that are being made from it. A global table is one of several `replicas`: those of
    other regions are told here, and `group` is the id that all of them share."""

    name: str
    id: str
    number: int
    created_ms: int
    status: TableStatus
    types: dict[str, Literal["S", "N", "B"]]
    key: KeySchema
    indexes: tuple[Index, ...] = ()
    billing: Literal["PROVISIONED", "PAY_PER_REQUEST"] = "PROVISIONED"
    throughput: Throughput = NO_THROUGHPUT
    on_demand_since_ms: int = 0
    on_demand: Document | None = None
    warm: Document | None = None
    stream: Stream | None = None
    streams_made: int = 0
    indexes_made: int = 0
    expiry: Expiry | None = None
    is_protected: bool = False
    table_class: str | None = None
    class_changed_ms: int = 0
    encryption: Document | None = None
    tags: dict[str, str] = field(default_factory=dict)
    policy: str | None = None
    policy_revision: str = ""
    recovery: Document | None = None
    copies: int = 0
    restored: Document | None = None
    group: str = ""
    replicas: tuple[Replica, ...] = ()

    @functools.cached_property
    def by_index_name(self) -> dict[str, Index]:
        return {index.name: index for index in self.indexes}

    @functools.cached_property
    def written_indexes(self) -> tuple[Index, ...]:
        return tuple(index for index in self.indexes if index.is_written)

    @functools.cached_property
    def has_local_indexes(self) -> bool:
        return any(not index.is_global for index in self.indexes)

    @functools.cached_property
    def is_plain(self) -> bool:
        """Nothing follows from a write but the item itself, so that nobody needs to know what was there before."""
        return (
            not self.indexes
            and self.stream is None
            and self.expiry is None
            and self.billing == ON_DEMAND
            and not self.keeps_history
        )

    @property
    def keeps_history(self) -> bool:
        """Whether what items were before is kept: for recovery to a point in time, or while copies are made of the table."""
        return self.recovery is not None or self.copies > 0

    @property
    def is_usable(self) -> bool:
        return self.status in ("ACTIVE", "UPDATING")

    def with_index(self, name: str, **changes: Any) -> "Table":
        indexes = tuple(replace(index, **changes) if index.name == name else index for index in self.indexes)
        return replace(self, indexes=indexes)

    def without_index(self, name: str) -> "Table":
        return replace(self, indexes=tuple(index for index in self.indexes if index.name != name)).with_used_types()

    def with_used_types(self) -> "Table":
        """Only attributes that some key uses are defined."""
        used = set(self.key.names).union(*(index.key.names for index in self.indexes))
        return replace(self, types={name: kind for name, kind in self.types.items() if name in used})

    def find_replica(self, region: str) -> Replica | None:
        return next((replica for replica in self.replicas if replica.region == region), None)

    def with_replica(self, region: str, **changes: Any) -> "Table":
        replicas = tuple(replace(each, **changes) if each.region == region else each for each in self.replicas)
        return replace(self, replicas=replicas)

    def without_replica(self, region: str) -> "Table":
        replicas = tuple(each for each in self.replicas if each.region != region)
        return replace(self, replicas=replicas, group=self.group if replicas else "")

    @property
    def is_busy(self) -> bool:
        """Whether something is being done to it that takes more than one step."""
        return (
            self.status == "DELETING"
            or any(index.status in ("CREATING", "DELETING") for index in self.indexes)
            or any(replica.is_ours and replica.status in ("CREATING", "DELETING") for replica in self.replicas)
        )

    def to_document(self) -> Document:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Table":
        found = dict(document)
        found["key"] = _key_schema(found["key"])
        found["throughput"] = Throughput(**found["throughput"])
        found["indexes"] = tuple(_index(index) for index in found["indexes"])
        found["stream"] = Stream(**found["stream"]) if found["stream"] else None
        found["expiry"] = Expiry(**found["expiry"]) if found["expiry"] else None
        found["replicas"] = tuple(Replica(**each | {"pending": tuple(each["pending"])}) for each in found.get("replicas") or ())
        return cls(**found)


def _key_schema(document: Mapping[str, Any]) -> KeySchema:
    return KeySchema(tuple(document["hashes"]), tuple(document["ranges"]))


def _index(document: Mapping[str, Any]) -> Index:
    found = dict(document)
    found["key"] = _key_schema(found["key"])
    found["throughput"] = Throughput(**found["throughput"])
    found["attributes"] = tuple(found["attributes"])
    return Index(**found)


def stream_label(now_ms: int) -> str:
    """ISO 8601 with milliseconds, as stream ARNs end."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{now_ms % 1000:03d}"


def stream_arn(place: Place, table_name: str, label: str) -> str:
    return f"{place.table_arn(table_name)}/stream/{label}"


def warm_described(warm: Document | None, throughput: Throughput, status: str) -> Document:
    """What a table can take at once: what was asked for, else what every new one can, else what is provisioned."""
    least = (throughput.reads, throughput.writes) if throughput.reads else (DEFAULT_WARM_READS, DEFAULT_WARM_WRITES)
    asked = warm or {}
    return {
        "ReadUnitsPerSecond": max(asked.get("ReadUnitsPerSecond") or 0, least[0]),
        "WriteUnitsPerSecond": max(asked.get("WriteUnitsPerSecond") or 0, least[1]),
        "Status": status,
    }


def describe(table: Table, place: Place, sizes: Mapping[str, tuple[int, int]]) -> Document:
    """A TableDescription. `sizes` are (items, bytes) by index name, "" for the table itself."""
    arn = place.table_arn(table.name)
    count, size_bytes = sizes.get("", (0, 0))
    found: Document = {
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in table.types.items()],
        "TableName": table.name,
        "KeySchema": table.key.described(),
        "TableStatus": table.status,
        "CreationDateTime": table.created_ms / 1000,
        "ProvisionedThroughput": table.throughput.described(),
        "TableSizeBytes": size_bytes,
        "ItemCount": count,
        "TableArn": arn,
        "TableId": table.id,
        "DeletionProtectionEnabled": table.is_protected,
        "WarmThroughput": warm_described(table.warm, table.throughput, "ACTIVE"),
    }
    if table.on_demand_since_ms:
        found["BillingModeSummary"] = {
            "BillingMode": table.billing,
            "LastUpdateToPayPerRequestDateTime": table.on_demand_since_ms / 1000,
        }
    for kind, is_global in (("GlobalSecondaryIndexes", True), ("LocalSecondaryIndexes", False)):
        indexes = [index for index in table.indexes if index.is_global == is_global]
        if indexes:
            found[kind] = [index.described(arn, *sizes.get(index.name, (0, 0))) for index in indexes]
    if table.stream is not None:
        found["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": table.stream.view}
        found["LatestStreamLabel"] = table.stream.label
        found["LatestStreamArn"] = stream_arn(place, table.name, table.stream.label)
    if table.encryption is not None:
        found["SSEDescription"] = table.encryption
    if table.table_class is not None:
        found["TableClassSummary"] = {"TableClass": table.table_class}
        if table.class_changed_ms:
            found["TableClassSummary"]["LastUpdateDateTime"] = table.class_changed_ms / 1000
    if table.on_demand:
        found["OnDemandThroughput"] = table.on_demand
    if table.replicas:
        found["GlobalTableVersion"] = "2019.11.21"
        found["Replicas"] = [replica.described(place.account, table.name) for replica in table.replicas]
    if table.restored is not None:
        found["RestoreSummary"] = table.restored
    return found
