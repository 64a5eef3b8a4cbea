"""What a zygote imports ahead, so that no environment pays for it: the runtime itself, and what most handlers import."""

import os
import sys
import time
from importlib import machinery


def load() -> None:
    import base64  # noqa: F401
    import collections  # noqa: F401
    import copy  # noqa: F401
    import datetime  # noqa: F401
    import decimal  # noqa: F401
    import functools  # noqa: F401
    import hashlib  # noqa: F401
    import importlib.util  # noqa: F401
    import inspect  # noqa: F401
    import json.decoder  # noqa: F401
    import logging  # noqa: F401
    import math  # noqa: F401
    import random  # noqa: F401
    import re  # noqa: F401
    import site
    import threading  # noqa: F401
    import traceback  # noqa: F401
    import typing  # noqa: F401
    import urllib.parse  # noqa: F401
    import uuid  # noqa: F401

    from cumulet.guest import concurrent, context, errors, frames, handler, logs, python_runtime, snapshot, streaming  # noqa: F401
    from cumulet.guest.web import applications, asgi, calls, events, http1, program, relay, wsgi  # noqa: F401

    # The interpreter was started without `site`, to keep the machine's packages out; people still expect exit() and help().
    site.setquit()
    site.sethelper()


def prepare(package_parent: str) -> None:
    """Make what a runtime would else make first thing in its own pages: what is the same for all functions, or for nearly all.

    `package_parent` is the folder from which this package was imported: nothing is, once user code runs.
    """
    from cumulet.guest import logs, python_runtime, variables

    for path in [path for path in sys.path_importer_cache if path.startswith(package_parent)]:
        del sys.path_importer_cache[path]
    sys.argv = ["/var/runtime/bootstrap"]
    variables.take({"TZ": python_runtime.TIME_ZONE})
    time.tzset()
    for path in ("/var/task", "/opt/python", "/var/runtime"):
        sys.path_importer_cache[path] = _finder_of(path)
    logs.set_up()
    _open_streams()


def _finder_of(folder: str) -> machinery.FileFinder:
    """As Python would make it where the folder is, which is not here."""
    return machinery.FileFinder(
        folder,
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (machinery.SourceFileLoader, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )


def _open_streams() -> None:
    """Standard streams as an environment has them: on pipes, written through at each line. It only puts its own in their place."""
    own = {1: os.dup(1), 2: os.dup(2)}
    pipe = os.pipe()
    for number in own:
        os.dup2(pipe[1], number)
    sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)
    sys.stdout = open(1, "w", buffering=1 << 13, encoding="utf-8", errors="backslashreplace", newline="\n", closefd=False)
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", newline="\n", closefd=False)
    sys.stdout.reconfigure(line_buffering=True)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, "__%s__" % name, getattr(sys, name))
    for number, kept in own.items():
        os.dup2(kept, number)
    for each in (*own.values(), *pipe):
        os.close(each)
