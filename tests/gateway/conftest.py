import asyncio
import contextlib
import io
import ssl
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

import http2_client
import real_node
from cumulet.core.http import Request, Response
from cumulet.gateway.http import HttpLimits, HttpServer
from deployed import ECHO, PYTHON, ROLE

node, start_node, name = real_node.node, real_node.start_node, real_node.name
connecting = http2_client.connecting


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

    def answer_at_once(self) -> None:
        """Echo from now on without waiting for anything."""

        def echo(request: Request) -> Response:
            self.requests.append(request)
            return self._echoed(request)

        self.server.handle = echo

    async def _echo(self, request: Request) -> Response:
        return self._echoed(request)

    def _echoed(self, request: Request) -> Response:
        return Response(200, [("X-Path", request.path)], request.method.encode() + b" " + request.body)

    async def connect(self, limit: int = 65_536, **more: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit, **more)
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

    async def start(limits: HttpLimits | None = None, tls: ssl.SSLContext | None = None) -> Served:
        served = Served(limits)
        served.port = await served.server.bind("127.0.0.1", 0, tls)
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


@pytest.fixture
def make_url() -> Callable[..., str]:
    """Makes a function and its URL, and tells it as the node does: `make_url(node, name, text)`."""

    def make(node: Any, name: str, text: str = ECHO, mode: str = "BUFFERED", **more: Any) -> str:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(zipfile.ZipInfo("index.py"), text)
        functions = node.client("lambda")
        functions.create_function(
            FunctionName=name, Runtime=PYTHON, Handler="index.handler", Role=ROLE, Code={"ZipFile": buffer.getvalue()}, **more
        )
        made = functions.create_function_url_config(FunctionName=name, AuthType="NONE", InvokeMode=mode)
        return str(made["FunctionUrl"])

    return make
