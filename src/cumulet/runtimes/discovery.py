"""Which interpreters this machine has, and which runtime identifiers they run."""

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cumulet.runtimes.contract import RuntimeStatus
from cumulet.runtimes.jails import own_folders

PYTHON_RUNTIMES = tuple(f"python3.{minor}" for minor in range(8, 15))
NODE_RUNTIMES = tuple(f"nodejs{major}.x" for major in (16, 18, 20, 22, 24))
JAVA_RUNTIMES = ("java8.al2", "java11", "java17", "java21", "java25")
RUBY_RUNTIMES = ("ruby3.2", "ruby3.3", "ruby3.4")
CUSTOM_RUNTIMES = ("provided", "provided.al2", "provided.al2023")
_SDK_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")
_OLDEST_JAVA = 17
_printed: dict[str, str] = {}
_NODE_SDK_FOLDERS = ("/usr/local/lib/node_modules", "/usr/lib/node_modules", "/usr/share/nodejs")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A program that runs functions. `version` is (major, minor, patch); `folders` are what it needs beside the system's own."""

    executable: str
    version: tuple[int, int, int]
    folders: tuple[str, ...]

    @property
    def version_text(self) -> str:
        return ".".join(str(part) for part in self.version)


@functools.cache
def own_python() -> Interpreter:
    """The interpreter that runs the node. Its zygote also starts programs that are not Python."""
    installed = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    executable = str((installed if installed.exists() else Path(sys.executable)).resolve())
    version = (sys.version_info.major, sys.version_info.minor, sys.version_info.micro)
    return Interpreter(executable, version, own_folders(executable, sys.base_prefix))


@functools.cache
def python_interpreters() -> dict[int, Interpreter]:
    """The newest interpreter of each minor version of Python 3 from 3.8 on, by that number; of the node's own minor its own."""
    own = own_python()
    found = {own.version[1]: own}
    for executable in sorted(_python_candidates() - {own.executable}):
        interpreter = _ask_python(executable)
        if interpreter is not None and interpreter.version[1] == own.version[1]:
            continue
        if interpreter is not None:
            known = found.get(interpreter.version[1])
            if known is None or interpreter.version > known.version:
                found[interpreter.version[1]] = interpreter
    return found


@functools.cache
def node_interpreters() -> dict[int, Interpreter]:
    """Node.js by major version."""
    found: dict[int, Interpreter] = {}
    candidates = {shutil.which("node") or "", *map(str, Path.home().glob(".nvm/versions/node/*/bin/node"))}
    for executable in sorted(filter(None, candidates)):
        path = str(Path(executable).resolve())
        printed = _output_of([path, "--version"])
        if printed and (match := re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)\S*", printed)):
            version = (int(match[1]), int(match[2]), int(match[3]))
            found.setdefault(version[0], Interpreter(path, version, own_folders(path, str(Path(path).parent.parent))))
    return found


@functools.cache
def java_interpreters() -> dict[int, Interpreter]:
    """Java development kits by major version, from 17 on: the runtime's classes are compiled by the kit that runs them."""
    found: dict[int, Interpreter] = {}
    homes = {os.environ.get("JAVA_HOME", ""), *map(str, Path("/usr/lib/jvm").glob("*"))}
    homes |= set(map(str, Path.home().glob(".sdkman/candidates/java/*")))
    if on_path := shutil.which("javac"):
        homes.add(str(Path(on_path).resolve().parent.parent))
    for home in sorted({str(Path(home).resolve()) for home in homes if home}):
        version = _version_of_jdk(Path(home))
        if version is not None and version[0] >= _OLDEST_JAVA:
            folders = own_folders(f"{home}/bin/java", home)
            settings = f"/etc/java-{version[0]}-openjdk"  # where Debian's kits keep what their conf folder links to
            interpreter = Interpreter(f"{home}/bin/java", version, (*folders, *([settings] if Path(settings).is_dir() else [])))
            if version[0] not in found or version > found[version[0]].version:
                found[version[0]] = interpreter
    return found


