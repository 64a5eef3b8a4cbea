"""The bare pipeline: the least that HTTP to a function in another process can cost in Python; the denominator of our ratios.

uvloop and httptools turn each request into a JSON event, which goes as a length-prefixed frame over a socketpair to one of a few
forked children, whose handler's answer becomes the response. No routing, no walls, no limits, no log.

    python bench/limit.py [--port 7100] [--children 8]
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
from collections import deque

import httptools
import orjson
import uvloop


def handler(event, context):
    return {"statusCode": 200, "body": "hello"}


def child_main(sock: socket.socket) -> None:
    frames = sock.makefile("rb")
    while size := frames.read(4):
        event = json.loads(frames.read(int.from_bytes(size, "big")))
        answer = json.dumps(handler(event, None)).encode()
        sock.sendall(len(answer).to_bytes(4, "big") + answer)
    os._exit(0)


def fork_children(count: int) -> list[socket.socket]:
    kept: list[socket.socket] = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            ours.close()
            for other in kept:
                other.close()
            child_main(theirs)
        theirs.close()
        ours.setblocking(False)
        kept.append(ours)
    return kept


class Children:
    """Hands events to idle children; the others wait in line."""

    def __init__(self):
        self.idle: list[Child] = []
        self.waiting: deque = deque()

    def call(self, event, answer):
        if self.idle:
            self.idle.pop().send(event, answer)
        else:
            self.waiting.append((event, answer))

    def freed(self, child):
        if self.waiting:
            child.send(*self.waiting.popleft())
        else:
            self.idle.append(child)


class Child(asyncio.Protocol):
    def __init__(self, children):
        self.children = children
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport
        self.children.freed(self)

    def send(self, event, answer):
        self.answer = answer
        self.transport.write(len(event).to_bytes(4, "big") + event)

    def data_received(self, data):
        self.received += data
        if len(self.received) < 4:
            return
        end = 4 + int.from_bytes(self.received[:4], "big")
        if len(self.received) < end:
            return
        frame, self.received = self.received[4:end], self.received[end:]
        self.answer(frame)
        self.children.freed(self)


class Http(asyncio.Protocol):
    def __init__(self, children):
        self.children = children

    def connection_made(self, transport):
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_message_begin(self):
        self.url, self.headers, self.body = b"", {}, b""

    def on_url(self, url):
        self.url += url

    def on_header(self, name, value):
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        http = {"method": self.parser.get_method().decode(), "path": self.url.decode()}
        context = {"requestId": os.urandom(8).hex(), "http": http}
        event = {
            "version": "2.0",
            "rawPath": http["path"],
            "headers": self.headers,
            "body": self.body.decode(),
            "requestContext": context,
        }
        self.children.call(orjson.dumps(event), self.answer)

    def answer(self, frame):
        answer = orjson.loads(frame)
        body = answer["body"].encode()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%b" % (answer["statusCode"], len(body), body))


async def serve(port: int, sockets: list[socket.socket]) -> None:
    loop = asyncio.get_running_loop()
    children = Children()
    for sock in sockets:
        await loop.create_connection(lambda: Child(children), sock=sock)
    server = await loop.create_server(lambda: Http(children), "127.0.0.1", port)
    print(f"ready http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--children", type=int, default=8)
    chosen = parser.parse_args()
    forked = fork_children(chosen.children)
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(chosen.port, forked))
