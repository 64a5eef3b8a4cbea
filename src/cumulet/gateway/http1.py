"""HTTP/1.1 on one connection: bytes come in, whole `Request`s go to the server's handler, answers go back in the requests' order.

The parser (llhttp, through httptools) decides where a message ends; what it leaves open and another server might read
differently is refused here. This is the hot path of everything: one parser and one object per connection, one task per run of
requests.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, cast

import httptools

from cumulet.core.http import Request, Response, Upgrade
from cumulet.gateway.http_heads import clean, close_body, header_lines, refusal, status_line
from cumulet.gateway.request_head import Head, HeadRefused, RawHeaders, Target, check_version, read_head, read_target, with_host
from cumulet.gateway.spool import Spool
from cumulet.gateway.upgraded import UpgradedConnection

if TYPE_CHECKING:
    from cumulet.gateway.http import HttpServer

log = logging.getLogger("cumulet.http")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_NEVER = float("inf")
_LINGER_S = 3.0
_JOIN_BYTES = 65_536
_KEPT_HEAD_BYTES = 4096
_AT_ONCE = 16
"""How many requests that came together are answered before others have their turn."""
_NO_PARSER = httptools.HttpRequestParser(object())
_NO_HEAD = Head([], [], 0, 0, is_chunked=False, is_expecting=False, size=0, kept={})
_METHODS = {name.encode(): name for name in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")}


class _RefusedError(Exception):
    """Raised inside a parser callback to stop the parser; the status is kept on the connection."""


@dataclass(slots=True)
class _Turn:
    """One answer owed on a connection: to a request, or (`request` None) the refusal of what could not be read as one."""

    request: Request | None
    status: int
    is_last: bool
    can_chunk: bool = True
    read_ahead: bytes | None = None
    """What came after a request that may leave HTTP."""
    body_bytes: int = 0
    spool: Spool | None = None
    """Has the body until its turn comes; `request.body` is empty meanwhile."""
    answer: Response | Coroutine[None, None, Response] | None = None
    """What the handler said, where it was asked already."""


def _has_body(turn: _Turn, status: int) -> bool:
    return status not in (204, 304) and status >= 200 and (turn.request is None or turn.request.method != "HEAD")


def _forbids_upgrade(name: str, value: str) -> bool:
    if name == "upgrade":
        return "h2c" in value.lower()
    return name == "transfer-encoding" or (name == "content-length" and int(value) > 0)


class Connection(asyncio.Protocol):
    """One client. Callbacks of the parser build the request; `_answer_all` owes the answers, in order."""

    def __init__(self, server: "HttpServer", *, is_counted: bool = False) -> None:
        self.is_made = False
        self._is_counted = is_counted
        self.read_deadline = _NEVER
        self.write_deadline = _NEVER
        self.source = ""
        self._server = server
        self._limits = server.limits
        self._parser = httptools.HttpRequestParser(self)
        self._turns: deque[_Turn] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._scheme = "http"
        self._is_new = True
        self._is_lost = False
        self._is_in_message = False
        self._is_in_body = False
        self._is_input_done = False
        self._is_reading_paused = False
        self._refusal = 0
        self._is_refused = False
        self._unread_bytes = 0
        self._target = b""
        self._method = self._version = ""
        self._raw: RawHeaders = []
        self._known_raw: RawHeaders | None = None
        self._head = _NO_HEAD
        self._trailers = self._trailer_bytes = 0
        self._known_target: tuple[bytes, bytes] | None = None
        self._asked = Target("", "")
        self._body = b""
        self._spool: Spool | None = None
        self._body_bytes = 0
        self._body_since = 0.0
        self._at_once = 0

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._source_ip = str(peer[0]) if peer else ""
        self.source = self._server.source_of(self._source_ip)
        self.is_made = True
        self.read_deadline = self._server.now + self._limits.head_s
        has_room = self._server.admit(self, is_counted=self._is_counted)
        if transport.get_extra_info("sslcontext") is not None:
            self._scheme = "https"
            if transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
                self._switch_to_http2()
                return
        if not has_room:
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._drop_body()
        for turn in self._turns:
            self._release(turn)
        self._turns.clear()
        self._let_go()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._server.forget(self)

    def _let_go(self) -> None:
        """The parser holds this object, as this does it: left to the collector, both would stay until it next looks everywhere."""
        self._parser = _NO_PARSER

    def eof_received(self) -> bool:
        """Half-closed: what was asked is still answered; a cut-off request is not a request."""
        self._is_input_done = True
        return self._task is not None and self._scheme == "http"  # TLS has no half-closed connections here

    def pause_writing(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self.write_deadline = self._server.now + self._limits.stall_s + waiting / self._limits.least_bytes_per_s
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        self.write_deadline = _NEVER
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def data_received(self, data: bytes) -> None:
        if self._is_input_done:
            return  # after a refusal what still comes is read and dropped, so that the client sees the answer before a reset
        if self._is_new:
            self._is_new = False
            if data.startswith(PREFACE):  # who begins so knows already that HTTP/2 is spoken here
                self._switch_to_http2().data_received(data)
                return
        self._unread_bytes += len(data)
        self._at_once = _AT_ONCE
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._offer_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if not self._is_input_done:
                self._refuse(self._refusal or 400)
        if self._unread_bytes > self._limits.head_bytes and not self._is_input_done:
            self._refuse(400 if self._is_in_body else 431)  # chunk extensions and such without end

    # The parser

    def on_message_begin(self) -> None:
        self._is_in_message = True
        self._target = b""
        self._raw = []
        self.read_deadline = self._server.now + self._limits.head_s

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > self._limits.target_bytes:
            self._stop(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_body:
            self._drop_trailer(name, value)
        else:
            self._raw.append((name, value))

    def _drop_trailer(self, name: bytes, value: bytes) -> None:
        """Counted and dropped: nothing may be smuggled in after the head."""
        self._unread_bytes = 0
        self._trailers += 1
        self._trailer_bytes += len(name) + len(value) + 4
        if self._trailer_bytes > self._limits.head_bytes or self._trailers > self._limits.headers:
            self._stop(431)

    def on_headers_complete(self) -> None:
        self._is_in_body = True
        self._unread_bytes = 0
        try:
            self._read_head()
        except HeadRefused as refused:
            self._stop(refused.status)
        head, limits = self._head, self._limits
        if head.length > limits.body_bytes:
            self._stop(413)
        if head.length or head.is_chunked:
            self._trailers = self._trailer_bytes = 0
            self._body_since = self._server.now
            self.read_deadline = self._server.now + limits.stall_s
            if head.is_expecting and self._task is None and not self._turns:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_head(self) -> None:
        """Clients that keep a connection ask much the same again: what was read before is not read anew. Raises HeadRefused."""
        parser = self._parser
        if self._raw != self._known_raw:
            self._head = read_head(self._raw, self._limits)
            self._known_raw = self._raw if self._head.size <= _KEPT_HEAD_BYTES else None
        self._version = parser.get_http_version()
        check_version(self._head, self._version)
        asked = (parser.get_method(), self._target)
        if asked != self._known_target:
            self._method = _METHODS.get(asked[0]) or asked[0].decode("latin-1")
            self._asked = read_target(self._target, self._method)
            self._known_target = asked

    def on_body(self, data: bytes) -> None:
        self._unread_bytes = 0
        size = len(data)
        server, limits = self._server, self._limits
        self._body_bytes += size
        server.bodies_bytes += size
        if self._body_bytes > limits.body_bytes:
            self._stop(413)
        if server.bodies_bytes > limits.all_bodies_bytes:
            self._stop(503)
        if self._spool is not None:
            self._keep(self._spool, data)
        elif not self._body:
            self._body = data
        else:
            self._spool = self._server.new_spool()
            self._keep(self._spool, self._body)
            self._keep(self._spool, data)
            self._body = b""
        whole = self._body_since + limits.stall_s + self._body_bytes / limits.least_bytes_per_s
        self.read_deadline = min(server.now + limits.stall_s, whole)

    def _keep(self, spool: Spool, data: bytes) -> None:
        try:
            spool.add(data)
        except OSError:
            log.exception("a body cannot be kept")
            self._stop(503)

    def on_chunk_header(self) -> None:
        self._unread_bytes = 0

    def on_message_complete(self) -> None:
        self._unread_bytes = 0
        self._is_in_message = self._is_in_body = False
        self.read_deadline = _NEVER
        body, size, spool = self._body, self._body_bytes, self._spool
        self._body, self._spool = b"", None
        self._body_bytes = 0  # counted in server.bodies_bytes until the turn is released
        is_last = not self._parser.should_keep_alive()
        if is_last:
            self._is_input_done = True
        path, query, host = self._asked
        head = self._head if host is None else with_host(self._head, host)
        request = Request(self._method, path, query, head.headers, body, self._source_ip, self._scheme, head.names, head.kept)
        if self._known_raw is None and not self._parser.should_upgrade():
            self._raw, self._head = [], _NO_HEAD  # large ones are not kept while a connection is idle
        self._owe(_Turn(request, 200, is_last, self._version == "1.1", None, size, spool))

    def _stop(self, status: int) -> NoReturn:
        self._refusal = status
        raise _RefusedError

    # Turns: the answers owed

    def _owe(self, turn: _Turn) -> None:
        """Answer, in the requests' order: at once where nothing has to be waited for, else in a task."""
        if self._may_answer_at_once(turn):
            if not self._answer_at_once(turn):
                self._task = self._server.loop.create_task(self._answer_all(turn))
            return
        self._turns.append(turn)
        if self._task is None:
            self._task = self._server.loop.create_task(self._answer_all())
        elif len(self._turns) >= self._limits.pipelined and not self._is_reading_paused and not self._is_input_done:
            self._is_reading_paused = True
            self.transport.pause_reading()

    def _may_answer_at_once(self, turn: _Turn) -> bool:
        """Nobody waits for an answer before it, the client takes them, and others have not waited long."""
        self._at_once -= 1
        return (
            self._task is None
            and turn.request is not None
            and self._at_once >= 0
            and self._writable is None
            and not self._server.is_draining
            and not self._parser.should_upgrade()
        )

    def _answer_at_once(self, turn: _Turn) -> bool:
        """Ask the handler; whether it could say all at once. If not, what it said is in the turn."""
        assert turn.request is not None
        answer = turn.answer = self._server.answer(turn.request, self.source, turn.spool)
        if not isinstance(answer, Response) or not isinstance(answer.body, bytes) or answer.status < 200:
            return False
        if turn.body_bytes:
            self._release(turn)
        self._send_whole(turn, answer, answer.body, turn.is_last)
        if self._is_input_done:
            self._finish()
        else:
            self.read_deadline = self._server.now + self._server.idle_s
        return True

    def _offer_upgrade(self, read_ahead: bytes) -> None:
        """The request just read asks for another protocol: its handler may take the connection. It is the last in any case, and
        nothing more is read until the handler has decided. Where that cannot be (HTTP/1.0, h2c, a request with a body, which the
        parser took for the other protocol's bytes) it is read again as one that has not asked.
        """
        turn = self._turns[-1]
        assert turn.request is not None
        if not turn.can_chunk or any(_forbids_upgrade(*header) for header in self._head.headers):
            self._turns.pop()
            head = self._head_without_upgrade()
            self._parser = httptools.HttpRequestParser(self)
            self._is_input_done = False
            self.data_received(head + read_ahead)
            return
        turn.is_last = self._is_input_done = True
        turn.read_ahead = read_ahead
        if not self._is_reading_paused:
            self._is_reading_paused = True
            self.transport.pause_reading()

    def _head_without_upgrade(self) -> bytes:
        method, version = self._parser.get_method(), self._version.encode()
        lines = [b"%b: %b\r\n" % line for line in self._raw if line[0].lower() not in (b"connection", b"upgrade")]
        return b"%b %b HTTP/%b\r\n%bConnection: close\r\n\r\n" % (method, self._target, version, b"".join(lines))

    def _hand_over(self, response: Upgrade, read_ahead: bytes) -> None:
        """The connection leaves HTTP, and this object its socket. `run` is called even when the client has gone meanwhile."""
        assert response.run is not None
        protocol = next((clean(value) for name, value in response.headers if name.lower() == "upgrade"), "websocket")
        head = status_line(101) + self._server.date + header_lines(response.headers)
        head += f"Connection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        upgraded = UpgradedConnection(self._server, self.transport, read_ahead, is_lost=self._is_lost)
        self._server.hand_on(self, upgraded)
        upgraded.start(head.encode(), response.run)
        self._let_go()
        if self._server.is_draining:
            upgraded.close_when_idle()

    def _refuse(self, status: int) -> None:
        """What came is no request to be answered: after the answers already owed, say so and end the connection."""
        self._is_input_done = self._is_refused = True
        self._is_in_message = False
        self.read_deadline = _NEVER
        self._drop_body()
        self._owe(_Turn(None, status, is_last=True))

    def _resume_reading(self) -> None:
        self._is_reading_paused = False
        self.transport.resume_reading()
        if self._is_in_message:
            self.read_deadline = self._server.now + self._limits.stall_s

    def _release(self, turn: _Turn) -> None:
        self._server.bodies_bytes -= turn.body_bytes
        if turn.spool is not None:
            turn.spool.close()

    def _drop_body(self) -> None:
        """Of a request that will not be whole."""
        self._server.bodies_bytes -= self._body_bytes
        self._body_bytes, self._body = 0, b""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _switch_to_http2(self) -> asyncio.Protocol:
        """The client speaks HTTP/2: another object has its connection from now on. Imported here, where it is first wanted."""
        from cumulet.gateway.http2 import Http2Connection

        self._is_input_done = True
        other = Http2Connection(self._server, self.transport, self._source_ip, self._scheme)
        self._server.hand_on(self, other)
        self._let_go()
        other.start()
        return other

    async def _answer_all(self, begun: _Turn | None = None) -> None:
        """`begun` is a turn before the others, whose handler was asked already."""
        try:
            await self._answer_turns(begun)
        except Exception:
            log.exception("a connection broke")
            self.abort()
        finally:
            self._task = None

    async def _answer_turns(self, begun: _Turn | None) -> None:
        server, turns = self._server, self._turns
        is_last, answered = False, 0
        while (begun or turns) and not is_last:
            turn, begun = begun or turns.popleft(), None
            if turn.request is None:
                response = refusal(turn.status)
            else:
                answer = turn.answer or server.answer(turn.request, self.source, turn.spool)
                response = answer if isinstance(answer, Response) else await answer
            self._release(turn)
            if response.status < 200:
                if isinstance(response, Upgrade) and turn.read_ahead is not None:
                    self._hand_over(response, turn.read_ahead)
                    return
                log.error("a handler answered %d, which is no answer to what was asked", response.status)
                await close_body(response)
                response, turn.is_last = Response(500), True
            is_last = turn.is_last or (server.is_draining and not turns)
            if self._is_lost:
                await close_body(response)
                break
            if isinstance(response.body, bytes):
                self._send_whole(turn, response, response.body, is_last)
            else:
                await self._send_stream(turn, response, response.body, is_last)
            if self._writable is not None:
                await self._writable
            answered += 1
            if answered % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._is_reading_paused and not self._is_lost and not self._is_input_done and len(turns) < self._limits.pipelined:
                self._resume_reading()
        if self._is_lost:
            return
        if is_last or self._is_input_done or server.is_draining:
            self._finish()
        elif not self._is_in_message:
            self.read_deadline = server.now + server.idle_s

    async def _send_stream(self, turn: _Turn, response: Response, body: AsyncIterator[bytes], is_last: bool) -> None:
        head, has_body = self._head_of(turn, response, is_last), _has_body(turn, response.status)
        if turn.can_chunk and response.status not in (204, 304):
            head += "Transfer-Encoding: chunked\r\n"
        elif has_body and not is_last:
            head = head.replace("Connection: keep-alive\r\n", "Connection: close\r\n")  # HTTP/1.0: the end is the end
            self._is_input_done = True
        self.transport.write((head + "\r\n").encode("utf-8"))
        if has_body:
            await self._send_pieces(body, turn.can_chunk)
        else:
            await close_body(response)

    def _send_whole(self, turn: _Turn, response: Response, body: bytes, is_last: bool) -> None:
        transport, head = self.transport, self._head_of(turn, response, is_last)
        if response.status in (204, 304) or response.status < 200:
            transport.write(f"{head}\r\n".encode())
            return
        data = f"{head}Content-Length: {len(body)}\r\n\r\n".encode()
        if turn.request is not None and turn.request.method == "HEAD":
            transport.write(data)
        elif len(body) <= _JOIN_BYTES:
            transport.write(data + body)
        else:
            transport.write(data)
            transport.write(body)

    def _head_of(self, turn: _Turn, response: Response, is_last: bool) -> str:
        head = status_line(response.status) + self._server.date + header_lines(response.headers)
        if is_last:
            return head + "Connection: close\r\n"
        return head if turn.can_chunk else head + "Connection: keep-alive\r\n"

    async def _send_pieces(self, body: AsyncIterator[bytes], is_chunked: bool) -> None:
        """Each piece as it comes; the next is asked for when the client has taken most of the last."""
        transport = self.transport
        try:
            async for piece in body:
                if self._is_lost:
                    break
                if piece:
                    transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
                if self._writable is not None:
                    await self._writable
        except Exception:
            log.exception("a streamed answer broke off")
            self.abort()  # without the last chunk: the client must not take it for whole
            return
        finally:
            await close_body(Response(body=body))
        if is_chunked and not self._is_lost:
            transport.write(b"0\r\n\r\n")

    # The end

    def expire(self) -> None:
        """A deadline has passed."""
        if self.write_deadline < self._server.now or self.transport.is_closing() or self._is_input_done:
            self.abort()
        elif self._is_reading_paused:
            self.read_deadline = _NEVER  # it is us who do not read; resuming sets a new one
        elif self._is_in_message:
            self._refuse(408)
        else:
            self.transport.close()

    def close_when_idle(self) -> None:
        if self._task is None and not self._is_in_message:
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    def _finish(self) -> None:
        """Close without a reset that would take the answer away: end our half (where that can be), read on a little, then close."""
        self._is_input_done = True
        self.read_deadline = self._server.now + _LINGER_S
        if self._is_reading_paused:
            self._resume_reading()
        if not self._is_refused:
            self.transport.close()
        elif self.transport.can_write_eof():
            self.transport.write_eof()
