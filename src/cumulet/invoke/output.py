"""From what user code writes to log lines: split, bounded, and the tail kept for who wants it. Pure but for the time it is told.

A zero byte before a newline says that the record goes on: the runtimes write their own records of several lines so, a stack trace
for example, and each is one event of the log, as on Lambda.

Lines of the platform's own wait for the code's next output or for the end of the call: a call that says nothing is one emission.
"""

from collections.abc import Callable, Iterable

from cumulet.invoke.contract import LogLines

Rate = Callable[[int, int], float | None]
"""(bytes, lines) were read -> for how many seconds no more should be; None: they are too many to be kept."""

MAX_LINE_BYTES = 256 * 1024
MAX_CALL_BYTES = 8 * 1024 * 1024
MAX_CALL_LINES = 20_000
"""What one call may write; the rest is counted and told, not kept."""
TAIL_BYTES = 4096
_PAUSE_S = 0.05
"""After what was dropped: a loop that prints is not worth the node's time."""


class OutputLines:
    """The output of one environment. `emit` takes finished lines."""

    def __init__(self, now_ms: Callable[[], int], emit: Callable[[LogLines], None], rate: Rate = lambda size, lines: 0.0) -> None:
        self._now_ms = now_ms
        self._emit = emit
        self._rate = rate
        self._partial = bytearray()
        self._searched = 0
        self._lines: LogLines = []
        self._tail: bytearray | None = bytearray()  # of the init phase: whoever called may want it
        self._is_tail_wanted = False
        self._left = MAX_CALL_BYTES
        self._lines_left = MAX_CALL_LINES
        self._dropped = 0

    def begin_call(self, line: str | None, now_ms: int, *, is_tail_wanted: bool) -> None:
        """A call begins, and with it what it may write. Its log begins with `line`."""
        if is_tail_wanted or not self._is_tail_wanted:
            self._tail = bytearray() if is_tail_wanted else None
            self._is_tail_wanted = is_tail_wanted
        self._left = MAX_CALL_BYTES
        self._lines_left = MAX_CALL_LINES
        self._dropped = 0
        if line is not None:
            if self._partial or self._tail is not None:
                self._say(line, now_ms)
            else:
                self._lines.append((now_ms, line))

    def feed(self, data: bytes) -> float:
        """A chunk as it comes from the pipe; for how many seconds its writer should be left waiting now."""
        lines = data.count(b"\n")
        pause_s = self._rate(len(data), lines)
        if pause_s is None or len(data) > self._left or lines > self._lines_left:
            self._dropped += len(data)  # counted as a whole: to look for where it stops being too much would cost the same
            return 1.0 if pause_s is None else max(pause_s, _PAUSE_S)
        self._left -= len(data)
        self._lines_left -= lines
        self._partial += data
        start, searched, now_ms = 0, self._searched, self._now_ms()
        while (end := self._partial.find(b"\n", searched)) >= 0:
            searched = end + 1
            if end > start and not self._partial[end - 1]:
                continue
            self._add(now_ms, bytes(self._partial[start:searched]))
            start = searched
        del self._partial[:start]
        while len(self._partial) >= MAX_LINE_BYTES:
            self._add(now_ms, bytes(self._partial[:MAX_LINE_BYTES]))
            del self._partial[:MAX_LINE_BYTES]
        self._searched = len(self._partial)
        if start:
            self.emit()
        return pause_s

    def _say(self, line: str, now_ms: int) -> None:
        """A line of the platform's own, after whatever the code has written."""
        if self._partial:
            self._end_line()
        self._lines.append((now_ms, line))
        if self._tail is not None:
            self._keep_tail(self._tail, line.encode())

    def end_call(self, lines: Iterable[str | None], now_ms: int) -> None:
        """The code has said all of this call: finish its last line, tell what was dropped, and end the log with `lines`."""
        if self._partial:
            self._end_line()
        if self._dropped:
            self._say(f"[cumulet] output cut: {self._dropped} bytes were dropped\n", now_ms)
        finished, self._lines = self._lines, []
        for line in lines:
            if line is not None:
                finished.append((now_ms, line))
                if self._tail is not None:
                    self._keep_tail(self._tail, line.encode())
        if finished:
            self._emit(finished)

    def emit(self) -> None:
        """Let go of all whole lines."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._emit(lines)

    def take_tail(self) -> bytes:
        """The end of the log since the call began that wanted it, or of an init phase that failed."""
        tail, self._tail, self._is_tail_wanted = self._tail, None, False
        return bytes(tail[-TAIL_BYTES:]) if tail is not None else b""

    def _end_line(self) -> None:
        self._add(self._now_ms(), bytes(self._partial) + b"\n")
        self._partial.clear()
        self._searched = 0

    def _add(self, now_ms: int, line: bytes) -> None:
        """A line of the code's, which may be one of several pieces."""
        if 0 in line:
            line = line.replace(b"\0\n", b"\n")
        if self._tail is not None:
            self._keep_tail(self._tail, line)
        for at in range(0, len(line), MAX_LINE_BYTES):
            self._lines.append((now_ms, line[at : at + MAX_LINE_BYTES].decode("utf-8", "replace")))

    def _keep_tail(self, tail: bytearray, line: bytes) -> None:
        tail += line
        if len(tail) > 4 * TAIL_BYTES:
            del tail[:-TAIL_BYTES]
