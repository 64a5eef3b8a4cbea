"""Calls to a program that speaks HTTP: each becomes a request on a connection that is kept, its response the call's answer."""

import json
import os
import queue
import socket
import sys
import threading
import time
from typing import Any, Dict, List, Tuple

from cumulet.guest import errors, frames
from cumulet.guest.web import http1
from cumulet.guest.web.calls import Gathered, WebCall

_PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response"
_TUNNEL_TYPE = "application/vnd.cumulet.tunnel"
_PART_BYTES = 1 << 16
_REPEATABLE = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
_OURS = ("x-amzn-request-context", "x-amzn-lambda-context")
_ENDING_S = 0.1
"""A program that ends closes its connections first: its end, not they, is then what is to be told."""
_KEPT_S = 1.0
"""For so long a connection is used again: servers close theirs after a few seconds, and one that was frozen meanwhile does so when
it is woken, by the very request that would be lost."""
_CONTEXT_FROM = (
    ("function_name", "AWS_LAMBDA_FUNCTION_NAME"),
    ("memory", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
    ("version", "AWS_LAMBDA_FUNCTION_VERSION"),
    ("log_group", "AWS_LAMBDA_LOG_GROUP_NAME"),
    ("log_stream", "AWS_LAMBDA_LOG_STREAM_NAME"),
)


class Relay:
    """Hands calls that come over `sock` to the program at `address`, `most` at once, each on a thread of its own."""

    def __init__(self, sock: socket.socket, address: Tuple[str, int], most: int) -> None:
        self._channel = frames.Channel(sock)
        self._sending = threading.Lock()
        self._address = address
        self._most = most
        self._tunnels: Dict[str, socket.socket] = {}
        self._idle: List[Tuple[http1.Connection, float]] = []
        self._calls: "queue.SimpleQueue[Tuple[Dict[str, Any], bytes]]" = queue.SimpleQueue()
        self._threads = 0
        self._environment = {name: os.environ.get(variable, "") for name, variable in _CONTEXT_FROM}

    def serve(self) -> None:
        """Never returns."""
        self._send(frames.READY, {"calls_at_once": self._most}, b"")
        while True:
            try:
                kind, call, event = self._channel.receive()
            except EOFError:
                os._exit(0)
            if kind == frames.INPUT:
                self._take_input(call["request_id"], event)
                continue
            if self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, daemon=True).start()
            self._calls.put((call, event))

    def _work(self) -> None:
        while True:
            call, event = self._calls.get()
            request_id = call["request_id"]
            try:
                result = self._answer(call, event)
            except Exception as error:
                document = errors.document(error, request_id)
                sys.stdout.write(errors.log_line(document) + "\n")
                sys.stdout.flush()
                self._send(frames.ERROR, {"request_id": request_id, "error_type": document["errorType"]}, errors.encode(document))
            else:
                self._send(frames.RESULT, {"request_id": request_id}, result)

    def _send(self, kind: int, head: Dict[str, Any], body: bytes) -> None:
        with self._sending:
            self._channel.send(kind, head, body)

    def _answer(self, call: Dict[str, Any], event: bytes) -> bytes:
        """What the call comes to; b"" when all of it was streamed."""
        web = WebCall(_decoded(event), bool(call.get("is_streamed")))
        connection, response = self._ask(web, self._headers(call, web))
        try:
            if response.status == 101 and call.get("offers_tunnel"):
                self._tunnel(call["request_id"], web, connection, response)
                return b""
            if web.streams:
                self._pass_on(call["request_id"], web, response)
                result = b""
            else:
                gathered = Gathered()
                for part in iter(response.read, b""):
                    gathered.add(part)
                result = json.dumps(web.answer(response.status, response.headers, gathered.whole()), ensure_ascii=False).encode()
        except http1.HttpError as error:
            connection.close()
            raise errors.RuntimeFault("Web.BrokenResponse", "The program's response broke off: %s" % error)
        except BaseException:
            connection.close()
            raise
        if response.is_reusable:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()
        return result

    def _ask(self, web: WebCall, headers: http1.Headers) -> "Tuple[http1.Connection, http1.Response]":
        """On a connection that is kept, or a new one. One that the program closes just then is no reason to fail, where the
        request may be made twice."""
        request = web.request
        target = _below_base(request.target)
        while True:
            kept = self._kept()
            connection = kept or self._new()
            try:
                return connection, connection.ask(request.method, target, headers, request.body)
            except (OSError, http1.HttpError) as error:
                connection.close()
                if kept is None or request.method not in _REPEATABLE:
                    time.sleep(_ENDING_S)
                    raise errors.RuntimeFault("Web.NoResponse", "The program did not answer: %s" % error)

    def _kept(self) -> "http1.Connection | None":
        while True:
            try:
                connection, since_s = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since_s < _KEPT_S and connection.is_usable():
                return connection
            connection.close()

    def _new(self) -> http1.Connection:
        try:
            return http1.Connection(self._address)
        except OSError as error:
            raise errors.RuntimeFault("Web.NoResponse", "The program does not listen on %s:%d: %s" % (*self._address, error))

    def _pass_on(self, request_id: str, web: WebCall, response: http1.Response) -> None:
        """The response as it comes."""
        head = {"request_id": request_id, "content_type": _PRELUDE_TYPE}
        prelude = json.dumps(web.head(response.status, response.headers)).encode() + bytes(8)
        self._send(frames.PART, head, prelude)
        for part in iter(response.read, b""):
            self._send(frames.PART, head, part)

    def _tunnel(self, request_id: str, web: WebCall, connection: http1.Connection, response: http1.Response) -> None:
        """The program has left HTTP: bytes both ways until either end closes. What the client says comes by `_take_input`."""
        head = {"request_id": request_id, "content_type": _TUNNEL_TYPE}
        self._tunnels[request_id] = connection.sock
        try:
            self._send(frames.PART, head, json.dumps(web.head(response.status, response.headers)).encode() + bytes(8))
            for part in iter(lambda: connection.stream.read1(_PART_BYTES), b""):
                self._send(frames.PART, head, part)
        except ConnectionError:
            pass  # that is an end too
        finally:
            del self._tunnels[request_id]
            connection.close()

    def _take_input(self, request_id: str, data: bytes) -> None:
        sock = self._tunnels.get(request_id)
        if sock is None:
            return  # the program has closed already
        try:
            if data:
                sock.sendall(data)
            else:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the program is closing

    def _headers(self, call: Dict[str, Any], web: WebCall) -> http1.Headers:
        """The client's own, and what the adapter's users read: contexts as JSON."""
        request = web.request
        source = os.environ.get("AWS_LWA_AUTHORIZATION_SOURCE", "").lower()
        found = [(name, value) for name, value in request.headers if name not in _OURS]
        if source and request.header(source):
            found = [(name, value) for name, value in found if name != "authorization"]
            found.append(("authorization", request.header(source)))
        if call.get("offers_tunnel") and web.is_http:
            found += [("connection", "Upgrade"), ("upgrade", "websocket")]
        if not request.header("host"):
            found.append(("host", "localhost"))
        if request.root:
            found.append(("x-forwarded-prefix", request.root))
        if web.is_http:
            found.append((_OURS[0], json.dumps(request.event["requestContext"])))
        context = {
            "request_id": call["request_id"],
            "deadline": call["deadline_ms"],
            "invoked_function_arn": call["invoked_arn"],
            "xray_trace_id": call.get("trace_id"),
            "env_config": self._environment,
        }
        found.append((_OURS[1], json.dumps(context)))
        return found


def _below_base(target: str) -> str:
    """Without the base path that the function wants off: once, and as a whole part of the path."""
    base = (os.environ.get("AWS_LWA_REMOVE_BASE_PATH") or os.environ.get("REMOVE_BASE_PATH") or "").rstrip("/")
    path, question, query = target.partition("?")
    if base and (path == base or path.startswith(base + "/")):
        path = path[len(base) :] or "/"
    return path + question + query


def _decoded(event: bytes) -> Any:
    try:
        return json.loads(event)
    except ValueError as error:
        raise errors.RuntimeFault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)
