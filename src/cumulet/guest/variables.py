"""An environment's variables, all at once: one by one, each copies pages and walks over those before it."""

import ctypes
import os
from typing import Dict

_MOST = 1 << 10
_block = (ctypes.c_char_p * _MOST)()
"""What the C library is told to take for its own; whoever adds a variable later makes it copy that."""
_pointer = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "environ")


def take(variables: Dict[str, str]) -> None:
    """Have these variables, and no others."""
    known = getattr(os.environ, "_data", None)
    if not isinstance(known, dict) or len(variables) >= _MOST:
        os.environ.clear()
        os.environ.update(variables)
        return
    known.clear()
    at = 0
    for name, value in variables.items():
        key, encoded = name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape")
        known[key] = encoded
        _block[at] = key + b"=" + encoded
        at += 1
    _block[at] = None
    _pointer.value = ctypes.addressof(_block)
