"""What all operations of the service share: its parts, and the way from a name to what is meant."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cumulet.core import ids
from cumulet.core.clock import Clock
from cumulet.core.context import Context
from cumulet.invoke.contract import AsyncInvoker, AsyncSettings, Invoker
from cumulet.runtimes.contract import FunctionSpec
from cumulet.services.functions import storage
from cumulet.services.functions.errors import InvalidParameterValue, ResourceNotFound
from cumulet.services.functions.model import Alias, Function, Version, is_version, spec_of
from cumulet.services.functions.names import LATEST, FunctionName, function_arn, parse_function_name, parse_layer_version_arn
from cumulet.store.contract import Reader, Store

FetchObject = Callable[[str, str, str | None], Awaitable[bytes]]
"""(bucket, key, version or None) -> the object's bytes: how code comes from an object store, once there is one."""


class Environments(Protocol):
    """What the service tells whoever keeps execution environments."""

    def set_reserved(self, account: str, function_id: str, reserved: int | None) -> None: ...

    def unreserved_limit(self, account: str) -> int: ...

    def retire(self, function_id: str, keep: tuple[str, str, str] | None = None) -> None: ...

    def set_provisioned(self, spec: FunctionSpec, count: int) -> None: ...

    def ready_provisioned(self, spec: FunctionSpec) -> int: ...


@dataclass(frozen=True, slots=True)
class Resolved:
    """A qualifier's meaning, cached until the function changes: the versions that an alias may choose, and the async settings."""

    specs: dict[str, FunctionSpec]
    alias: Alias | None
    settings: AsyncSettings


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """Whose URL it is. `document` has the members of FunctionUrlConfig."""

    account: str
    region: str
    name: str
    qualifier: str | None
    document: dict[str, Any]


class Registry:
    """The service's parts. `chance` gives a number between 0 and 1 for weighted aliases."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        invoker: Invoker,
        asynchronous: AsyncInvoker,
        environments: Environments,
        *,
        url_of: Callable[[str, str], str],
        fetch_object: FetchObject | None = None,
        account_concurrency: int = 1000,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.store = store
        self.clock = clock
        self.invoker = invoker
        self.asynchronous = asynchronous
        self.environments = environments
        self.url_of = url_of
        self.fetch_object = fetch_object
        self.account_concurrency = account_concurrency
        self._chance = chance
        self._resolved: dict[tuple[str, str, str, str], Resolved] = {}
        self._urls: dict[str, FunctionUrl] = {}

    async def open(self) -> None:
        """Tell the environments what is reserved and provisioned, as it was when the node stopped."""
        for shard in await self.store.list_shards():
            place = storage.parse_shard(shard)
            if place is None:
                continue
            functions = await self.store.read(shard, lambda reader: list(storage.list_functions(reader)))
            for function in functions:
                if function.reserved is not None:
                    self.environments.set_reserved(place[0], function.function_id, function.reserved)
            wanted = await self.store.read(shard, lambda reader: list(storage.list_documents(reader, "provisioned")))
            for (name, qualifier), document in wanted:
                spec, _ = await self.resolve(*place, name, qualifier)
                self.environments.set_provisioned(spec, document["requested"])

    async def resolve(self, account: str, region: str, name: str, qualifier: str | None) -> tuple[FunctionSpec, AsyncSettings]:
        """What to run now for a name and qualifier: a weighted alias chooses anew each time. Raises ResourceNotFound.

        Kept in memory between changes, so that a warm invocation asks the store nothing. Nodes that share a store will have to
        tell each other of changes here.
        """
        key = (account, region, name, qualifier or LATEST)
        resolved = self._resolved.get(key)
        if resolved is None:
            resolved = await self.store.read(storage.shard_of(account, region), lambda reader: _resolve(reader, *key))
            self._resolved[key] = resolved
        version = resolved.alias.choose(self._chance()) if resolved.alias is not None else next(iter(resolved.specs))
        return resolved.specs[version], resolved.settings

    async def find_url(self, url_id: str) -> FunctionUrl | None:
        """The function URL with this id, from memory when it was asked for before."""
        found = self._urls.get(url_id)
        if found is None:
            place = await self.store.read(storage.URL_SHARD, lambda reader: storage.find_document(reader, "url", url_id))
            if place is None:
                return None
            account, region, name, qualifier = place
            shard = storage.shard_of(account, region)
            document = await self.store.read(shard, lambda reader: storage.find_document(reader, "url", name, qualifier))
            if document is None:
                return None
            found = self._urls[url_id] = FunctionUrl(account, region, name, qualifier or None, document)
        return found

    def forget_url(self, url_id: str) -> None:
        self._urls.pop(url_id, None)

    def changed(self, ctx: Context, function: Function, *, is_gone: bool = False) -> None:
        """Forget what was resolved of a function, and let environments go that no version uses any more."""
        for key in [key for key in self._resolved if key[:3] == (ctx.account, ctx.region, function.name)]:
            del self._resolved[key]
        if is_gone:
            self.environments.retire(function.function_id)
            self.environments.set_reserved(ctx.account, function.function_id, None)
        else:
            latest = (function.function_id, LATEST, function.latest.fingerprint[:16])
            self.environments.retire(function.function_id, keep=latest)

    def name_of(self, ctx: Context, req: dict[str, Any]) -> FunctionName:
        return parse_function_name(ctx, req["FunctionName"], req.get("Qualifier"))

    def revision_id(self) -> str:
        return ids.request_id()

    async def read(self, ctx: Context, body: Callable[[Reader], Any]) -> Any:
        return await self.store.read(storage.shard_of(ctx.account, ctx.region), body)

    async def write(self, ctx: Context, body: Callable[[Any], Any]) -> Any:
        return await self.store.write(storage.shard_of(ctx.account, ctx.region), body)


def get_function(reader: Reader, ctx: Context, name: str) -> Function:
    function = storage.find_function(reader, name)
    if function is None:
        raise ResourceNotFound(f"Function not found: {function_arn(ctx, name)}")
    return function


def get_version(reader: Reader, ctx: Context, function: Function, qualifier: str | None) -> Version:
    """A version by number, alias, or `$LATEST`."""
    if qualifier in (None, LATEST):
        return function.latest
    assert qualifier is not None
    if qualifier.isdecimal():
        version = storage.find_version(reader, function.name, qualifier)
    else:
        alias = storage.find_alias(reader, function.name, qualifier)
        version = get_version(reader, ctx, function, alias.version) if alias is not None else None
    if version is None:
        raise ResourceNotFound(f"Function not found: {function_arn(ctx, function.name, qualifier)}")
    return version


def check_qualifier(reader: Reader, ctx: Context, function: Function, qualifier: str | None) -> None:
    """Raises ResourceNotFound for a qualifier that is neither a version nor an alias."""
    get_version(reader, ctx, function, qualifier)


def layer_blobs(reader: Reader, version: Version, account: str, region: str) -> tuple[tuple[str, ...], dict[str, int], int]:
    """(blobs in order, code size by ARN, unzipped bytes) of a version's layers. Raises InvalidParameterValue."""
    blobs, sizes, unzipped = [], {}, 0
    for arn in version.config.get("Layers") or ():
        place = parse_layer_version_arn(arn)
        layer = storage.find_layer_version(reader, place.name, place.version)
        if layer is None or (place.account, place.region) != (account, region):
            raise InvalidParameterValue(f"Layer version {arn} does not exist.")
        blobs.append(layer.code.blob)
        sizes[arn] = layer.code.size
        unzipped += layer.code.unzipped
    return tuple(blobs), sizes, unzipped


