"""The Java runtime's own classes: compiled once per Java installation, with an archive of class data for a faster start.

The sources come with the package; what is made of them is kept below the node's data folder, and bound into jails read-only at the
very place where it was made, since an archive is good for that class path alone.
"""

import asyncio
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

import cumulet
from cumulet.runtimes.discovery import Interpreter
from cumulet.runtimes.process import JailFailed

SOURCES = Path(cumulet.__file__).parent / "guest" / "java"
_MANIFEST = "Main-Class: cumulet.Main\nAdd-Opens: java.base/java.lang java.base/java.util\n"
"""Opened here, not on the command line: there, a JVM does without its archived modules, and newer ones print that."""
_LEAST_HEAP_MB = 32
_BESIDE_HEAP_MB = 32


class JavaRuntimes:
    """Folders with `runtime.jar` and `runtime.jsa`, by interpreter; made when first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._making: dict[str, asyncio.Task[None]] = {}

    def folder_of(self, java: Interpreter) -> Path:
        """Where that interpreter's runtime is, or will be: named by its version and by the sources."""
        return self._folder / f"java-{java.version_text}-{_digest()}"

    async def prepare(self, java: Interpreter) -> None:
        """Make it unless it is there. Raises JailFailed when it cannot be made."""
        folder = self.folder_of(java)
        if await asyncio.to_thread((folder / "runtime.jar").exists):
            return
        if java.executable not in self._making:
            task = asyncio.create_task(asyncio.to_thread(_make, java, folder))
            self._making[java.executable] = task
            task.add_done_callback(lambda _: self._making.pop(java.executable, None))
        await asyncio.shield(self._making[java.executable])


def java_argv(java: Interpreter, folder: Path, memory_mb: int) -> list[str]:
    """The command line: a heap that leaves room for what a JVM needs beside it. The channel becomes standard input."""
    heap_mb = max(_LEAST_HEAP_MB, memory_mb * 3 // 4 - _BESIDE_HEAP_MB)
    command = [java.executable, f"-Xmx{heap_mb}m", "-Djava.io.tmpdir=/tmp", *_flags(folder)]
    return ["/bin/sh", "-c", 'exec "$0" "$@" 0<&3 3<&-', *command]


def _flags(folder: Path) -> list[str]:
    # One thread's collector and the first compiler only, as on Lambda: what starts fast matters more than what runs long.
    fast = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto"]
    return [*fast, f"-XX:SharedArchiveFile={folder}/runtime.jsa", "-jar", f"{folder}/runtime.jar"]


def _sources() -> list[Path]:
    return sorted(SOURCES.glob("cumulet/*.java"))


@functools.cache
def _digest() -> str:
    return hashlib.sha256(b"".join((_MANIFEST.encode(), *(source.read_bytes() for source in _sources())))).hexdigest()[:12]


def _make(java: Interpreter, folder: Path) -> None:
    """Compile, pack, and let the JVM archive what a training run loads: whole or not at all."""
    folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".java-", dir=folder.parent))
    try:
        compiler = str(Path(java.executable).parent / "javac")
        _run([compiler, "--release", "17", "-nowarn", "-d", str(part / "classes"), *map(str, _sources())])
        with zipfile.ZipFile(part / "runtime.jar", "w") as jar:
            jar.writestr("META-INF/MANIFEST.MF", _MANIFEST)
            for path in sorted((part / "classes").rglob("*.class")):
                jar.write(path, path.relative_to(part / "classes"))
        shutil.rmtree(part / "classes")
        part.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
        _archive(java, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _archive(java: Interpreter, folder: Path) -> None:
    """Without the archive everything works, only slower."""
    flags = [flag for flag in _flags(folder) if not flag.startswith("-XX:SharedArchiveFile")]
    try:
        _run([java.executable, f"-XX:ArchiveClassesAtExit={folder}/runtime.jsa", *flags, "--train"])
    except JailFailed:
        (folder / "runtime.jsa").unlink(missing_ok=True)


def _run(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAVA_", "_JAVA", "JDK_"))}
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env=environment)
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", "") or str(error)
        raise JailFailed(f"the Java runtime cannot be made: {told[:500]}") from error
