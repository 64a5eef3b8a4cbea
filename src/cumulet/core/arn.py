"""Amazon resource names: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arn:
    """`resource` is everything after the fifth colon, colons and slashes included."""

    service: str
    region: str
    account: str
    resource: str
    partition: str = "aws"

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"


def parse_arn(text: str) -> Arn:
    """The parts of an ARN. Raises ValueError when `text` is not one."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[1] or not parts[2] or not parts[5]:
        raise ValueError(f"not an ARN: {text!r}")
    return Arn(partition=parts[1], service=parts[2], region=parts[3], account=parts[4], resource=parts[5])
