"""JSON as the `json` module reads and writes it, without what that module does anew at every call: its scanner and encoder are made
once.

Where this Python has no such parts, and for whatever they refuse, the module itself is asked; so errors are its own.
"""

import json
import json.encoder
from typing import Any, Callable, List, Sequence

_standard = json.JSONEncoder(ensure_ascii=False)
_scan: "Callable[[str, int], Any]" = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_SPACE = " \t\n\r"


def read(data: bytes) -> Any:
    """Raises ValueError, as `json.loads`."""
    try:
        text = data.decode()
        value, end = _scan(text, 0)
        if end == len(text) or not text[end:].strip(_SPACE):
            return value
    except (ValueError, StopIteration):
        pass
    return json.loads(data)


def write(value: Any) -> str:
    """Raises what `json.dumps(value, ensure_ascii=False)` raises."""
    return "".join(_pieces(value))


def _make_pieces() -> "Callable[[Any], Sequence[str]]":
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value: (_standard.encode(value),)
    seen: "dict[int, Any]" = {}
    quoted = json.encoder.encode_basestring
    encode = make(seen, _standard.default, quoted, None, ": ", ", ", False, False, True)

    def pieces(value: Any) -> "Sequence[str]":
        try:
            found: "List[str]" = encode(value, 0)
            return found
        except BaseException:
            seen.clear()  # it may still have what it was in when it failed
            raise

    return pieces


_pieces = _make_pieces()
