"""The identity services as the composition root sees them."""

from collections.abc import Mapping

from cumulet.auth.keys import AccessKeys
from cumulet.core.clock import Clock
from cumulet.core.operations import Handler, operations_of
from cumulet.services.identity.policies import PolicyOperations
from cumulet.services.identity.roles import ProfileOperations, RoleOperations
from cumulet.services.identity.sts import StsOperations
from cumulet.services.identity.users import AccountOperations, UserOperations
from cumulet.store.contract import Store


class IamService:
    def __init__(self, store: Store, clock: Clock, keys: AccessKeys) -> None:
        self.handlers: Mapping[str, Handler] = operations_of(
            RoleOperations(store, clock),
            ProfileOperations(store, clock),
            PolicyOperations(store, clock),
            UserOperations(store, clock, keys),
            AccountOperations(store),
        )


class StsService:
    def __init__(self, store: Store, clock: Clock, keys: AccessKeys) -> None:
        self.handlers: Mapping[str, Handler] = operations_of(StsOperations(store, clock, keys))
