"""Snapshots by fork (SnapStart): a published version is initialised once, in a jail of its own, and forked for each environment.

What is forked stands ready in its own control group, with its own /tmp; it is told whose environment it is when a call comes. All
environments of a version share the process namespace, the user id and the read-only part of the file tree of its template.
"""

import asyncio
import json
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from cumulet.runtimes import frames
from cumulet.runtimes.contract import Exit, FunctionSpec
from cumulet.runtimes.jails import SHM_BYTES, limits_of
from cumulet.runtimes.process import JailFailed, ProcessTree
from cumulet.runtimes.shells import Shell, Shells
from cumulet.sandbox import cgroup

_MOST_TEMPLATES = 64
_MOST_READY = 16
_FORK = b"FORK"
_UCRED = struct.Struct("iII")


@dataclass(slots=True, eq=False)
class Template:
    """A version that has been initialised. `live` counts its environments: they end when it does."""

    spec: FunctionSpec
    shell: Shell
    maker: socket.socket
    warnings: list[str]
    live: int = 0
    busy: int = 0
    is_retired: bool = False
    forking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def begin(self) -> None:
        """It has to fork, or to say how a fork ended: until it has, it runs."""
        self.busy += 1
        self.shell.tree.wake()

    def end(self) -> None:
        """What its code left running gets no CPU while nothing is asked of it."""
        self.busy -= 1
        if not self.busy:
            self.shell.tree.rest()

    def close(self) -> None:
        self.shell.close()
        self.maker.close()


MakeTemplate = Callable[[], Awaitable[Template]]


class Snapshots:
    """The templates of the node. `group_below` is the control group with that name of an account."""

    def __init__(self, group_below: Callable[[str, str], Awaitable[cgroup.Group]]) -> None:
        self._group_below = group_below
        self._templates: dict[tuple[str, str, str], asyncio.Task[Template]] = {}
        self._shells = Shells(_MOST_READY, delay_s=0.005, at_once=2)
        self._forked = 0
        self._ending: set[asyncio.Future[Exit]] = set()

    def expect(self, spec: FunctionSpec, make: MakeTemplate) -> None:
        """Take the version's snapshot now, when there is none yet."""

        def taken(task: "asyncio.Task[Template]") -> None:
            if not task.cancelled() and task.exception() is None:
                self._shells.expect(*self._kind(task.result()))

        self._template(spec, make).add_done_callback(taken)

    async def take(self, spec: FunctionSpec, make: MakeTemplate) -> Shell:
        """A fork of the version's snapshot, ready to be told whose it is. Raises what `make` raises, and JailFailed."""
        template = await asyncio.shield(self._template(spec, make))
        return self._shells.take(*self._kind(template)) or await self._fork(template)

    def retire(self, function_id: str) -> None:
        """The function is gone: its snapshots go as soon as nothing runs from them."""
        for key in [key for key in self._templates if key[0] == function_id]:
            self._retire(self._templates.pop(key))

    async def close(self) -> None:
        await self._shells.close()
        for task in self._templates.values():
            task.cancel()
            if task.done() and not task.cancelled() and task.exception() is None:
                self._end(task.result())
        self._templates.clear()
        if self._ending:
            await asyncio.wait(self._ending, timeout=10)

    def _template(self, spec: FunctionSpec, make: MakeTemplate) -> "asyncio.Task[Template]":
        task = self._templates.pop(spec.pool_key, None)
        if task is None or (task.done() and (task.cancelled() or task.exception() or not task.result().shell.is_alive())):
            task = asyncio.get_running_loop().create_task(_made(make))
            self._make_room()
        self._templates[spec.pool_key] = task  # the newest use is last
        return task

    def _make_room(self) -> None:
        if len(self._templates) >= _MOST_TEMPLATES:
            self._retire(self._templates.pop(next(iter(self._templates))))

    def _retire(self, task: "asyncio.Task[Template]") -> None:
        def retired(task: "asyncio.Task[Template]") -> None:
            if not task.cancelled() and task.exception() is None:
                template = task.result()
                template.is_retired = True
                self._shells.drop(template.spec.pool_key)
                if not template.live:
                    self._end(template)

        task.add_done_callback(retired)

    def _kind(self, template: Template) -> tuple[tuple[str, str, str], Callable[[], Awaitable[Shell]]]:
        return template.spec.pool_key, partial(self._fork, template)

    async def _fork(self, template: Template) -> Shell:
        """Another environment of the template, in its own group and mounts. Raises JailFailed."""
        template.begin()
        try:
            return await self._forked_of(template)
        finally:
            template.end()

    async def _forked_of(self, template: Template) -> Shell:
        self._forked += 1
        group = await self._group_below(template.spec.account, f"restored-{self._forked}")
        channel, their_channel = socket.socketpair()
        output_fd, their_output = os.pipe()
        status, their_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        status.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        for each in (channel, status):
            each.setblocking(False)
        try:
            try:
                await _order_fork(template, (their_channel.fileno(), their_output, their_status.fileno()))
            finally:
                their_channel.close()
                their_status.close()
                os.close(their_output)
            pid = await asyncio.wait_for(_sender_of(status), 10)
            pidfd = os.pidfd_open(pid)
            await asyncio.to_thread(cgroup.adopt, group, limits_of(template.spec), pid)
            status.send(b"go")
        except BaseException as error:
            channel.close()
            status.close()  # a fork that stands here ends
            os.close(output_fd)
            if isinstance(error, OSError | TimeoutError):
                raise JailFailed(f"the snapshot could not be restored: {error}") from error
            raise
        tree = ProcessTree(pidfd, status, output_fd, lambda _: None, group, has_own_namespace=False)
        tree.jailed.set_result(None)
        template.live += 1
        tree.on_gone = template.begin
        tree.exited.add_done_callback(lambda _: self._ended(template))
        return Shell(tree, channel)

    def _ended(self, template: Template) -> None:
        template.live -= 1
        template.end()
        if template.is_retired and not template.live:
            self._end(template)

    def _end(self, template: Template) -> None:
        template.close()
        exited = template.shell.tree.exited
        if not exited.done():
            self._ending.add(exited)
            exited.add_done_callback(self._ending.discard)