@functools.cache
def ruby_interpreters() -> dict[int, Interpreter]:
    """The newest interpreter of each minor version of Ruby 3, by that number."""
    found: dict[int, Interpreter] = {}
    candidates = {shutil.which("ruby") or "", *map(str, Path("/usr/bin").glob("ruby3.*"))}
    candidates |= set(map(str, Path.home().glob(".rbenv/versions/*/bin/ruby")))
    for path in sorted({str(Path(each).resolve()) for each in candidates if each}):
        printed = _output_of([path, "--disable-gems", "-rrbconfig", "-e", "print RUBY_VERSION, ' ', RbConfig::CONFIG['prefix']"])
        match = re.fullmatch(r"3\.(\d+)\.(\d+) (.+)", printed)
        if match:
            version = (3, int(match[1]), int(match[2]))
            if version[1] not in found or version > found[version[1]].version:
                found[version[1]] = Interpreter(path, version, own_folders(path, match[3]))
    return found


def _version_of_jdk(home: Path) -> tuple[int, int, int] | None:
    """From the file that every kit has; None for what is no kit."""
    try:
        text = (home / "release").read_text()
    except OSError:
        return None
    match = re.search(r'^JAVA_VERSION="(\d+)(?:\.(\d+))?(?:\.(\d+))?', text, re.MULTILINE)
    if match is None or not os.access(home / "bin" / "javac", os.X_OK) or not os.access(home / "bin" / "java", os.X_OK):
        return None
    return (int(match[1]), int(match[2] or 0), int(match[3] or 0))


def choose(found: dict[int, Interpreter], wanted: int, *, is_strict: bool) -> Interpreter | None:
    """The interpreter of the wanted version; else, unless strict, the nearest, a newer one before an older."""
    if wanted in found:
        return found[wanted]
    if is_strict or not found:
        return None
    return found[min(found, key=lambda version: (abs(version - wanted), -version))]


def wanted_version(runtime: str) -> int:
    """python3.12 -> 12, nodejs20.x -> 20, java8.al2 -> 8, ruby3.3 -> 3."""
    if runtime.startswith(("python", "ruby")):
        return int(runtime.rsplit(".", 1)[1])
    return int(runtime.removeprefix("nodejs").removeprefix("java").partition(".")[0])


@functools.cache
def python_sdk() -> tuple[tuple[str, str], ...]:
    """(source, target) of boto3 and what it needs, from the node's own packages: plain Python, so any interpreter may have it."""
    found = []
    for name in _SDK_PACKAGES:
        for folder in sys.path:
            for source in (Path(folder) / name, Path(folder) / f"{name}.py"):
                if folder and source.exists():
                    found.append((str(source), f"/var/runtime/{source.name}"))
                    break
            else:
                continue
            break
    return tuple(found)


@functools.cache
def sdk_supports(minor: int) -> bool:
    """Whether the node's boto3 says that it runs on Python 3.`minor`."""
    match = re.search(r"^Requires-Python: >=\s*3\.(\d+)", _metadata_of("boto3"), re.MULTILINE)
    return match is None or minor >= int(match[1])


def _metadata_of(package: str) -> str:
    """What an installed package says of itself."""
    for folder in filter(None, sys.path):
        for path in Path(folder).glob(f"{package}-*.dist-info/METADATA"):
            return path.read_text(encoding="utf-8")
    return ""


@functools.cache
def find_node_sdk() -> str | None:
    """A folder of Node modules that holds the AWS SDK v3: `$CUMULET_NODE_MODULES`, or the machine's global one."""
    for folder in (os.environ.get("CUMULET_NODE_MODULES", ""), *_NODE_SDK_FOLDERS):
        if folder and (Path(folder) / "@aws-sdk").is_dir():
            return str(Path(folder).resolve())
    return None


def survey_runtimes(*, is_strict: bool = False) -> list[RuntimeStatus]:
    """Every runtime identifier and what runs it here."""
    statuses = [_python_status(runtime, is_strict) for runtime in PYTHON_RUNTIMES]
    statuses += [_node_status(runtime, is_strict) for runtime in NODE_RUNTIMES]
    for runtimes, found, language in (
        (JAVA_RUNTIMES, java_interpreters(), "a JDK, 17 or newer,"),
        (RUBY_RUNTIMES, ruby_interpreters(), "Ruby"),
    ):
        statuses += [_status(runtime, found, language, is_strict) for runtime in runtimes]
    return statuses + [RuntimeStatus(runtime, True, None, None) for runtime in CUSTOM_RUNTIMES]


