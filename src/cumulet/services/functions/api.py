"""The functions service as the composition root sees it: all its operations, one class a noun, over one registry."""

from collections.abc import Mapping

from cumulet.core.operations import Handler, operations_of
from cumulet.services.functions.api_aliases import AliasOperations
from cumulet.services.functions.api_event_invoke import EventInvokeOperations
from cumulet.services.functions.api_event_sources import EventSourceOperations
from cumulet.services.functions.api_functions import FunctionOperations
from cumulet.services.functions.api_invoke import InvokeOperations
from cumulet.services.functions.api_layers import LayerOperations, LayerUses
from cumulet.services.functions.api_permissions import PermissionOperations
from cumulet.services.functions.api_settings import SettingsOperations
from cumulet.services.functions.api_tags import TagOperations
from cumulet.services.functions.api_urls import UrlOperations
from cumulet.services.functions.code import CodeLinks
from cumulet.services.functions.registry import Registry


class FunctionsService:
    """Lambda's control plane and Invoke. What the model has beyond `handlers` is not answered by this node."""

    def __init__(self, registry: Registry, links: CodeLinks) -> None:
        parts = registry
        storage, clock, limits, apply = parts.storage, parts.clock, parts.limits, parts.concurrency.apply
        self.handlers: Mapping[str, Handler] = operations_of(
            FunctionOperations(storage, clock, parts.code, links, LayerUses(storage), limits, parts.environments, apply),
            AliasOperations(storage, apply),
            LayerOperations(storage, clock, parts.code, links, limits),
            PermissionOperations(storage),
            parts.concurrency,
            UrlOperations(storage, clock, parts.url_of),
            EventInvokeOperations(storage, clock),
            EventSourceOperations(storage, clock, parts.has_poller),
            TagOperations(storage),
            SettingsOperations(storage, limits),
            InvokeOperations(parts.resolution, parts.invoker, parts.asynchronous, limits),
        )
