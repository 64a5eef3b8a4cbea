"""Access logs: a stage's format, compiled once into its parts. Pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import orjson

_GROUP_ARN = re.compile(r"arn:[^:]+:logs:[^:]+:\d+:log-group:[^:]+(?::\*)?\Z")
_VARIABLE = re.compile(r"\$context\.((?:[A-Za-z0-9_-]+)(?:\.[A-Za-z0-9_:-]+)*)")
_MOST_CHARS = 8192


class LogFormat:
    """`group` is the log group that a destination ARN names, `region` and `account` where it is."""

    def __init__(self, destination: str, text: str) -> None:
        parts = destination.removesuffix(":*").split(":", 6)
        self.region, self.account, self.group = parts[3], parts[4], parts[6]
        self._is_json = text.lstrip().startswith("{")
        pieces = _VARIABLE.split(text)
        self._texts, self._names = pieces[::2], pieces[1::2]

    def stream(self, api_id: str, stage: str) -> str:
        return hashlib.md5(f"{api_id}/{stage}".encode(), usedforsecurity=False).hexdigest()

    def line(self, value: Callable[[str], Any]) -> str:
        """One line; `-` stands for what is not known. Values cannot break the line, nor the JSON that they stand in."""
        line = self._texts[0]
        for name, text in zip(self._names, self._texts[1:], strict=True):
            found = value(name)
            line += ("-" if found is None or found == "" else self._spelled(found)) + text
        return line

    def _spelled(self, value: Any) -> str:
        text = (value if isinstance(value, str) else orjson.dumps(value).decode())[:_MOST_CHARS]
        if self._is_json:
            return orjson.dumps(text).decode()[1:-1]
        return text.replace("\r", " ").replace("\n", " ")


def find_format(destination: str | None, text: str | None) -> LogFormat | None:
    """None where a log group and a format are not both named."""
    if not destination or not text or _GROUP_ARN.match(destination) is None:
        return None
    return LogFormat(destination, text)
