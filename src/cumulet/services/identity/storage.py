"""Where IAM's records lie: one shard an account. The only module of the service that knows keys."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import orjson

from cumulet.services.identity.model import Entity, Policy, Profile
from cumulet.store.contract import Reader, Txn
from cumulet.store.keys import pack, prefix_range


def shard_of(account: str) -> str:
    return f"identity/{account}"


def find_entity(reader: Reader, kind: str, name: str) -> Entity | None:
    data = reader.get(pack(kind, name.lower()))
    return Entity(**orjson.loads(data)) if data is not None else None


def list_entities(reader: Reader, kind: str) -> Iterator[Entity]:
    for _, value in reader.scan(*prefix_range(kind)):
        yield Entity(**orjson.loads(value))


def put_entity(txn: Txn, entity: Entity) -> None:
    txn.put(pack(entity.kind, entity.name.lower()), orjson.dumps(asdict(entity)))


def delete_entity(txn: Txn, entity: Entity) -> None:
    txn.delete(pack(entity.kind, entity.name.lower()))


def find_policy(reader: Reader, name: str) -> Policy | None:
    data = reader.get(pack("policy", name.lower()))
    return _policy(orjson.loads(data)) if data is not None else None


def list_policies(reader: Reader) -> Iterator[Policy]:
    for _, value in reader.scan(*prefix_range("policy")):
        yield _policy(orjson.loads(value))


def put_policy(txn: Txn, policy: Policy) -> None:
    txn.put(pack("policy", policy.name.lower()), orjson.dumps(asdict(policy)))


def delete_policy(txn: Txn, policy: Policy) -> None:
    txn.delete(pack("policy", policy.name.lower()))


def find_profile(reader: Reader, name: str) -> Profile | None:
    data = reader.get(pack("profile", name.lower()))
    return Profile(**orjson.loads(data)) if data is not None else None


def list_profiles(reader: Reader) -> Iterator[Profile]:
    for _, value in reader.scan(*prefix_range("profile")):
        yield Profile(**orjson.loads(value))


def put_profile(txn: Txn, profile: Profile) -> None:
    txn.put(pack("profile", profile.name.lower()), orjson.dumps(asdict(profile)))


def delete_profile(txn: Txn, profile: Profile) -> None:
    txn.delete(pack("profile", profile.name.lower()))


def _policy(fields: dict[str, Any]) -> Policy:
    versions = [(str(each[0]), str(each[1]), float(each[2])) for each in fields["versions"]]
    return Policy(**fields | {"versions": versions})
