"""A WSGI application (PEP 3333) as a handler.

Loaded by the zygote, and so without what only some environments need: asyncio brings OpenSSL along.
"""

import contextvars
import io
import sys
import traceback
from typing import Any, AsyncIterator, Callable, Generator, Iterator, List, Optional, Tuple

from cumulet.guest.errors import RuntimeFault
from cumulet.guest.web import events
from cumulet.guest.web.calls import Gathered, WebCall

_FAILED = (500, [("Content-Type", "text/plain; charset=utf-8")], b"Internal Server Error")


def handler_of(application: Any) -> Callable[[Any, Any], Any]:
    """A handler that takes one call at a time."""

    def handle(event: Any, context: Any) -> Any:
        call = WebCall(event, context.is_streamed)
        exchange = _Exchange(application, call, context, is_threaded=False)
        return exchange.stream() if call.streams else exchange.answer()

    return handle


def threaded_handler_of(application: Any, threads: int) -> Callable[[Any, Any], Any]:
    """A handler that takes several calls at once, each on a thread of its own."""
    import asyncio
    import concurrent.futures

    pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="call")

    def on_thread(step: Callable[[], Any]) -> Any:
        return asyncio.get_running_loop().run_in_executor(pool, contextvars.copy_context().run, step)

    async def stream(exchange: _Exchange) -> AsyncIterator[Any]:
        parts = exchange.stream()
        end = object()
        try:
            while True:
                part = await on_thread(lambda: next(parts, end))
                if part is end:
                    return
                yield part
        finally:
            await on_thread(parts.close)

    def handle(event: Any, context: Any) -> Any:
        call = WebCall(event, context.is_streamed)
        exchange = _Exchange(application, call, context, is_threaded=True)
        return stream(exchange) if call.streams else on_thread(exchange.answer)

    return handle


class _Exchange:
    """One request to the application."""

    def __init__(self, application: Any, call: WebCall, context: Any, is_threaded: bool) -> None:
        self._application = application
        self._call = call
        self._environ = _environ_of(call.request, context, is_threaded)
        self._status = 0
        self._headers: List[Tuple[str, str]] = []
        self._written: List[bytes] = []
        self._is_sent = False

    def answer(self) -> Any:
        gathered = Gathered()
        try:
            for part in self._parts():
                gathered.add(part)
        except RuntimeFault:
            raise
        except Exception:
            return self._call.answer(*_failed())
        return self._call.answer(self._status, self._headers, gathered.whole())

    def stream(self) -> "Generator[Any, None, None]":
        parts = self._parts()
        try:
            first = next(parts, b"")
        except Exception:
            status, headers, first = _failed()
            yield self._call.head(status, headers)
            yield first
            return
        yield self._call.head(self._status, self._headers)
        self._is_sent = True
        if first:
            yield first
        for part in parts:
            if part:
                yield part

    def _parts(self) -> "Iterator[bytes]":
        """The body; status and headers are known when its first part is."""
        iterable = self._application(self._environ, self._start_response)
        try:
            for part in iterable:
                yield from self._take_written()
                yield part
            yield from self._take_written()
            if not self._status:
                raise RuntimeError("the application has not called start_response")
        finally:
            if hasattr(iterable, "close"):
                iterable.close()

    def _take_written(self) -> "Iterator[bytes]":
        if not self._status:
            raise RuntimeError("the application has not called start_response")
        while self._written:
            yield self._written.pop(0)

    def _start_response(
        self, status: str, headers: List[Tuple[str, str]], exc_info: Optional[Tuple[Any, Any, Any]] = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            if self._is_sent:
                raise exc_info[1].with_traceback(exc_info[2])
        elif self._status:
            raise AssertionError("start_response was called twice")
        self._status, self._headers = int(status[:3]), list(headers)
        return self._written.append


def _failed() -> Tuple[int, events.Headers, bytes]:
    """What a client sees of an exception; the log has it whole."""
    traceback.print_exc()
    return _FAILED


def _environ_of(request: events.HttpRequest, context: Any, is_threaded: bool) -> "dict[str, Any]":
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": events.decoded_path(request.root).decode("latin-1"),
        "PATH_INFO": events.decoded_path(request.path_below_root).decode("latin-1"),
        "QUERY_STRING": request.query,
        "REQUEST_URI": request.path + ("?" + request.query if request.query else ""),
        "SERVER_NAME": request.server[0],
        "SERVER_PORT": str(request.server[1]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.client,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": is_threaded,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "aws.event": request.event,
        "aws.context": context,
    }
    for name, value in request.headers:
        if "_" in name:
            continue  # it would be taken for the one with dashes
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key
        environ[key] = "%s,%s" % (environ[key], value) if key in environ else value
    return environ
