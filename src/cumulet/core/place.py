"""Where something lies: an account and a region."""

from dataclasses import dataclass

from cumulet.core.context import Context


@dataclass(frozen=True, slots=True)
class Place:
    """Names, ids and plans are per account and region."""

    account: str
    region: str


def place_of(ctx: Context) -> Place:
    return Place(ctx.account, ctx.region)
