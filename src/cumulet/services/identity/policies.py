"""IAM's managed policies and their versions."""

from dataclasses import replace
from typing import Any

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.identity import storage
from cumulet.services.identity.errors import DeleteConflict, EntityAlreadyExists, LimitExceeded, NoSuchEntity
from cumulet.services.identity.model import (
    MAX_POLICY_VERSIONS,
    Policy,
    check_tags,
    checked_document,
    shown_document,
    shown_tags,
    tags_of,
)
from cumulet.services.identity.paging import paged
from cumulet.store.contract import Reader, Store, Txn


class PolicyOperations:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @operation("CreatePolicy")
    async def create_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name, now_s = req["PolicyName"], self._clock.now_ms() / 1000
        policy = Policy(
            name=name,
            id=ids.upper_id("ANPA", 21),
            path=req.get("Path") or "/",
            created_s=now_s,
            updated_s=now_s,
            versions=[("v1", checked_document(req["PolicyDocument"]), now_s)],
            description=req.get("Description", ""),
            tags=check_tags(tags_of(req)),
        )

        def create(txn: Txn) -> None:
            if storage.find_policy(txn, name) is not None:
                raise EntityAlreadyExists(f"A policy called {name} already exists. Duplicate names are not allowed.")
            storage.put_policy(txn, policy)

        await self._store.write(storage.shard_of(ctx.account), create)
        return {"Policy": _shown(ctx, policy, 0)}

    @operation("GetPolicy")
    async def get_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> dict[str, Any]:
            policy = _get(reader, ctx, req)
            return _shown(ctx, policy, _users_of(reader, policy.arn(ctx.account)))

        return {"Policy": await self._store.read(storage.shard_of(ctx.account), read)}

    @operation("ListPolicies")
    async def list_policies(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """The account's own: Amazon's managed policies have no documents here."""

        def read(reader: Reader) -> dict[str, Any]:
            found = [] if req.get("Scope") == "AWS" else list(storage.list_policies(reader))
            users = {policy.name: _users_of(reader, policy.arn(ctx.account)) for policy in found}
            if req.get("OnlyAttached"):
                found = [policy for policy in found if users[policy.name]]
            found = [policy for policy in found if policy.path.startswith(req.get("PathPrefix") or "/")]
            return paged("Policies", found, req, lambda each: each.name.lower(), lambda each: _shown(ctx, each, users[each.name]))

        return await self._store.read(storage.shard_of(ctx.account), read)

    @operation("DeletePolicy")
    async def delete_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            policy = _get(txn, ctx, req)
            if _users_of(txn, policy.arn(ctx.account)):
                raise DeleteConflict("Cannot delete a policy attached to entities.")
            if len(policy.versions) > 1:
                raise DeleteConflict(
                    "This policy has more than one version. Before you delete a policy, you must delete its versions."
                )
            storage.delete_policy(txn, policy)

        await self._store.write(storage.shard_of(ctx.account), delete)
        return {}

    @operation("CreatePolicyVersion")
    async def create_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        document, now_s = checked_document(req["PolicyDocument"]), self._clock.now_ms() / 1000

        def create(policy: Policy) -> Policy:
            if len(policy.versions) >= MAX_POLICY_VERSIONS:
                raise LimitExceeded(
                    "A managed policy can have up to 5 versions. Before you create a new version, you must delete one."
                )
            version = f"v{policy.next_version}"
            return replace(
                policy,
                versions=[*policy.versions, (version, document, now_s)],
                next_version=policy.next_version + 1,
                default=version if req.get("SetAsDefault") else policy.default,
                updated_s=now_s,
            )

        policy = await self._change(ctx, req, create)
        return {"PolicyVersion": _shown_version(policy, policy.versions[-1], with_document=False)}

    @operation("GetPolicyVersion")
    async def get_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        policy = await self._store.read(storage.shard_of(ctx.account), lambda reader: _get(reader, ctx, req))
        version = next((each for each in policy.versions if each[0] == req["VersionId"]), None)
        if version is None:
            raise NoSuchEntity(f"Policy {req['PolicyArn']} version {req['VersionId']} does not exist or is not attachable.")
        return {"PolicyVersion": _shown_version(policy, version)}

    @operation("ListPolicyVersions")
    async def list_versions(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        policy = await self._store.read(storage.shard_of(ctx.account), lambda reader: _get(reader, ctx, req))
        return paged(
            "Versions",
            policy.versions,
            req,
            lambda version: f"{int(version[0][1:]):08d}",
            lambda version: _shown_version(policy, version, with_document=False),
        )

    @operation("DeletePolicyVersion")
    async def delete_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(policy: Policy) -> Policy:
            if req["VersionId"] == policy.default:
                raise DeleteConflict("Cannot delete the default version of a policy.")
            kept = [version for version in policy.versions if version[0] != req["VersionId"]]
            if len(kept) == len(policy.versions):
                raise NoSuchEntity(f"Policy {req['PolicyArn']} version {req['VersionId']} does not exist.")
            return replace(policy, versions=kept)

        await self._change(ctx, req, delete)
        return {}

    @operation("SetDefaultPolicyVersion")
    async def set_default_version(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def set_default(policy: Policy) -> Policy:
            if all(version[0] != req["VersionId"] for version in policy.versions):
                raise NoSuchEntity(f"Policy {req['PolicyArn']} version {req['VersionId']} does not exist.")
            return replace(policy, default=req["VersionId"])

        await self._change(ctx, req, set_default)
        return {}

    @operation("TagPolicy")
    async def tag_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._change(ctx, req, lambda policy: replace(policy, tags=check_tags(policy.tags | tags_of(req))))
        return {}

    @operation("UntagPolicy")
    async def untag_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        gone = set(req["TagKeys"])
        await self._change(ctx, req, lambda policy: replace(policy, tags={k: v for k, v in policy.tags.items() if k not in gone}))
        return {}

    @operation("ListPolicyTags")
    async def list_policy_tags(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        policy = await self._store.read(storage.shard_of(ctx.account), lambda reader: _get(reader, ctx, req))
        return paged("Tags", shown_tags(policy.tags), req, lambda tag: tag["Key"], lambda tag: tag)

    async def _change(self, ctx: Context, req: dict[str, Any], rule: Any) -> Policy:
        def update(txn: Txn) -> Policy:
            policy: Policy = rule(_get(txn, ctx, req))
            storage.put_policy(txn, policy)
            return policy

        return await self._store.write(storage.shard_of(ctx.account), update)


def _get(reader: Reader, ctx: Context, req: dict[str, Any]) -> Policy:
    arn = req["PolicyArn"]
    policy = storage.find_policy(reader, arn.rsplit("/", 1)[-1])
    if policy is None or policy.arn(ctx.account) != arn:
        raise NoSuchEntity(f"Policy {arn} was not found.")
    return policy


def _users_of(reader: Reader, arn: str) -> int:
    return sum(arn in entity.attached for kind in ("role", "user") for entity in storage.list_entities(reader, kind))


def _shown(ctx: Context, policy: Policy, attachments: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": policy.arn(ctx.account),
        "Path": policy.path,
        "DefaultVersionId": policy.default,
        "AttachmentCount": attachments,
        "PermissionsBoundaryUsageCount": 0,
        "IsAttachable": True,
        "CreateDate": policy.created_s,
        "UpdateDate": policy.updated_s,
    }
    if policy.description:
        shown["Description"] = policy.description
    if policy.tags:
        shown["Tags"] = shown_tags(policy.tags)
    return shown


def _shown_version(policy: Policy, version: tuple[str, str, float], *, with_document: bool = True) -> dict[str, Any]:
    shown: dict[str, Any] = {"VersionId": version[0], "IsDefaultVersion": version[0] == policy.default, "CreateDate": version[2]}
    return shown | {"Document": shown_document(version[1])} if with_document else shown
