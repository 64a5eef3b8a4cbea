"""Deployed APIs against the bare pipeline and a raw server, in one run: warm functions, the gateway alone, many routes.

    python bench/apis.py [--seconds 4] [--runs 3] [--durability os]

Prints JSON lines. With a function behind, throughput is a share of the bare pipeline (`of_limit`); without one, of the raw server
(`of_raw`); at the same concurrency, the median of the runs. `latency at half load` sends at half the rate that was reached, whether
answers come or not; `cpu_us` is the server process's own CPU time for a request, which a busy machine disturbs least. Compare
figures of one run only.
"""

import argparse
import asyncio
import base64
import json
import os
import tempfile
import time
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from cumulet.gateway.http_api.routes import Routes
from functions import KEY, Lambda, _node, emit_run
from http_client import HERE, Load, Node, build, call_once, emit, load, median_of, percentile, run

CONCURRENCIES = (1, 16, 64)
ARN = "arn:aws:lambda:us-east-1:000000000000:function:hello"


class Gateway:
    """The few operations of both versions that are needed."""

    def __init__(self, node: Node):
        self.node, self.url = node, node.url

    async def call(self, method: str, path: str, document: dict | None = None) -> dict:
        body = json.dumps(document).encode() if document is not None else b""
        request = build(self.url + path, method, body, {"content-type": "application/json"}, (KEY, "apigateway"))
        status, answer, _took_s = await call_once(self.url, request)
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {answer.decode()}")
        return json.loads(answer or b"{}")

    async def http_api(self, version: str = "2.0") -> tuple[str, str]:
        """(id, target of a function) of an API that deploys by itself."""
        api = (await self.call("POST", "/v2/apis", {"name": "bench", "protocolType": "HTTP"}))["apiId"]
        await self.call("POST", f"/v2/apis/{api}/stages", {"stageName": "$default", "autoDeploy": True})
        integration = {"integrationType": "AWS_PROXY", "integrationUri": ARN, "payloadFormatVersion": version}
        made = await self.call("POST", f"/v2/apis/{api}/integrations", integration)
        return api, f"integrations/{made['integrationId']}"

    async def route(self, api: str, key: str, target: str, **more) -> None:
        await self.call("POST", f"/v2/apis/{api}/routes", {"routeKey": key, "target": target, **more})

    async def mock(self) -> str:
        """The path of a REST API's MOCK method."""
        api = await self.call("POST", "/restapis", {"name": "bench"})
        method = f"/restapis/{api['id']}/resources/{api['rootResourceId']}/methods/GET"
        await self.call("PUT", method, {"authorizationType": "NONE"})
        integration = {"type": "MOCK", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
        await self.call("PUT", f"{method}/integration", integration)
        await self.call("PUT", f"{method}/responses/200", {})
        await self.call("PUT", f"{method}/integration/responses/200", {"responseTemplates": {"application/json": '{"ok": 1}'}})
        await self.call("POST", f"/restapis/{api['id']}/deployments", {"stageName": "v1"})
        return f"/_aws/execute-api/{api['id']}/v1/"


def cpu_s(node: Node) -> float:
    """What the server's own process has spent; not its children."""
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(what: str, node: Node, request: bytes, options, **against: dict[int, float]) -> dict[int, float]:
    """Throughput at all concurrencies, and the server's CPU time for a request; `against` are denominators by name."""
    status = (await call_once(node.url, request))[0]
    found = {}
    for concurrency in CONCURRENCIES:
        await load(node.url, [request], concurrency, min(1, options.seconds), status=status)
        runs: list[Load] = []

        async def once(concurrency=concurrency, runs=runs) -> Load:
            runs.append(await load(node.url, [request], concurrency, options.seconds, status=status))
            return runs[-1]

        before_s = cpu_s(node)
        told = await median_of(options.runs, once)
        spent_us = (cpu_s(node) - before_s) / max(1, sum(len(each.took_s) for each in runs)) * 1e6
        found[concurrency] = told["per_s"]
        shares = {name: round(told["per_s"] / known[concurrency], 3) for name, known in against.items()}
        emit(what=what, status=status, concurrency=concurrency, **told, cpu_us=round(spent_us, 1), **shares)
    return found


class Paced(asyncio.Protocol):
    """One connection that answers are awaited on in order; requests go out when they are due."""

    def __init__(self, took_s: list[float]):
        self.took_s, self.due, self.buffer = took_s, deque(), b""

    def connection_made(self, transport):
        self.transport = transport

    def send(self, request: bytes) -> None:
        self.due.append(time.perf_counter())
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            at = self.buffer[:end].lower().find(b"content-length:")
            whole = end + 4 + int(self.buffer[at + 15 : end].split(b"\r\n", 1)[0])
            if len(self.buffer) < whole:
                return
            self.buffer = self.buffer[whole:]
            self.took_s.append(time.perf_counter() - self.due.popleft())


async def measure_half_load(what: str, url: str, request: bytes, per_s: float, seconds: float) -> None:
    """Latencies while requests come evenly at a rate, over 64 connections."""
    parts, loop, took_s = urlsplit(url), asyncio.get_running_loop(), []
    made = [await loop.create_connection(lambda: Paced(took_s), parts.hostname, parts.port) for _ in range(64)]
    started, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - started) < seconds:
        while sent < now * per_s:
            made[sent % len(made)][1].send(request)
            sent += 1
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.5)
    for transport, _client in made:
        transport.close()
    emit(what=f"{what}: latency at half load", per_s=round(per_s), answered=len(took_s), sent=sent, p50_ms=percentile(took_s, 50),
         p99_ms=percentile(took_s, 99))  # fmt: skip


