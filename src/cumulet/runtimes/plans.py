"""How a runtime identifier is run on this machine: by which program, with which folders, told what.

Pure but for asking which interpreters there are.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cumulet
from cumulet.core.errors import NotImplementedFault
from cumulet.runtimes import discovery
from cumulet.runtimes.contract import FunctionSpec
from cumulet.runtimes.discovery import CUSTOM_RUNTIMES, Interpreter, own_python
from cumulet.runtimes.jails import Runtime
from cumulet.runtimes.java import JavaRuntimes, java_argv
from cumulet.runtimes.web import WebProgram, bootstrap_of, find_program

_GUEST = Path(cumulet.__file__).parent / "guest"
_INSIDE = "/var/runtime/cumulet"
"""Where the runtime of a language that is not forked stands in a jail."""
_READ_AT_START = {
    "nodejs": ("NODE_", "LD_", "UV_", "OPENSSL_", "SSL_", "MALLOC_"),
    "java": ("JAVA_", "_JAVA", "JDK_", "LD_", "MALLOC_", "TZ", "LANG", "LC_", "HOME"),
    "ruby": ("RUBY", "GEM_", "BUNDLE_", "LD_", "MALLOC_", "LANG", "LC_"),
}
"""Prefixes of variables that a program reads when it starts: too late for a shell."""


class RuntimeUnavailable(NotImplementedFault):
    """No installed program runs this runtime."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one runtime is run: forked from which zygote, with which additions to the tree, as which program.

    `argv` takes the folders of code and layers; an empty list means the forked interpreter itself. `prepare` makes what is
    made once per machine. `stays_in_place`: the program cannot change its working folder, so a shell's is filled under it.
    `language_bin` is where the language's own programs are. `web`: a program of the function's own that listens on a port.
    """

    forked_from: Interpreter
    runtime: Runtime
    argv: Callable[[Path, Path | None], list[str]] = lambda _code, _layers: []
    python_version: str | None = None
    serves_runtime_api: bool = False
    can_be_shell: bool = False
    stays_in_place: bool = False
    note: str = ""
    prepare: Callable[[], Awaitable[None]] | None = None
    language_bin: str = ""
    web: WebProgram | None = None

    @property
    def is_forked(self) -> bool:
        """The zygote itself becomes the runtime, so its shells need no program started."""
        return self.python_version is not None and self.web is None

    def launch_of_web(self) -> dict[str, object] | None:
        """What the guest is told of the web program that it is to start and serve."""
        if self.web is None:
            return None
        return {"command": self.web.command, "path": self.language_bin, "checks_http": self.web.checks_http}


class Plans:
    """Makes plans. `folder` is where runtimes that have to be compiled are kept."""

    def __init__(self, folder: Path, *, is_strict: bool) -> None:
        self.is_strict = is_strict
        self._java = JavaRuntimes(folder)

    def plan_of(self, spec: FunctionSpec) -> Plan:
        """Raises RuntimeUnavailable."""
        runtime = spec.runtime
        if runtime in CUSTOM_RUNTIMES:
            return Plan(own_python(), Runtime(), argv=_bootstrap, serves_runtime_api=True)
        if runtime in discovery.PYTHON_RUNTIMES:
            return self._python(spec)
        if runtime in discovery.NODE_RUNTIMES:
            return self._node(spec)
        if runtime in discovery.JAVA_RUNTIMES:
            return self._of_java(spec)
        if runtime in discovery.RUBY_RUNTIMES:
            return self._ruby(spec)
        raise RuntimeUnavailable(f"the runtime {runtime} is not implemented on this node")

    def with_web_program(self, plan: Plan, spec: FunctionSpec, code: Path, layers: Path | None) -> Plan:
        """The plan, or another when the function is a program that listens on a port. Raises InitError."""
        program = find_program(spec, code, layers)
        if program is None:
            return plan
        own = own_python()
        folders = tuple(dict.fromkeys((*own.folders, *plan.runtime.folders)))
        return replace(
            plan,
            forked_from=own,
            runtime=replace(plan.runtime, folders=folders),
            argv=lambda _code, _layers: [],
            serves_runtime_api=False,
            can_be_shell=False,
            stays_in_place=False,
            prepare=None,
            web=program,
        )

    def _python(self, spec: FunctionSpec) -> Plan:
        found = self._choose(discovery.python_interpreters(), spec.runtime, "Python")
        sdk = discovery.python_sdk() if discovery.sdk_supports(found.version[1]) else ()
        version = f"{found.version[0]}.{found.version[1]}"
        note = _note(spec.runtime, found, found.version[1], "Python")
        return Plan(
            found, Runtime(found.folders, sdk), python_version=version, note=note, can_be_shell=True, language_bin=_bin_of(found)
        )

    def _node(self, spec: FunctionSpec) -> Plan:
        found = self._choose(discovery.node_interpreters(), spec.runtime, "Node.js")
        bound = [(str(_GUEST / "node"), _INSIDE)]
        if (sdk_folder := discovery.find_node_sdk()) is not None:
            bound.append((sdk_folder, "/var/runtime/node_modules"))
        heap = f"--max-old-space-size={max(32, spec.memory_mb * 3 // 4)}"
        argv = [found.executable, heap, f"{_INSIDE}/runtime.mjs"]
        note = _note(spec.runtime, found, found.version[0], "Node.js")
        return self._program(spec, Runtime(found.folders, tuple(bound)), argv, note, found)

    def _of_java(self, spec: FunctionSpec) -> Plan:
        found = self._choose(discovery.java_interpreters(), spec.runtime, "a JDK, 17 or newer")
        folder = self._java.folder_of(found)
        note = _note(spec.runtime, found, found.version[0], "Java")
        runtime = Runtime(found.folders, ((str(folder), str(folder)),))  # where it was made: see JavaRuntimes
        return self._program(
            spec, runtime, java_argv(found, folder, spec.memory_mb), note, found, prepare=partial(self._java.prepare, found)
        )

    def _ruby(self, spec: FunctionSpec) -> Plan:
        found = self._choose(discovery.ruby_interpreters(), spec.runtime, "Ruby")
        note = _note(spec.runtime, found, found.version[1], "Ruby")
        runtime = Runtime(found.folders, ((str(_GUEST / "ruby"), _INSIDE),))
        return self._program(spec, runtime, [found.executable, f"{_INSIDE}/runtime.rb"], note, found)

    def _program(
        self,
        spec: FunctionSpec,
        runtime: Runtime,
        argv: list[str],
        note: str,
        found: Interpreter,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> Plan:
        """A program that cannot fork, and so is started ahead as a shell where the function's variables allow it."""
        language = next(language for language in _READ_AT_START if spec.runtime.startswith(language))
        is_ordinary = not any(name.startswith(_READ_AT_START[language]) for name in spec.environment)
        return Plan(
            own_python(),
            runtime,
            argv=lambda _code, _layers: argv,
            can_be_shell=is_ordinary,
            stays_in_place=language == "java",
            note=note,
            prepare=prepare,
            language_bin=_bin_of(found),
        )

    def _choose(self, found: dict[int, Interpreter], runtime: str, language: str) -> Interpreter:
        chosen = discovery.choose(found, discovery.wanted_version(runtime), is_strict=self.is_strict)
        if chosen is None:
            raise RuntimeUnavailable(f"the runtime {runtime} needs {language}, and this machine has no such version")
        return chosen


def _bin_of(found: Interpreter) -> str:
    return str(Path(found.executable).parent)


def _note(runtime: str, found: Interpreter, version: int, language: str) -> str:
    if version == discovery.wanted_version(runtime):
        return ""
    return f"INIT_NOTE runtime {runtime} is not on this machine: running on {language} {found.version_text}"


def _bootstrap(code: Path, layers: Path | None) -> list[str]:
    return [bootstrap_of(code, layers)]
