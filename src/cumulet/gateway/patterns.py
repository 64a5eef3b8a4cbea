"""Regular expressions that users of the node wrote: matched in linear time, so that none of them can stop the event loop.

RE2 knows no look-around and no back-references; a pattern with them is refused like one that cannot be read.
"""

import functools
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
