"""What all ways to run a web application share: the request that a call stands for, and what its response becomes."""

import os
from typing import Any, Dict, List, Optional

from cumulet.guest import errors
from cumulet.guest.web import events

MOST_BYTES = 6 * 1024 * 1024
EVENTS_PATH = "AWS_LWA_PASS_THROUGH_PATH"
ERROR_CODES = "AWS_LWA_ERROR_STATUS_CODES"


class WebCall:
    """One call. `request` is what to ask the application; `streams`: its answer can be passed on as it comes."""

    def __init__(self, event: Any, streams: bool) -> None:
        found = events.read(event)
        self.is_http = found is not None
        self.streams = streams and self.is_http
        self.request = found or events.as_posted(event, os.environ.get(EVENTS_PATH, "/events"))

    def head(self, status: int, headers: events.Headers) -> Dict[str, Any]:
        """What a stream begins with. Raises RuntimeFault for a status that is to count as an error."""
        self._refuse(status)
        return events.head_of(self.request.version, status, headers)

    def answer(self, status: int, headers: events.Headers, body: bytes) -> Any:
        """What the function returns. Raises RuntimeFault for a status that is to count as an error."""
        self._refuse(status)
        if not self.is_http:
            return events.value_of(body)
        return events.answer_of(self.request.version, status, headers, body)

    def _refuse(self, status: int) -> None:
        """Events that are no requests have nobody who would look at the status: there an error has to be one."""
        codes = os.environ.get(ERROR_CODES, "")
        if is_among(status, codes) or (not codes and not self.is_http and status >= 500):
            raise errors.RuntimeFault("Web.ErrorStatus", "the application answered with status %d" % status)


class Gathered:
    """The parts of a body that is answered whole."""

    def __init__(self) -> None:
        self._parts: List[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MOST_BYTES:
            message = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
            raise errors.RuntimeFault("Function.ResponseSizeTooLarge", message)
        self._parts.append(part)

    def whole(self) -> bytes:
        return b"".join(self._parts)


def is_among(status: int, codes: str) -> bool:
    """Whether a status is in a list such as "500,502-504"; parts that cannot be read say nothing."""
    return any(first <= status <= last for first, last in filter(None, map(_range_of, codes.split(","))))


def _range_of(part: str) -> "Optional[tuple[int, int]]":
    first, dash, last = part.strip().partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        return None
    return int(first), int(last or first)
