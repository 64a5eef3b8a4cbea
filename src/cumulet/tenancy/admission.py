"""What every signed request passes once it is known whose it is: its account's rate, and its account's turn."""

import asyncio
from collections.abc import Awaitable

from cumulet.core.clock import Clock
from cumulet.tenancy.limits import HoldBack, RateExceeded, RequestRate
from cumulet.tenancy.quotas import Quotas
from cumulet.tenancy.turns import FairRounds

REQUESTS_A_ROUND = 16


class Admission:
    """See `gateway.steps.RateLimit`."""

    def __init__(self, clock: Clock, quotas: Quotas) -> None:
        self.rate = RequestRate(clock, quotas)
        self.rounds = FairRounds(REQUESTS_A_ROUND, quotas.weight_of)
        self._hold_back = HoldBack(clock)

    def take(self, account: str) -> Awaitable[None] | None:
        try:
            self.rate.take(account)
        except RateExceeded as fault:
            delay_s = self._hold_back.delay_s(account)
            if not delay_s:
                raise
            return _refuse_later(fault, delay_s)
        return self.rounds.enter(account)


async def _refuse_later(fault: RateExceeded, delay_s: float) -> None:
    await asyncio.sleep(delay_s)
    raise fault
