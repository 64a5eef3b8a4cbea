"""The server's sockets and the hub of sessions that these tests talk to with the `websockets` library."""

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("gateway_conftest", Path(__file__).parents[1] / "gateway" / "conftest.py")
assert _SPEC is not None and _SPEC.loader is not None
_GATEWAY = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_GATEWAY)

serving, pytest_asyncio_loop_factories = _GATEWAY.serving, _GATEWAY.pytest_asyncio_loop_factories
