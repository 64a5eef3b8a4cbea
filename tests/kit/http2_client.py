"""An HTTP/2 client for tests, which also says what it should not."""

import asyncio
from collections import defaultdict

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

GET = [(":method", "GET"), (":path", "/a?b=c"), (":scheme", "http"), (":authority", "x:1")]
POST = [(":method", "POST"), *GET[1:]]


class Client:
    """An HTTP/2 client that also says what it should not, and keeps whatever it is told."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(
            H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8")
        )
        self.h2.initiate_connection()
        self.does_take = True
        self.status: dict[int, str] = {}
        self.headers: dict[int, dict[str, str]] = {}
        self.body: dict[int, bytes] = defaultdict(bytes)
        self.ended: set[int] = set()
        self.reset: dict[int, int] = {}
        self.informed: dict[int, str] = {}
        self.goodbye: int | None = None
        self.is_closed = False
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def ask(self, headers=GET, *, end=True) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, headers, end_stream=end)
        self.flush()
        return stream_id

    async def until(self, is_so, wait_s: float = 5) -> None:
        async with asyncio.timeout(wait_s):
            while not is_so():
                assert not self.is_closed, "closed before that"
                await self.hear()

    async def hear(self) -> None:
        data = await self.reader.read(65_536)
        if not data:
            self.is_closed = True
            return
        for event in self.h2.receive_data(data):
            if isinstance(event, events.ResponseReceived):
                self.headers[event.stream_id] = dict(event.headers)
                self.status[event.stream_id] = dict(event.headers)[":status"]
            elif isinstance(event, events.InformationalResponseReceived):
                self.informed[event.stream_id] = dict(event.headers)[":status"]
            elif isinstance(event, events.DataReceived):
                self.body[event.stream_id] += event.data
                if self.does_take:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, events.StreamReset):
                self.reset[event.stream_id] = event.error_code
            elif isinstance(event, events.ConnectionTerminated):
                self.goodbye = event.error_code
        if self.goodbye is None:
            self.flush()

    async def answer(self, stream_id: int) -> tuple[str, bytes]:
        await self.until(lambda: stream_id in self.ended)
        return self.status[stream_id], self.body[stream_id]

    async def upload(self, stream_id: int, data: bytes) -> None:
        while data:
            room = min(self.h2.local_flow_control_window(stream_id), 16_384)
            if room:
                self.h2.send_data(stream_id, data[:room], end_stream=room >= len(data))
                data = data[room:]
                self.flush()
            else:
                await self.hear()

    async def closed(self, wait_s: float = 5) -> None:
        async with asyncio.timeout(wait_s):
            try:
                while not self.is_closed:
                    await self.hear()
            except ConnectionError:
                self.is_closed = True


@pytest.fixture
def connecting():
    async def connect(served) -> Client:
        return Client(*await served.connect())

    return connect
