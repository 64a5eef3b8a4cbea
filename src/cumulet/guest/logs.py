"""Python's logging as Lambda sets it up: one handler on the root logger, in text or JSON lines."""

import contextvars
import json
import logging
import os
import sys
import time
import traceback
from typing import Any

request_id = ""
"""Of the one call under way; where there are several, each has its own in `current`."""
current: "contextvars.ContextVar[str]" = contextvars.ContextVar("cumulet_request_id", default="")

_LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "FATAL": 50, "CRITICAL": 50}
_STANDARD = set(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "aws_request_id", "taskName"}


def as_record(text: str) -> str:
    """Text of several lines as one record of the log: a zero byte before a newline says that it goes on."""
    return text.rstrip("\n").replace("\n", "\0\n") + "\n"


class LambdaLoggerHandler(logging.Handler):
    """Writes records to standard output. Named as in Lambda's runtime, where libraries look for it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stdout.write(as_record(self.format(record)))
        except Exception:
            self.handleError(record)


class _RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = current.get() or request_id
        return True


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: "dict[str, Any]" = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "message": record.msg if isinstance(record.msg, dict) and not record.args else record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[0] is not None:
            entry["errorType"] = record.exc_info[0].__name__
            entry["errorMessage"] = str(record.exc_info[1])
            entry["stackTrace"] = traceback.format_tb(record.exc_info[2])
            entry["location"] = "%s:%s:%d" % (record.pathname, record.funcName, record.lineno)
        entry.update((key, value) for key, value in vars(record).items() if key not in _STANDARD and key not in entry)
        if current.get() or request_id:
            entry["requestId"] = current.get() or request_id
        return json.dumps(entry, default=str, ensure_ascii=False) + "\n"


def set_up() -> None:
    """In text, as most functions want it."""
    handler = LambdaLoggerHandler()
    handler.addFilter(_RequestIdFilter())
    formatter = logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)


def choose_format() -> None:
    """As the function's configuration says, after `set_up`."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        logging.getLogger().handlers[0].setFormatter(_JsonFormatter())
        logging.getLogger().setLevel(_LEVELS.get(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "INFO").upper(), logging.INFO))
