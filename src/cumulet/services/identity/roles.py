"""IAM's roles, and the instance profiles that tools ask for beside them."""

import json
from dataclasses import replace
from typing import Any

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.identity import storage
from cumulet.services.identity.entities import EntityStore
from cumulet.services.identity.errors import DeleteConflict, EntityAlreadyExists, LimitExceeded, NoSuchEntity
from cumulet.services.identity.model import Entity, Profile, check_tags, checked_document, shown_document, shown_tags, tags_of
from cumulet.services.identity.paging import paged
from cumulet.store.contract import Reader, Store, Txn


class RoleOperations:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._roles = EntityStore(store, clock, "role", "RoleName")
        self._store = store

    @operation("CreateRole")
    async def create_role(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        role = Entity(
            kind="role",
            name=req["RoleName"],
            id=ids.upper_id("AROA", 21),
            path=req.get("Path") or "/",
            created_s=self._roles.now_s(),
            trust=checked_document(req["AssumeRolePolicyDocument"]),
            description=req.get("Description", ""),
            max_session_s=req.get("MaxSessionDuration") or 3600,
            tags=check_tags(tags_of(req)),
            boundary=req.get("PermissionsBoundary") or "",
        )
        await self._create(ctx, role)
        return {"Role": _shown(ctx, role)}

    @operation("CreateServiceLinkedRole")
    async def create_service_linked_role(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        service = req["AWSServiceName"]
        statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        suffix = f"_{req['CustomSuffix']}" if req.get("CustomSuffix") else ""
        name = "AWSServiceRoleFor" + service.split(".")[0].title().replace("-", "") + suffix
        path = f"/aws-service-role/{service}/"
        role = Entity(
            "role", name, ids.upper_id("AROA", 21), path, self._roles.now_s(), trust=trust, description=req.get("Description", "")
        )
        await self._create(ctx, role)
        return {"Role": _shown(ctx, role)}

    @operation("GetRole")
    async def get_role(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return {"Role": _shown(ctx, await self._roles.get(ctx, req)) | {"RoleLastUsed": {}}}

    @operation("ListRoles")
    async def list_roles(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        prefix = req.get("PathPrefix") or "/"
        roles = [role for role in await self._roles.list(ctx) if role.path.startswith(prefix)]
        return paged("Roles", roles, req, lambda role: role.name.lower(), lambda role: _shown(ctx, role, with_tags=False))

    @operation("UpdateRole")
    async def update_role(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._roles.change(
            ctx,
            req,
            lambda role: replace(
                role,
                description=req.get("Description", role.description),
                max_session_s=req.get("MaxSessionDuration") or role.max_session_s,
            ),
        )
        return {}

    @operation("UpdateRoleDescription")
    async def update_role_description(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        role = await self._roles.change(ctx, req, lambda role: replace(role, description=req["Description"]))
        return {"Role": _shown(ctx, role)}

    @operation("UpdateAssumeRolePolicy")
    async def update_assume_role_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        document = checked_document(req["PolicyDocument"])
        await self._roles.change(ctx, req, lambda role: replace(role, trust=document))
        return {}

    @operation("PutRolePermissionsBoundary")
    async def put_boundary(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._roles.change(ctx, req, lambda role: replace(role, boundary=req["PermissionsBoundary"]))
        return {}

    @operation("DeleteRolePermissionsBoundary")
    async def delete_boundary(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._roles.change(ctx, req, lambda role: replace(role, boundary=""))
        return {}

    @operation("DeleteRole")
    async def delete_role(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            role = self._roles.load(txn, req["RoleName"])
            if role.attached:
                raise DeleteConflict("Cannot delete entity, must detach all policies first.")
            if role.policies:
                raise DeleteConflict("Cannot delete entity, must delete policies first.")
            if any(role.name in profile.roles for profile in storage.list_profiles(txn)):
                raise DeleteConflict("Cannot delete entity, must remove roles from instance profile first.")
            storage.delete_entity(txn, role)

        await self._store.write(storage.shard_of(ctx.account), delete)
        return {}

    @operation("PutRolePolicy")
    async def put_role_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._roles.put_policy(ctx, req)

    @operation("GetRolePolicy")
    async def get_role_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._roles.get_policy(ctx, req)

    @operation("DeleteRolePolicy")
    async def delete_role_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._roles.delete_policy(ctx, req)

    @operation("ListRolePolicies")
    async def list_role_policies(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._roles.list_policy_names(ctx, req)

    @operation("AttachRolePolicy")
    async def attach_role_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._roles.attach(ctx, req)

    @operation("DetachRolePolicy")
    async def detach_role_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._roles.detach(ctx, req)

    @operation("ListAttachedRolePolicies")
    async def list_attached_role_policies(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._roles.list_attached(ctx, req)

    @operation("TagRole")
    async def tag_role(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._roles.tag(ctx, req)

    @operation("UntagRole")
    async def untag_role(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._roles.untag(ctx, req)

    @operation("ListRoleTags")
    async def list_role_tags(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._roles.list_tags(ctx, req)

    async def _create(self, ctx: Context, role: Entity) -> None:
        def create(txn: Txn) -> None:
            if storage.find_entity(txn, "role", role.name) is not None:
                raise EntityAlreadyExists(f"Role with name {role.name} already exists.")
            storage.put_entity(txn, role)

        await self._store.write(storage.shard_of(ctx.account), create)


class ProfileOperations:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @operation("CreateInstanceProfile")
    async def create_profile(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name, path = req["InstanceProfileName"], req.get("Path") or "/"
        profile = Profile(name, ids.upper_id("AIPA", 21), path, self._clock.now_ms() / 1000, tags=tags_of(req))

        def create(txn: Txn) -> None:
            if storage.find_profile(txn, name) is not None:
                raise EntityAlreadyExists(f"Instance Profile {name} already exists.")
            storage.put_profile(txn, profile)

        await self._store.write(storage.shard_of(ctx.account), create)
        return {"InstanceProfile": _shown_profile(ctx, profile, [])}

    @operation("GetInstanceProfile")
    async def get_profile(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> dict[str, Any]:
            profile = _get_profile(reader, req["InstanceProfileName"])
            return _shown_profile(ctx, profile, _roles_of(reader, profile))

        return {"InstanceProfile": await self._store.read(storage.shard_of(ctx.account), read)}

    @operation("ListInstanceProfiles")
    async def list_profiles(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._list(ctx, req, None)

    @operation("ListInstanceProfilesForRole")
    async def list_profiles_for_role(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._list(ctx, req, req["RoleName"])

    @operation("AddRoleToInstanceProfile")
    async def add_role(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def add(txn: Txn) -> None:
            profile = _get_profile(txn, req["InstanceProfileName"])
            if storage.find_entity(txn, "role", req["RoleName"]) is None:
                raise NoSuchEntity(f"The role with name {req['RoleName']} cannot be found.")
            if profile.roles:
                raise LimitExceeded("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
            storage.put_profile(txn, replace(profile, roles=[req["RoleName"]]))

        await self._store.write(storage.shard_of(ctx.account), add)
        return {}

    @operation("RemoveRoleFromInstanceProfile")
    async def remove_role(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def remove(txn: Txn) -> None:
            profile = _get_profile(txn, req["InstanceProfileName"])
            storage.put_profile(txn, replace(profile, roles=[name for name in profile.roles if name != req["RoleName"]]))

        await self._store.write(storage.shard_of(ctx.account), remove)
        return {}

    @operation("DeleteInstanceProfile")
    async def delete_profile(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            profile = _get_profile(txn, req["InstanceProfileName"])
            if profile.roles:
                raise DeleteConflict("Cannot delete entity, must remove roles from instance profile first.")
            storage.delete_profile(txn, profile)

        await self._store.write(storage.shard_of(ctx.account), delete)
        return {}

    async def _list(self, ctx: Context, req: dict[str, Any], role_name: str | None) -> dict[str, Any]:
        def read(reader: Reader) -> dict[str, Any]:
            if role_name is not None and storage.find_entity(reader, "role", role_name) is None:
                raise NoSuchEntity(f"The role with name {role_name} cannot be found.")
            found = [profile for profile in storage.list_profiles(reader) if role_name is None or role_name in profile.roles]
            show = {profile.name: _shown_profile(ctx, profile, _roles_of(reader, profile)) for profile in found}
            return paged("InstanceProfiles", found, req, lambda each: each.name.lower(), lambda each: show[each.name])

        return await self._store.read(storage.shard_of(ctx.account), read)


def _shown(ctx: Context, role: Entity, *, with_tags: bool = True) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role.arn(ctx.account),
        "CreateDate": role.created_s,
        "AssumeRolePolicyDocument": shown_document(role.trust),
        "MaxSessionDuration": role.max_session_s,
    }
    if role.description:
        shown["Description"] = role.description
    if role.tags and with_tags:
        shown["Tags"] = shown_tags(role.tags)
    if role.boundary:
        shown["PermissionsBoundary"] = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": role.boundary}
    return shown


def _get_profile(reader: Reader, name: str) -> Profile:
    profile = storage.find_profile(reader, name)
    if profile is None:
        raise NoSuchEntity(f"Instance Profile {name} cannot be found.")
    return profile


def _roles_of(reader: Reader, profile: Profile) -> list[Entity]:
    found = (storage.find_entity(reader, "role", name) for name in profile.roles)
    return [role for role in found if role is not None]


def _shown_profile(ctx: Context, profile: Profile, roles: list[Entity]) -> dict[str, Any]:
    return {
        "Path": profile.path,
        "InstanceProfileName": profile.name,
        "InstanceProfileId": profile.id,
        "Arn": profile.arn(ctx.account),
        "CreateDate": profile.created_s,
        "Roles": [_shown(ctx, role) for role in roles],
        "Tags": shown_tags(profile.tags),
    }
