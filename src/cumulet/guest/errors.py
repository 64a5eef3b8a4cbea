"""Lambda's error documents for Python: `{"errorMessage", "errorType", "requestId", "stackTrace"}`."""

import json
import os
import time
import traceback
from typing import Any, Dict, List, Optional

from cumulet.guest import logs

_LIBRARY = os.path.dirname(traceback.__file__)
_OWN_PLACES = (
    os.path.dirname(os.path.abspath(__file__)) + os.sep,
    "<frozen importlib",
    os.path.join(_LIBRARY, "importlib") + os.sep,
    os.path.join(_LIBRARY, "asyncio") + os.sep,
)
"""Where the frames are that begin every stack: the runtime's own, and what stands between them and the code."""


class RuntimeFault(Exception):
    """A failure that Lambda names itself: `Runtime.ImportModuleError` and its like."""

    def __init__(self, error_type: str, message: str, stack: Optional[List[str]] = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.stack = stack or []


def document(error: BaseException, request_id: str) -> Dict[str, Any]:
    """What the caller of the function gets to see of an exception."""
    if isinstance(error, RuntimeFault):
        return {"errorMessage": str(error), "errorType": error.error_type, "requestId": request_id, "stackTrace": error.stack}
    return {
        "errorMessage": _text(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": stack_of(error),
    }


def encode(error_document: Dict[str, Any]) -> bytes:
    return json.dumps(error_document, ensure_ascii=False).encode("utf-8", "replace")


def log_line(error_document: Dict[str, Any]) -> str:
    """The document as it stands in the log: one record, in the format that the function chose."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return json.dumps({"timestamp": stamp, "level": "ERROR", **error_document}) + "\n"
    stack = "".join("\n" + line.rstrip("\n") for line in error_document["stackTrace"])
    traced = "\nTraceback (most recent call last):" + stack if stack else ""
    return logs.as_record("[ERROR] %s: %s%s" % (error_document["errorType"], error_document["errorMessage"], traced))


def stack_of(error: BaseException) -> List[str]:
    """The user's part of the stack, as `traceback` formats it."""
    frames = list(traceback.extract_tb(error.__traceback__))
    while frames and _is_own(frames[0].filename):
        frames = frames[1:]
    return traceback.format_list(frames)


def _is_own(filename: str) -> bool:
    return filename.startswith(_OWN_PLACES)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "<%s that cannot be shown>" % type(error).__name__
