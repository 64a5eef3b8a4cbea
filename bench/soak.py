"""A node under load for a long time, while its parts are killed at random: does anything leak, is anything acknowledged lost?

    python bench/soak.py [--minutes 30] [--rounds 5] [--seed 1]

Synchronous calls go on all the time and asynchronous events are sent at a steady rate. Every few seconds something is ended
by SIGKILL: an environment, a zygote, or the node itself, which is then started again on its data. An event's proof is a
record that its function writes through the node's own API before it returns. Prints JSON lines, one a minute and a verdict:
the acknowledged events that never ran; and before it, what the node holds of descriptors, processes, control groups, mounts, files
and memory when it is idle, after each of some minutes of calls.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import random
import signal
import socket
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

from density import memory_kb, tree_of
from functions import KEY, RUNTIME, Lambda
from http_client import Node, build, call_once, emit, run

GROUP, STREAM = "/soak", "proofs"
PROOF = """
import os, time
import boto3
logs = boto3.client("logs")
def handler(event, context):
    at = int(time.time() * 1000)
    logs.put_log_events(logGroupName="/soak", logStreamName="proofs", logEvents=[{"timestamp": at, "message": event["id"]}])
"""
MIXED = """
import os, threading
def handler(event, context):
    kind = event.get("kind")
    if kind == "exit":
        os._exit(3)
    if kind == "fork" and os.fork() == 0:
        os.setsid(); threading.Event().wait()
    if kind == "files":
        open("/tmp/file", "wb").write(b"x" * 1_000_000)
    return kind
"""
KINDS = ("plain", "plain", "plain", "plain", "exit", "fork", "files")
EVENTS_PER_S = 5.0


class Soak:
    """One node, restarted when it is killed, and all that is known of what it said."""

    def __init__(self, folder: str, port: int, seed: int) -> None:
        self.folder, self.port = folder, port
        self.random = random.Random(seed)
        self.acknowledged: list[str] = []
        self.counts: Counter[str] = Counter()
        self.is_over = False
        self.pids: list[int] = []
        self.start()

    def start(self) -> None:
        key = f"{KEY.access_key_id}:{KEY.secret}"
        options = ["--port", str(self.port), "--data", self.folder, "--root-key", key, "--durability", "os", "--quiet"]
        self.node = Node("-m", "cumulet.cli", "up", *options)
        self.pids.append(self.node.process.pid)
        self.api = Lambda(self.node.url)

    async def deploy(self) -> None:
        for name, code, memory_mb in (("proof", PROOF, 256), ("mixed", MIXED, 128)):
            await self.api.call("POST", "/2015-03-31/functions", _function(name, code, memory_mb))
        for operation, document in (
            ("CreateLogGroup", {"logGroupName": GROUP}),
            ("CreateLogStream", {"logGroupName": GROUP, "logStreamName": STREAM}),
        ):
            await self.logs(operation, document)

    async def logs(self, operation: str, document: dict) -> dict:
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"Logs_20140328.{operation}"}
        request = build(self.node.url + "/", "POST", json.dumps(document).encode(), headers, (KEY, "logs"))
        status, body, _s = await call_once(self.node.url, request)
        if status != 200:
            raise SystemExit(f"{operation}: {status} {body.decode()}")
        return json.loads(body)

    async def call_for_ever(self) -> None:
        while not self.is_over:
            document = json.dumps({"kind": self.random.choice(KINDS)}).encode()
            request = self.api.request("POST", "/2015-03-31/functions/mixed/invocations", document)
            await self._send(request, "calls")
            await asyncio.sleep(self.random.random() * 0.05)

    async def send_events(self) -> None:
        number = 0
        while not self.is_over:
            number += 1
            name = f"event-{number}"
            request = build(
                f"{self.node.url}/2015-03-31/functions/proof/invocations",
                "POST",
                json.dumps({"id": name}).encode(),
                {"content-type": "application/json", "x-amz-invocation-type": "Event"},
                (KEY, "lambda"),
            )
            if await self._send(request, "events") == 202:
                self.acknowledged.append(name)
            await asyncio.sleep(1 / EVENTS_PER_S)

    async def _send(self, request: bytes, what: str) -> int:
        try:
            async with asyncio.timeout(30):
                status, _body, _s = await call_once(self.node.url, request)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.counts[f"{what}: {type(error).__name__}"] += 1
            await asyncio.sleep(0.1)
            return 0
        self.counts[f"{what}: {status}"] += 1
        return status

    async def kill_for_ever(self) -> None:
        while not self.is_over:
            await asyncio.sleep(self.random.uniform(2, 8))
            if self.is_over:
                return
            tree = tree_of(self.node.process.pid)[1:]
            if self.random.random() < 0.1:
                self.node.process.kill()
                self.node.process.wait()
                self.counts["killed: node"] += 1
                await asyncio.to_thread(self.start)
            elif tree:
                victim = self.random.choice(tree)
                self.counts["killed: " + ("zygote" if victim in tree[:2] else "environment")] += 1
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)

    async def settle(self) -> None:
        """Wait until every acknowledged event has run, for at most ten minutes: a retry comes after one and two minutes."""
        self.is_over = True
        for _ in range(600):
            missing = set(self.acknowledged) - await self.proven()
            if not missing:
                return
            await asyncio.sleep(1)

    async def proven(self) -> set[str]:
        found: set[str] = set()
        document: dict = {"logGroupName": GROUP}
        while True:
            page = await self.logs("FilterLogEvents", document)
            found |= {event["message"] for event in page["events"]}
            if "nextToken" not in page:
                return found
            document["nextToken"] = page["nextToken"]

    def held(self) -> dict[str, int]:
        """What the node has now, environments left out: they come and go."""
        pid = self.node.process.pid
        return {
            "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
            "processes": len(tree_of(pid)),
            "groups": _groups([pid]),
            "mounts": len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines()),
            "files": sum(len(files) for place in ("run", "spool") for _, _, files in os.walk(f"{self.folder}/{place}")),
            "links": _links(self.pids),
            "memory_mb": memory_kb([pid], "Pss") // 1024,
        }


def _function(name: str, code: str, memory_mb: int) -> dict:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(zipfile.ZipInfo("index.py"), code)
    return {
        "FunctionName": name,
        "Runtime": RUNTIME,
        "Handler": "index.handler",
        "Role": "arn:aws:iam::000000000000:role/bench",
        "Code": {"ZipFile": base64.b64encode(buffer.getvalue()).decode()},
        "Timeout": 20,
        "MemorySize": memory_mb,
    }


def _groups(pids: list[int]) -> int:
    """Control groups of the nodes with those process ids."""
    names = tuple(f"/cumulet-{pid}-" for pid in pids)
    return sum(1 for root, _, _ in os.walk("/sys/fs/cgroup") if any(name in root for name in names))


def _links(pids: list[int]) -> int:
    """Network links of nodes, in the machine's own network namespace."""
    return sum(Path(f"/sys/class/net/cu{pid}").exists() for pid in pids)


