"""Tags: what may be one. Pure."""

from collections.abc import Mapping

from cumulet.services.functions.errors import InvalidParameterValue

MAXIMUM_TAGS = 50


def judge_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a resource. Raises InvalidParameterValue."""
    if len(tags) > MAXIMUM_TAGS:
        raise InvalidParameterValue("Number of tags exceeds resource tag limit.")
    for key in tags:
        if key.lower().startswith("aws:"):
            raise InvalidParameterValue(f"The tag key {key} is reserved: no key may begin with aws:")
    return dict(tags)
