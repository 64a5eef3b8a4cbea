"""HTTP/2 on one connection: each stream becomes one whole `Request`, its answer goes back under the client's flow control.

Frames, header compression and the states of streams are the `h2` library's; this module bounds what a client may make it do:
streams and handlers at once, headers, bodies, frames that ask for work and bring nothing, and the time that all of it may take.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from cumulet.core.http import Request, Response
from cumulet.gateway.http_heads import close_body, refusal, sound_headers
from cumulet.gateway.spool import Spool

if TYPE_CHECKING:
    from cumulet.gateway.http import HttpServer

log = logging.getLogger("cumulet.http")

_NEVER = float("inf")
_STREAMS = 100
_STREAM_WINDOW = 262_144
_CONNECTION_WINDOW = 1_048_576
_FRAME_BYTES = 16_384
_FRAME_HEAD_BYTES = 9
_SLICE_BYTES = 4096  # read between two looks at the patience: some hundred frames at most
_LINGER_S = 3.0
_PATIENCE, _PATIENCE_PER_S, _BYTES_PER_PATIENCE = 1000.0, 100.0, 2048
_RESET_COST = 5.0
_METHOD = re.compile(r"[A-Z][A-Z-]{0,30}\Z")
_DIGITS = re.compile(r"[0-9]{1,18}\Z")
_TARGET = re.compile(r"(?:/[\x21\x22\x24-\x7e]*|\*)\Z")


class _Frames(H2Connection):
    """h2's connection, which forgets closed streams sooner."""

    MAX_CLOSED_STREAMS = 1024


@dataclass(slots=True)
class _Stream:
    """One request and its answer. `deadline` is when it is given up: we wait for its body, or for the client to take more."""

    id: int
    request: Request
    body: Spool
    since: float
    deadline: float = _NEVER
    task: asyncio.Task[None] | None = None
    window: asyncio.Future[None] | None = None
    is_reset: bool = False


