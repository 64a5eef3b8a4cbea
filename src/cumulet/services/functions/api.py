"""The functions service as the composition root sees it: all its operations over one registry."""

from collections.abc import Mapping

from cumulet.core.operations import Handler, operations_of
from cumulet.services.functions.code import CodeLinks
from cumulet.services.functions.event_sources import EventSourceOperations
from cumulet.services.functions.functions import FunctionOperations
from cumulet.services.functions.invocations import InvokeOperations
from cumulet.services.functions.layers import LayerOperations
from cumulet.services.functions.policies import PolicyOperations
from cumulet.services.functions.registry import Registry
from cumulet.services.functions.settings import (
    ConcurrencyOperations,
    InvokeConfigOperations,
    ManagementOperations,
    TagOperations,
)
from cumulet.services.functions.urls import UrlOperations
from cumulet.services.functions.versions import AliasOperations, VersionOperations


class FunctionsService:
    """Lambda's control plane and Invoke."""

    def __init__(self, registry: Registry, links: CodeLinks) -> None:
        self.registry = registry
        self.links = links
        self.handlers: Mapping[str, Handler] = operations_of(
            FunctionOperations(registry, links),
            VersionOperations(registry),
            AliasOperations(registry),
            LayerOperations(registry, links),
            PolicyOperations(registry),
            ConcurrencyOperations(registry),
            InvokeConfigOperations(registry),
            TagOperations(registry),
            ManagementOperations(registry),
            UrlOperations(registry),
            EventSourceOperations(registry),
            InvokeOperations(registry),
        )
