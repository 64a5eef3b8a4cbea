"""The node's own log: one JSON object a line on stderr, or a line to read on a terminal, written by a thread so that a slow reader
never holds the event loop.

Bounded: when the reader does not keep up, lines are dropped and their number is told in the next one that gets through.
"""

import atexit
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import orjson

_MAXIMUM_LINES = 20_000
_BATCH_S = 0.02


def as_json(fields: dict[str, Any]) -> bytes:
    """A line for programs. What is not ready for JSON is told by its `str`."""
    return orjson.dumps(fields, default=str, option=orjson.OPT_APPEND_NEWLINE)


def as_text(fields: dict[str, Any]) -> bytes:
    """A line for people: the time of day, then what the request was and how it went, or the message."""
    seconds, ms = divmod(int(fields.get("time_ms", 0)), 1000)
    words = [f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{ms:03}"]
    if "status" in fields:
        name = ":".join(filter(None, (fields["service"], fields["operation"])))
        words += [str(fields["status"]), fields["method"], name or fields["path"], f"{fields['ms']:.1f} ms"]
    else:
        words += [fields.get("level", ""), str(fields.get("message", "")), fields.get("traceback", "")]
    return _printable(" ".join(filter(None, words))).encode() + b"\n"


def _printable(text: str) -> str:
    """Nothing that clients send reaches the terminal as a control sequence."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


class LineWriter:
    """Lines to a file descriptor, in order, from any thread, without waiting."""

    def __init__(self, fd: int = 2, render: Callable[[dict[str, Any]], bytes] = as_json) -> None:
        self._fd = fd
        self._render = render
        self._lines: list[bytes] = []
        self._dropped = 0
        self._wake = threading.Event()
        self._writing = threading.Lock()
        threading.Thread(target=self._run, name="node-log", daemon=True).start()
        atexit.register(self.flush)

    def write(self, fields: dict[str, Any]) -> None:
        """Queue one line."""
        if len(self._lines) >= _MAXIMUM_LINES:
            self._dropped += 1
            return
        self._lines.append(self._render(fields))
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Write what is queued, on the caller's thread."""
        with self._writing:
            lines, self._lines = self._lines, []
            dropped, self._dropped = self._dropped, 0
            if dropped:
                lines.append(self._render({"level": "WARNING", "message": f"{dropped} log lines dropped"}))
            data = memoryview(b"".join(lines))
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                return  # nobody reads stderr any more: there is no place left to say so

    def _run(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(_BATCH_S)
            self._wake.clear()
            self.flush()


class JsonLines(logging.Handler):
    """Records of the standard logging module as lines of a `LineWriter`; `extra={"fields": {…}}` adds members."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {
            "time_ms": int(record.created * 1000),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        self._writer.write(fields)


def log_to_stderr(writer: LineWriter, level: int = logging.INFO) -> None:
    """Send everything that `logging` is told to `writer`; called once, by the process that is the node."""
    root = logging.getLogger()
    root.handlers[:] = [JsonLines(writer)]
    root.setLevel(level)
    logging.captureWarnings(True)
