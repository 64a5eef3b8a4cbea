"""The front door alone: what the gateway's cheapest answers cost beside the least that HTTP can cost in Python.

The denominator is a server of twenty lines on uvloop and httptools that answers `hello` to anything: no limits, no deadlines, no
header looked at. Shares are of processor time per request (user and system, of the server's process), which other programs on the
machine disturb least, and of throughput.

    python bench/http.py [--seconds 3]
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

import httptools

from http_client import HERE, Key, Node, build, emit, load, run

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Raw(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_url(self, url):
        self.url = url

    def on_header(self, name, value):
        pass

    def on_message_complete(self):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


async def serve_raw() -> None:
    server = await asyncio.get_running_loop().create_server(Raw, "127.0.0.1", 0)
    print(f"ready http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


async def measure(node: Node, request: bytes, seconds: float, status: int = 200) -> dict:
    """16 connections, each asking again when it has its answer."""
    await load(node.url, [request], 16, 0.5, status)  # warm
    before = cpu_s(node.process.pid)
    outcome = await load(node.url, [request], 16, seconds, status)
    told = outcome.told()
    told["cpu_us"] = round((cpu_s(node.process.pid) - before) / max(1, len(outcome.took_s)) * 1e6, 1)
    return told


async def main(seconds: float) -> None:
    with Node(str(HERE / "http.py"), "--serve-raw") as raw:
        least = await measure(raw, build(raw.url + "/hello"), seconds)
    emit(what="raw", **least)
    key = Key("AKIABENCHBENCHBENCH0", "bench-secret")
    with tempfile.TemporaryDirectory() as data:
        command = ["-m", "cumulet.cli", "up", "--port", "0", "--data", data, "--in-memory", "--quiet"]
        with Node(*command, "--root-key", f"{key.access_key_id}:{key.secret}") as node:
            unknown = f"{node.url}/2015-03-31/functions/nobody"
            for what, request, status in (
                ("healthz", build(node.url + "/healthz"), 200),
                ("unknown API: 404", build(node.url + "/_aws/execute-api/nobody/s/"), 404),
                ("signed, unknown function: 404", build(unknown, sign=(key, "lambda")), 404),
            ):
                found = await measure(node, request, seconds, status)
                emit(
                    what=what,
                    **found,
                    of_raw_cpu=round(least["cpu_us"] / found["cpu_us"], 2),
                    of_raw_per_s=round(found["per_s"] / least["per_s"], 2),
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--serve-raw", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve_raw:
        run(serve_raw())
    else:
        run(main(chosen.seconds))
