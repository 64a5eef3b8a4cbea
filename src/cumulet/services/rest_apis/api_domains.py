"""Operations on custom domain names and what their paths lead to."""

import re
from typing import Any

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.core.domain_names import is_domain_name, is_reserved
from cumulet.core.errors import NotImplementedFault
from cumulet.core.operations import operation
from cumulet.services.rest_apis import patch_tables, storage
from cumulet.services.rest_apis.errors import BadRequest, Conflict
from cumulet.services.rest_apis.finding import get, get_api
from cumulet.services.rest_apis.live import Live
from cumulet.services.rest_apis.model import Document, paged, place_of, taken
from cumulet.services.rest_apis.patches import patched
from cumulet.store.contract import Reader, Store, Txn

NO_BASE_PATH = "(none)"
_BASE_PATH = re.compile(r"[A-Za-z0-9$\-_.+!*'()/]+\Z")


class DomainOperations:
    def __init__(self, store: Store, clock: Clock, live: Live) -> None:
        self._store = store
        self._clock = clock
        self._live = live

    @operation("CreateDomainName")
    async def create_domain_name(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = (req.get("domainName") or "").lower()
        if not is_domain_name(name) or name.startswith("*."):
            raise BadRequest(f"Invalid domain name specified: {name}")
        if is_reserved(name):
            raise BadRequest(f"The domain name is the node's own: {name}")
        for member in ("mutualTlsAuthentication", "certificateBody", "certificatePrivateKey"):
            if req.get(member):
                raise NotImplementedFault(f"{member} is not supported by this node, which speaks plain HTTP")
        domain = taken(
            req, "certificateName", "certificateArn", "regionalCertificateName", "regionalCertificateArn", "tags", "policy"
        )
        endpoint = req.get("endpointConfiguration") or {"types": ["EDGE"]}
        regional = f"d-{ids.lower_id(10)}.execute-api.{ctx.region}.localhost"
        domain |= {
            "domainName": name,
            "domainNameArn": f"arn:aws:apigateway:{ctx.region}::/domainnames/{name}",
            "domainNameStatus": "AVAILABLE",
            "endpointConfiguration": endpoint,
            "securityPolicy": req.get("securityPolicy") or "TLS_1_2",
            "routingMode": req.get("routingMode") or "BASE_PATH_MAPPING_ONLY",
            "certificateUploadDate": self._clock.now_ms() // 1000,
        }
        domain |= (
            {"regionalDomainName": regional, "regionalHostedZoneId": "Z1UJRXOUMOOFQ8"}
            if endpoint.get("types") == ["REGIONAL"]
            else {"distributionDomainName": regional, "distributionHostedZoneId": "Z2FDTNDATAQYW2"}
        )

        def create(txn: Txn) -> None:
            if storage.find(txn, "domain", name) is not None:
                raise BadRequest("The domain name you provided already exists.")
            storage.put(txn, "domain", domain, name)

        if self._live.publisher.has_domain(name, place_of(ctx)):
            raise BadRequest("The domain name you provided already exists.")
        await self._store.write(storage.shard_of(place_of(ctx)), create)
        await self._live.domains(place_of(ctx))
        return domain

    @operation("GetDomainName")
    async def get_domain_name(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._store.read(storage.shard_of(place_of(ctx)), lambda reader: get(reader, "domain", _name(req)))

    @operation("GetDomainNames")
    async def get_domain_names(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        found = await self._store.read(storage.shard_of(place_of(ctx)), lambda reader: list(storage.list_all(reader, "domain")))
        return paged(found, req, "domainName")

    @operation("UpdateDomainName")
    async def update_domain_name(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> Document:
            domain = patched(get(txn, "domain", _name(req)), req.get("patchOperations"), patch_tables.DOMAIN_NAME)
            storage.put(txn, "domain", domain, domain["domainName"])
            return domain

        return await self._store.write(storage.shard_of(place_of(ctx)), update)

    @operation("DeleteDomainName")
    async def delete_domain_name(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            get(txn, "domain", _name(req))
            storage.delete(txn, "domain", _name(req))
            storage.delete(txn, "mapping", _name(req))

        await self._store.write(storage.shard_of(place_of(ctx)), delete)
        await self._live.domains(place_of(ctx))
        return {}

    @operation("CreateBasePathMapping")
    async def create_base_path_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        mapping = {"basePath": _base_path(req.get("basePath"))} | taken(req, "restApiId", "stage")

        def create(txn: Txn) -> None:
            get(txn, "domain", _name(req))
            _check(txn, ctx, mapping)
            if storage.find(txn, "mapping", _name(req), mapping["basePath"]) is not None:
                raise Conflict("Base path already exists for this domain name")
            storage.put(txn, "mapping", mapping, _name(req), mapping["basePath"])

        await self._store.write(storage.shard_of(place_of(ctx)), create)
        await self._live.domains(place_of(ctx))
        return mapping

    @operation("GetBasePathMapping")
    async def get_base_path_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> Document:
            get(reader, "domain", _name(req))
            return get(reader, "mapping", _name(req), _base_path(req["basePath"]))

        return await self._store.read(storage.shard_of(place_of(ctx)), read)

    @operation("GetBasePathMappings")
    async def get_base_path_mappings(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> list[Document]:
            get(reader, "domain", _name(req))
            return list(storage.list_all(reader, "mapping", _name(req)))

        return paged(await self._store.read(storage.shard_of(place_of(ctx)), read), req, "basePath")

    @operation("UpdateBasePathMapping")
    async def update_base_path_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> Document:
            get(txn, "domain", _name(req))
            before = get(txn, "mapping", _name(req), _base_path(req["basePath"]))
            after = patched(before, req.get("patchOperations"), patch_tables.MAPPING)
            after["restApiId"] = after.pop("restapiId", after["restApiId"])
            after["basePath"] = _base_path(after.get("basePath"))
            _check(txn, ctx, after)
            storage.delete(txn, "mapping", _name(req), before["basePath"])
            if storage.find(txn, "mapping", _name(req), after["basePath"]) is not None:
                raise Conflict("Base path already exists for this domain name")
            storage.put(txn, "mapping", after, _name(req), after["basePath"])
            return after

        mapping = await self._store.write(storage.shard_of(place_of(ctx)), update)
        await self._live.domains(place_of(ctx))
        return mapping

    @operation("DeleteBasePathMapping")
    async def delete_base_path_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            get(txn, "domain", _name(req))
            get(txn, "mapping", _name(req), _base_path(req["basePath"]))
            storage.delete(txn, "mapping", _name(req), _base_path(req["basePath"]))

        await self._store.write(storage.shard_of(place_of(ctx)), delete)
        await self._live.domains(place_of(ctx))
        return {}


def _name(req: dict[str, Any]) -> str:
    return str(req["domainName"]).lower()


def _base_path(text: str | None) -> str:
    """Raises BadRequest."""
    text = (text or "").strip("/")
    if not text or text == NO_BASE_PATH:
        return NO_BASE_PATH
    if not _BASE_PATH.match(text):
        raise BadRequest("Base path must only contain letters, numbers, and one of $-_.+!*'()/")
    return text


def _check(txn: Txn, ctx: Context, mapping: Document) -> None:
    get_api(txn, place_of(ctx), mapping["restApiId"])
    if mapping.get("stage"):
        get(txn, "stage", mapping["restApiId"], mapping["stage"])
