"""Functions against the bare pipeline, in one run: start of a node, warm function URL, warm signed Invoke, cold starts.

    python bench/functions.py [--seconds 4] [--runs 3] [--cold 30] [--durability os]

Prints JSON lines. Throughput is quoted as a share of the bare pipeline at the same concurrency (`of_limit`), the median of the
runs; compare figures of one run only.
"""

import argparse
import asyncio
import base64
import io
import json
import subprocess
import sys
import tempfile
import time
import zipfile

from http_client import HERE, Key, Node, build, call_once, emit, load, median_of, percentile, run

KEY = Key("AKIABENCHBENCHBENCH1", "bench-secret-bench-secret-bench-secret-1")
CODE = "def handler(event, context):\n    return {'statusCode': 200, 'body': 'hello'}\n"
RUNTIME = f"python3.{sys.version_info.minor}"
CONCURRENCIES = (1, 16, 64)


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("index.py", CODE)
    return buffer.getvalue()


class Lambda:
    """The few operations that are needed, by hand: the client must not be the bottleneck."""

    def __init__(self, url: str):
        self.url = url

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        return build(self.url + path, method, body, {"content-type": "application/json"}, (KEY, "lambda"))

    async def call(self, method: str, path: str, document: dict | None = None) -> dict:
        body = json.dumps(document).encode() if document is not None else b""
        status, answer, _took_s = await call_once(self.url, self.request(method, path, body))
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {answer.decode()}")
        return json.loads(answer or b"{}")

    async def create(self, name: str) -> None:
        code = base64.b64encode(archive()).decode()
        role = "arn:aws:iam::000000000000:role/bench"
        document = {"FunctionName": name, "Runtime": RUNTIME, "Handler": "index.handler", "Role": role, "Code": {"ZipFile": code}}
        await self.call("POST", "/2015-03-31/functions", document)

    def invoke(self, name: str) -> bytes:
        return self.request("POST", f"/2015-03-31/functions/{name}/invocations", b"{}")


async def measure_limit(options) -> dict[int, float]:
    found = {}
    with Node(str(HERE / "limit.py")) as node:
        requests = [build(node.url + "/")]
        await load(node.url, requests, 8, 1)
        for concurrency in CONCURRENCIES:
            told = await median_of(options.runs, lambda c=concurrency: load(node.url, requests, c, options.seconds))
            found[concurrency] = told["per_s"]
            emit(what="bare pipeline", concurrency=concurrency, **told)
    return found


async def measure_warm(api: Lambda, options, limit: dict[int, float]) -> None:
    await api.create("hello")
    made = await api.call("POST", "/2021-10-31/functions/hello/url", {"AuthType": "NONE"})
    url_id = made["FunctionUrl"].split("://")[1].split(".")[0] if ".lambda-url." in made["FunctionUrl"] else ""
    path = f"/_aws/lambda-url/{url_id}/" if url_id else "/" + made["FunctionUrl"].split("/", 3)[3]
    for what, request in (("function URL", build(api.url + path)), ("signed Invoke", api.invoke("hello"))):
        for concurrency in CONCURRENCIES:
            await load(api.url, [request], concurrency, 1)
            told = await median_of(options.runs, lambda r=request, c=concurrency: load(api.url, [r], c, options.seconds))
            emit(what=what, concurrency=concurrency, **told, of_limit=round(told["per_s"] / limit[concurrency], 3))


async def measure_cold(api: Lambda, options, pause_s: float) -> None:
    """First-ever invocations. Without a pause the node has not made ready again what the last one took."""
    took_s: list[float] = []
    for number in range(options.cold + 1):
        name = f"cold-{round(pause_s * 1000)}-{number}"
        await api.create(name)
        await asyncio.sleep(pause_s)
        status, answer, seconds = await call_once(api.url, api.invoke(name))
        if status != 200 or b"hello" not in answer:
            raise SystemExit(f"cold start answered {status} {answer.decode()}")
        took_s.append(seconds)
    if pause_s:
        emit(what="the first of them, while the node makes itself ready", ms=round(took_s[0] * 1000, 1))
    del took_s[0]
    emit(
        what="cold Invoke",
        pause_ms=round(pause_s * 1000),
        starts=len(took_s),
        p50_ms=percentile(took_s, 50),
        p99_ms=percentile(took_s, 99),
    )


async def measure_start(options) -> None:
    ready_s, took_s = [], []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder, _node(folder, options) as node:
            ready_s.append(node.ready_s)
            api, began = Lambda(node.url), time.perf_counter()
            status, _answer, _s = await call_once(api.url, api.request("GET", "/2015-03-31/functions", b""))
            assert status == 200
            took_s.append(node.ready_s + time.perf_counter() - began)
    emit(what="start to ready", runs=len(took_s), p50_ms=percentile(ready_s, 50), max_ms=round(max(ready_s) * 1000))
    emit(what="start to first answer", runs=len(took_s), p50_ms=percentile(took_s, 50), max_ms=round(max(took_s) * 1000))


def _node(folder: str, options) -> Node:
    key = f"{KEY.access_key_id}:{KEY.secret}"
    settings = ["--port", "0", "--data", folder, "--root-key", key, "--durability", options.durability]
    return Node("-m", "cumulet.cli", "up", *settings, *([] if options.access_log else ["--quiet"]))


def emit_run(options) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout.strip()
    emit(what="run", commit=commit, durability=options.durability, access_log=options.access_log, python=sys.version.split()[0])


async def main(options) -> None:
    await measure_start(options)
    limit = await measure_limit(options)
    with tempfile.TemporaryDirectory() as folder, _node(folder, options) as node:
        api = Lambda(node.url)
        await measure_cold(api, options, 0.05)
        await measure_cold(api, options, 0.0)
        await measure_warm(api, options, limit)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cold", type=int, default=30)
    parser.add_argument("--durability", choices=["sync", "os"], default="os")
    parser.add_argument("--access-log", action="store_true")
    chosen = parser.parse_args()
    emit_run(chosen)
    run(main(chosen))
