"""Operations on custom domain names and what they lead to."""

import re
from typing import Any

from cumulet.core import ids
from cumulet.core.context import Context
from cumulet.core.domain_names import is_domain_name, is_reserved
from cumulet.core.errors import NotImplementedFault
from cumulet.core.operations import operation
from cumulet.core.place import place_of
from cumulet.services.http_apis import storage
from cumulet.services.http_apis.errors import BadRequest, Conflict
from cumulet.services.http_apis.finding import get, get_api
from cumulet.services.http_apis.limits import check_room
from cumulet.services.http_apis.live import Live
from cumulet.services.http_apis.model import paged, taken
from cumulet.store.contract import Reader, Store, Txn
from cumulet.store.documents import Document

_KEY = re.compile(r"[a-zA-Z0-9$\-_.+!*'()/]*\Z")
_ZONES = "Z1UJRXOUMOOFQ8"


class DomainOperations:
    def __init__(self, store: Store, live: Live) -> None:
        self._store = store
        self._live = live

    @operation("CreateDomainName")
    async def create_domain_name(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        name = _name(req)
        if not is_domain_name(name):
            raise BadRequest("The domain name is not valid")
        if is_reserved(name):
            raise BadRequest(f"The domain name is the node's own: {name}")
        _check_supported(req)
        domain: Document = {
            "ApiMappingSelectionExpression": "$request.basepath",
            "DomainName": name,
            "DomainNameArn": f"arn:aws:apigateway:{ctx.region}::/domainnames/{name}",
            "DomainNameConfigurations": [_configuration(each, ctx) for each in req.get("DomainNameConfigurations") or [{}]],
            "RoutingMode": "API_MAPPING_ONLY",
            "Tags": req.get("Tags") or {},
        }

        def create(txn: Txn) -> None:
            if storage.find(txn, "domain", name) is not None:
                raise Conflict("The domain name resource already exists.")
            check_room(txn, "domain")
            storage.put(txn, "domain", domain, name)

        if self._live.domain_names.has_domain(name, place_of(ctx)):
            raise Conflict("The domain name resource already exists.")
        await self._store.write(storage.shard_of(place_of(ctx)), create)
        await self._live.domains(place_of(ctx))
        return domain

    @operation("GetDomainName")
    async def get_domain_name(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._store.read(storage.shard_of(place_of(ctx)), lambda reader: get(reader, "domain", _name(req)))

    @operation("GetDomainNames")
    async def get_domain_names(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        found = await self._store.read(storage.shard_of(place_of(ctx)), lambda reader: list(storage.list_all(reader, "domain")))
        return paged(found, req, "DomainName")

    @operation("UpdateDomainName")
    async def update_domain_name(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        _check_supported(req)

        def update(txn: Txn) -> Document:
            domain = get(txn, "domain", _name(req))
            if req.get("DomainNameConfigurations"):
                kept = domain["DomainNameConfigurations"][0]
                names = {name: kept[name] for name in ("ApiGatewayDomainName", "HostedZoneId")}
                domain["DomainNameConfigurations"] = [_configuration(each, ctx) | names for each in req["DomainNameConfigurations"]]
            storage.put(txn, "domain", domain, domain["DomainName"])
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

    @operation("CreateApiMapping")
    async def create_api_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        mapping = {"ApiMappingId": ids.lower_id(6), "ApiMappingKey": _key(req.get("ApiMappingKey"))} | taken(req, "ApiId", "Stage")

        def create(txn: Txn) -> None:
            check_room(txn, "mapping", _name(req))
            _put(txn, ctx, _name(req), mapping)

        await self._store.write(storage.shard_of(place_of(ctx)), create)
        await self._live.domains(place_of(ctx))
        return mapping

    @operation("GetApiMapping")
    async def get_api_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        return await self._store.read(storage.shard_of(place_of(ctx)), lambda reader: _mapping(reader, req))

    @operation("GetApiMappings")
    async def get_api_mappings(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def read(reader: Reader) -> list[Document]:
            get(reader, "domain", _name(req))
            return list(storage.list_all(reader, "mapping", _name(req)))

        return paged(await self._store.read(storage.shard_of(place_of(ctx)), read), req, "ApiMappingId")

    @operation("UpdateApiMapping")
    async def update_api_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def update(txn: Txn) -> Document:
            mapping = _mapping(txn, req) | taken(req, "ApiId", "Stage")
            if req.get("ApiMappingKey") is not None:
                mapping["ApiMappingKey"] = _key(req["ApiMappingKey"])
            _put(txn, ctx, _name(req), mapping)
            return mapping

        mapping = await self._store.write(storage.shard_of(place_of(ctx)), update)
        await self._live.domains(place_of(ctx))
        return mapping

    @operation("DeleteApiMapping")
    async def delete_api_mapping(self, ctx: Context, req: dict[str, Any]) -> dict[str, Any]:
        def delete(txn: Txn) -> None:
            _mapping(txn, req)
            storage.delete(txn, "mapping", _name(req), req["ApiMappingId"])

        await self._store.write(storage.shard_of(place_of(ctx)), delete)
        await self._live.domains(place_of(ctx))
        return {}


def _name(req: dict[str, Any]) -> str:
    return str(req["DomainName"]).lower()


def _check_supported(req: dict[str, Any]) -> None:
    """Raises NotImplementedFault."""
    if req.get("MutualTlsAuthentication"):
        raise NotImplementedFault("Mutual TLS is not supported by this node")
    if req.get("RoutingMode") not in (None, "API_MAPPING_ONLY"):
        raise NotImplementedFault(f"Routing mode {req['RoutingMode']} is not supported by this node")


def _configuration(given: Document, ctx: Context) -> Document:
    made = {
        "ApiGatewayDomainName": f"d-{ids.lower_id(10)}.execute-api.{ctx.region}.amazonaws.com",
        "DomainNameStatus": "AVAILABLE",
        "EndpointType": "REGIONAL",
        "HostedZoneId": _ZONES,
        "IpAddressType": "ipv4",
        "SecurityPolicy": "TLS_1_2",
    }
    return made | taken(
        given,
        "CertificateArn",
        "CertificateName",
        "EndpointType",
        "IpAddressType",
        "SecurityPolicy",
        "OwnershipVerificationCertificateArn",
    )


def _key(text: str | None) -> str:
    """Raises BadRequest."""
    text = text or ""
    if text in ("", "(none)"):
        return ""
    if not _KEY.match(text) or text.startswith("/") or text.endswith("/") or "//" in text:
        raise BadRequest("API mapping key should not start with a '/' or have consecutive '/'s")
    return text


def _mapping(reader: Reader, req: dict[str, Any]) -> Document:
    get(reader, "domain", _name(req))
    return get(reader, "mapping", _name(req), req["ApiMappingId"])


def _put(txn: Txn, ctx: Context, name: str, mapping: Document) -> None:
    """Raises Conflict, NotFound."""
    get(txn, "domain", name)
    get_api(txn, place_of(ctx), mapping["ApiId"])
    get(txn, "stage", mapping["ApiId"], mapping["Stage"])
    for other in storage.list_all(txn, "mapping", name):
        if other["ApiMappingKey"] == mapping["ApiMappingKey"] and other["ApiMappingId"] != mapping["ApiMappingId"]:
            raise Conflict("ApiMapping key already exists for this domain name")
    storage.put(txn, "mapping", mapping, name, mapping["ApiMappingId"])