def _temporary() -> int:
    """Entries of the machine's folder for temporary files that could be a node's. Others may use it too."""
    return len([path for path in Path(tempfile.gettempdir()).glob("*") if "cumulet" in path.name])


async def _idle(soak: Soak) -> dict[str, int]:
    """What is held when nothing has run for a while: functions are retired by a change of their configuration."""
    for name in ("mixed", "proof"):
        document = {"Description": str(time.time())}
        await soak.api.call("PUT", f"/2015-03-31/functions/{name}/configuration", document)
    await asyncio.sleep(5)
    return soak.held()


async def _calls(soak: Soak, seconds: float) -> None:
    soak.is_over = False
    callers = [asyncio.create_task(soak.call_for_ever()) for _ in range(4)]
    await asyncio.sleep(seconds)
    soak.is_over = True
    await asyncio.gather(*callers)


async def main(options) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        before = _temporary()
        soak = Soak(folder, port, options.seed)
        try:
            await soak.deploy()
            callers = [asyncio.create_task(soak.call_for_ever()) for _ in range(4)] + [asyncio.create_task(soak.send_events())]
            await asyncio.sleep(20)
            killer = asyncio.create_task(soak.kill_for_ever())
            until = time.monotonic() + options.minutes * 60
            while time.monotonic() < until:
                await asyncio.sleep(min(60, max(0, until - time.monotonic())))
                emit(what="minute", **dict(sorted(soak.counts.items())), acknowledged=len(soak.acknowledged))
            soak.is_over = True
            await asyncio.gather(*callers, killer)
            await soak.settle()
            lost = set(soak.acknowledged) - await soak.proven()
            soak.node.process.kill()  # the last one: what it held must be swept by the next
            soak.node.process.wait()
            await asyncio.to_thread(soak.start)
            for _ in range(options.rounds):
                await _calls(soak, 60)
                emit(what="held when idle", calls=soak.counts["calls: 200"], **await _idle(soak))
            emit(what="verdict", lost=sorted(lost), acknowledged=len(soak.acknowledged))
        finally:
            soak.node.__exit__()
        left = {
            "groups": _groups(soak.pids),
            "links": _links(soak.pids),
            "runs_on": len(_survivors(folder)),
            "temporary_files": _temporary() - before,
        }
        emit(what="after the end", nodes=len(soak.pids), **left)


def _survivors(folder: str) -> list[int]:
    """Processes that still name the data folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "mountinfo").read_bytes()
            except OSError:
                continue
            if folder.encode() in text:
                found.append(int(entry.name))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument(
        "--rounds", type=int, default=5, help="minutes of calls at the end, after each of which is counted what is held"
    )
    parser.add_argument("--seed", type=int, default=1)
    run(main(parser.parse_args()))
