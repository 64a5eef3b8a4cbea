"""What requests call tables: a name, or an ARN of this account and region. Pure."""

import re

from cumulet.core.arn import parse_arn
from cumulet.core.context import Context
from cumulet.services.tables.errors import AccessDenied, ResourceNotFound, ValidationFault

_NAME = re.compile(r"[a-zA-Z0-9_.-]+\Z")
_TABLE_RESOURCE = re.compile(r"table/([a-zA-Z0-9_.-]{3,255})((?:/[^/]+/[^/]+)?)\Z")


def table_name(ctx: Context, given: str) -> str:
    """The table's name. Raises ValidationFault for what is neither a name nor an ARN, ResourceNotFound for another region's."""
    if given.startswith("arn:"):
        name, rest = resource_of(ctx, given)
        if rest:
            raise ValidationFault("Invalid table ARN")
        return name
    check_name(given, "TableName")
    return given


def check_name(name: str, member: str) -> None:
    """Raises ValidationFault for what no table or index may be called."""
    if not 3 <= len(name) <= 255:
        raise ValidationFault(f"{member} must be at least 3 characters long and at most 255 characters long")
    if not _NAME.match(name):
        where = member[:1].lower() + member[1:]
        raise ValidationFault(
            f"1 validation error detected: Value '{name}' at '{where}' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        )


def resource_of(ctx: Context, arn: str) -> tuple[str, str]:
    """(table name, what follows it: "", "/index/…", "/stream/…", "/backup/…") of an ARN. Raises ValidationFault, AccessDenied,
    ResourceNotFound."""
    try:
        parsed = parse_arn(arn)
    except ValueError:
        raise ValidationFault(f"Invalid ARN: {arn}") from None
    match = _TABLE_RESOURCE.match(parsed.resource)
    if parsed.service != "dynamodb" or match is None:
        raise ValidationFault(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
    if parsed.account != ctx.account:
        raise AccessDenied(f"User: {ctx.principal.arn} is not authorized to access this resource: {arn}")
    if parsed.region != ctx.region:
        raise ResourceNotFound("Requested resource not found")
    return match[1], match[2]
