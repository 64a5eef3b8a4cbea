"""Who asks, and where: what every operation is told beside its input."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Principal:
    """The identity behind an access key. `arn` is `arn:aws:iam::ACCOUNT:root`, a user's or an assumed role's ARN."""

    account: str
    arn: str
    user_id: str
    access_key_id: str


class Context(NamedTuple):
    """One request as a service sees it. Names, storage and limits are per `account` and `region`.

    `endpoint` is the address the client used, `http://127.0.0.1:4566`, without a trailing slash.
    """

    account: str
    region: str
    request_id: str
    principal: Principal
    endpoint: str
    source_ip: str = "127.0.0.1"
    user_agent: str = ""
