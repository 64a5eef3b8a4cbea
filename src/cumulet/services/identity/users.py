"""IAM's users and their access keys."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cumulet.auth.keys import AccessKey, AccessKeys
from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.identity import storage
from cumulet.services.identity.entities import EntityStore
from cumulet.services.identity.errors import DeleteConflict, EntityAlreadyExists, LimitExceeded, NoSuchEntity
from cumulet.services.identity.model import MAX_KEYS_PER_USER, Entity, check_tags, shown_tags, tags_of
from cumulet.services.identity.paging import paged
from cumulet.store.contract import Store, Txn


class UserOperations:
    def __init__(self, store: Store, clock: Clock, keys: AccessKeys) -> None:
        self._users = EntityStore(store, clock, "user", "UserName")
        self._store = store
        self._keys = keys

    @operation("CreateUser")
    async def create_user(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        user = Entity(
            "user",
            req["UserName"],
            ids.upper_id("AIDA", 21),
            req.get("Path") or "/",
            self._users.now_s(),
            tags=check_tags(tags_of(req)),
            boundary=req.get("PermissionsBoundary") or "",
        )

        def create(txn: Txn) -> None:
            if storage.find_entity(txn, "user", user.name) is not None:
                raise EntityAlreadyExists(f"User with name {user.name} already exists.")
            storage.put_entity(txn, user)

        await self._store.write(storage.shard_of(ctx.account), create)
        return {"User": _shown(ctx, user)}

    @operation("GetUser")
    async def get_user(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """Without a name: the caller, which may be the account's root."""
        name = req.get("UserName") or _name_of_caller(ctx)
        if name is None:
            root = {"UserId": ctx.account, "Arn": ctx.principal.arn, "Path": "/", "UserName": ctx.account, "CreateDate": 0}
            return {"User": root}
        return {"User": _shown(ctx, await self._users.get(ctx, {"UserName": name}))}

    @operation("ListUsers")
    async def list_users(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        users = [user for user in await self._users.list(ctx) if user.path.startswith(req.get("PathPrefix") or "/")]
        return paged("Users", users, req, lambda user: user.name.lower(), lambda user: _shown(ctx, user))

    @operation("UpdateUser")
    async def update_user(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> None:
            user = self._users.load(txn, req["UserName"])
            name = req.get("NewUserName") or user.name
            if name.lower() != user.name.lower() and storage.find_entity(txn, "user", name) is not None:
                raise EntityAlreadyExists(f"User with name {name} already exists.")
            if name != user.name and self._keys.list(ctx.account, user.name):
                raise DeleteConflict("Cannot rename a user that has access keys.")
            storage.delete_entity(txn, user)
            storage.put_entity(txn, replace(user, name=name, path=req.get("NewPath") or user.path))

        await self._store.write(storage.shard_of(ctx.account), update)
        return {}

    @operation("DeleteUser")
    async def delete_user(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            user = self._users.load(txn, req["UserName"])
            if user.attached or user.policies:
                raise DeleteConflict("Cannot delete entity, must detach all policies first.")
            if self._keys.list(ctx.account, user.name):
                raise DeleteConflict("Cannot delete entity, must delete access keys first.")
            storage.delete_entity(txn, user)

        await self._store.write(storage.shard_of(ctx.account), delete)
        return {}

    @operation("PutUserPolicy")
    async def put_user_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._users.put_policy(ctx, req)

    @operation("GetUserPolicy")
    async def get_user_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._users.get_policy(ctx, req)

    @operation("DeleteUserPolicy")
    async def delete_user_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._users.delete_policy(ctx, req)

    @operation("ListUserPolicies")
    async def list_user_policies(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._users.list_policy_names(ctx, req)

    @operation("AttachUserPolicy")
    async def attach_user_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._users.attach(ctx, req)

    @operation("DetachUserPolicy")
    async def detach_user_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._users.detach(ctx, req)

    @operation("ListAttachedUserPolicies")
    async def list_attached_user_policies(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._users.list_attached(ctx, req)

    @operation("TagUser")
    async def tag_user(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._users.tag(ctx, req)

    @operation("UntagUser")
    async def untag_user(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._users.untag(ctx, req)

    @operation("ListUserTags")
    async def list_user_tags(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._users.list_tags(ctx, req)

    @operation("ListGroupsForUser")
    async def list_groups_for_user(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """None: groups cannot be made here."""
        await self._users.get(ctx, req)
        return {"Groups": [], "IsTruncated": False}

    @operation("CreateAccessKey")
    async def create_access_key(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = req.get("UserName") or _name_of_caller(ctx)
        user = await self._users.get(ctx, {"UserName": name}) if name is not None else None
        if user is not None and len(self._keys.list(ctx.account, user.name)) >= MAX_KEYS_PER_USER:
            raise LimitExceeded(f"Cannot exceed quota for AccessKeysPerUser: {MAX_KEYS_PER_USER}")
        key = await self._keys.create(ctx.account, user.name if user else None, user.id if user else None)
        return {"AccessKey": _shown_key(key) | {"SecretAccessKey": key.secret_key}}

    @operation("ListAccessKeys")
    async def list_access_keys(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = req.get("UserName") or _name_of_caller(ctx)
        if name is not None:
            await self._users.get(ctx, {"UserName": name})
        keys = [key for key in self._keys.list(ctx.account) if key.user_name == name]
        return paged("AccessKeyMetadata", keys, req, lambda key: f"{key.created_at_ms:015d}{key.access_key_id}", _shown_key)

    @operation("UpdateAccessKey")
    async def update_access_key(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        key = self._get_key(ctx, req)
        await self._keys.set_active(key.access_key_id, req["Status"] == "Active")
        return {}

    @operation("DeleteAccessKey")
    async def delete_access_key(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self._keys.revoke(self._get_key(ctx, req).access_key_id)
        return {}

    def _get_key(self, ctx: Context, req: dict[str, Any]) -> AccessKey:
        key = self._keys.get(req["AccessKeyId"])
        if key is None or key.account != ctx.account or req.get("UserName") not in (None, key.user_name):
            raise NoSuchEntity(f"The Access Key with id {req['AccessKeyId']} cannot be found.")
        return key


class AccountOperations:
    def __init__(self, store: Store) -> None:
        self._store = store

    @operation("GetAccountSummary")
    async def get_account_summary(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Any) -> dict[str, int]:
            return {
                "Users": sum(1 for _ in storage.list_entities(reader, "user")),
                "Roles": sum(1 for _ in storage.list_entities(reader, "role")),
                "Policies": sum(1 for _ in storage.list_policies(reader)),
                "InstanceProfiles": sum(1 for _ in storage.list_profiles(reader)),
                "AccessKeysPerUserQuota": MAX_KEYS_PER_USER,
            }

        return {"SummaryMap": await self._store.read(storage.shard_of(ctx.account), read)}

    @operation("ListAccountAliases")
    async def list_account_aliases(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """None: an account has no alias here."""
        return {"AccountAliases": [], "IsTruncated": False}


def _name_of_caller(ctx: Context) -> str | None:
    marker = f"arn:aws:iam::{ctx.account}:user/"
    return ctx.principal.arn.removeprefix(marker) if ctx.principal.arn.startswith(marker) else None


def _shown(ctx: Context, user: Entity) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.id,
        "Arn": user.arn(ctx.account),
        "CreateDate": user.created_s,
    }
    if user.tags:
        shown["Tags"] = shown_tags(user.tags)
    if user.boundary:
        shown["PermissionsBoundary"] = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": user.boundary}
    return shown


def _shown_key(key: AccessKey) -> dict[str, Any]:
    return {
        "UserName": key.user_name or "root",
        "AccessKeyId": key.access_key_id,
        "Status": "Active" if key.is_active else "Inactive",
        "CreateDate": datetime.fromtimestamp(key.created_at_ms / 1000, UTC),
    }
