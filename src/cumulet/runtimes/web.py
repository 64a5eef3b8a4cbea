"""Which functions are programs that listen on a port, and how they are started. Reads no more than the package.

Three ways to say so: the variable `CUMULET_WEB_COMMAND`; a `Procfile` with a `web:` line, for a handler of that name and for custom
runtimes without a `bootstrap`; and what the users of AWS's Lambda Web Adapter write, `AWS_LAMBDA_EXEC_WRAPPER=/opt/bootstrap`
with a script as the handler, or a `bootstrap` beside the adapter's layer. That layer is not needed, and if it is there it is not
started.
"""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from cumulet.runtimes.contract import FunctionSpec, InitError
from cumulet.runtimes.discovery import CUSTOM_RUNTIMES
from cumulet.runtimes.faults import error_document
from cumulet.runtimes.variables import LAYERS, TASK_ROOT

COMMAND = "CUMULET_WEB_COMMAND"
ADAPTER_EXTENSION = "lambda-adapter"
_WRAPPER = ("AWS_LAMBDA_EXEC_WRAPPER", "/opt/bootstrap")
_PROCFILE = "Procfile"
_MOST_PROCFILE_BYTES = 1 << 16
_WEB_LINE = re.compile(r"^web:[ \t]*(\S[^\r\n]*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class WebProgram:
    """`command` is for a shell. `checks_http`: the program is ready when it answers requests, as the adapter has it; else when it
    listens."""

    command: str
    checks_http: bool = False


def is_named(spec: FunctionSpec) -> bool:
    """Whether the configuration alone says that the function is such a program."""
    return bool(spec.environment.get(COMMAND)) or _is_wrapped(spec) or spec.handler == _PROCFILE


def find_program(spec: FunctionSpec, code: Path, layers: Path | None) -> WebProgram | None:
    """The program, None for every other function. Raises InitError when one is named and not there."""
    if command := spec.environment.get(COMMAND, "").strip():
        return WebProgram(command)
    if _is_wrapped(spec):
        return WebProgram(shlex.quote(f"{TASK_ROOT}/{spec.handler}"), checks_http=True)
    if spec.has_web_adapter and spec.runtime in CUSTOM_RUNTIMES and _has_bootstrap(code, layers):
        return WebProgram(bootstrap_of(code, layers), checks_http=True)  # with the layer beside it, it is no runtime
    if spec.handler == _PROCFILE or (spec.runtime in CUSTOM_RUNTIMES and not _has_bootstrap(code, layers)):
        return _in_package(spec, code)
    return None


def _is_wrapped(spec: FunctionSpec) -> bool:
    name, value = _WRAPPER
    return spec.environment.get(name) == value


def bootstrap_of(code: Path, layers: Path | None) -> str:
    """A function's own program, or a layer's, whether it is there or not."""
    if not (code / "bootstrap").exists() and layers is not None and (layers / "bootstrap").exists():
        return f"{LAYERS}/bootstrap"
    return f"{TASK_ROOT}/bootstrap"


def _has_bootstrap(code: Path, layers: Path | None) -> bool:
    return (code / "bootstrap").exists() or (layers is not None and (layers / "bootstrap").exists())


def _in_package(spec: FunctionSpec, code: Path) -> WebProgram | None:
    """By the Procfile, or, in a custom runtime, a program that the handler names."""
    found = _WEB_LINE.search(_procfile(code))
    if found:
        return WebProgram(found[1].strip())
    if spec.handler == _PROCFILE:
        kind = "Runtime.InvalidEntrypoint"
        raise InitError(kind, error_document(kind, "The package has no Procfile with a line that begins with web:", ""), 0.0)
    named = code / spec.handler
    if named.is_file() and os.access(named, os.X_OK) and named.resolve().is_relative_to(code.resolve()):
        return WebProgram(shlex.quote(f"{TASK_ROOT}/{spec.handler}"))
    return None


def _procfile(code: Path) -> str:
    path = code / _PROCFILE
    if not path.is_file() or path.is_symlink():
        return ""
    with path.open("rb") as file:
        return file.read(_MOST_PROCFILE_BYTES).decode("utf-8", "replace")
