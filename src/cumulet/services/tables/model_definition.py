"""The rules of a table's definition: keys, attributes, indexes, projections, capacity. Pure; raises ValidationFault."""

from collections.abc import Mapping, Sequence
from typing import Any

from cumulet.services.tables.errors import LimitExceeded, ValidationFault
from cumulet.services.tables.model import NO_THROUGHPUT, ON_DEMAND, Document, Index, KeySchema, Table, Throughput
from cumulet.services.tables.names import check_name

MOST_GLOBAL_INDEXES = 20
MOST_LOCAL_INDEXES = 5
MOST_PROJECTED_ATTRIBUTES = 100
MOST_INDEX_KEY_ATTRIBUTES = 4
MOST_TAGS = 50
_MOST_CAPACITY = 1_000_000_000_000
_INVALID = "One or more parameter values were invalid: "


def invalid(words: str) -> ValidationFault:
    return ValidationFault(_INVALID + words)


def defined_table(request: Mapping[str, Any], *, name: str, table_id: str, number: int, now_ms: int) -> Table:
    """The table that a CreateTable request describes, CREATING."""
    types = _types(request.get("AttributeDefinitions") or [])
    if not request.get("KeySchema"):
        raise invalid("Missing parameter in the request: KeySchema")
    billing = request.get("BillingMode", "PROVISIONED")
    throughput = capacity(request.get("ProvisionedThroughput"), billing)
    key = table_key(request["KeySchema"], types)
    local = _local_indexes(request.get("LocalSecondaryIndexes"), key, types)
    indexes = local + _global_indexes(request.get("GlobalSecondaryIndexes"), types, billing, first_number=len(local))
    check_distinct_names(indexes)
    check_projections(indexes)
    table = Table(name, table_id, number, now_ms, "CREATING", types, key, indexes, billing, throughput)
    check_used(table)
    return table


