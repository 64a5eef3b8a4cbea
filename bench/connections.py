"""What connections that do nothing cost a node: its memory, and the answers to everybody else.

    python bench/connections.py [--websockets 1000] [--idle 5000] [--rate 100]

Prints JSON lines: the node's own memory (PSS of its process) with clients of a WebSocket API that have each been answered once,
and with idle keep-alive connections on top; and the times of requests to a function and to a page of the node, sent by others at a
fixed rate, without them and beside them.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import resource
import struct
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from functions import KEY, Lambda
from http_client import Node, build, call_once, emit, percentile, run

ROUNDS = 3


class Apis:
    """The few operations of API Gateway that are needed."""

    def __init__(self, url: str):
        self.url = url

    async def call(self, method: str, path: str, document: dict) -> dict:
        body = json.dumps(document).encode()
        headers = {"content-type": "application/json"}
        request = build(self.url + path, method, body, headers, (KEY, "apigateway"))
        status, answer, _took_s = await call_once(self.url, request)
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {answer.decode()}")
        return json.loads(answer or b"{}")

    async def echo(self) -> str:
        """The path of a WebSocket API's stage that answers `{}` to every message, by itself."""
        expression = "$request.body.action"
        document = {"name": "bench", "protocolType": "WEBSOCKET", "routeSelectionExpression": expression}
        api = f"/v2/apis/{(await self.call('POST', '/v2/apis', document))['apiId']}"
        integration = await self.call("POST", f"{api}/integrations", {"integrationType": "MOCK"})
        target = f"integrations/{integration['integrationId']}"
        answer = {"integrationResponseKey": "$default", "responseTemplates": {"$default": "{}"}}
        await self.call("POST", f"{api}/{target}/integrationresponses", answer)
        route = await self.call("POST", f"{api}/routes", {"routeKey": "$default", "target": target})
        await self.call("POST", f"{api}/routes/{route['routeId']}/routeresponses", {"routeResponseKey": "$default"})
        await self.call("POST", f"{api}/stages", {"stageName": "s", "autoDeploy": True})
        return f"/_aws/execute-api/{api.rpartition('/')[2]}/s"


class _WebSocket(asyncio.Protocol):
    """Shakes hands, says one thing, hears the answer and is silent."""

    def __init__(self, path: str, host: str):
        self.head = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n"
        ).encode()
        self.buffer = b""
        self.ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.head)

    def data_received(self, data):
        self.buffer += data
        if self.buffer.endswith(b"\r\n\r\n"):
            message = b'{"action":"x"}'
            self.transport.write(bytes([0x81, 0x80 | len(message)]) + b"\0\0\0\0" + message)
            self.buffer = b""
        elif self.buffer == b"\x81\x02{}" and not self.ready.done():
            self.ready.set_result(True)

    def connection_lost(self, _exc):
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(self.buffer[:200]))


class _Idle(asyncio.Protocol):
    """One answered request, then nothing."""

    def __init__(self, host: str):
        self.request = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self.ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, _data):
        if not self.ready.done():
            self.ready.set_result(True)

    def connection_lost(self, _exc):
        if not self.ready.done():
            self.ready.set_exception(ConnectionError())


async def open_all(url: str, count: int, make) -> list:
    """So many connections of a kind, a hundred at a time."""
    parts, opened = urlsplit(url), []
    loop = asyncio.get_running_loop()
    for _ in range(0, count, 100):
        size = min(100, count - len(opened))
        made = await asyncio.gather(*(loop.create_connection(make, parts.hostname, parts.port) for _ in range(size)))
        opened += [protocol for _transport, protocol in made]
        await asyncio.gather(*(protocol.ready for protocol in opened[-size:]))
    return opened


def pss_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


async def paced(url: str, request: bytes, rate: float, seconds: float) -> list[float]:
    """Seconds from when each request was due, over kept connections, at a fixed rate: a node that stalls shows."""
    parts, took_s, free = urlsplit(url), [], []

    async def one(due: float) -> None:
        reader, writer = free.pop() if free else await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        at = head.lower().find(b"content-length:")
        await reader.readexactly(int(head[at + 15 :].split(b"\r\n", 1)[0]))
        if head[9:12] != b"200":
            raise SystemExit(head.decode())
        took_s.append(time.perf_counter() - due)
        free.append((reader, writer))

    started, tasks = time.perf_counter(), []
    for index in range(int(rate * seconds)):
        due = started + index / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    for _reader, writer in free:
        writer.close()
    return took_s


async def measure_others(node: Node, requests: dict[str, tuple[str, bytes]], options, when: str) -> None:
    for what, (url, request) in requests.items():
        rounds = [await paced(url, request, options.rate, options.seconds) for _ in range(ROUNDS)]
        p99s = sorted(percentile(took_s, 99) for took_s in rounds)
        all_s = [each for took_s in rounds for each in took_s]
        emit(what=what, when=when, rate=options.rate, p50_ms=percentile(all_s, 50), p99_ms=p99s[len(p99s) // 2], p99_rounds_ms=p99s)


async def main(options) -> None:
    key = f"{KEY.access_key_id}:{KEY.secret}"
    command = ("-m", "cumulet.cli", "up", "--port", "0", "--root-key", key, "--durability", "os", "--quiet", "--url-style", "path")
    with tempfile.TemporaryDirectory() as folder, Node(*command, "--data", folder) as node:
        functions, path = Lambda(node.url), await Apis(node.url).echo()
        await functions.create("hello")
        made = await functions.call("POST", "/2021-10-31/functions/hello/url", {"AuthType": "NONE"})
        function_url = made["FunctionUrl"]
        requests = {"function URL": (function_url, build(function_url)), "health page": (node.url, build(node.url + "/healthz"))}
        for url, request in requests.values():
            await paced(url, request, options.rate, 1)
        pid, host = node.process.pid, urlsplit(node.url).netloc
        await open_all(node.url, 10, lambda: _WebSocket(path, host))
        before = pss_kb(pid)
        await measure_others(node, requests, options, "alone")
        started = time.perf_counter()
        websockets = await open_all(node.url, options.websockets, lambda: _WebSocket(path, host))
        took_s = time.perf_counter() - started
        with_websockets = pss_kb(pid)
        added = with_websockets - before
        emit(what="WebSockets", count=len(websockets), opened_per_s=round(len(websockets) / took_s), added_kb=added,
             each_kb=round(added / max(1, len(websockets)), 1))  # fmt: skip
        idle = await open_all(node.url, options.idle, lambda: _Idle(host))
        added = pss_kb(pid) - with_websockets
        emit(what="idle connections", count=len(idle), added_kb=added, each_kb=round(added / max(1, len(idle)), 1))
        await measure_others(node, requests, options, "beside them")
        emit(what="all", node_before_kb=before, node_after_kb=pss_kb(pid), added_mb=round((pss_kb(pid) - before) / 1024, 1))
        still = [each for each in random.sample(websockets, min(20, len(websockets))) if not each.transport.is_closing()]
        for each in still:
            each.ready = asyncio.get_running_loop().create_future()
            each.buffer = b""
            message = b"again"
            each.transport.write(struct.pack("!BB", 0x81, 0x80 | len(message)) + b"\0\0\0\0" + message)
        await asyncio.gather(*(each.ready for each in still))
        emit(what="answered after all", count=len(still))
        for each in (*websockets, *idle):
            each.transport.abort()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--websockets", type=int, default=1000)
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=3)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    run(main(parser.parse_args()))
