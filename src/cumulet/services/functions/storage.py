"""The key layout: one shard for each account and region, so that all of an account's functions change consistently.

    ("usage",)                                  {"code_bytes", "functions"}
    ("function", name)                          Function
    ("version", name, number)                   FunctionVersion; 0 is $LATEST
    ("alias", name, alias)                      Alias
    ("policy", name, qualifier)                 Policy of the function ("$LATEST": unqualified), a version or an alias
    ("url", name, qualifier)                    UrlConfig
    ("event-invoke", name, qualifier)           EventInvokeConfig
    ("provisioned", name, qualifier)            Provisioned
    ("layer", name)                             {"last_version"}
    ("layer-version", name, number)             LayerVersion
    ("layer-policy", name, number)              Policy
    ("mapping", uuid)                           EventSourceMapping
    ("reserved", name)                          nothing: the function has reserved concurrency
    ("reserved-indexed",)                       nothing: all that have are in there

A function URL is found by its id alone through the shard "function-urls": an entry there is a hint, written before the
configuration it leads to and removed after it, and believed only when the configuration agrees.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from cumulet.services.functions.errors import InvalidParameterValue, ResourceNotFound
from cumulet.services.functions.model import Alias, Code, Configuration, Function, FunctionVersion, LayerUse
from cumulet.services.functions.model_event_sources import EventSourceMapping
from cumulet.services.functions.model_layers import LayerVersion
from cumulet.services.functions.model_policy import Policy
from cumulet.services.functions.model_settings import EventInvokeConfig, Provisioned, UrlConfig
from cumulet.services.functions.names import LATEST, FunctionRef, Place, is_version
from cumulet.store.contract import Reader, Store, Txn
from cumulet.store.keys import Part, after, pack, prefix_range, unpack

T = TypeVar("T")
R = TypeVar("R")
URLS_SHARD = "function-urls"
SHARD_PREFIX = "functions/"
_RESERVED_INDEXED = pack("reserved-indexed")


@dataclass(frozen=True, slots=True)
class Page:
    """Where a listing goes on and how long it may be."""

    marker: str | None
    limit: int

    @classmethod
    def of(cls, req: dict[str, Any], most: int = 50) -> "Page":
        return cls(req.get("Marker"), min(req.get("MaxItems") or most, most))


class View:
    """One consistent look at an account's functions in a region."""

    def __init__(self, reader: Reader, place: Place) -> None:
        self._reader = reader
        self.place = place

    def get_function(self, name: str) -> Function:
        found = self.find_function(name)
        if found is None:
            raise self._absent(name, None)
        return found

    def find_function(self, name: str) -> Function | None:
        return _flat(Function, self._reader.get(pack("function", name)))

    def functions(self) -> Iterator[Function]:
        for _, raw in self._reader.scan(*prefix_range("function")):
            yield Function(**orjson.loads(raw))

    def reserved_functions(self) -> list[Function]:
        """Those with reserved concurrency: few of many."""
        start, end = prefix_range("reserved")
        return [self.get_function(str(unpack(key)[1])) for key, _ in self._reader.scan(start, end)]

    def has_reserved_index(self) -> bool:
        return self._reader.get(_RESERVED_INDEXED) is not None

    def get_version(self, name: str, version: str) -> FunctionVersion:
        found = self.find_version(name, version)
        if found is None:
            raise self._absent(name, version if version != LATEST else None)
        return found

    def find_version(self, name: str, version: str) -> FunctionVersion | None:
        number = 0 if version == LATEST else int(version)
        if number >= 1 << 62 or (number == 0 and version != LATEST):
            return None
        return _version(self._reader.get(pack("version", name, number)))

    def newest_published(self, name: str) -> FunctionVersion | None:
        """The published version with the highest number that still exists."""
        first = pack("version", name, 1)
        for _, raw in self._reader.scan(first, prefix_range("version", name)[1], reverse=True, limit=1):
            return _version(raw)
        return None

    def versions(self, name: str, page: Page) -> tuple[list[FunctionVersion], str | None]:
        """$LATEST first, then by number."""
        return self._page(("version", name), _loaded_version, page)

    def all_versions(self, page: Page) -> tuple[list[FunctionVersion], str | None]:
        return self._page(("version",), _loaded_version, page)

    def latest_versions(self, page: Page) -> tuple[list[FunctionVersion], str | None]:
        functions, marker = self._page(("function",), lambda raw: Function(**orjson.loads(raw)), page)
        return [self.get_version(function.name, LATEST) for function in functions], marker

    def code_hashes(self, name: str) -> set[str]:
        return {_loaded_version(raw).code.sha256 for _, raw in self._reader.scan(*prefix_range("version", name))}

    def find_alias(self, name: str, alias: str) -> Alias | None:
        return _flat(Alias, self._reader.get(pack("alias", name, alias)))

    def get_alias(self, name: str, alias: str) -> Alias:
        found = self.find_alias(name, alias)
        if found is None:
            raise ResourceNotFound(f"Cannot find alias arn: {self.place.function_arn(name, alias)}")
        return found

    def aliases(self, name: str, page: Page) -> tuple[list[Alias], str | None]:
        return self._page(("alias", name), lambda raw: Alias(**orjson.loads(raw)), page)

    def all_aliases(self, name: str) -> list[Alias]:
        return [Alias(**orjson.loads(raw)) for _, raw in self._reader.scan(*prefix_range("alias", name))]

    def get_target(self, ref: FunctionRef) -> FunctionVersion:
        """The version that a reference means now: an alias means its primary version."""
        if is_version(ref.qualifier):
            return self.get_version(ref.name, ref.qualifier or LATEST)
        alias = self.find_alias(ref.name, str(ref.qualifier))
        if alias is None:
            raise self._absent(ref.name, ref.qualifier)
        return self.get_version(ref.name, alias.version)

    def find_policy(self, name: str, qualifier: str) -> Policy | None:
        return _flat(Policy, self._reader.get(pack("policy", name, qualifier)))

    def find_url(self, name: str, qualifier: str) -> UrlConfig | None:
        return _flat(UrlConfig, self._reader.get(pack("url", name, qualifier)))

    def urls(self, name: str, page: Page) -> tuple[list[UrlConfig], str | None]:
        return self._page(("url", name), lambda raw: UrlConfig(**orjson.loads(raw)), page)

    def find_event_invoke(self, name: str, qualifier: str) -> EventInvokeConfig | None:
        return _flat(EventInvokeConfig, self._reader.get(pack("event-invoke", name, qualifier)))

    def event_invokes(self, name: str, page: Page) -> tuple[list[EventInvokeConfig], str | None]:
        return self._page(("event-invoke", name), lambda raw: EventInvokeConfig(**orjson.loads(raw)), page)

    def find_provisioned(self, name: str, qualifier: str) -> Provisioned | None:
        return _flat(Provisioned, self._reader.get(pack("provisioned", name, qualifier)))

    def provisioned(self, name: str, page: Page) -> tuple[list[Provisioned], str | None]:
        return self._page(("provisioned", name), lambda raw: Provisioned(**orjson.loads(raw)), page)

    def all_provisioned(self) -> list[Provisioned]:
        return [Provisioned(**orjson.loads(raw)) for _, raw in self._reader.scan(*prefix_range("provisioned"))]

    def last_layer_version(self, name: str) -> int:
        raw = self._reader.get(pack("layer", name))
        return int(orjson.loads(raw)["last_version"]) if raw is not None else 0

    def find_layer_version(self, name: str, number: int) -> LayerVersion | None:
        return _flat(LayerVersion, self._reader.get(pack("layer-version", name, number)))

    def layer_versions(self, name: str) -> Iterator[LayerVersion]:
        """The newest first."""
        for _, raw in self._reader.scan(*prefix_range("layer-version", name), reverse=True):
            yield LayerVersion(**orjson.loads(raw))

    def layer_names(self) -> Iterator[str]:
        for key, _ in self._reader.scan(*prefix_range("layer")):
            yield str(unpack(key)[1])

    def find_layer_policy(self, name: str, number: int) -> Policy | None:
        return _flat(Policy, self._reader.get(pack("layer-policy", name, number)))

    def find_mapping(self, uuid: str) -> EventSourceMapping | None:
        return _flat(EventSourceMapping, self._reader.get(pack("mapping", uuid)))

    def mappings(self) -> Iterator[EventSourceMapping]:
        for _, raw in self._reader.scan(*prefix_range("mapping")):
            yield EventSourceMapping(**orjson.loads(raw))

    def usage(self) -> dict[str, int]:
        raw = self._reader.get(pack("usage"))
        return dict(orjson.loads(raw)) if raw is not None else {"code_bytes": 0, "functions": 0}

    def _page(self, prefix: tuple[Part, ...], load: Callable[[bytes], R], page: Page) -> tuple[list[R], str | None]:
        start, end = prefix_range(*prefix)
        if page.marker:
            start = max(start, after(_key_of(page.marker)))
        rows = list(self._reader.scan(start, end, limit=page.limit + 1)) if start < end else []
        marker = _marker_of(rows[page.limit - 1][0]) if len(rows) > page.limit else None
        return [load(raw) for _, raw in rows[: page.limit]], marker

    def _absent(self, name: str, qualifier: str | None) -> ResourceNotFound:
        return ResourceNotFound(f"Function not found: {self.place.function_arn(name, qualifier)}")


