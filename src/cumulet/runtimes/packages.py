"""Code archives: which are accepted, and where their unpacked folders are.

An archive is hostile until proven otherwise: names, kinds, sizes and the sums of its entries are judged before anything is
written, and the bytes are counted and checked again as they come out.
"""

import asyncio
import io
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cumulet.store.contract import Blobs

MAX_UNZIPPED_BYTES = 262_144_000
MAX_ENTRIES = 100_000
_CHUNK = 1 << 20


class PackageError(Exception):
    """The archive is refused, and the message says why."""


class PackageTooLarge(PackageError):
    """Unpacked, the archive is larger than a function may be."""


@dataclass(frozen=True, slots=True)
class PackageFacts:
    unzipped_bytes: int
    entries: int


def inspect_zip(data: bytes, max_unzipped_bytes: int = MAX_UNZIPPED_BYTES) -> PackageFacts:
    """Judge an archive by reading all of it, without writing anything. Raises PackageError."""
    with _opened(data) as archive:
        entries = _judged_entries(archive, max_unzipped_bytes)
        total = 0
        for entry in entries:
            for chunk in _content(archive, entry):
                total += len(chunk)
                if total > max_unzipped_bytes:
                    raise PackageTooLarge(f"the archive holds more than {max_unzipped_bytes} bytes")
        return PackageFacts(unzipped_bytes=total, entries=len(entries))


def extract_zip(data: bytes, folder: Path, max_unzipped_bytes: int = MAX_UNZIPPED_BYTES) -> None:
    """Unpack an archive into an existing folder: readable by all, writable by the owner, executable where the archive says so."""
    with _opened(data) as archive:
        left = max_unzipped_bytes
        for entry in _judged_entries(archive, max_unzipped_bytes):
            target = folder / _relative_name(entry)
            mode = entry.external_attr >> 16
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if entry.is_dir():
                target.mkdir(mode=0o755, exist_ok=True)
            elif stat.S_ISLNK(mode):
                target.unlink(missing_ok=True)
                target.symlink_to(b"".join(_content(archive, entry)).decode())
            else:
                target.unlink(missing_ok=True)  # a lower layer's
                with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644), "wb") as file:
                    for chunk in _content(archive, entry):
                        left -= len(chunk)
                        if left < 0:
                            raise PackageTooLarge(f"the archive holds more than {max_unzipped_bytes} bytes")
                        file.write(chunk)
                target.chmod(0o755 if mode & 0o111 else 0o644)


def _opened(data: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, UnicodeDecodeError) as error:
        raise PackageError(f"not a zip archive: {error}") from error


def _judged_entries(archive: zipfile.ZipFile, max_unzipped_bytes: int) -> list[zipfile.ZipInfo]:
    """The entries in the archive's order. Raises PackageError for the first that must not be unpacked."""
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise PackageError(f"the archive has more than {MAX_ENTRIES} entries")
    if sum(entry.file_size for entry in entries) > max_unzipped_bytes:
        raise PackageTooLarge(f"the archive holds more than {max_unzipped_bytes} bytes")
    if sum(entry.compress_size for entry in entries) > archive.fp.seek(0, io.SEEK_END):  # type: ignore[union-attr]
        raise PackageError("the archive's entries overlap")
    links: set[PurePosixPath] = set()
    files: set[PurePosixPath] = set()
    for entry in entries:
        name = PurePosixPath(_relative_name(entry))
        mode = entry.external_attr >> 16
        if entry.flag_bits & 0x1:
            raise PackageError(f"{entry.filename!r} is encrypted")
        if any(parent in links or parent in files for parent in name.parents):
            raise PackageError(f"{entry.filename!r} lies inside what is no folder")
        if entry.is_dir():
            continue
        if name in links or name in files:
            raise PackageError(f"{entry.filename!r} is there twice")
        if stat.S_ISLNK(mode):
            _judge_link(archive, entry, name)
            links.add(name)
        elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
            files.add(name)
        else:
            raise PackageError(f"{entry.filename!r} is neither a file, a folder nor a link")
    return entries


def _relative_name(entry: zipfile.ZipInfo) -> str:
    name = entry.filename
    parts = name.rstrip("/").split("/")
    if (
        not name
        or name.startswith("/")
        or "\\" in name
        or "\x00" in entry.orig_filename
        or ".." in parts
        or len(name.encode()) > 4096
    ):
        raise PackageError(f"{name!r} is no name for a file in an archive")
    if len(parts[0]) == 2 and parts[0][1] == ":":
        raise PackageError(f"{name!r} names a drive")
    if any(len(part.encode()) > 255 for part in parts):
        raise PackageError(f"{name[:80]!r}… is too long")
    return name


def _judge_link(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: PurePosixPath) -> None:
    if entry.file_size > 4096:
        raise PackageError(f"the link {entry.filename!r} is too long")
    try:
        target = b"".join(_content(archive, entry)).decode()
    except UnicodeDecodeError:
        raise PackageError(f"the link {entry.filename!r} points nowhere") from None
    depth = len(name.parent.parts)
    for part in target.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0 or target.startswith("/") or not target or "\x00" in target:
            raise PackageError(f"the link {entry.filename!r} points out of the archive")


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """An entry's bytes in pieces; what can be wrong with them becomes a PackageError."""
    if entry.is_dir():
        return
    try:
        with archive.open(entry) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise PackageError(f"{entry.filename!r} cannot be read: {error}") from error


class PackageCache:
    """Unpacked archives by hash, below `folder`. Each is unpacked once, whole or not at all, off the event loop."""

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self.folder = folder
        self._blobs = blobs
        self._ready: dict[tuple[str, ...], Path] = {}
        self._unpacking: dict[tuple[str, ...], asyncio.Task[Path]] = {}

    async def path_of(self, sha256: str) -> Path:
        """The unpacked archive. Raises KeyError when there is no such blob."""
        return await self._path((sha256,))

    async def layers_of(self, hashes: tuple[str, ...]) -> Path | None:
        """One folder with all layers merged, the later over the earlier; None for no layers."""
        return await self._path(hashes) if hashes else None

    def expect(self, sha256: str, layers: tuple[str, ...]) -> None:
        """Unpack ahead what may be asked for soon; what cannot be unpacked is told when it is asked for."""
        for hashes in ((sha256,), layers):
            if hashes and hashes not in self._ready and hashes not in self._unpacking:
                self._begin(hashes).add_done_callback(lambda task: task.cancelled() or task.exception())

    def _begin(self, hashes: tuple[str, ...]) -> "asyncio.Task[Path]":
        task = asyncio.create_task(self._unpack(hashes))
        self._unpacking[hashes] = task
        task.add_done_callback(lambda _: self._unpacking.pop(hashes, None))
        return task

    async def _path(self, hashes: tuple[str, ...]) -> Path:
        ready = self._ready.get(hashes)
        if ready is not None:
            return ready
        return await asyncio.shield(self._unpacking.get(hashes) or self._begin(hashes))

    async def _unpack(self, hashes: tuple[str, ...]) -> Path:
        path = self.folder / "-".join(name[:32] for name in hashes)
        if not await asyncio.to_thread(path.is_dir):
            archives = [await self._blobs.get(name) for name in hashes]
            await asyncio.to_thread(self._extract, archives, path)
        self._ready[hashes] = path
        return path

    def _extract(self, archives: list[bytes], path: Path) -> None:
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=self.folder))
        try:
            part.chmod(0o755)
            for archive in archives:
                extract_zip(archive, part)
            if not path.is_dir():
                part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
