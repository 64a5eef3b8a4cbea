"""IAM and STS."""

from collections.abc import Sequence
from dataclasses import dataclass

from cumulet.server.ground import Ground
from cumulet.server.late import Loop
from cumulet.services.identity.api import IamService, StsService


@dataclass(frozen=True, slots=True)
class Identity:
    iam: IamService
    sts: StsService
    loops: Sequence[Loop] = ()

    async def close(self) -> None: ...


async def open_identity(ground: Ground) -> Identity:
    made = ground.store, ground.clock, ground.keys
    return Identity(IamService(*made), StsService(*made))