class _Refusal(Exception):
    """The stream is no request for anybody; `status` is what it is answered with."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _StreamGone(Exception):
    """The client took the stream back, or is gone: nobody waits for the rest."""


class Http2Connection(asyncio.Protocol):
    """One client. Reading and answering are one task per stream; a lost or reset stream does not stop the handler that it began."""

    def __init__(self, server: "HttpServer", transport: asyncio.Transport, source_ip: str, scheme: str) -> None:
        self.write_deadline = _NEVER
        self.source = ""
        self._server, self._limits = server, server.limits
        self.transport = transport
        self._source_ip, self._scheme = source_ip, scheme
        self._streams: dict[int, _Stream] = {}
        self._working = 0
        self._writable: asyncio.Future[None] | None = None
        self._is_lost = False
        self._is_leaving = False
        self._is_deaf = False
        self._idle_deadline = server.now + self._limits.head_s
        self._patience, self._patience_at = _PATIENCE, server.now
        self._h2 = _Frames(
            H2Configuration(
                client_side=False, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
            )
        )
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: _STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: self._limits.head_bytes,
                SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                SettingCodes.MAX_FRAME_SIZE: _FRAME_BYTES,
            },
        )
        self._h2.decoder.max_header_list_size = self._limits.head_bytes
        self._h2.max_inbound_frame_size = _FRAME_BYTES

    def start(self) -> None:
        """Say the server's first words. The transport speaks with this object from now on."""
        self.transport.set_protocol(self)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW)
        self._flush()

    # The socket

    def data_received(self, data: bytes) -> None:
        for at in range(0, len(data), _SLICE_BYTES):
            if self._is_deaf or self.transport.is_closing():
                return
            self._read(data[at : at + _SLICE_BYTES])

    def _read(self, data: bytes) -> None:
        try:
            happened = self._h2.receive_data(data)
        except ProtocolError:
            self._hang_up()  # h2 has written the GOAWAY that says why
            return
        for event in happened:
            with contextlib.suppress(H2Error):  # the stream may have been closed by what came behind
                self._take(event)
        if self._patience < 0:
            self._refill()
        if self._patience < 0:
            self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._hang_up()
        elif len(self._h2.incoming_buffer._data) > _FRAME_BYTES + _FRAME_HEAD_BYTES:  # h2 would wait for all of it, then refuse
            self._h2.close_connection(ErrorCodes.FRAME_SIZE_ERROR)
            self._hang_up()
        self._flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        for stream in list(self._streams.values()):
            self._forget(stream)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._server.forget(self)

    def pause_writing(self) -> None:
        """What the client does not read is not added to: its own frames, which may ask for answers, wait too."""
        waiting = self.transport.get_write_buffer_size()
        self.write_deadline = self._server.now + self._limits.stall_s + waiting / self._limits.least_bytes_per_s
        self._writable = asyncio.get_running_loop().create_future()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.write_deadline = _NEVER
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
        self.transport.resume_reading()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._is_lost and not self._is_deaf:
            self.transport.write(data)

    # What came

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.DataReceived):
            self._take_data(event)
        elif isinstance(event, events.RequestReceived):
            self._take_request(event)
        elif isinstance(event, events.StreamEnded):
            stream = self._streams.get(event.stream_id)
            if stream is not None and stream.task is None:
                told = stream.request.header("content-length")
                if told and int(told) != stream.body.size:  # which h2 sees only where a body came at all
                    self._refuse(stream, 400)
                else:
                    self._answer(stream)
        elif isinstance(event, events.WindowUpdated):
            self._patience -= 1
            self._open_windows(event.stream_id)
        elif isinstance(event, events.StreamReset):
            self._patience -= _RESET_COST
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                self._forget(stream)
        elif isinstance(event, events.ConnectionTerminated):
            self._is_leaving = True
            self._close_if_done()
        else:  # settings, pings, priorities and what nobody knows: allowed, but not without end
            self._patience -= 1
            if isinstance(event, events.RemoteSettingsChanged):
                self._open_windows(0)

    def _take_request(self, event: events.RequestReceived) -> None:
        stream_id, headers = event.stream_id, event.headers
        assert stream_id is not None and headers is not None
        if self._is_leaving or self._working >= _STREAMS or self._server.is_draining:
            self._patience -= _RESET_COST
            self._h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        stream = _Stream(
            stream_id,
            Request("", "", "", [], source_ip=self._source_ip, scheme=self._scheme),
            self._server.new_spool(),
            self._server.now,
        )
        self._streams[stream_id] = stream
        try:
            self._fill(stream.request, headers)
        except _Refusal as refused:
            self._refuse(stream, refused.status)
            return
        if event.stream_ended is None:
            stream.deadline = self._server.now + self._limits.stall_s
            if stream.request.header("expect").lower() == "100-continue":
                self._h2.send_headers(stream_id, [(":status", "100")])

    def _fill(self, request: Request, headers: list[tuple[bytes, bytes]]) -> None:
        """Pseudo-headers to the request line. h2 has refused what HTTP/2 forbids: upper case, line ends, connection headers."""
        limits, authority, target = self._limits, b"", b""
        if len(headers) > limits.headers + 4:
            raise _Refusal(431)
        for name, value in headers:
            if name == b":method":
                request.method = value.decode("latin-1")
            elif name == b":path":
                target = value
            elif name == b":authority":
                authority = value
            elif name[:1] != b":":
                request.headers.append((name.decode("latin-1"), value.decode("latin-1")))
                request.names.append(name)
        if authority:
            rest = [each for each in zip(request.headers, request.names, strict=True) if each[1] != b"host"]
            request.headers = [("host", authority.decode("latin-1")), *[header for header, _ in rest]]
            request.names = [b"host", *[name for _, name in rest]]
        if len(target) > limits.target_bytes:
            raise _Refusal(414)
        text = target.decode("latin-1")
        if not _METHOD.match(request.method) or request.method == "CONNECT" or not _TARGET.match(text):
            raise _Refusal(400)
        if request.names.count(b"host") != 1 or request.names.count(b"content-length") > 1 or "@" in request.header("host"):
            raise _Refusal(400)
        if (text == "*" and request.method != "OPTIONS") or not _DIGITS.match(request.header("content-length", "0")):
            raise _Refusal(400)
        if int(request.header("content-length", "0")) > limits.body_bytes:
            raise _Refusal(413)
        request.path, _, request.query = text.partition("?")

    def _take_data(self, event: events.DataReceived) -> None:
        stream_id, data = event.stream_id, event.data or b""
        assert stream_id is not None
        if event.flow_controlled_length:
            self._h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
        if not data:
            self._patience -= 1
        stream = self._streams.get(stream_id)
        if stream is None or stream.task is not None:
            return  # answered already; what still comes is dropped
        server, limits = self._server, self._limits
        try:
            stream.body.add(data)
        except OSError:
            log.exception("a body cannot be kept")
            self._refuse(stream, 503)
            return
        server.bodies_bytes += len(data)
        if stream.body.size > limits.body_bytes:
            self._refuse(stream, 413)
        elif server.bodies_bytes > limits.all_bodies_bytes:
            self._refuse(stream, 503)
        whole = stream.since + limits.stall_s + stream.body.size / limits.least_bytes_per_s
        stream.deadline = min(server.now + limits.stall_s, whole)

    def _refuse(self, stream: _Stream, status: int) -> None:
        """Answer without a handler, and take no more of the request."""
        self._forget(stream)
        response = refusal(status)
        with contextlib.suppress(H2Error):
            self._h2.send_headers(stream.id, self._head(response, None), end_stream=True)
            self._h2.reset_stream(stream.id, ErrorCodes.NO_ERROR)

    def _forget(self, stream: _Stream) -> None:
        """No more of this stream is read or sent; a handler that runs goes on to its end."""
        stream.is_reset = True
        stream.deadline = _NEVER
        if stream.task is None:
            self._server.bodies_bytes -= stream.body.size
            stream.body.size = 0
            stream.body.close()
        if stream.window is not None and not stream.window.done():
            stream.window.set_result(None)
        if self._streams.pop(stream.id, None) is not None and not self._streams and not self._is_deaf:
            self._idle_deadline = self._server.now + self._server.idle_s

    # Answers

    def _answer(self, stream: _Stream) -> None:
        stream.deadline = _NEVER
        self._working += 1
        stream.task = asyncio.get_running_loop().create_task(self._work(stream))

    async def _work(self, stream: _Stream) -> None:
        response = Response(500)
        try:
            answer = self._server.answer(stream.request, self.source, stream.body)
            response = answer if isinstance(answer, Response) else await answer
            self._server.bodies_bytes -= stream.body.size
            stream.body.size = 0
            await self._send(stream, response)
        except (_StreamGone, H2Error):
            pass
        except Exception:
            log.exception("a stream broke")
            self._reset(stream, ErrorCodes.INTERNAL_ERROR)
        finally:
            self._server.bodies_bytes -= stream.body.size
            await close_body(response)
            self._working -= 1
            self._forget(stream)
            self._close_if_done()

    async def _send(self, stream: _Stream, response: Response) -> None:
        if stream.is_reset or self._is_lost or self._is_deaf:
            return
        if response.status < 200:  # another protocol has no place on a stream
            self._reset(stream, ErrorCodes.HTTP_1_1_REQUIRED)
            return
        body = response.body
        has_body = stream.request.method != "HEAD" and response.status not in (204, 304)
        length = len(body) if isinstance(body, bytes) and response.status not in (204, 304) else None
        is_short = not has_body or body == b""
        self._h2.send_headers(stream.id, self._head(response, length), end_stream=is_short)
        if is_short:
            self._flush()
        elif isinstance(body, bytes):
            await self._send_data(stream, body, is_last=True)
        else:
            await self._send_stream(stream, body)

    def _head(self, response: Response, length: int | None) -> list[tuple[str, str]]:
        head = [(":status", str(response.status)), ("date", self._server.date[6:-2]), *sound_headers(response.headers)]
        if length is not None:
            head.append(("content-length", str(length)))
        return head

    async def _send_stream(self, stream: _Stream, body: AsyncIterator[bytes]) -> None:
        """Each piece as it comes. A source that breaks off resets the stream: the client must not take it for whole."""
        self._flush()
        try:
            async for piece in body:
                if piece:
                    await self._send_data(stream, piece, is_last=False)
        except (_StreamGone, H2Error):
            raise
        except Exception:
            log.exception("a streamed answer broke off")
            self._reset(stream, ErrorCodes.INTERNAL_ERROR)
            return
        if not stream.is_reset:
            self._h2.end_stream(stream.id)
            self._flush()

    async def _send_data(self, stream: _Stream, data: bytes, *, is_last: bool) -> None:
        """In frames, as far as the client's windows go. Raises _StreamGone."""
        at, sent, waited = 0, 0, 0.0
        while at < len(data):
            if stream.is_reset or self._is_lost:
                raise _StreamGone
            room = self._room(stream.id)
            if room <= 0:
                patience_s = self._limits.stall_s + at / self._limits.least_bytes_per_s
                waited = await self._wait_for_window(stream, patience_s, waited)
                continue
            piece = data[at : at + room]
            at += len(piece)
            sent += len(piece)
            self._h2.send_data(stream.id, piece, end_stream=is_last and at == len(data))
            self._patience = min(_PATIENCE, self._patience + 1 + len(piece) / _BYTES_PER_PATIENCE)
            if sent >= 65_536 or at == len(data) or self._room(stream.id) <= 0:
                sent = 0
                self._flush()
                if self._writable is not None:
                    await asyncio.shield(self._writable)

    def _room(self, stream_id: int) -> int:
        return min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)

    async def _wait_for_window(self, stream: _Stream, patience_s: float, waited_s: float) -> float:
        """Until the client takes more: how long was waited, in all. Its patience grows with what it has taken."""
        self._flush()
        started = self._server.now
        stream.deadline = started + patience_s - waited_s
        stream.window = asyncio.get_running_loop().create_future()
        await stream.window
        stream.window = None
        stream.deadline = _NEVER
        return waited_s + self._server.now - started

    def _open_windows(self, stream_id: int | None) -> None:
        waiting = self._streams.values() if not stream_id else filter(None, [self._streams.get(stream_id)])
        for stream in waiting:
            if stream.window is not None and not stream.window.done():
                stream.window.set_result(None)

    def _reset(self, stream: _Stream, code: ErrorCodes) -> None:
        if not stream.is_reset and not self._is_lost:
            self._forget(stream)
            with contextlib.suppress(H2Error):
                self._h2.reset_stream(stream.id, code)
            self._flush()

    # Time and the end

    @property
    def read_deadline(self) -> float:
        if self._is_deaf or self.transport.is_closing() or not (self._streams or self._working):
            return self._idle_deadline
        return min((stream.deadline for stream in self._streams.values()), default=_NEVER)

    def expire(self) -> None:
        """A deadline has passed: the connection's, or that of some of its streams."""
        now = self._server.now
        if self.write_deadline < now or self._is_deaf or self.transport.is_closing():
            self.abort()
        elif not self._streams:
            self._say_goodbye()
            self._close()
        for stream in [each for each in self._streams.values() if each.deadline < now]:
            if stream.task is None:
                self._refuse(stream, 408)
            else:
                self._reset(stream, ErrorCodes.ENHANCE_YOUR_CALM)
        self._flush()

    def close_when_idle(self) -> None:
        self._say_goodbye()
        self._close_if_done()

    def abort(self) -> None:
        self.transport.abort()

    def _refill(self) -> None:
        now = self._server.now
        self._patience = min(_PATIENCE, self._patience + (now - self._patience_at) * _PATIENCE_PER_S)
        self._patience_at = now

    def _say_goodbye(self) -> None:
        """What began is finished, what comes now is refused. Written here: h2's own GOAWAY ends everything at once."""
        if not self._is_leaving and not self._is_lost:
            self._is_leaving = True
            goodbye = GoAwayFrame(0, last_stream_id=self._h2.highest_inbound_stream_id, error_code=int(ErrorCodes.NO_ERROR))
            self._flush()
            self.transport.write(goodbye.serialize())

    def _close_if_done(self) -> None:
        if self._is_leaving and not (self._streams or self._working or self._is_lost or self._is_deaf):
            self._close()

    def _close(self) -> None:
        """With a while for what was written to leave."""
        self._flush()
        self._idle_deadline = self._server.now + _LINGER_S
        self.transport.close()

    def _hang_up(self) -> None:
        """What the client sends is worth nothing any more, but it is read for a while: a reset would take the GOAWAY away."""
        self._flush()
        self._is_leaving = self._is_deaf = True
        self._idle_deadline = self._server.now + _LINGER_S
        for stream in list(self._streams.values()):
            self._forget(stream)
        if self.transport.can_write_eof():
            self.transport.write_eof()