class Edit(View):
    """A view inside a transaction: it sees what it changed."""

    def __init__(self, txn: Txn, place: Place) -> None:
        super().__init__(txn, place)
        self._txn = txn

    def put_function(self, function: Function) -> None:
        self._put(function, "function", function.name)
        reserved = pack("reserved", function.name)
        if function.reserved_concurrency is not None:
            self._txn.put(reserved, b"")
        elif self._txn.get(reserved) is not None:
            self._txn.delete(reserved)

    def index_reserved(self) -> None:
        """For functions that were kept before there was such an index."""
        for function in list(self.functions()):
            if function.reserved_concurrency is not None:
                self._txn.put(pack("reserved", function.name), b"")
        self._txn.put(_RESERVED_INDEXED, b"")

    def put_version(self, version: FunctionVersion) -> None:
        self._put(version, "version", version.name, 0 if version.version == LATEST else int(version.version))

    def delete_version(self, name: str, number: str) -> None:
        for kind in ("policy", "event-invoke", "provisioned"):
            self._txn.delete(pack(kind, name, number))
        self._txn.delete(pack("version", name, int(number)))

    def put_alias(self, alias: Alias) -> None:
        self._put(alias, "alias", alias.function, alias.name)

    def delete_alias(self, name: str, alias: str) -> None:
        """The alias and all that hangs on it."""
        for kind in ("alias", "policy", "url", "event-invoke", "provisioned"):
            self._txn.delete(pack(kind, name, alias))

    def delete_function(self, name: str) -> None:
        """The function with its versions, aliases and settings. Event source mappings stay, as AWS keeps them."""
        self._txn.delete(pack("function", name))
        self._txn.delete(pack("reserved", name))
        for kind in ("version", "alias", "policy", "url", "event-invoke", "provisioned"):
            for key, _ in list(self._txn.scan(*prefix_range(kind, name))):
                self._txn.delete(key)

    def put_policy(self, name: str, qualifier: str, policy: Policy) -> None:
        if policy.statements:
            self._put(policy, "policy", name, qualifier)
        else:
            self._txn.delete(pack("policy", name, qualifier))

    def put_url(self, url: UrlConfig) -> None:
        self._put(url, "url", url.function, url.qualifier)

    def delete_url(self, name: str, qualifier: str) -> None:
        self._txn.delete(pack("url", name, qualifier))

    def put_event_invoke(self, config: EventInvokeConfig) -> None:
        self._put(config, "event-invoke", config.function, config.qualifier)

    def delete_event_invoke(self, name: str, qualifier: str) -> None:
        self._txn.delete(pack("event-invoke", name, qualifier))

    def put_provisioned(self, provisioned: Provisioned) -> None:
        self._put(provisioned, "provisioned", provisioned.function, provisioned.qualifier)

    def delete_provisioned(self, name: str, qualifier: str) -> None:
        self._txn.delete(pack("provisioned", name, qualifier))

    def put_layer_version(self, layer: LayerVersion) -> None:
        self._put(layer, "layer-version", layer.name, layer.version)
        self._put({"last_version": layer.version}, "layer", layer.name)

    def delete_layer_version(self, name: str, number: int) -> None:
        self._txn.delete(pack("layer-version", name, number))
        self._txn.delete(pack("layer-policy", name, number))

    def put_layer_policy(self, name: str, number: int, policy: Policy) -> None:
        if policy.statements:
            self._put(policy, "layer-policy", name, number)
        else:
            self._txn.delete(pack("layer-policy", name, number))

    def put_mapping(self, mapping: EventSourceMapping) -> None:
        self._put(mapping, "mapping", mapping.uuid)

    def delete_mapping(self, uuid: str) -> None:
        self._txn.delete(pack("mapping", uuid))

    def count(self, *, code_bytes: int = 0, functions: int = 0) -> dict[str, int]:
        """Add to what the account uses; returns what that is now."""
        usage = self.usage()
        usage = {"code_bytes": usage["code_bytes"] + code_bytes, "functions": usage["functions"] + functions}
        self._put(usage, "usage")
        return usage

    def _put(self, record: Any, *key: Part) -> None:
        self._txn.put(pack(*key), orjson.dumps(record))