def measure_routing() -> None:
    """Finding a route among more and more of them, without HTTP."""
    for count in (20, 200, 2000, 20000):
        routes = Routes((f"GET /v1/group{at % 40}/thing{at}/{{id}}", at) for at in range(count))
        paths = [f"/v1/group{at % 40}/thing{at}/7" for at in range(0, count, max(1, count // 20))]
        started = time.perf_counter()
        for _ in range(2000):
            for path in paths:
                routes.match(path, "GET")
        emit(what="routing", routes=count, us=round((time.perf_counter() - started) / 2000 / len(paths) * 1e6, 3))


async def measure_many_routes(gateway: Gateway, options, limit: dict[int, float]) -> None:
    api, target = await gateway.http_api()
    started = time.perf_counter()
    for at in range(options.routes):
        await gateway.route(api, f"GET /v1/thing{at}/{{id}}", target)
    emit(what="making routes", routes=options.routes, per_s=round(options.routes / (time.perf_counter() - started)))
    path = f"/_aws/execute-api/{api}/v1/thing{options.routes - 1}/7"
    await measure(
        f"HTTP API -> function, {options.routes} routes", gateway.node, build(gateway.url + path), options, of_limit=limit
    )


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_token(claims: dict, key: ec.EllipticCurvePrivateKey) -> str:
    """By hand: a file of this folder has the name of a standard module that token libraries import."""
    text = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "ES256", "kid": "k"}, claims))
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{base64url(r.to_bytes(32) + s.to_bytes(32))}"


async def measure_tokens(gateway: Gateway, options, raw: dict[int, float]) -> None:
    """A token checked, and nothing behind."""
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    document = {
        "kty": "EC",
        "crv": "P-256",
        "kid": "k",
        "x": base64url(numbers.x.to_bytes(32)),
        "y": base64url(numbers.y.to_bytes(32)),
    }

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"keys": [document]} if b"/keys" in head else {"jwks_uri": f"{issuer}/keys"}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    api, _target = await gateway.http_api()
    configuration = {"issuer": issuer, "audience": ["a"]}
    authorizer = {"name": "j", "authorizerType": "JWT", "identitySource": ["$request.header.Authorization"]}
    made = await gateway.call("POST", f"/v2/apis/{api}/authorizers", authorizer | {"jwtConfiguration": configuration})
    guarded = {"routeKey": "GET /x", "authorizationType": "JWT", "authorizerId": made["authorizerId"]}
    await gateway.call("POST", f"/v2/apis/{api}/routes", guarded)
    token = signed_token({"iss": issuer, "aud": "a", "exp": int(time.time()) + 3600}, key)
    request = build(f"{gateway.url}/_aws/execute-api/{api}/x", headers={"authorization": f"Bearer {token}"})
    await measure("HTTP API, ES256 token checked, no integration", gateway.node, request, options, of_raw=raw)
    server.close()


async def main(options) -> None:
    measure_routing()
    with Node(str(HERE / "limit.py")) as node:
        limit = await measure("bare pipeline", node, build(node.url + "/"), options)
    with Node(str(HERE / "raw_server.py")) as node:
        raw = await measure("raw server", node, build(node.url + "/"), options)
    with tempfile.TemporaryDirectory() as folder, _node(folder, options) as node:
        gateway = Gateway(node)
        await Lambda(node.url).create("hello")
        for version in ("2.0", "1.0"):
            api, target = await gateway.http_api(version)
            await gateway.route(api, "GET /hello", target)
            request = build(f"{node.url}/_aws/execute-api/{api}/hello")
            what = f"HTTP API -> function, format {version}"
            reached = await measure(what, node, request, options, of_limit=limit)
            await measure_half_load(what, node.url, request, reached[16] / 2, options.seconds)
        await measure("HTTP API, no route", node, build(f"{node.url}/_aws/execute-api/{api}/none"), options, of_raw=raw)
        await measure_tokens(gateway, options, raw)
        await measure("REST API, MOCK", node, build(node.url + await gateway.mock()), options, of_raw=raw)
        if options.routes:
            await measure_many_routes(gateway, options, limit)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--routes", type=int, default=2000)
    parser.add_argument("--durability", choices=["sync", "os"], default="os")
    parser.add_argument("--access-log", action="store_true")
    chosen = parser.parse_args()
    emit_run(chosen)
    run(main(chosen))