def _status(runtime: str, found: dict[int, Interpreter], language: str, is_strict: bool) -> RuntimeStatus:
    interpreter = choose(found, wanted_version(runtime), is_strict=is_strict)
    if interpreter is None:
        return RuntimeStatus(runtime, False, None, None, (f"{language} is not on this machine",))
    is_it = found.get(wanted_version(runtime)) is interpreter
    notes = () if is_it else (f"not on this machine: version {interpreter.version_text} runs it",)
    return RuntimeStatus(runtime, True, interpreter.executable, interpreter.version_text, notes)


def _python_status(runtime: str, is_strict: bool) -> RuntimeStatus:
    interpreter = choose(python_interpreters(), wanted_version(runtime), is_strict=is_strict)
    if interpreter is None:
        return RuntimeStatus(runtime, False, None, None, ("no such Python on this machine",))
    notes = []
    if interpreter.version[1] != wanted_version(runtime):
        notes.append(f"not on this machine: Python {interpreter.version_text} runs it")
    if not sdk_supports(interpreter.version[1]):
        notes.append(f"without boto3, which no longer supports Python 3.{interpreter.version[1]}")
    return RuntimeStatus(runtime, True, interpreter.executable, interpreter.version_text, tuple(notes))


def _node_status(runtime: str, is_strict: bool) -> RuntimeStatus:
    interpreter = choose(node_interpreters(), wanted_version(runtime), is_strict=is_strict)
    if interpreter is None:
        return RuntimeStatus(runtime, False, None, None, ("no such Node.js on this machine",))
    notes = []
    if interpreter.version[0] != wanted_version(runtime):
        notes.append(f"not on this machine: Node.js {interpreter.version_text} runs it")
    if find_node_sdk() is None:
        notes.append("without the AWS SDK: npm install it somewhere, and set CUMULET_NODE_MODULES to that node_modules")
    return RuntimeStatus(runtime, True, interpreter.executable, interpreter.version_text, tuple(notes))


def _python_candidates() -> set[str]:
    folders = [*os.environ.get("PATH", "").split(":"), "/usr/bin", "/usr/local/bin"]
    folders += map(str, Path.home().glob(".pyenv/versions/3.*/bin"))
    folders += map(str, Path.home().glob(".local/share/uv/python/*/bin"))
    found = {str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")}
    for folder in filter(None, folders):
        if "shims" in folder:  # pyenv's shell scripts: the real ones are found above
            continue
        with contextlib.suppress(PermissionError):  # somebody else's folder on the PATH
            found.update(str(path) for path in Path(folder).glob("python3*") if re.fullmatch(r"python3(\.\d+)?", path.name))
    return {str(Path(path).resolve()) for path in found if os.access(path, os.X_OK)}


def _ask_python(executable: str) -> Interpreter | None:
    printed = _output_of([executable, "-I", "-S", "-c", "import sys; print(*sys.version_info[:3], sys.base_prefix)"])
    if not printed:
        return None
    major, minor, patch, prefix = printed.split(" ", 3)
    if int(major) != 3 or int(minor) < 8:
        return None
    return Interpreter(executable, (3, int(minor), int(patch)), own_folders(executable, prefix))


def _output_of(command: list[str]) -> str:
    """What a program prints, remembered as long as its file stays as it is; "" when it fails."""
    try:
        state = Path(command[0]).stat()
        known = f"{state.st_mtime_ns} {state.st_size} {' '.join(command)}"
        if known not in _printed:
            _printed[known] = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        return _printed[known]
    except (OSError, subprocess.SubprocessError):
        return ""


def survey_interpreters(memory: Path) -> None:
    """Find all interpreters, now: what programs said of themselves is kept in a file between runs of the node."""
    with contextlib.suppress(OSError, ValueError):
        _printed.update(json.loads(memory.read_text()))
    before = dict(_printed)
    for find in (python_interpreters, node_interpreters, java_interpreters, ruby_interpreters, find_node_sdk, python_sdk):
        find()
    if _printed != before:
        memory.write_text(json.dumps(_printed))
