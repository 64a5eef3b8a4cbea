import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from cumulet.core.http import Request, Response
from cumulet.gateway.http import HttpLimits, HttpServer

_SPEC = importlib.util.spec_from_file_location("e2e_conftest", Path(__file__).parents[1] / "e2e" / "conftest.py")
assert _SPEC is not None and _SPEC.loader is not None
_E2E = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_E2E)

node, start_node, name = _E2E.node, _E2E.start_node, _E2E.name


def pytest_asyncio_loop_factories(config, item):
    """The loop that the node runs on: its transports are not asyncio's own."""
    return {"uvloop": uvloop.new_event_loop}


class Served:
    """A server on a free port whose handler keeps what it was asked and answers with `answer`."""

    def __init__(self, limits: HttpLimits | None) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Awaitable[Response]] = self._echo
        self.server = HttpServer(self._handle, limits)
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def _handle(self, request: Request) -> Response:
        self.requests.append(request)
        return await self.answer(request)

    async def _echo(self, request: Request) -> Response:
        return Response(200, [("X-Path", request.path)], request.method.encode() + b" " + request.body)

    async def connect(self, limit: int = 65_536) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        self._writers.append(writer)
        return reader, writer

    async def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await asyncio.sleep(0)

    async def talk(self, data: bytes, wait_s: float = 5) -> bytes:
        """Everything that the server says to `data`, until it closes."""
        reader, writer = await self.connect()
        writer.write(data)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), wait_s)


@pytest.fixture
async def serving() -> AsyncIterator[Callable[..., Awaitable[Served]]]:
    """Starts servers: `await serving(HttpLimits(…))`."""
    running: list[tuple[Served, asyncio.Task[None]]] = []

    async def start(limits: HttpLimits | None = None) -> Served:
        served = Served(limits)
        served.port = await served.server.bind("127.0.0.1", 0)
        await served.server.start()
        running.append((served, asyncio.ensure_future(served.server.sweep())))
        return served

    yield start
    for served, sweeping in running:
        await served.hang_up()
        await served.server.stop(0.5)
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping
