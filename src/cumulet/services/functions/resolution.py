"""What a name means now: on the path of every invocation, so answered from memory, and from the store only after a change.

Each committed change of a function on this node drops what is remembered of it before the caller hears of the commit. Nodes that
share a store would have to hear of each other's changes here too: that is the seam, `forget`.
"""

import random
from dataclasses import dataclass
from typing import Any

from cumulet.invoke.contract import AsyncSettings
from cumulet.runtimes.contract import FunctionSpec
from cumulet.services.functions.errors import ResourceNotFound
from cumulet.services.functions.model import Alias
from cumulet.services.functions.model_settings import async_settings
from cumulet.services.functions.names import LATEST, Place, is_version
from cumulet.services.functions.storage import FunctionStorage, View

MAXIMUM_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Resolved:
    """A reference: the alias when it is one, and the versions that may serve it."""

    alias: Alias | None
    specs: dict[str, FunctionSpec]
    settings: dict[str, AsyncSettings]

    def choose(self, dice: random.Random) -> tuple[FunctionSpec, AsyncSettings]:
        version = self.alias.choose(dice) if self.alias is not None else next(iter(self.specs))
        return self.specs[version], self.settings[version]


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """A function URL and what it leads to. `qualifier` None: $LATEST. `cors` is the wire's structure or None.

    `is_public` tells whether the resource policy lets everybody call it, which AWS asks of a URL without authorisation.
    """

    url_id: str
    account: str
    region: str
    name: str
    qualifier: str | None
    auth_type: str
    invoke_mode: str
    cors: dict[str, Any] | None
    is_public: bool
    invoked_arn: str


class Resolution:
    """See the module's text."""

    def __init__(self, storage: FunctionStorage, dice: random.Random) -> None:
        self._storage = storage
        self._dice = dice
        self._functions: dict[tuple[str, str, str], dict[str, Resolved]] = {}
        """By account, region and name."""
        self._urls: dict[str, FunctionUrl] = {}
        self._urls_of: dict[tuple[Place, str], set[str]] = {}
        self._ready_urls: dict[str, tuple[FunctionUrl, Resolved]] = {}
        """Of the URLs those whose function is remembered as well."""
        self._changes = 0
        storage.on_change.append(self.forget)

    async def resolve(self, account: str, region: str, name: str, qualifier: str | None) -> tuple[FunctionSpec, AsyncSettings]:
        """The contract `Resolve`. Raises ResourceNotFound."""
        wanted = qualifier or LATEST
        known = self._known(account, region, name, wanted)
        if known is None:
            place = Place(account, region)
            changes = self._changes
            known = await self._storage.read(place, lambda view: _looked_up(view, name, wanted, qualifier))
            if changes == self._changes:  # else what was read may be older than a change whose caller was already told
                self._make_room()
                self._functions.setdefault((account, region, name), {})[wanted] = known
        return known.choose(self._dice)

    async def find_url(self, url_id: str) -> FunctionUrl | None:
        known = self._urls.get(url_id)
        if known is not None:
            return known
        changes = self._changes
        owner = await self._storage.find_url_owner(url_id)
        if owner is None:
            return None
        place, ref = owner
        found = await self._storage.read(place, lambda view: _found_url(view, url_id, ref.name, ref.qualifier or LATEST))
        if found is not None and changes == self._changes:
            self._make_room()
            self._urls[url_id] = found
            self._urls_of.setdefault((place, ref.name), set()).add(url_id)
        return found

    def find_known_url(self, url_id: str) -> tuple[FunctionUrl, FunctionSpec] | None:
        """The URL and what to run now, where both are remembered."""
        ready = self._ready_urls.get(url_id) or self._make_ready(url_id)
        if ready is None:
            return None
        url, function = ready
        return url, function.choose(self._dice)[0]

    def _make_ready(self, url_id: str) -> tuple[FunctionUrl, Resolved] | None:
        url = self._urls.get(url_id)
        known = None if url is None else self._known(url.account, url.region, url.name, url.qualifier or LATEST)
        if url is None or known is None:
            return None
        ready = self._ready_urls[url_id] = (url, known)
        return ready

    def _known(self, account: str, region: str, name: str, wanted: str) -> Resolved | None:
        versions = self._functions.get((account, region, name))
        return None if versions is None else versions.get(wanted)

    def forget(self, place: Place, name: str) -> None:
        """Something about the function changed."""
        self._changes += 1
        self._functions.pop((place.account, place.region, name), None)
        for url_id in self._urls_of.pop((place, name), ()):
            self._urls.pop(url_id, None)
            self._ready_urls.pop(url_id, None)

    def _make_room(self) -> None:
        if len(self._functions) + len(self._urls) >= MAXIMUM_REMEMBERED:
            self._functions.clear()
            self._urls.clear()
            self._urls_of.clear()
            self._ready_urls.clear()


def _looked_up(view: View, name: str, wanted: str, qualifier: str | None) -> Resolved:
    alias: Alias | None = None
    versions = [wanted]
    if not is_version(wanted):
        alias = view.find_alias(name, wanted)
        if alias is None:
            raise ResourceNotFound(f"Function not found: {view.place.function_arn(name, qualifier)}")
        versions = [alias.version, *alias.weights]
    function = view.get_function(name)
    event_invoke = view.find_event_invoke(name, wanted)
    specs: dict[str, FunctionSpec] = {}
    settings: dict[str, AsyncSettings] = {}
    for number in versions:
        version = view.get_version(name, number)
        kept = view.find_provisioned(name, wanted if alias is not None else number)
        specs[number] = version.spec(
            view.place,
            reserved_concurrency=function.reserved_concurrency,
            provisioned_concurrency=kept.requested if kept is not None else 0,
        )
        settings[number] = async_settings(event_invoke, version.configuration.dead_letter_arn)
    return Resolved(alias, specs, settings)


def _found_url(view: View, url_id: str, name: str, qualifier: str) -> FunctionUrl | None:
    config = view.find_url(name, qualifier)
    if config is None or config.url_id != url_id:
        return None
    policy = view.find_policy(name, qualifier)
    return FunctionUrl(
        url_id=url_id,
        account=view.place.account,
        region=view.place.region,
        name=name,
        qualifier=None if qualifier == LATEST else qualifier,
        auth_type=config.auth_type,
        invoke_mode=config.invoke_mode,
        cors=dict(config.cors) if config.cors else None,
        is_public=policy is not None and policy.opens_url(config.auth_type),
        invoked_arn=view.place.function_arn(name, None if qualifier == LATEST else qualifier),
    )