async def initialised(shell: Shell, spec: FunctionSpec, variables: dict[str, str]) -> Template:
    """Have a template's shell, which has been told to fill its jail, run the function's init. Raises JailFailed when that fails:
    who starts an ordinary environment then hears why."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(shell.channel, frames.encode(frames.SPECIALISE, {}, orjson.dumps(variables)))
    decoder = frames.Decoder()
    while True:
        data = await loop.sock_recv(shell.channel, 1 << 16)
        if not data:
            raise JailFailed("the init phase of the snapshot ended the process")
        for kind, head, _body in decoder.feed(data):
            if kind != frames.READY:
                raise JailFailed("the init phase of the snapshot failed")
            return Template(spec, shell, await shell.tree.maker, [str(warning) for warning in head.get("warnings", ())])


async def _made(make: MakeTemplate) -> Template:
    return await make()


async def _order_fork(template: Template, theirs: tuple[int, int, int]) -> None:
    """Have the template fork, with those descriptors as its channel, output and status, into new places."""
    async with template.forking:
        places = await _new_places(template)
        try:
            _send_rights(template.shell.channel, _FORK, (*theirs, *places))
        finally:
            for place in places:
                os.close(place)


async def _new_places(template: Template) -> list[int]:
    """Two descriptors: a user namespace, and a mount namespace below it with its own /tmp."""
    request = {"tmp_bytes": template.spec.ephemeral_mb << 20, "shm_bytes": SHM_BYTES}
    template.maker.setblocking(False)
    template.maker.send(json.dumps(request).encode())
    _data, ancillary = await _receive(template.maker)
    places = [
        int.from_bytes(raw[at : at + 4], sys.byteorder)
        for _level, kind, raw in ancillary
        if kind == socket.SCM_RIGHTS
        for at in range(0, len(raw) - 3, 4)
    ]
    if len(places) != 2:
        raise OSError("no namespaces for another environment")
    return places


def _send_rights(sock: socket.socket, data: bytes, fds: tuple[int, ...]) -> None:
    rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


async def _sender_of(status: socket.socket) -> int:
    """The pid, as the kernel tells it, of the process that says it was forked."""
    data, ancillary = await _receive(status)
    for _level, kind, raw in ancillary:
        if data and kind == socket.SCM_CREDENTIALS:
            pid: int = _UCRED.unpack(raw[: _UCRED.size])[0]
            return pid
    raise OSError("the template does not fork")


async def _receive(sock: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    """One message with what travels beside it."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def arrived() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(sock.fileno(), arrived)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())
    data, ancillary, _flags, _address = sock.recvmsg(1 << 12, 256)
    found: list[Any] = ancillary
    return data, found