def _types(definitions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for each in definitions:
        if types.setdefault(each["AttributeName"], each["AttributeType"]) != each["AttributeType"]:
            raise invalid(f"Cannot define attribute '{each['AttributeName']}' twice with different types")
    if len(types) != len(definitions):
        raise invalid("Duplicate AttributeName in AttributeDefinitions")
    return types


def capacity(given: Mapping[str, Any] | None, billing: str, index: str = "") -> Throughput:
    """The provisioned capacity of a table, or of one of its indexes, as its billing mode wants it."""
    where = f" for index: {index}" if index else ""
    if billing == ON_DEMAND:
        if given:
            raise invalid(
                f"Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST{where}"
            )
        return NO_THROUGHPUT
    if not given:
        if index:
            raise invalid(f"ProvisionedThroughput must be specified for index: {index}")
        raise invalid("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
    for name in ("ReadCapacityUnits", "WriteCapacityUnits"):
        if given[name] > _MOST_CAPACITY:
            raise ValidationFault(f"Given value {given[name]} for {name} is out of bounds{where}")
    return Throughput(given["ReadCapacityUnits"], given["WriteCapacityUnits"])


def table_key(schema: Sequence[Mapping[str, Any]], types: Mapping[str, Any]) -> KeySchema:
    if schema[0]["KeyType"] != "HASH":
        raise ValidationFault("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if len(schema) > 1 and schema[1]["KeyType"] != "RANGE":
        raise ValidationFault("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
    if len(schema) > 2:
        raise ValidationFault(
            f"1 validation error detected: Value '{[dict(each) for each in schema]}' at 'keySchema' failed to satisfy constraint: "
            "Member must have length less than or equal to 2"
        )
    names = [each["AttributeName"] for each in schema]
    if len(set(names)) != len(names):
        raise ValidationFault("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    if any(name not in types for name in names):
        raise ValidationFault("Invalid KeySchema: Some index key attribute have no definition")
    return KeySchema((names[0],), tuple(names[1:]))


def index_key(name: str, schema: Sequence[Mapping[str, Any]], types: Mapping[str, Any]) -> KeySchema:
    """A global index's key: partition attributes first, then sort attributes, up to four of each."""
    kinds = [each["KeyType"] for each in schema]
    names = [each["AttributeName"] for each in schema]
    hashes, ranges = kinds.count("HASH"), kinds.count("RANGE")
    if kinds[0] != "HASH":
        raise invalid(f"Index KeySchema does not have a hash key as its first element for index: {name}")
    if kinds != ["HASH"] * hashes + ["RANGE"] * ranges:
        raise invalid(f"Index KeySchema must have all HASH elements before RANGE elements for index: {name}")
    if hashes > MOST_INDEX_KEY_ATTRIBUTES or ranges > MOST_INDEX_KEY_ATTRIBUTES:
        raise invalid(f"Index KeySchema has more than {MOST_INDEX_KEY_ATTRIBUTES} attributes of one key type for index: {name}")
    if len(set(names)) != len(names):
        raise ValidationFault("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    missing = [each for each in names if each not in types]
    if missing:
        raise invalid(
            "Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(names)}], AttributeDefinitions: [{', '.join(types)}]"
        )
    return KeySchema(tuple(names[:hashes]), tuple(names[hashes:]))


def _local_indexes(given: Sequence[Mapping[str, Any]] | None, key: KeySchema, types: Mapping[str, Any]) -> tuple[Index, ...]:
    if given is None:
        return ()
    if not given:
        raise invalid("List of LocalSecondaryIndexes is empty")
    if not key.ranges:
        raise invalid("Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex")
    if len(given) > MOST_LOCAL_INDEXES:
        raise invalid(f"Number of LocalSecondaryIndexes exceeds per-table limit of {MOST_LOCAL_INDEXES}")
    found = []
    for number, each in enumerate(given):
        name = each["IndexName"]
        check_name(name, "IndexName")
        schema = index_key(name, each["KeySchema"], types)
        if len(schema.hashes) > 1 or len(schema.ranges) > 1:
            raise invalid(f"Index KeySchema of a LocalSecondaryIndex has one hash and one range key, for index: {name}")
        if not schema.ranges:
            raise invalid(f"Index KeySchema does not have a range key for index: {name}")
        if schema.hashes != key.hashes:
            raise invalid(
                f"Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}. "
                f"index hash key: {schema.hashes[0]}, table hash key: {key.hashes[0]}"
            )
        found.append(Index(name, number, False, schema, *projection(each["Projection"])))
    return tuple(found)


def _global_indexes(
    given: Sequence[Mapping[str, Any]] | None, types: Mapping[str, Any], billing: str, first_number: int
) -> tuple[Index, ...]:
    if given is None:
        return ()
    if not given:
        raise invalid("List of GlobalSecondaryIndexes is empty")
    if len(given) > MOST_GLOBAL_INDEXES:
        raise invalid(f"GlobalSecondaryIndex count exceeds the per-table limit of {MOST_GLOBAL_INDEXES}")
    return tuple(global_index(each, types, billing, number) for number, each in enumerate(given, first_number))


def global_index(given: Mapping[str, Any], types: Mapping[str, Any], billing: str, number: int) -> Index:
    name = given["IndexName"]
    check_name(name, "IndexName")
    key = index_key(name, given["KeySchema"], types)
    return Index(
        name,
        number,
        True,
        key,
        *projection(given["Projection"]),
        throughput=capacity(given.get("ProvisionedThroughput"), billing, name),
        on_demand=given.get("OnDemandThroughput"),
        warm=given.get("WarmThroughput"),
    )


def projection(given: Mapping[str, Any]) -> tuple[Any, tuple[str, ...]]:
    kind, attributes = given.get("ProjectionType"), given.get("NonKeyAttributes")
    if kind is None:
        raise invalid("Unknown ProjectionType: null")
    if kind == "INCLUDE":
        if not attributes:
            raise invalid("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
    elif attributes is not None:
        raise invalid(f"ProjectionType is {kind}, but NonKeyAttributes is specified")
    return kind, tuple(attributes or ())


def check_distinct_names(indexes: Sequence[Index]) -> None:
    names = set()
    for index in indexes:
        if index.name in names:
            raise invalid(f"Duplicate index name: {index.name}")
        names.add(index.name)


def check_projections(indexes: Sequence[Index]) -> None:
    if sum(len(index.attributes) for index in indexes) > MOST_PROJECTED_ATTRIBUTES:
        raise invalid(
            f"Total number of NonKeyAttributes over all indexes exceeds the limit of {MOST_PROJECTED_ATTRIBUTES} for the table"
        )


def check_used(table: Table) -> None:
    """Every defined attribute is part of some key."""
    used = list(dict.fromkeys([*table.key.names, *(name for index in table.indexes for name in index.key.names)]))
    if len(used) == len(table.types):
        return
    if not table.indexes:
        raise invalid(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions"
        )
    raise invalid(
        f"Some AttributeDefinitions are not used. AttributeDefinitions: [{', '.join(table.types)}], keys used: [{', '.join(used)}]"
    )


def stream_view(given: Mapping[str, Any] | None) -> str | None:
    """The view type that a StreamSpecification switches on; None when it doesn't."""
    if given is None:
        return None
    view = given.get("StreamViewType")
    if given["StreamEnabled"] and view is None:
        raise invalid("StreamViewType is required when StreamEnabled is true")
    if not given["StreamEnabled"] and view is not None:
        raise invalid("StreamViewType can only be specified when StreamEnabled is true")
    return view


def encryption(given: Mapping[str, Any] | None, key_arn: str) -> Document | None:
    """An SSEDescription: without it, or with `Enabled` false, the node's own key is used, which nothing shows."""
    if given is None or not given.get("Enabled"):
        if given is not None and given.get("KMSMasterKeyId"):
            raise invalid("KMSMasterKeyId cannot be specified when SSESpecification.Enabled is false")
        return None
    kind = given.get("SSEType", "KMS")
    if kind != "KMS":
        raise invalid(f"SSEType {kind} is not supported")
    return {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": given.get("KMSMasterKeyId") or key_arn}


def merged_tags(old: Mapping[str, str], added: Sequence[Mapping[str, str]]) -> dict[str, str]:
    keys = [each["Key"] for each in added]
    if len(set(keys)) != len(keys):
        raise invalid("Duplicate tag keys in the request")
    for each in added:
        if each["Key"].startswith("aws:"):
            raise invalid("Tag keys that begin with aws: are reserved for system use")
    tags = {**old, **{each["Key"]: each["Value"] for each in added}}
    if len(tags) > MOST_TAGS:
        raise LimitExceeded(f"Subscriber limit exceeded: a resource may have {MOST_TAGS} tags")
    return tags