class FunctionStorage:
    """Every read and write of this service. `on_change` callables hear of each committed change of a function."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.on_change: list[Callable[[Place, str], None]] = []

    async def read(self, place: Place, body: Callable[[View], T]) -> T:
        return await self._store.read(_shard(place), lambda reader: body(View(reader, place)))

    async def write(self, place: Place, name: str, body: Callable[[Edit], T]) -> T:
        """Change what belongs to the function `name`; who caches it hears of it before the caller does."""
        try:
            return await self._store.write(_shard(place), lambda txn: body(Edit(txn, place)))
        finally:
            # Also after a failure: a cancelled caller cannot know whether the commit happened.
            for listener in self.on_change:
                listener(place, name)

    async def write_apart(self, place: Place, body: Callable[[Edit], T]) -> T:
        """Change what belongs to no function: layers and event source mappings."""
        return await self._store.write(_shard(place), lambda txn: body(Edit(txn, place)))

    async def places(self) -> list[Place]:
        shards = [shard for shard in await self._store.list_shards() if shard.startswith(SHARD_PREFIX)]
        return [Place(*shard.removeprefix(SHARD_PREFIX).split("/", 1)) for shard in shards]

    async def find_url_owner(self, url_id: str) -> tuple[Place, FunctionRef] | None:
        raw = await self._store.read(URLS_SHARD, lambda reader: reader.get(pack("url", url_id)))
        if raw is None:
            return None
        account, region, name, qualifier = orjson.loads(raw)
        return Place(account, region), FunctionRef(name, qualifier)

    async def put_url_owner(self, url_id: str, place: Place, ref: FunctionRef) -> None:
        raw = orjson.dumps([*place, ref.name, ref.qualifier])
        await self._store.write(URLS_SHARD, lambda txn: txn.put(pack("url", url_id), raw))

    async def delete_url_owner(self, url_id: str) -> None:
        await self._store.write(URLS_SHARD, lambda txn: txn.delete(pack("url", url_id)))


def _shard(place: Place) -> str:
    return f"{SHARD_PREFIX}{place.account}/{place.region}"


def _flat(kind: Callable[..., R], raw: bytes | None) -> R | None:
    """A record without records inside, as JSON spells it."""
    return None if raw is None else kind(**orjson.loads(raw))


def _version(raw: bytes | None) -> FunctionVersion | None:
    return None if raw is None else _loaded_version(raw)


def _loaded_version(raw: bytes) -> FunctionVersion:
    fields = orjson.loads(raw)
    configuration = fields.pop("configuration")
    layers = tuple(LayerUse(**layer) for layer in configuration.pop("layers"))
    code = Code(**fields.pop("code"))
    return FunctionVersion(**fields, code=code, configuration=Configuration(**configuration, layers=layers))


def _marker_of(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


def _key_of(marker: str) -> bytes:
    try:
        return base64.b64decode(marker.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParameterValue("The Marker is not one that this service gave.") from None
