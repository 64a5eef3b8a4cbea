"""A process tree in its jail, seen from the node: its output, its end, its memory, and the means to kill it."""

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from cumulet.runtimes.contract import Exit, Output
from cumulet.runtimes.faults import exit_words
from cumulet.runtimes.networks import Network
from cumulet.runtimes.resting import Resting
from cumulet.sandbox import cgroup, freezer

_OUTPUT_CHUNK = 1 << 16
_CHUNKS_IN_PIPE = 17
"""Its writer may have made it larger, up to 1 MB."""
_PEAK_FRESH_S = 0.005
_LAST_WORDS_S = 0.3


class JailFailed(Exception):
    """A wall could not be built: a fault of the platform or of the machine, never of the user's code."""


class ProcessTree:
    """One environment's processes. `exited` is done when the first of them, and so all, are gone.

    The node holds a pidfd, so that neither killing nor waiting can meet a process that took over the number.
    """

    def __init__(
        self,
        pidfd: int,
        status: socket.socket,
        output_fd: int,
        output: Output,
        group: cgroup.Group,
        *,
        has_own_namespace: bool = True,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.made_s = time.monotonic()
        self._pidfd = pidfd
        self._status = status
        self._output_fd = output_fd
        self._unread = select.poll()
        self._unread.register(output_fd, select.POLLIN)
        self.output = output
        self._pause_s: float | None = None
        self._group = group
        self._has_own_namespace = has_own_namespace
        self._is_gone = False
        self._last_words = Exit(signal=int(signal.SIGKILL))
        self._peak_bytes = 0
        self._peak_fd = -1
        self._ran_unread_s = 0.0
        self._freezer: freezer.Freezer | None = None
        self._is_frozen = False
        self.network: Network | None = None
        self.on_ear: Callable[[socket.socket], None] = lambda listener: listener.close()
        self.resting: Resting | None = None
        self.is_settled: Callable[[float], bool] = lambda rested_s: True
        self.jail_ms = 0.0
        self.listener: asyncio.Future[socket.socket] = self._loop.create_future()
        self.maker: asyncio.Future[socket.socket] = self._loop.create_future()
        self.jailed: asyncio.Future[None] = self._loop.create_future()
        self.specialised: asyncio.Future[None] = self._loop.create_future()
        self.exited: asyncio.Future[Exit] = self._loop.create_future()
        self.on_gone: Callable[[], None] = lambda: None  # its first process has ended; nothing is known of how yet
        self.on_exit: Callable[[], None] = lambda: None
        self.ask_end: Callable[[], None] = lambda: None  # have `hear_end` called, if it is to be and has not been yet
        self.runtime_ended: asyncio.Future[None] = self._loop.create_future()
        self.on_runtime_end: Callable[[], None] = lambda: None
        self.on_extension_end: Callable[[str, str], None] = lambda name, words: None
        self.extension_output: Output = lambda data: None
        self._extension_fd = -1
        self._dialled = 0
        self._dials: dict[int, asyncio.Future[socket.socket]] = {}
        os.set_blocking(output_fd, False)
        status.setblocking(False)
        self._loop.add_reader(pidfd, self._on_gone)
        self._loop.add_reader(status.fileno(), self._on_status)
        self._loop.add_reader(output_fd, self._on_output)

    def kill(self) -> None:
        """SIGKILL to process 1 of its namespace, and by the kernel to the others; else to the first, then to its whole group."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):  # it is ending by itself; `exited` will tell
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self.wake()  # after the signal: what is thawed under cgroup v1 dies before it runs

    def rest(self) -> None:
        """No call is under way: a moment later the tree gets no CPU any more."""
        if self.resting is not None and self._pidfd >= 0:
            self.resting.add(self)

    def wake(self) -> None:
        """Whatever is asked of the tree next, it can do."""
        if self.resting is not None:
            self.resting.remove(self)
        if self._is_frozen:
            self._is_frozen = False
            self._switch(False)

    def settle(self, rested_s: float) -> bool:
        """Whether all is over that is to be over before the tree may be frozen."""
        return self._pidfd < 0 or self.is_settled(rested_s)

    def freeze(self) -> None:
        """By its control group, or, where none can be frozen, by its first process, which stops all others."""
        if self._pidfd >= 0:
            self._is_frozen = True
            self._switch(True)

    def _switch(self, is_off: bool) -> None:
        if not freezer.can_freeze(self._group):
            if self._has_own_namespace:
                self.tell({"stop": is_off})
            return
        with contextlib.suppress(OSError):  # the group is going, and with it who could run
            if self._freezer is None:
                self._freezer = freezer.open_freezer(self._group)
            if self._freezer is not None:
                self._freezer.freeze() if is_off else self._freezer.thaw()

    def tell(self, message: dict[str, Any]) -> None:
        """An order to the environment's first process, which may be gone already: `exited` tells."""
        with contextlib.suppress(OSError):
            self._status.send(json.dumps(message).encode())

    async def dial(self, port: int) -> socket.socket:
        """A connection to a port inside the jail, made there. Raises OSError."""
        self._dialled += 1
        number = self._dialled
        answer: asyncio.Future[socket.socket] = self._loop.create_future()
        self._dials[number] = answer
        self.tell({"dial": port, "number": number})
        try:
            await asyncio.wait((answer, self.exited), return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._dials[number]
        if not answer.done():
            raise ConnectionError("the environment is gone")
        return answer.result()

    def max_memory_mb(self, ran_s: float) -> int:
        """The peak, read again when the code has run for long enough since to have filled many pages."""
        self._ran_unread_s += ran_s
        if self._pidfd >= 0 and (self._ran_unread_s > _PEAK_FRESH_S or not self._peak_bytes):
            self._ran_unread_s = 0.0
            self._read_peak()
        return -(-self._peak_bytes >> 20) if self._peak_bytes else 0

    def _read_peak(self) -> None:
        """From a descriptor that is kept open: this is asked once a call."""
        if self._peak_fd < 0:
            path = cgroup.find_peak_memory_file(self._group)
            if path is None:
                return
            with contextlib.suppress(FileNotFoundError):
                self._peak_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if self._peak_fd >= 0:
            with contextlib.suppress(OSError):  # the group is going
                self._peak_bytes = int(os.pread(self._peak_fd, 32, 0))

    def drain_output(self) -> None:
        """Read what is in the pipe now: what was written before an answer came is in it. Mostly nothing is: to ask
        for that first costs a third of a read that finds nothing."""
        if self._output_fd < 0 or not self._unread.poll(0):
            return
        for _ in range(_CHUNKS_IN_PIPE):  # no more than a pipe can hold: a writer that is faster than this loop must not hold it
            if not self._read_output():
                return

    def _on_output(self) -> None:
        self._read_output()
        if self._pause_s and self._output_fd >= 0:
            self._loop.remove_reader(self._output_fd)
            self._loop.call_later(self._pause_s, self._read_on)

    def _read_on(self) -> None:
        if self._output_fd >= 0:
            self._loop.add_reader(self._output_fd, self._on_output)

    def _read_output(self) -> bool:
        if self._output_fd < 0:
            return False
        self._pause_s = None
        try:
            data = os.read(self._output_fd, _OUTPUT_CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._output_fd)
            return False
        self._pause_s = self.output(data)
        return True

    def hear(self) -> None:
        """What the first process has said so far."""
        if self._pidfd >= 0:
            self._on_status()

    def hear_end(self, message: dict[str, Any]) -> None:
        """How the runtime has ended, from elsewhere than the environment's first process."""
        self._hear(message, [])

    def _on_status(self) -> None:
        while True:
            try:
                data, ancillary, _flags, _address = self._status.recvmsg(1 << 14, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._loop.remove_reader(self._status.fileno())
                return
            self._hear(json.loads(data), [raw for _level, kind, raw in ancillary if kind == socket.SCM_RIGHTS])

    def _hear(self, message: dict[str, Any], rights: list[bytes]) -> None:
        if "jailed" in message:
            self.jail_ms = message["jailed"]
            if not self.jailed.done():
                self.jailed.set_result(None)
        elif "specialised" in message:
            self.jail_ms = message["specialised"]
            self.specialised.set_result(None)
        elif "jail_error" in message:
            self._fail_jail(message["jail_error"])
        elif "listening" in message:
            listener = socket.socket(fileno=int.from_bytes(rights[0][:4], sys.byteorder))
            self.listener.set_result(listener)
        elif "ear" in message:
            self.on_ear(socket.socket(fileno=int.from_bytes(rights[0][:4], sys.byteorder)))
        elif "maker" in message:
            self.maker.set_result(socket.socket(fileno=int.from_bytes(rights[0][:4], sys.byteorder)))
        elif "extension_output" in message:
            self._extension_fd = int.from_bytes(rights[0][:4], sys.byteorder)
            os.set_blocking(self._extension_fd, False)
            self._loop.add_reader(self._extension_fd, self._on_extension_output)
        elif "dialled" in message:
            self._hear_dialled(message, rights)
        elif "extension" in message:
            self.on_extension_end(message["extension"], exit_words(Exit(message.get("code"), message.get("signal"))))
        elif "code" in message or "signal" in message:
            self._last_words = Exit(code=message.get("code"), signal=message.get("signal"))
            if not self.runtime_ended.done():
                self.runtime_ended.set_result(None)
            self.on_runtime_end()
            if self._is_gone:
                self._loop.call_soon(self._put_away)

    def _hear_dialled(self, message: dict[str, Any], rights: list[bytes]) -> None:
        waiting = self._dials.get(message["dialled"])
        if rights:
            connected = socket.socket(fileno=int.from_bytes(rights[0][:4], sys.byteorder))
            connected.setblocking(False)
            if waiting is None:
                connected.close()
            else:
                waiting.set_result(connected)
        elif waiting is not None:
            waiting.set_exception(ConnectionError(message.get("error", "")))

    def _on_extension_output(self) -> None:
        for _ in range(_CHUNKS_IN_PIPE):
            if self._extension_fd < 0:
                return
            try:
                data = os.read(self._extension_fd, _OUTPUT_CHUNK)
            except BlockingIOError:
                return
            if not data:
                self._close_extension_output()
                return
            pause_s = self.extension_output(data)
            if pause_s:
                self._loop.remove_reader(self._extension_fd)
                self._loop.call_later(pause_s, self._read_extensions_on)
                return

    def _read_extensions_on(self) -> None:
        if self._extension_fd >= 0:
            self._loop.add_reader(self._extension_fd, self._on_extension_output)

    def _close_extension_output(self) -> None:
        if self._extension_fd >= 0:
            self._loop.remove_reader(self._extension_fd)
            os.close(self._extension_fd)
            self._extension_fd = -1

    def _fail_jail(self, reason: str) -> None:
        for waiting in (self.jailed, self.specialised):
            if not waiting.done():
                waiting.set_exception(JailFailed(reason))
                waiting.exception()

    def _on_gone(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self.on_gone()
        if self._has_own_namespace:
            self._put_away()
        else:
            self._loop.call_later(_LAST_WORDS_S, self._put_away)  # who waits for it tells how it ended, in a moment
            self._is_gone = True
            self._on_status()

    def _put_away(self) -> None:
        if self._pidfd < 0:
            return
        self.ask_end()
        self._on_status()
        self.drain_output()
        self._read_peak()
        self._on_extension_output()
        self._close_extension_output()
        for fd in (self._status.fileno(), self._output_fd):
            self._loop.remove_reader(fd)
        if self._peak_fd >= 0:
            os.close(self._peak_fd)
        self.wake()
        if self._freezer is not None:
            self._freezer.close()
        if self.network is not None:
            self.network.close()
        os.close(self._pidfd)
        self._pidfd = -1
        self._status.close()
        os.close(self._output_fd)
        self._output_fd = -1  # its number may soon be another's
        for handed_over in (self.listener, self.maker):
            if handed_over.done() and not handed_over.cancelled():
                handed_over.result().close()
            handed_over.cancel()
        self._fail_jail("the environment ended before its jail stood")
        is_out_of_memory = cgroup.was_out_of_memory(self._group)
        last = self._last_words
        # The kernel takes a moment to let go of a group whose last process has just ended: off the event loop.
        removal = self._loop.run_in_executor(None, _remove, self._group, self._has_own_namespace)
        removal.add_done_callback(lambda _: self.exited.set_result(Exit(last.code, last.signal, is_out_of_memory)))
        self.on_exit()


def _remove(group: cgroup.Group, is_empty: bool) -> None:
    if not is_empty:
        cgroup.kill_all(group)
    cgroup.remove(group)
