"""A request's body while it arrives: in memory as long as it is small, then in a file without a name, so that many slow uploads
hold disk instead of memory.
"""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import BinaryIO


class Spool:
    """Grows piece by piece, and is taken whole once. A folder of None keeps everything in memory."""

    __slots__ = ("_file", "_folder", "_pieces", "_threshold_bytes", "size")

    def __init__(self, folder: Path | None, threshold_bytes: int) -> None:
        self.size = 0
        self._folder = folder
        self._threshold_bytes = threshold_bytes
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None

    @property
    def is_on_disk(self) -> bool:
        return self._file is not None

    def add(self, data: bytes) -> None:
        """Raises OSError when the disk is full. Writing goes to the page cache: quick enough for the event loop."""
        self.size += len(data)
        if self._file is not None:
            _write_all(self._file, data)
            return
        self._pieces.append(data)
        if self._folder is not None and self.size > self._threshold_bytes:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            _write_all(self._file, b"".join(self._pieces))
            self._pieces.clear()

    async def take(self) -> bytes:
        """The whole body; the spool is empty afterwards. Raises OSError when the disk fails."""
        if self._file is None:
            body = b"".join(self._pieces)
            self._pieces.clear()
            return body
        try:
            return await asyncio.to_thread(_read_all, self._file, self.size)
        finally:
            self.close()

    def close(self) -> None:
        """Throw away what came."""
        self._pieces.clear()
        if self._file is not None:
            self._file.close()
            self._file = None


def _write_all(file: BinaryIO, data: bytes) -> None:
    """An unbuffered file may take a part only, when the disk is nearly full."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _read_all(file: BinaryIO, size: int) -> bytes:
    body = os.pread(file.fileno(), size, 0)
    if len(body) != size:
        raise OSError(f"a spooled body of {size} bytes came back as {len(body)}")
    return body
