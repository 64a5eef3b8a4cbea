"""What a caller may write where a function is wanted: a name, a partial ARN or a full one, each with or without a qualifier.

Pure. Whether such a function exists is the storage's to say.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from cumulet.core.context import Context
from cumulet.services.functions.errors import AccessDenied, Invalid, InvalidParameterValue, ResourceNotFound

LATEST = "$LATEST"
_NAME = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):)?"
    r"(?:(?P<account>\d{12}):)?"
    r"(?:function:)?"
    r"(?P<name>[a-zA-Z0-9_-]{1,64})"
    r"(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]{1,128}))?"
)


class Place(NamedTuple):
    """Where names of functions and layers are unique."""

    account: str
    region: str

    def function_arn(self, name: str, qualifier: str | None = None) -> str:
        arn = f"arn:aws:lambda:{self.region}:{self.account}:function:{name}"
        return f"{arn}:{qualifier}" if qualifier else arn

    def layer_arn(self, name: str, version: int | None = None) -> str:
        arn = f"arn:aws:lambda:{self.region}:{self.account}:layer:{name}"
        return f"{arn}:{version}" if version else arn


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """A function as the caller named it; `qualifier` None: unqualified, which means $LATEST."""

    name: str
    qualifier: str | None = None


def place_of(ctx: Context) -> Place:
    return Place(ctx.account, ctx.region)


def function_ref(ctx: Context, text: str, qualifier: str | None = None) -> FunctionRef:
    """The function that `text` and a separate `qualifier` mean. Raises the Fault for what is none, or not the caller's."""
    parts = _NAME.fullmatch(text)
    if parts is None:
        raise Invalid(
            f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy constraint: Member must satisfy "
            "regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?"
            "([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"
        )
    if parts["region"] and parts["region"] != ctx.region:
        raise ResourceNotFound(f"Functions from '{parts['region']}' are not reachable in this region ('{ctx.region}')")
    if parts["account"] and parts["account"] != ctx.account:
        raise AccessDenied(f"User: {ctx.principal.arn} is not authorized to reach the function {text} of another account")
    inner = parts["qualifier"]
    if inner and qualifier and inner != qualifier:
        raise InvalidParameterValue("The derived qualifier from the function name does not match the specified qualifier.")
    return FunctionRef(parts["name"], qualifier or inner or None)


def unqualified(ctx: Context, text: str) -> str:
    """The name in `text`, which must not name a version or an alias."""
    ref = function_ref(ctx, text)
    if ref.qualifier not in (None, LATEST):
        raise InvalidParameterValue(f"The function name must not have a qualifier here: {text}")
    return ref.name


def is_version(qualifier: str | None) -> bool:
    """Whether a qualifier names $LATEST or a published version, rather than an alias."""
    return qualifier is None or qualifier == LATEST or qualifier.isdigit()
