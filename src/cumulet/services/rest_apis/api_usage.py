"""Operations on API keys, usage plans and what was used of them."""

import csv
import io
from collections.abc import Callable
from datetime import date
from typing import Any, TypeVar

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.operations import operation
from cumulet.services.rest_apis import patch_tables, storage
from cumulet.services.rest_apis.errors import BadRequest, Conflict, NotFound
from cumulet.services.rest_apis.finding import get, get_api
from cumulet.services.rest_apis.live import Live
from cumulet.services.rest_apis.model import Document, Place, page, paged, place_of, taken, without_nothing
from cumulet.services.rest_apis.patches import integer, patched
from cumulet.services.rest_apis.usage import UsageCounts
from cumulet.store.contract import Reader, Store, Txn

T = TypeVar("T")

_VALUE_LENGTH = (20, 128)


class UsageOperations:
    def __init__(self, store: Store, clock: Clock, live: Live, counts: UsageCounts) -> None:
        self._store = store
        self._clock = clock
        self._live = live
        self._counts = counts

    # API keys

    @operation("CreateApiKey")
    async def create_api_key(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        key = self._new_key(taken(req, "name", "description", "value", "customerId", "tags"), enabled=bool(req.get("enabled")))
        for stage in req.get("stageKeys") or ():
            key["stageKeys"].append(f"{stage.get('restApiId')}/{stage.get('stageName')}")

        def create(txn: Txn) -> None:
            for stage in req.get("stageKeys") or ():
                get_api(txn, place_of(ctx), stage.get("restApiId") or "")
                get(txn, "stage", stage["restApiId"], stage.get("stageName") or "")
            _put_key(txn, key)

        await self._write(place_of(ctx), create)
        return key

    def _new_key(self, members: Document, *, enabled: bool) -> Document:
        now_s = self._clock.now_ms() // 1000
        key: Document = {
            "id": ids.lower_id(10),
            "value": ids.lower_id(40),
            "enabled": enabled,
            "stageKeys": [],
            "tags": {},
        } | members
        key["value"] = key["value"] or ids.lower_id(40)  # Terraform says "" where it means nothing
        least, most = _VALUE_LENGTH
        if not least <= len(key["value"]) <= most:
            raise BadRequest(f"API Key value should be at least {least} characters")
        return key | {"createdDate": now_s, "lastUpdatedDate": now_s}

    @operation("GetApiKey")
    async def get_api_key(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        key = await self._store.read(storage.shard_of(place_of(ctx)), lambda reader: get(reader, "key", req["apiKey"]))
        return _shown_key(key, has_value=bool(req.get("includeValue")))

    @operation("GetApiKeys")
    async def get_api_keys(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        found = await self._store.read(storage.shard_of(place_of(ctx)), lambda reader: list(storage.list_all(reader, "key")))
        if req.get("nameQuery"):
            found = [key for key in found if (key.get("name") or "").startswith(req["nameQuery"])]
        if req.get("customerId"):
            found = [key for key in found if key.get("customerId") == req["customerId"]]
        return paged([_shown_key(key, has_value=bool(req.get("includeValues"))) for key in found], req)

    @operation("UpdateApiKey")
    async def update_api_key(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> Document:
            key = get(txn, "key", req["apiKey"])
            key["stages"] = key.pop("stageKeys", [])
            key = patched(key, req.get("patchOperations"), patch_tables.API_KEY)
            key["stageKeys"] = key.pop("stages", [])
            key["lastUpdatedDate"] = self._clock.now_ms() // 1000
            storage.put(txn, "key", key, key["id"])
            return key

        return _shown_key(await self._write(place_of(ctx), update), has_value=False)

    @operation("DeleteApiKey")
    async def delete_api_key(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            get(txn, "key", req["apiKey"])
            storage.delete(txn, "key", req["apiKey"])
            for plan in storage.list_all(txn, "plan"):
                storage.delete(txn, "plan-key", plan["id"], req["apiKey"])

        await self._write(place_of(ctx), delete)
        return {}

    @operation("ImportApiKeys")
    async def import_api_keys(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        """A CSV file with the columns name, key, and perhaps description, enabled and usageplanIds."""
        try:
            rows = list(csv.DictReader(io.StringIO(req["body"].decode("utf-8-sig")), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadRequest(f"The CSV file cannot be read: {error}") from None
        rows = [
            {(name or "").strip().lower(): (value or "") for name, value in row.items() if isinstance(value, str)} for row in rows
        ]
        if not rows or any("name" not in row or "key" not in row for row in rows):
            raise BadRequest("Missing required column: the file needs name and key")
        keys = [self._imported(row) for row in rows]

        def create(txn: Txn) -> list[str]:
            warnings: list[str] = []
            for key, row in zip(keys, rows, strict=True):
                _put_key(txn, key)
                for plan_id in (part.strip() for part in row.get("usageplanids", "").split(",")):
                    if plan_id and storage.find(txn, "plan", plan_id) is None:
                        warnings.append(f"Usage plan {plan_id} does not exist")
                    elif plan_id:
                        storage.put(txn, "plan-key", _plan_key(key), plan_id, key["id"])
            if warnings and req.get("failOnWarnings"):
                raise BadRequest("; ".join(warnings))
            return warnings

        warnings = await self._write(place_of(ctx), create)
        return {"ids": [key["id"] for key in keys], "warnings": warnings}

    def _imported(self, row: dict[str, str]) -> Document:
        members = without_nothing({"name": row["name"], "value": row["key"], "description": row.get("description") or None})
        return self._new_key(members, enabled=row.get("enabled", "").lower() == "true")

    # Usage plans

    @operation("CreateUsagePlan")
    async def create_usage_plan(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        plan = {"id": ids.lower_id(6), "apiStages": [], "tags": {}}
        plan |= taken(req, "name", "description", "apiStages", "throttle", "quota", "tags")

        def create(txn: Txn) -> None:
            _check_plan(txn, place_of(ctx), plan)
            storage.put(txn, "plan", plan, str(plan["id"]))

        await self._write(place_of(ctx), create)
        return plan

    @operation("GetUsagePlan")
    async def get_usage_plan(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._store.read(storage.shard_of(place_of(ctx)), lambda reader: get(reader, "plan", req["usagePlanId"]))

    @operation("GetUsagePlans")
    async def get_usage_plans(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> list[Document]:
            plans = list(storage.list_all(reader, "plan"))
            if req.get("keyId"):
                plans = [plan for plan in plans if storage.find(reader, "plan-key", plan["id"], req["keyId"]) is not None]
            return plans

        return paged(await self._store.read(storage.shard_of(place_of(ctx)), read), req)

    @operation("UpdateUsagePlan")
    async def update_usage_plan(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> Document:
            plan = patched(get(txn, "plan", req["usagePlanId"]), req.get("patchOperations"), patch_tables.USAGE_PLAN)
            _check_plan(txn, place_of(ctx), plan)
            storage.put(txn, "plan", plan, plan["id"])
            return plan

        return await self._write(place_of(ctx), update)

    @operation("DeleteUsagePlan")
    async def delete_usage_plan(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            plan = get(txn, "plan", req["usagePlanId"])
            if plan.get("apiStages"):
                raise BadRequest("Cannot delete usage plan " + plan["id"] + " because it is associated with API stages")
            for kind in ("plan", "plan-key", "usage"):
                storage.delete(txn, kind, plan["id"])

        await self._write(place_of(ctx), delete)
        self._counts.forget(place_of(ctx), req["usagePlanId"])
        return {}

    @operation("CreateUsagePlanKey")
    async def create_usage_plan_key(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        if req["keyType"] != "API_KEY":
            raise BadRequest("Invalid key type specified. Must be API_KEY")

        def create(txn: Txn) -> Document:
            plan = get(txn, "plan", req["usagePlanId"])
            key = get(txn, "key", req["keyId"])
            if storage.find(txn, "plan-key", plan["id"], key["id"]) is not None:
                raise Conflict(f"Usage Plan {plan['id']} already has the API key {key['id']}")
            stages = {(each["apiId"], each["stage"]) for each in plan.get("apiStages", ())}
            for other in storage.list_all(txn, "plan"):
                shared = stages & {(each["apiId"], each["stage"]) for each in other.get("apiStages", ())}
                is_member = storage.find(txn, "plan-key", other["id"], key["id"]) is not None
                if other["id"] != plan["id"] and is_member and shared:
                    raise Conflict(f"API Key {key['id']} cannot be added to multiple usage plans with the same API stages")
            storage.put(txn, "plan-key", _plan_key(key), plan["id"], key["id"])
            return _plan_key(key) | {"value": key["value"]}

        return await self._write(place_of(ctx), create)

    @operation("GetUsagePlanKey")
    async def get_usage_plan_key(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> Document:
            get(reader, "plan", req["usagePlanId"])
            found = get(reader, "plan-key", req["usagePlanId"], req["keyId"])
            return found | {"value": get(reader, "key", req["keyId"])["value"]}

        return await self._store.read(storage.shard_of(place_of(ctx)), read)

    @operation("GetUsagePlanKeys")
    async def get_usage_plan_keys(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> list[Document]:
            get(reader, "plan", req["usagePlanId"])
            found = storage.list_all(reader, "plan-key", req["usagePlanId"])
            wanted = req.get("nameQuery") or ""
            return [
                key | {"value": get(reader, "key", key["id"])["value"]}
                for key in found
                if (key.get("name") or "").startswith(wanted)
            ]

        return paged(await self._store.read(storage.shard_of(place_of(ctx)), read), req)

    @operation("DeleteUsagePlanKey")
    async def delete_usage_plan_key(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            get(txn, "plan", req["usagePlanId"])
            get(txn, "plan-key", req["usagePlanId"], req["keyId"])
            storage.delete(txn, "plan-key", req["usagePlanId"], req["keyId"])
            storage.delete(txn, "usage", req["usagePlanId"], req["keyId"])

        await self._write(place_of(ctx), delete)
        self._counts.forget(place_of(ctx), req["usagePlanId"], req["keyId"])
        return {}

    # Usage

    @operation("GetUsage")
    async def get_usage(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        try:
            first, last = date.fromisoformat(req["startDate"]), date.fromisoformat(req["endDate"])
        except ValueError:
            raise BadRequest("Usage: dates must have the form YYYY-MM-DD") from None
        if not 0 <= (last - first).days <= 90:
            raise BadRequest("Usage can be asked for 90 days at most, the first before the last")

        def read(reader: Reader) -> tuple[Document, list[str]]:
            plan = get(reader, "plan", req["usagePlanId"])
            keys = [key["id"] for key in storage.list_all(reader, "plan-key", plan["id"])]
            if req.get("keyId") and req["keyId"] not in keys:
                raise NotFound("Invalid API Key identifier specified")
            return plan, [req["keyId"]] if req.get("keyId") else keys

        plan, keys = await self._store.read(storage.shard_of(place_of(ctx)), read)
        found = self._counts.daily(place_of(ctx), plan, keys, first, last)
        shown, position = page([{"id": key_id} for key_id in sorted(found)], req, lambda each: str(each["id"]))
        items = {each["id"]: found[each["id"]] for each in shown}
        answer = {"usagePlanId": plan["id"], "startDate": req["startDate"], "endDate": req["endDate"], "items": items}
        return without_nothing(answer | {"position": position})

    @operation("UpdateUsage")
    async def update_usage(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> Document:
            get(reader, "plan-key", req["usagePlanId"], req["keyId"])
            return get(reader, "plan", req["usagePlanId"])

        plan = await self._store.read(storage.shard_of(place_of(ctx)), read)
        changed = patched({}, req.get("patchOperations"), {"/remaining": integer})
        if not plan.get("quota"):
            raise BadRequest("Usage Plan has no quota")
        if changed.get("remaining") is not None:
            self._counts.extend(place_of(ctx), plan, req["keyId"], changed["remaining"])
        today = date.fromtimestamp(self._clock.now_ms() / 1000).isoformat()
        return await self.get_usage(ctx, req | {"startDate": today, "endDate": today})

    async def _write(self, place: Place, body: Callable[[Txn], T]) -> T:
        """Write, then tell who serves."""
        result = await self._store.write(storage.shard_of(place), body)
        await self._live.usage(place)
        return result


def _put_key(txn: Txn, key: Document) -> None:
    if any(other["value"] == key["value"] for other in storage.list_all(txn, "key")):
        raise Conflict("API Key already exists")
    storage.put(txn, "key", key, key["id"])


def _plan_key(key: Document) -> Document:
    return without_nothing({"id": key["id"], "type": "API_KEY", "name": key.get("name")})


def _shown_key(key: Document, *, has_value: bool) -> Document:
    return key if has_value else {name: value for name, value in key.items() if name != "value"}


def _check_stage_throttle(throttle: Any) -> None:
    """Limits by method, as a patch may have written them. Raises BadRequest."""
    limits = throttle.values() if isinstance(throttle, dict) else ()
    if throttle is not None and not isinstance(throttle, dict):
        raise BadRequest("Usage Plan API stage throttle must be an object")
    for limit in limits:
        numbers = (limit.get("rateLimit", 0), limit.get("burstLimit", 0)) if isinstance(limit, dict) else (None,)
        if any(not isinstance(number, int | float) or isinstance(number, bool) or number < 0 for number in numbers):
            raise BadRequest("Usage Plan API stage throttle limits must be numbers")


def _check_plan(txn: Txn, place: Place, plan: Document) -> None:
    """Raises BadRequest, NotFound."""
    for stage in plan.get("apiStages") or ():
        api_id, name = stage.get("apiId") or "", stage.get("stage") or ""
        if storage.find(txn, "api", api_id) is None:
            raise NotFound(f"Invalid API identifier specified {place.account}:{api_id}")
        if storage.find(txn, "stage", api_id, name) is None:
            raise NotFound(f"API Stage not found: {api_id}:{name}")
        _check_stage_throttle(stage.get("throttle"))
    quota = plan.get("quota")
    if quota is not None:
        if quota.get("period") not in ("DAY", "WEEK", "MONTH"):
            raise BadRequest("Usage Plan quota period must be one of DAY, WEEK, MONTH")
        if (quota.get("limit") or 0) <= 0:
            raise BadRequest("Usage Plan quota limit must be greater than 0")
        quota.setdefault("offset", 0)
    throttle = plan.get("throttle")
    if throttle is not None:
        throttle.setdefault("burstLimit", 0)
        throttle.setdefault("rateLimit", 0.0)
        if throttle["burstLimit"] < 0 or throttle["rateLimit"] < 0:
            raise BadRequest("Usage Plan throttle limits must not be negative")
