"""Large immutable values as files, named by the hash of their bytes."""

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{64}")


class BlobCorrupted(Exception):
    """A blob's bytes are no longer those that its name says."""


class FileBlobs:
    """One file a blob, in folders of the name's first two digits. A file appears whole or not at all."""

    def __init__(self, folder: Path, *, is_synced: bool) -> None:
        self._folder = folder
        self._is_synced = is_synced
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in folder.glob("*.part"):
            leftover.unlink()

    async def put(self, data: bytes) -> str:
        return await asyncio.to_thread(self._put, data)

    async def get(self, sha256: str) -> bytes:
        return await asyncio.to_thread(self._get, sha256)

    async def delete(self, sha256: str) -> None:
        await asyncio.to_thread(self._path(sha256).unlink, missing_ok=True)

    async def list(self) -> AsyncIterator[str]:
        for path in await asyncio.to_thread(lambda: sorted(self._folder.glob("??/*"))):
            if _NAME.fullmatch(path.name):
                yield path.name

    def _path(self, sha256: str) -> Path:
        if not _NAME.fullmatch(sha256):
            raise KeyError(sha256)
        return self._folder / sha256[:2] / sha256

    def _get(self, sha256: str) -> bytes:
        try:
            data = self._path(sha256).read_bytes()
        except FileNotFoundError:
            raise KeyError(sha256) from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise BlobCorrupted(f"blob {sha256} does not have the bytes of its name")
        return data

    def _put(self, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        path = self._path(name)
        if path.exists():
            return name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=self._folder, suffix=".part")
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if self._is_synced:
                os.fsync(file.fileno())
        Path(part).replace(path)
        if self._is_synced:
            # The name must be as durable as the bytes, in its folder and that folder in its own.
            for folder in (path.parent, self._folder):
                _sync_folder(folder)
        return name


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
