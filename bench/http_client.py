"""What the benchmarks share: a keep-alive client, SigV4 signing, a server's start and end, statistics. Standard library only
(uvloop when present); requests are built before the clock starts, so that the client costs little."""

import asyncio
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

try:
    from uvloop import run
except ImportError:
    from asyncio import run

__all__ = ["HERE", "Key", "Load", "Node", "build", "call_once", "emit", "load", "median_of", "percentile", "run"]


@dataclass(frozen=True)
class Key:
    """A key pair to sign with."""

    access_key_id: str
    secret: str
    region: str = "us-east-1"


def build(
    url: str, method: str = "GET", body: bytes = b"", headers: dict[str, str] | None = None, sign: tuple[Key, str] | None = None
):
    """One HTTP/1.1 request as bytes; signed for (key, service) when given."""
    parts = urlsplit(url)
    path = parts.path or "/"
    lines = {"host": parts.netloc, "content-length": str(len(body)), **(headers or {})}
    if sign:
        lines |= _signature(method, path, parts.query, lines, body, *sign)
    target = path + ("?" + parts.query if parts.query else "")
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    return head.encode() + body


def _signature(method: str, path: str, query: str, lines: dict[str, str], body: bytes, key: Key, service: str) -> dict[str, str]:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{stamp[:8]}/{key.region}/{service}/aws4_request"
    signed = {"host": lines["host"], "x-amz-date": stamp}
    names = ";".join(signed)
    canonical = "\n".join(
        (
            method,
            quote(path, safe="/-_.~"),
            query,
            *(f"{name}:{value}" for name, value in signed.items()),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    secret = ("AWS4" + key.secret).encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    mark = hmac.digest(secret, text.encode(), "sha256").hex()
    said = f"AWS4-HMAC-SHA256 Credential={key.access_key_id}/{scope}, SignedHeaders={names}, Signature={mark}"
    return {"x-amz-date": stamp, "authorization": said}


class _Client(asyncio.Protocol):
    """Sends one request after another on one connection, until told to stop."""

    def __init__(self, requests: "list[bytes]", until: float, load: "Load", status: int = 200):
        self.requests, self.until, self.load, self.status = requests, until, load, str(status).encode()
        self.at = 0
        self.buffer = b""
        self.most = None
        self.reopen = None  # makes another connection where the server closes each
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.send()

    def send(self):
        now = time.perf_counter()
        if now >= self.until or self.at == self.most:
            self.until = now
            self.transport.close()
            return
        self.sent = now
        self.transport.write(self.requests[self.at % len(self.requests)])
        self.at += 1

    def data_received(self, data):
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + length:
            return
        if at < 0 and b"\ntransfer-encoding: chunked" in head and not self.buffer.endswith(b"\r\n0\r\n\r\n"):
            return
        if self.buffer[9:12] == self.status:
            self.load.took_s.append(time.perf_counter() - self.sent)
        else:
            self.load.errors += 1
            self.load.last_error = self.buffer[:500].decode("latin-1")
        self.buffer = b""
        if b"\nconnection: close" in head:
            self.transport.close()
        else:
            self.send()

    def connection_lost(self, _exc):
        if self.reopen is not None and time.perf_counter() < self.until:
            self.buffer = b""
            self.opening = asyncio.ensure_future(self.reopen(self))
        elif not self.done.done():
            self.done.set_result(None)


class Load:
    """The outcome of one load."""

    def __init__(self):
        self.took_s: list[float] = []
        self.errors = 0
        self.last_error = ""
        self.wall_s = 0.0

    def told(self) -> dict:
        per_s = len(self.took_s) / self.wall_s if self.wall_s else 0
        found = {"per_s": round(per_s), "p50_ms": percentile(self.took_s, 50), "p99_ms": percentile(self.took_s, 99)}
        return found | ({"errors": self.errors, "last_error": self.last_error} if self.errors else {})


async def load(
    url: str,
    requests: list[bytes],
    concurrency: int,
    seconds: float,
    status: int = 200,
    *,
    reopens: bool = False,
    is_once: bool = False,
) -> Load:
    """Send `requests` in turn on `concurrency` connections, the next when the last is answered. Other statuses are errors.
    `reopens`: a connection that the server closes is followed by another. `is_once`: each connection sends each request once."""
    parts = urlsplit(url)
    outcome = Load()
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = []

    async def reopen(client: _Client) -> None:
        try:
            await loop.create_connection(lambda: client, parts.hostname, parts.port)
        except OSError as error:
            outcome.errors += 1
            outcome.last_error = str(error)
            client.done.set_result(None)

    for _ in range(concurrency):
        _transport, client = await loop.create_connection(
            lambda: _Client(requests, started + seconds, outcome, status), parts.hostname, parts.port
        )
        client.reopen = reopen if reopens else None
        client.most = len(requests) if is_once else None
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    outcome.wall_s = time.perf_counter() - started
    return outcome


async def call_once(url: str, request: bytes) -> tuple[int, bytes, float]:
    """(status, body, seconds) of one request on a connection of its own."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 24)
    try:
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        body = await reader.readexactly(length)
        return int(head[9:12]), body, time.perf_counter() - started
    finally:
        writer.close()


def percentile(took_s: list[float], percent: float) -> float | None:
    """In milliseconds."""
    if not took_s:
        return None
    ordered = sorted(took_s)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000, 3)


async def median_of(runs: int, measure: Callable[[], Awaitable[Load]]) -> dict:
    """The run in the middle, by throughput, and the lowest and highest."""
    told = sorted([(await measure()).told() for _ in range(runs)], key=lambda found: found["per_s"])
    return told[len(told) // 2] | {"spread": [told[0]["per_s"], told[-1]["per_s"]]}


def emit(**fields) -> None:
    """One JSON line."""
    print(json.dumps(fields), flush=True)


class Node:
    """A server process that says `ready URL` on stdout; ended by its own process id."""

    def __init__(self, *command: str, env: dict[str, str] | None = None):
        environment = os.environ | (env or {})
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as where it is installed: compiled
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self.url = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ready "):
                self.url = line.split()[1]
                break
        self.ready_s = time.perf_counter() - self.started
        if not self.url:
            raise SystemExit(f"{command[0]} did not start")

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_exc) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


HERE = Path(__file__).parent