def _resolve(reader: Reader, account: str, region: str, name: str, qualifier: str) -> Resolved:
    function = storage.find_function(reader, name)
    arn = f"arn:aws:lambda:{region}:{account}:function:{name}"
    if function is None:
        raise ResourceNotFound(f"Function not found: {arn}" + ("" if qualifier == LATEST else f":{qualifier}"))
    alias = None if is_version(qualifier) else storage.find_alias(reader, name, qualifier)
    wanted = [alias.version, *alias.weights] if alias is not None else [qualifier]
    specs = {}
    for number in wanted:
        version = function.latest
        if number != LATEST:
            found = storage.find_version(reader, name, number) if number.isdecimal() else None
            if found is None:
                raise ResourceNotFound(f"Function not found: {arn}:{qualifier}")
            version = found
        specs[number] = spec_of(account, region, function, version, _kept_layers(reader, version))
    return Resolved(specs, alias, _settings(reader, name, qualifier, function))


def _kept_layers(reader: Reader, version: Version) -> tuple[str, ...]:
    """The blobs of a version's layers; those of deleted layer versions go on to work, as on Lambda."""
    return tuple(version.config.get("LayerBlobs") or ())


def _settings(reader: Reader, name: str, qualifier: str, function: Function) -> AsyncSettings:
    document = storage.find_document(reader, "invoke-config", name, qualifier) or {}
    destinations = document.get("DestinationConfig") or {}
    return AsyncSettings(
        maximum_retries=document.get("MaximumRetryAttempts", 2),
        maximum_age_s=document.get("MaximumEventAgeInSeconds", 21_600),
        on_success=(destinations.get("OnSuccess") or {}).get("Destination"),
        on_failure=(destinations.get("OnFailure") or {}).get("Destination"),
        dead_letter=(function.latest.config.get("DeadLetterConfig") or {}).get("TargetArn"),
    )
