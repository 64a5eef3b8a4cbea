"""Opening a data folder: one node at a time, and never a format that this version doesn't know."""

import fcntl
import os
from pathlib import Path
from typing import IO, Literal

from cumulet.store.contract import Store
from cumulet.store.memory import MemoryStore

FORMAT_VERSION = 1
"""Raised with every change of the layout on disk that an older node would misread."""


class StoreRefused(Exception):
    """The data folder cannot be used, and the message says why."""


async def open_store(kind: Literal["embedded", "memory"], folder: Path, durability: Literal["sync", "os"]) -> Store:
    """The store in `folder`, which is made when it is not there. Raises StoreRefused."""
    if kind == "memory":
        return MemoryStore()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _take_lock(folder)
    try:
        _check_format(folder)
        from cumulet.store.embedded import EmbeddedStore

        return EmbeddedStore(folder, durability, release=lock.close)
    except BaseException:
        lock.close()
        raise


def _take_lock(folder: Path) -> IO[str]:
    """Held by the open file, so that the kernel gives it back when the node dies, however it dies."""
    file = open(folder / "LOCK", "a+")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise StoreRefused(f"the data folder {folder} is in use by another node (pid {holder})") from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _check_format(folder: Path) -> None:
    path = folder / "FORMAT"
    try:
        found = int(path.read_text())
    except FileNotFoundError:
        path.write_text(f"{FORMAT_VERSION}\n")
        return
    except ValueError:
        raise StoreRefused(f"{path} does not hold a format version") from None
    if found > FORMAT_VERSION:
        raise StoreRefused(f"the data folder {folder} has format {found}; this version of Cumulet knows {FORMAT_VERSION} and older")
