"""Between the functions service and the pollers: its mappings in their words, and its questions answered by them."""

from cumulet.pollers.contract import SourceMapping
from cumulet.pollers.family import Pollers
from cumulet.services.functions.model_event_sources import EventSourceMapping
from cumulet.services.functions.names import Place


def source_mapping(place: Place, mapping: EventSourceMapping) -> SourceMapping:
    """A mapping as pollers need it."""
    return SourceMapping(
        mapping.uuid,
        place.account,
        place.region,
        mapping.source_arn,
        mapping.function,
        mapping.qualifier,
        mapping.is_enabled,
        mapping.settings,
    )


class PolledSources:
    """The functions service's `EventSources`."""

    def __init__(self, pollers: Pollers) -> None:
        self.has_poller = pollers.has_poller
        self.exists = pollers.exists
        self.last_result = pollers.last_result
        self._pollers = pollers

    async def changed(self, place: Place, mapping: EventSourceMapping) -> None:
        await self._pollers.changed(source_mapping(place, mapping))

    async def removed(self, place: Place, mapping: EventSourceMapping) -> None:
        await self._pollers.removed(source_mapping(place, mapping))
