"""Which names a custom domain can have. Whoever owns a name is given every request that is sent to it, so names that mean something
to the node itself are nobody's: addresses, and names of services, APIs and function URLs.
"""

import re

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:\*\.)?(?:{_LABEL}\.)+{_LABEL}\Z")
_REGION = r"[a-z]{2}(?:-[a-z]+)+-[0-9]"
_RESERVED = re.compile(
    r"(?:\A|\.)(?:amazonaws\.com|[0-9]+)\Z"  # the last label of an IPv4 address is digits
    rf"|\A[a-z0-9*-]+\.(?:{_REGION}\.)?localhost\Z"
    r"|\.(?:execute-api|lambda-url)\."
)


def is_domain_name(name: str) -> bool:
    """Of lower-case letters, two labels or more; the first may be `*`."""
    return _NAME.match(name) is not None


def is_reserved(name: str) -> bool:
    """Whether a name is the node's own."""
    return _RESERVED.search(name) is not None
