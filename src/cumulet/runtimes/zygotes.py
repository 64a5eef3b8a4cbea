"""Zygotes, seen from the node: started once per interpreter, asked for environments, watched."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

import cumulet
from cumulet.runtimes.contract import Output
from cumulet.runtimes.networks import Network
from cumulet.runtimes.process import JailFailed, ProcessTree
from cumulet.sandbox import cgroup
from cumulet.sandbox.jail import Base

_SCRIPT = Path(cumulet.__file__).parent / "guest" / "zygote.py"


@dataclass(slots=True)
class Forked:
    """`pidfd` is of the environment's first process. How the runtime ends is told by the zygote if `is_told`, to `tell` or, before
    that is known, kept as `how`."""

    pidfd: int
    is_told: bool = False
    how: dict[str, Any] | None = None
    tell: Callable[[dict[str, Any]], None] | None = None


class Zygote:
    """One interpreter that stands ready. Requests are answered in the order in which they were sent."""

    def __init__(self, executable: str) -> None:
        self.executable = executable
        self._bases: dict[str, asyncio.Future[Forked]] = {}
        self._waiting: deque[asyncio.Future[Forked]] = deque()
        self._alone: dict[int, Forked] = {}  # by the pid of the runtime, as the zygote knows it
        self._process: subprocess.Popen[bytes] | None = None

    async def open(self) -> None:
        """Start the interpreter; returns when it can fork."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = await loop.run_in_executor(None, self._spawn, theirs)
        theirs.close()
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._control = ours
        ready: asyncio.Future[Forked] = loop.create_future()
        self._waiting.append(ready)
        loop.add_reader(ours.fileno(), self._on_answer)
        await asyncio.wait_for(ready, 20)

    @property
    def is_open(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def fork(
        self, launch: dict[str, Any], base: Base, output: Output, group: cgroup.Group, network: Network
    ) -> tuple[ProcessTree, socket.socket]:
        """A new environment and the node's end of its channel. The network is the environment's from now on, or closed. Raises
        JailFailed when the zygote cannot fork."""
        try:
            tree, channel = await self._fork(launch, base, output, group, network.namespace)
        except BaseException:
            network.close()
            raise
        network.let_go()
        tree.network = network
        return tree, channel

    async def _fork(
        self, launch: dict[str, Any], base: Base, output: Output, group: cgroup.Group, net: int
    ) -> tuple[ProcessTree, socket.socket]:
        loop = asyncio.get_running_loop()
        if base.key not in self._bases:
            made = self._bases[base.key] = loop.create_future()
            made.add_done_callback(lambda _: made.exception())
            self._control.send(b"B" + orjson.dumps(base))
            self._waiting.append(made)
        if not self._bases[base.key].done():
            await asyncio.shield(self._bases[base.key])
        channel, their_channel = socket.socketpair()
        output_fd, their_output = os.pipe()
        status, their_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs = [their_channel.fileno(), their_output, their_status.fileno(), *([net] if net >= 0 else [])]
        answer: asyncio.Future[Forked] = loop.create_future()
        try:
            rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in theirs)
            kind = b"A" if launch.pop("is_alone", False) else b"L"
            self._control.sendmsg([kind, orjson.dumps(launch)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            self._waiting.append(answer)
            their_channel.close()
            os.close(their_output)
            their_status.close()
            forked = await asyncio.shield(answer)
        except BaseException as error:
            channel.close()
            os.close(output_fd)
            status.close()
            if answer in self._waiting:
                answer.add_done_callback(_kill_unwanted)
            if isinstance(error, OSError):
                raise JailFailed(f"the zygote of {self.executable} does not answer: {error}") from error
            raise
        tree = ProcessTree(forked.pidfd, status, output_fd, output, group)
        if forked.is_told:
            forked.tell = tree.hear_end
            tree.ask_end = self._hear_ends
            if forked.how is not None:
                tree.hear_end(forked.how)
        return tree, channel

    def close(self) -> None:
        """End the zygote and, by the kernel, every environment that it forked."""
        if self._process is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._process.kill()
            self._process.wait()
            self._process = None

    def _spawn(self, control: socket.socket) -> "subprocess.Popen[bytes]":
        def to_three() -> None:
            os.dup2(control.fileno(), 3)

        # -I and -S: nothing of the machine's or the user's Python configuration gets in.
        command = [self.executable, "-I", "-S", "-B", str(_SCRIPT)]
        environment = {"PATH": "/usr/bin:/bin", "LANG": "en_US.UTF-8", "PYTHONUTF8": "1"}
        fd = control.fileno()
        return subprocess.Popen(
            command,
            pass_fds=(3, fd),
            env=environment,
            stdin=subprocess.DEVNULL,
            cwd="/",
            preexec_fn=to_three if fd != 3 else None,
            start_new_session=True,  # Ctrl-C reaches the whole group of the terminal; the node decides
        )

    def _hear_ends(self) -> None:
        if self._process is not None:
            self._on_answer()

    def _on_answer(self) -> None:
        while True:
            try:
                data, ancillary, _flags, _address = self._control.recvmsg(1 << 14, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                asyncio.get_running_loop().remove_reader(self._control.fileno())
                for answer in self._waiting:
                    if not answer.done():
                        answer.set_exception(JailFailed(f"the zygote of {self.executable} has ended"))
                self._waiting.clear()
                return
            message = orjson.loads(data)
            if "ended" in message:
                self._end(self._alone.pop(message["ended"]), message)
                continue
            answer = self._waiting.popleft()
            if "error" in message:
                answer.set_exception(JailFailed(message["error"]))
                continue
            forked = Forked(-1, is_told="pid" in message)
            if forked.is_told:
                self._alone[message["pid"]] = forked
            for _level, kind, raw in ancillary:
                if kind == socket.SCM_RIGHTS:
                    forked.pidfd = int.from_bytes(raw[:4], sys.byteorder)
            answer.set_result(forked)

    def _end(self, forked: Forked, how: dict[str, Any]) -> None:
        if forked.tell is not None:
            forked.tell(how)
        else:
            forked.how = how


def _kill_unwanted(answer: "asyncio.Future[Forked]") -> None:
    """An environment whose caller was cancelled while it was being forked."""
    if not answer.cancelled() and answer.exception() is None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(answer.result().pidfd, signal.SIGKILL)
        os.close(answer.result().pidfd)
