"""What roles and users have in common: inline policies, attached policies, tags."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.services.identity import storage
from cumulet.services.identity.errors import NoSuchEntity
from cumulet.services.identity.model import AWS_MANAGED, Entity, check_tags, checked_document, shown_document, shown_tags, tags_of
from cumulet.services.identity.paging import paged
from cumulet.store.contract import Reader, Store


class EntityStore:
    """Loads, changes and saves one kind of entity; `member` is what the API calls its name (`RoleName`)."""

    def __init__(self, store: Store, clock: Clock, kind: str, member: str) -> None:
        self.store = store
        self.clock = clock
        self.kind = kind
        self.member = member

    def now_s(self) -> float:
        return self.clock.now_ms() / 1000

    def load(self, reader: Reader, name: str) -> Entity:
        entity = storage.find_entity(reader, self.kind, name)
        if entity is None:
            raise NoSuchEntity(f"The {self.kind} with name {name} cannot be found.")
        return entity

    async def get(self, ctx: Context, req: dict[str, Any]) -> Entity:
        return await self.store.read(storage.shard_of(ctx.account), lambda reader: self.load(reader, req[self.member]))

    async def list(self, ctx: Context) -> "list[Entity]":
        return await self.store.read(storage.shard_of(ctx.account), lambda reader: [*storage.list_entities(reader, self.kind)])

    async def change(self, ctx: Context, req: dict[str, Any], rule: Callable[[Entity], Entity]) -> Entity:
        def update(txn: Any) -> Entity:
            entity = rule(self.load(txn, req[self.member]))
            storage.put_entity(txn, entity)
            return entity

        return await self.store.write(storage.shard_of(ctx.account), update)

    async def put_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        document = checked_document(req["PolicyDocument"])
        await self.change(ctx, req, lambda entity: replace(entity, policies=entity.policies | {req["PolicyName"]: document}))
        return {}

    async def get_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        document = (await self.get(ctx, req)).policies.get(req["PolicyName"])
        if document is None:
            raise NoSuchEntity(f"The {self.kind} policy with name {req['PolicyName']} cannot be found.")
        return {self.member: req[self.member], "PolicyName": req["PolicyName"], "PolicyDocument": shown_document(document)}

    async def delete_policy(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def drop(entity: Entity) -> Entity:
            if req["PolicyName"] not in entity.policies:
                raise NoSuchEntity(f"The {self.kind} policy with name {req['PolicyName']} cannot be found.")
            return replace(entity, policies={name: text for name, text in entity.policies.items() if name != req["PolicyName"]})

        await self.change(ctx, req, drop)
        return {}

    async def list_policy_names(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return paged("PolicyNames", sorted((await self.get(ctx, req)).policies), req, lambda name: name, lambda name: name)

    async def attach(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """An AWS-managed policy's ARN is taken as it is: its document is Amazon's, and nothing here reads it."""
        arn = req["PolicyArn"]

        def attach(txn: Any) -> None:
            entity = self.load(txn, req[self.member])
            if not arn.startswith(AWS_MANAGED) and storage.find_policy(txn, arn.rsplit("/", 1)[-1]) is None:
                raise NoSuchEntity(f"Policy {arn} does not exist or is not attachable.")
            if arn not in entity.attached:
                storage.put_entity(txn, replace(entity, attached=[*entity.attached, arn]))

        await self.store.write(storage.shard_of(ctx.account), attach)
        return {}

    async def detach(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def detach(entity: Entity) -> Entity:
            if req["PolicyArn"] not in entity.attached:
                raise NoSuchEntity(f"Policy {req['PolicyArn']} was not found.")
            return replace(entity, attached=[arn for arn in entity.attached if arn != req["PolicyArn"]])

        await self.change(ctx, req, detach)
        return {}

    async def list_attached(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        attached = sorted((await self.get(ctx, req)).attached)
        show = lambda arn: {"PolicyName": arn.rsplit("/", 1)[-1], "PolicyArn": arn}  # noqa: E731
        return paged("AttachedPolicies", attached, req, lambda arn: arn, show)

    async def tag(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        await self.change(ctx, req, lambda entity: replace(entity, tags=check_tags(entity.tags | tags_of(req))))
        return {}

    async def untag(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        gone = set(req["TagKeys"])
        await self.change(
            ctx, req, lambda entity: replace(entity, tags={key: value for key, value in entity.tags.items() if key not in gone})
        )
        return {}

    async def list_tags(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        tags = shown_tags((await self.get(ctx, req)).tags)
        return paged("Tags", tags, req, lambda tag: tag["Key"], lambda tag: tag)
