"""An ASGI application as a handler: requests, and the lifespan protocol around them. https://asgi.readthedocs.io/

Loaded by the zygote, and so without asyncio, which only the environments of such applications need.
"""

import os
import signal
import traceback
from typing import TYPE_CHECKING, Any, AsyncIterator, Dict, Optional

from cumulet.guest import errors, streaming
from cumulet.guest.web import events
from cumulet.guest.web.calls import Gathered, WebCall

if TYPE_CHECKING:
    import asyncio

_VERSIONS = {"version": "3.0", "spec_version": "2.4"}
_FAILED = (500, [("content-type", "text/plain; charset=utf-8")], b"Internal Server Error")


class AsgiHandler:
    """A handler for one application. `begin` starts its lifespan; SIGTERM, which only environments with extensions get, ends it."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._state: Dict[str, Any] = {}
        self._lifespan: Optional[_Lifespan] = None

    def begin(self) -> None:
        """Raises RuntimeFault when the application says that it cannot start."""
        self._lifespan = _Lifespan(self._application, self._state)
        streaming.event_loop().run_until_complete(self._lifespan.start())
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._end())

    def _end(self) -> None:
        assert self._lifespan is not None
        loop = streaming.event_loop()
        if loop.is_running():
            loop.call_soon_threadsafe(lambda: loop.create_task(self._stop()))
        else:
            loop.run_until_complete(self._stop())

    async def _stop(self) -> None:
        assert self._lifespan is not None
        try:
            await self._lifespan.stop()
        finally:
            os._exit(0)

    def __call__(self, event: Any, context: Any) -> Any:
        call = WebCall(event, context.is_streamed)
        exchange = _Exchange(call, context, dict(self._state))
        return exchange.stream(self._application) if call.streams else exchange.answer(self._application)


class _Exchange:
    """One request to the application, and what it sends."""

    def __init__(self, call: WebCall, context: Any, state: Dict[str, Any]) -> None:
        import asyncio

        self._call = call
        self._scope = _scope_of(call.request, context, state)
        self._is_asked = False
        self._is_over = asyncio.Event()
        self._status = 0
        self._headers: events.Headers = []
        self._failure: Optional[Exception] = None
        self._parts: "asyncio.Queue[Optional[bytes]]" = asyncio.Queue(1)

    async def answer(self, application: Any) -> Any:
        import asyncio

        gathered = Gathered()
        running = asyncio.ensure_future(self._run(application))
        try:
            while True:
                part = await self._parts.get()
                if part is None:
                    break
                gathered.add(part)
            await running
        finally:
            await _ended(running)
        if self._failure is not None:
            return self._call.answer(*_FAILED)
        return self._call.answer(self._status, self._headers, gathered.whole())

    async def stream(self, application: Any) -> "AsyncIterator[Any]":
        import asyncio

        running = asyncio.ensure_future(self._run(application))
        is_begun = False
        try:
            while True:
                part = await self._parts.get()
                if not is_begun:
                    yield self._call.head(self._status, self._headers)
                    is_begun = True
                if part is None:
                    break
                if part:
                    yield part
            await running
            if self._failure is not None:
                raise self._failure
        finally:
            await _ended(running)

    async def _run(self, application: Any) -> None:
        """A failure before the answer has begun is the answer; one after its end is only told to the log."""
        try:
            await application(self._scope, self._receive, self._send)
            if not self._status:
                raise RuntimeError("the application has not answered")
        except Exception as error:
            traceback.print_exc()
            if not self._status:
                self._status, self._headers, body = _FAILED
                await self._parts.put(body)
            elif not self._is_over.is_set():
                self._failure = error
        finally:
            await self._parts.put(None)

    async def _receive(self) -> Dict[str, Any]:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": self._call.request.body, "more_body": False}
        await self._is_over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            if self._status:
                raise RuntimeError("http.response.start was sent twice")
            self._status = int(message["status"])
            headers = message.get("headers", ())
            self._headers = [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers]
        elif kind == "http.response.body":
            if not self._status or self._is_over.is_set():
                raise RuntimeError("http.response.body is not expected now")
            if self._call.request.method != "HEAD":
                await self._parts.put(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                self._is_over.set()
        else:
            raise RuntimeError("%s is not known" % kind)


async def _ended(running: "asyncio.Future[None]") -> None:
    """An application whose answer nobody takes any more is told so by its own cancellation."""
    import asyncio

    if not running.done():
        running.cancel()
        await asyncio.wait([running])


def _scope_of(request: events.HttpRequest, context: Any, state: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": events.decoded_path(request.path).decode("utf-8", "replace"),
        "raw_path": request.path.encode("ascii", "replace"),
        "query_string": request.query.encode("latin-1", "replace"),
        "root_path": events.decoded_path(request.root).decode("utf-8", "replace"),
        "headers": [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in request.headers],
        "client": (request.client, 0),
        "server": request.server,
        "state": state,
        "aws.event": request.event,
        "aws.context": context,
    }


class _Lifespan:
    """The application's own start and end. One that does not know the protocol has neither."""

    def __init__(self, application: Any, state: Dict[str, Any]) -> None:
        import asyncio

        self._application = application
        self._state = state
        self._told: "asyncio.Queue[Dict[str, Any]]" = asyncio.Queue()
        self._heard: "asyncio.Queue[Dict[str, Any]]" = asyncio.Queue()
        self._task: "Optional[asyncio.Task[None]]" = None

    async def start(self) -> None:
        import asyncio

        self._task = asyncio.ensure_future(self._run())
        answer = await self._say("startup")
        if answer.get("type") == "lifespan.startup.failed":
            raise errors.RuntimeFault("Web.StartupFailed", str(answer.get("message") or "the application could not start"))

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            await self._say("shutdown")

    async def _say(self, what: str) -> Dict[str, Any]:
        import asyncio

        assert self._task is not None
        await self._told.put({"type": "lifespan." + what})
        hearing = asyncio.ensure_future(self._heard.get())
        await asyncio.wait([hearing, self._task], return_when=asyncio.FIRST_COMPLETED)
        if hearing.done():
            return hearing.result()
        hearing.cancel()
        return {}

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._application(scope, self._told.get, self._heard.put)
        except Exception:
            pass  # it does not know the protocol; what fails while it knows it is said by a message
