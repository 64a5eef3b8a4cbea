"""The node as a process: its log, its priority, how many files it may open, and what signals mean to it."""

import asyncio
import contextlib
import resource
import signal
import sys

from cumulet.core.settings import Settings
from cumulet.gateway.nodelog import LineWriter, as_json, as_text, log_to_stderr
from cumulet.sandbox import kernel

_PRIORITY, _SLICE_US = -10, 100
"""Above all functions, where the node may: what they do with the processor must not keep it from answering."""

_THREAD_S = 0.0005
"""Python's own 5 ms are what the event loop would wait for each thread that makes a network or puts something away."""


def prepare_process(settings: Settings) -> LineWriter:
    """Returns where the node's log lines go."""
    lines = LineWriter(render=as_text if settings.log_format == "text" else as_json)
    log_to_stderr(lines)
    with contextlib.suppress(PermissionError):  # this thread alone, and the zygotes that it starts: what these fork sets it back
        kernel.set_priority(_PRIORITY, _SLICE_US)
    sys.setswitchinterval(_THREAD_S)
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a connection is one; environments have their own
    return lines


def stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; a second one has its usual effect, for who does not want to wait."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stopped() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped)
    return stop
