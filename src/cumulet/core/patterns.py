"""Regular expressions that users of the node wrote: matched in linear time, so that none of them can stop the event loop.

RE2 knows no look-around and no back-references; a pattern with them is refused like one that cannot be read.
"""

import functools
from collections.abc import Callable
from typing import Any

import re2

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20
_OPTIONS.dot_nl = True


class PatternError(ValueError):
    """The pattern cannot be compiled."""


@functools.lru_cache(maxsize=512)
def compile_pattern(text: str) -> Any:
    """An object with `match`, `fullmatch`, `search`, `sub` and `split`, as the standard library's. Raises PatternError."""
    try:
        return re2.compile(text, _OPTIONS)
    except (re2.error, UnicodeError) as error:
        raise PatternError(f"{text[:100]!r} is no regular expression that can be used here") from error


def wildcards(text: str) -> Callable[[str], bool]:
    """Whether a whole text is like this one, in which `*` stands for any run of characters."""
    first, *rest = text.split("*")
    if not rest:
        return lambda value: value == text
    *middle, last = rest

    def is_like(value: str) -> bool:
        if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
            return False
        at, end = len(first), len(value) - len(last)
        for part in middle:  # the first place is the best: it leaves most to the others
            at = value.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return is_like
