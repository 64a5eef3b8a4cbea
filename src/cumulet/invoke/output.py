"""From what user code writes to log lines: split, bounded, and the tail kept. Pure but for the time it is told.

Lines of the platform's own wait for the code's next output or for the end of the call: a call that says nothing is one emission.
"""

from collections.abc import Callable

from cumulet.invoke.contract import LogLines

MAX_LINE_BYTES = 256 * 1024
MAX_CALL_BYTES = 8 * 1024 * 1024
"""What one call may write; the rest is counted and told, not kept."""
TAIL_BYTES = 4096


class OutputLines:
    """The output of one environment. `emit` takes finished lines; `tail` is the end of the current call's log."""

    def __init__(self, now_ms: Callable[[], int], emit: Callable[[LogLines], None]) -> None:
        self._now_ms = now_ms
        self._emit = emit
        self._partial = bytearray()
        self._lines: LogLines = []
        self._tail = bytearray()
        self._left = MAX_CALL_BYTES
        self._dropped = 0

    def begin_call(self) -> None:
        self._tail.clear()
        self._left = MAX_CALL_BYTES
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        """A chunk as it comes from the pipe."""
        if len(data) > self._left:
            self._dropped += len(data) - self._left
            data = data[: self._left]
        self._left -= len(data)
        if not data:
            return
        self._partial += data
        start, now_ms = 0, self._now_ms()
        while (end := self._partial.find(b"\n", start)) >= 0:
            self._add(now_ms, bytes(self._partial[start : end + 1]))
            start = end + 1
        del self._partial[:start]
        while len(self._partial) >= MAX_LINE_BYTES:
            self._add(now_ms, bytes(self._partial[:MAX_LINE_BYTES]))
            del self._partial[:MAX_LINE_BYTES]
        if start:
            self.emit()

    def say(self, line: str, now_ms: int) -> None:
        """A line of the platform's own, after whatever the code has written."""
        if self._partial:
            self._end_line()
        self._add(now_ms, line.encode())

    def end_code(self) -> None:
        """The code has said all of this call: finish its last line, and tell what was dropped."""
        if self._partial:
            self._end_line()
        if self._dropped:
            self.say(f"[cumulet] output cut: {self._dropped} bytes were dropped\n", self._now_ms())

    def emit(self) -> None:
        """Let go of all whole lines."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._emit(lines)

    @property
    def tail(self) -> bytes:
        return bytes(self._tail[-TAIL_BYTES:])

    def _end_line(self) -> None:
        self._add(self._now_ms(), bytes(self._partial) + b"\n")
        self._partial.clear()

    def _add(self, now_ms: int, line: bytes) -> None:
        self._tail += line
        if len(self._tail) > 4 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        for at in range(0, len(line), MAX_LINE_BYTES):
            self._lines.append((now_ms, line[at : at + MAX_LINE_BYTES].decode("utf-8", "replace")))
