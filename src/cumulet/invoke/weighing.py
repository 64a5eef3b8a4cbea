"""Telling the kernel what share of the processor environments have: in the order in which shares change, and off the event loop
when they are many."""

import asyncio

from cumulet.invoke.pool import Member

_AT_ONCE = 4
"""So many are quicker done than handed over."""


class Weighing:
    """Takes changes of shares; what changes again before it was written is written once."""

    def __init__(self) -> None:
        self._changed: dict[Member, float] = {}
        self._is_writing = False

    def change(self, changes: list[tuple[Member, float]]) -> None:
        if not self._is_writing and len(changes) <= _AT_ONCE:
            _write(dict(changes))
            return
        self._changed.update(changes)
        if not self._is_writing:
            self._write_next()

    def _write_next(self) -> None:
        self._is_writing = bool(self._changed)
        if self._is_writing:
            changed, self._changed = self._changed, {}
            writing = asyncio.get_running_loop().run_in_executor(None, _write, changed)
            writing.add_done_callback(lambda _: self._write_next())


def _write(changed: dict[Member, float]) -> None:
    for member, cpu_share in changed.items():
        member.environment.weigh(cpu_share)
