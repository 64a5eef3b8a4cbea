"""The Python runtime: loads the handler, then answers one event after the other."""

import gc
import importlib.util
import json
import os
import socket
import sys
import threading
import time
from typing import Any, Callable, Dict, Optional

from cumulet.guest import concurrent, context, documents, errors, frames, handler, logs, snapshot, streaming, variables
from cumulet.guest.web import applications

MAX_ANSWER_BYTES = 6 * 1024 * 1024 + 100
TIME_ZONE = ":UTC"
"""Of all functions that do not choose another."""
_PLAIN = frozenset((dict, list, str, int, float, bool, type(None)))
_trace_id: Optional[str] = None
"""Of the call before: to ask the environment costs more than to remember."""


def serve(sock: socket.socket, gate: int = -1, *, is_told: bool = True, is_template: bool = False) -> None:
    """Serve events from `sock` until the node closes it. Never returns.

    If it is not told yet whose environment this is, that comes first, and `gate` is where to wait until the function's code is in
    its place, -1 when it is. A template serves no events: once initialised it forks environments that do.
    """
    channel = frames.Channel(sock)
    if gate >= 0:
        rehearse()
        _become_somebodys(channel, gate)
    elif not is_told:
        _take_variables(channel)
    if is_template:
        _serve_forks(channel, sock)
    _serve_events(channel, begin(channel))


def begin(channel: frames.Channel) -> Callable[[Any, Any], Any]:
    """The init phase: the handler, once it is loaded and that has been told."""
    started = time.monotonic()
    function = _loaded(channel)
    _or_init_error(channel, lambda: applications.begin(function))
    _flush()
    head = {"init_ms": (time.monotonic() - started) * 1000, "calls_at_once": concurrent.calls_at_once(function)}
    channel.send(frames.READY, head, b"")
    return function


def _loaded(channel: frames.Channel) -> Callable[[Any, Any], Any]:
    _freshen()
    logs.choose_format()
    return _or_init_error(channel, lambda: handler.load(os.environ["_HANDLER"]))  # type: ignore[no-any-return]


def _serve_forks(channel: frames.Channel, sock: socket.socket) -> None:
    """As a template. Never returns."""
    function = _loaded(channel)
    warnings = _or_init_error(channel, lambda: snapshot.take(sock))
    _flush()
    gc.collect()
    gc.freeze()  # a fork's collector must not copy what all forks share
    channel.send(frames.READY, {"warnings": warnings}, b"")
    snapshot.serve_forks(sock, lambda own, status: _serve_restored(own, status, function))


def _or_init_error(channel: frames.Channel, step: Callable[[], Any]) -> Any:
    """What a step of the init phase returns. When it fails that is told, and this process ends."""
    try:
        return step()
    except SystemExit as error:
        _flush()
        os._exit(error.code if isinstance(error.code, int) else 0 if error.code is None else 1)
    except BaseException as error:
        document = errors.document(error, "")
        sys.stdout.write(errors.log_line(document))
        _flush()
        channel.send(frames.INIT_ERROR, {"error_type": document["errorType"]}, errors.encode(document))
        os._exit(1)


def _serve_restored(sock: socket.socket, status: socket.socket, function: Callable[[Any, Any], Any]) -> None:
    """A fork of a template: stand ready, and once it is told whose environment it is, run the hooks and serve. Never returns."""
    channel = frames.Channel(sock)
    status.send(b'{"restored": true}')  # the kernel adds who says so
    if not status.recv(16):
        os._exit(0)
    status.close()
    _take_variables(channel)
    snapshot.freshen()
    if hasattr(time, "tzset"):
        time.tzset()
    _or_init_error(channel, snapshot.run_after_restore)
    _or_init_error(channel, lambda: applications.begin(function))
    _flush()
    channel.send(frames.READY, {"calls_at_once": concurrent.calls_at_once(function)}, b"")
    _serve_events(channel, function)


def _serve_events(channel: frames.Channel, function: Callable[[Any, Any], Any]) -> None:
    if concurrent.calls_at_once(function) > 1:
        concurrent.serve(channel, lambda call, event: _answer_beside_others(channel, function, call, event))
    while True:
        answer_next(channel, function)


def answer_next(channel: frames.Channel, function: Callable[[Any, Any], Any]) -> None:
    try:
        _kind, call, event = channel.receive()
    except EOFError:
        os._exit(0)
    _answer(channel, function, call, event)


