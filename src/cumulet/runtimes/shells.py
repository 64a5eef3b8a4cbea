"""Pre-warmed shells: programs started ahead in their jails without code, for whichever of an account's functions comes first.

A shell becomes one function's environment, once. Which shells are kept follows use: one that is taken is replaced in the
background, a kind that was asked for in vain is started, and what nobody has asked for in a while is ended, so that an idle node
keeps none.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import asdict, dataclass, field

from cumulet.runtimes.contract import Exit
from cumulet.runtimes.process import JailFailed, ProcessTree
from cumulet.sandbox.jail import Limits


@dataclass(slots=True)
class Shell:
    """A program in its jail, nobody's yet. `channel` is the node's end of the socket that the program listens on."""

    tree: ProcessTree
    channel: socket.socket

    def is_alive(self) -> bool:
        return not self.tree.exited.done()

    def close(self) -> None:
        self.channel.close()
        self.tree.kill()

    def order(self, places: dict[str, str], limits: Limits | None = None, tmp_bytes: int = 0) -> None:
        """Have {place: name of a folder of unpacked code, or ""} mounted, other limits set than the shell's own, and the jail shut
        for good: `tree.specialised` tells when."""
        self.tree.tell({"fill": places, "limits": asdict(limits) if limits else None, "tmp_bytes": tmp_bytes})


StartShell = Callable[[], Awaitable[Shell]]
Key = Hashable


@dataclass(slots=True)
class _Kind:
    """Shells of one program in one size. `start` makes another."""

    start: StartShell
    ready: list[Shell] = field(default_factory=list)
    wanted: int = 0
    used_at_s: float = 0.0
    is_dropped: bool = False


class Shells:
    """At most `most` shells at once, of the kinds used last, and `of_kind` of one (None: as many); none is kept longer than
    `keep_s` after its kind's last use.

    Starting one takes a processor for a while: it waits for `delay_s`, not to hold up the call that took the last one.
    """

    def __init__(
        self, most: int, *, of_kind: int | None = None, delay_s: float = 0.1, at_once: int = 1, keep_s: float = 900.0
    ) -> None:
        self._most = most
        self._most_of_kind = most if of_kind is None else min(most, of_kind)
        self._delay_s = delay_s
        self._at_once = at_once
        self._keep_s = keep_s
        self._kinds: dict[Key, _Kind] = {}
        self._filling: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Future[Exit]] = set()

    @property
    def ready(self) -> int:
        return sum(len(kind.ready) for kind in self._kinds.values())

    def take(self, key: Key, start: StartShell) -> Shell | None:
        """A shell of that kind, the oldest first; None when none is ready. Either way one more is started soon."""
        kind = self._want(key, start)
        while kind.ready:
            shell = kind.ready.pop(0)
            if shell.is_alive():
                return shell
        return None

    def expect(self, key: Key, start: StartShell) -> None:
        """A function of that kind was made: have a shell ready for its first call."""
        if not (key in self._kinds and self._kinds[key].wanted):
            self._want(key, start)

    def drop(self, key: Key) -> None:
        """End the shells of a kind that is no more."""
        kind = self._kinds.pop(key, None)
        if kind is not None:
            kind.is_dropped = True
            self._end(kind.ready)

    async def close(self) -> None:
        """End every shell, and wait until all that were ended are gone."""
        if self._expiry is not None:
            self._expiry.cancel()
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])
        for kind in self._kinds.values():
            self._end(kind.ready)
        self._kinds.clear()
        if self._ending:
            await asyncio.wait(self._ending, timeout=10)

    def _end(self, shells: list[Shell]) -> None:
        """They are taken from the list."""
        for shell in shells:
            shell.close()
            if shell.is_alive():
                self._ending.add(shell.tree.exited)
                shell.tree.exited.add_done_callback(self._ending.discard)
        shells.clear()

    def _want(self, key: Key, start: StartShell) -> _Kind:
        kind = self._kinds.pop(key, None) or _Kind(start)
        self._kinds[key] = kind  # the newest use is last
        kind.start = start
        kind.used_at_s = time.monotonic()
        if self._most:
            kind.wanted = min(kind.wanted + (not kind.ready), self._most_of_kind)
            self._fill_soon()
        return kind

    def _fill_soon(self) -> None:
        if self._filling is None:
            self._filling = asyncio.get_running_loop().create_task(self._fill())
        if self._expiry is None:
            self._expiry = asyncio.get_running_loop().call_later(self._keep_s, self._expire)

    async def _fill(self) -> None:
        """Start what is missing, a few at a time: much of a start is waiting for the kernel."""
        try:
            while True:
                await asyncio.sleep(self._delay_s)
                kind = next((kind for kind in reversed(self._kinds.values()) if len(kind.ready) < kind.wanted), None)
                if kind is None:
                    return
                self._make_room(kind)
                missing = min(kind.wanted - len(kind.ready), self._at_once)
                await asyncio.gather(*(self._add(kind) for _ in range(missing)))
        finally:
            self._filling = None

    async def _add(self, kind: _Kind) -> None:
        try:
            shell = await kind.start()
        except JailFailed:
            kind.wanted = 0  # the next use of this kind tries again
            return
        if kind.is_dropped:
            self._end([shell])
        else:
            kind.ready.append(shell)

    def _make_room(self, wanting: _Kind) -> None:
        """End shells of the kinds used least lately until one more fits."""
        for kind in list(self._kinds.values()):
            while kind is not wanting and kind.ready and self.ready >= self._most:
                self._end([kind.ready.pop()])
                kind.wanted = len(kind.ready)

    def _expire(self) -> None:
        self._expiry = None
        oldest_s = time.monotonic() - self._keep_s
        for key, kind in list(self._kinds.items()):
            if kind.used_at_s <= oldest_s:
                self._end(kind.ready)
                kind.is_dropped = True
                del self._kinds[key]
        if self._kinds:
            self._expiry = asyncio.get_running_loop().call_later(self._keep_s, self._expire)