def _become_somebodys(channel: frames.Channel, gate: int) -> None:
    """Wait to be told whose environment this is, and for the jail to be filled."""
    _take_variables(channel)
    if not os.read(gate, 1):
        os._exit(0)  # the jail could not be filled, and who says so is on its way
    os.close(gate)
    os.chdir("/var/task")  # what was here before lies below the code now


def _take_variables(channel: frames.Channel) -> None:
    try:
        _kind, _head, told = channel.receive()
    except EOFError:
        os._exit(0)
    variables.take(json.loads(told))


def rehearse() -> None:
    """Go once through what an init and a call do, so that their pages are this process's own before anybody waits for them."""
    _encode(_decode(b'{"key": ["value", 1, 2.5, null]}'))
    importlib.util.find_spec("cumulet_rehearses_a_module_that_is_not_there")
    _rehearse_a_handler("/tmp", "cumulet_rehearses")
    gc.collect(0)


def _rehearse_a_handler(folder: str, module: str) -> None:
    path = "%s/%s.py" % (folder, module)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.write(file, b"import json\ndef handler(event, context):\n    return {'rehearsed': event}\n")
    os.close(file)
    sys.path.insert(0, folder)
    function = handler.load(module + ".handler")
    applications.begin(function)
    concurrent.calls_at_once(function)
    os.unlink(path)
    sys.path.remove(folder)
    del sys.modules[module], sys.path_importer_cache[folder]


def _answer(channel: frames.Channel, function: Callable[[Any, Any], Any], call: Dict[str, Any], event: bytes) -> None:
    request_id = call["request_id"]
    logs.request_id = request_id
    _set_trace_id(call.get("trace_id"))
    try:
        returned = function(_decode(event), context.LambdaContext(call))
        if type(returned) in _PLAIN:
            result = _encode(returned)
        elif streaming.is_stream(returned):
            streaming.send(channel, request_id, returned)
            result = b""
        else:
            result = _encode(streaming.awaited(returned))
    except BaseException as error:
        _answer_error(channel, request_id, error)
        return
    _flush()
    channel.send_packed(frames.RESULT, b'{"request_id":"%b"}' % request_id.encode(), result)


def _set_trace_id(trace_id: Optional[str]) -> None:
    global _trace_id
    if trace_id != _trace_id:
        _trace_id = trace_id
        if trace_id:
            os.environ["_X_AMZN_TRACE_ID"] = trace_id
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)


async def _answer_beside_others(
    channel: frames.Channel, function: Callable[[Any, Any], Any], call: Dict[str, Any], event: bytes
) -> None:
    """`_answer` for an asynchronous handler that takes several calls at once."""
    request_id = call["request_id"]
    logs.current.set(request_id)
    try:
        returned = function(_decode(event), context.LambdaContext(call))
        if streaming.is_stream(returned):
            await streaming.send_async(channel, request_id, returned)
            result = b""
        else:
            result = _encode(await returned)
    except BaseException as error:
        _answer_error(channel, request_id, error)
        return
    _flush()
    channel.send_packed(frames.RESULT, b'{"request_id":"%b"}' % request_id.encode(), result)


def _answer_error(channel: frames.Channel, request_id: str, error: BaseException) -> None:
    if isinstance(error, SystemExit):
        _flush()
        os._exit(error.code if isinstance(error.code, int) else 0 if error.code is None else 1)
    document = errors.document(error, request_id)
    sys.stdout.write(errors.log_line(document))
    _flush()
    channel.send(frames.ERROR, {"request_id": request_id, "error_type": document["errorType"]}, errors.encode(document))


def _decode(event: bytes) -> Any:
    try:
        return documents.read(event)
    except ValueError as error:
        raise errors.RuntimeFault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)


def _encode(result: Any) -> bytes:
    try:
        encoded = documents.write(result).encode("utf-8", "surrogatepass")
    except Exception as error:
        raise errors.RuntimeFault("Runtime.MarshalError", "Unable to marshal response: %s" % error)
    if len(encoded) > MAX_ANSWER_BYTES:
        message = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
        raise errors.RuntimeFault("Function.ResponseSizeTooLarge", message)
    return encoded


def _freshen() -> None:
    """What a fork must not share with its siblings: the path to code, and every source of randomness."""
    sys.path[:0] = [path for path in os.environ["PYTHONPATH"].split(":") if path]
    threading.main_thread()._set_native_id()  # type: ignore[attr-defined]  # the zygote's, else
    snapshot.freshen()
    if os.environ.get("TZ") != TIME_ZONE:
        time.tzset()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # user code may have closed or replaced it
