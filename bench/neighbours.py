"""What one account's bad behaviour does to another account's calls, on a real node.

    python bench/neighbours.py [--seconds 5] [--hogs cpu,fork,...] [-- options of cumulet up]

The victim calls a small warm function, one call after the other, ten milliseconds apart: alone, then beside each hog. A hog is a
second account whose functions (eight calls at once) do one thing as hard as they can; `overload` instead sends ten times as many
calls as its limit of concurrency lets run. Prints a table and JSON lines; `ratio` is the victim's p99 beside the hog as a share of
its p99 alone, the median of those measured before and after each hog. `cpu` and `late` are the node's own thread: what it used of a
processor, and for how many milliseconds of a second it waited for one. All share the machine: hogs' clients have a low priority;
the victim's, if root runs this, goes before all else, as if it had a machine of its own.
"""

import argparse
import asyncio
import atexit
import base64
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from cumulet.sandbox import cgroup, kernel
from functions import KEY, RUNTIME
from http_client import Key, Node, build, call_once, emit, load, percentile, run

HOG, VICTIM = "111111111111", "222222222222"
CONCURRENCY = 40
"""What each account may run at once: the limit that `overload` exceeds by ten times."""

HOGS = {
    "cpu": "def handler(event, context):\n    while True:\n        pass\n",
    "fork": """import os
def handler(event, context):
    while True:
        try:
            os.fork()
        except OSError:
            pass
""",
    "memory": "def handler(event, context):\n    kept = []\n    while True:\n        kept.append(bytearray(1 << 20))\n",
    "disk": """def handler(event, context):
    while True:
        with open('/tmp/flood', 'wb') as file:
            for _ in range(256):
                file.write(bytes(1 << 20))
""",
    "log": "def handler(event, context):\n    while True:\n        print('flood ' * 10)\n",
    "lines": "import os\ndef handler(event, context):\n    while True:\n        os.write(1, b'\\n' * 65536)\n",
    "crash": "import os\ndef handler(event, context):\n    os._exit(1)\n",
    "overload": "import time\ndef handler(event, context):\n    time.sleep(0.05)\n    return 'ok'\n",
}
VICTIM_CODE = "def handler(event, context):\n    return sum(range(1000))\n"


class Account:
    """The few operations that are needed, signed for one account."""

    def __init__(self, url: str, key: Key):
        self.url, self.key = url, key

    def request(self, method: str, path: str, body: bytes = b"", service: str = "lambda") -> bytes:
        return build(self.url + path, method, body, {"content-type": "application/json"}, (self.key, service))

    async def call(self, method: str, path: str, document: dict, service: str = "lambda") -> dict:
        status, answer, _ = await call_once(self.url, self.request(method, path, json.dumps(document).encode(), service))
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {answer.decode()}")
        return json.loads(answer or b"{}")

    async def create(self, name: str, code: str, **more) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as made:
            made.writestr("index.py", code)
        fixed = {"Runtime": RUNTIME, "Handler": "index.handler", "Role": f"arn:aws:iam::{HOG}:role/bench"}
        archive = {"ZipFile": base64.b64encode(buffer.getvalue()).decode()}
        await self.call("POST", "/2015-03-31/functions", {"FunctionName": name, "Code": archive, **fixed, **more})

    def invoke(self, name: str) -> bytes:
        return self.request("POST", f"/2015-03-31/functions/{name}/invocations", b"{}")


@dataclass
class Measured:
    """How long each of the victim's calls took, how many failed, and what the node's thread had of a processor meanwhile."""

    took_s: list[float] = field(default_factory=list)
    failed: int = 0
    cpu: float = 0.0
    late_ms: float = 0.0

    def percentile(self, at: float) -> float:
        return percentile(self.took_s, at) or 0.0


def scheduled(pid: int) -> tuple[int, int]:
    """Nanoseconds that a process' first thread ran, and that it could have run."""
    ran, waited, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
    return int(ran), int(waited)


async def measure(victim: Account, node: int, seconds: float) -> Measured:
    request, found = victim.invoke("victim"), Measured()
    began, before = time.perf_counter(), scheduled(node)
    until = began + seconds
    while time.perf_counter() < until:
        status, _, seconds_taken = await call_once(victim.url, request)
        found.took_s.append(seconds_taken)
        found.failed += status != 200
        await asyncio.sleep(0.01)
    after, elapsed_s = scheduled(node), time.perf_counter() - began
    found.cpu, found.late_ms = (after[0] - before[0]) / 1e9 / elapsed_s, (after[1] - before[1]) / 1e6 / elapsed_s
    return found


async def hog(url: str, key: Key, name: str) -> None:
    """In a process of its own: calls until it is killed."""
    if os.getuid() == 0:
        for _, folder in cgroup._v1_parents(("cpu",)):  # out of the victim's
            Path(folder, "cgroup.procs").write_text(str(os.getpid()))
        kernel.set_priority(10, 3000)
    else:
        os.nice(10)
    account = Account(url, key)
    while True:
        await load(url, [account.invoke(name)], 10 * CONCURRENCY if name == "overload" else 8, 60)


async def measure_beside(victim: Account, node: Node, key: Key, name: str, seconds: float) -> Measured:
    command = [sys.executable, __file__, "--hog", name, node.url, key.access_key_id, key.secret]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        await asyncio.sleep(1.5)
        return await measure(victim, node.process.pid, seconds)
    finally:
        process.kill()
        process.wait()


async def main(options) -> None:
    if os.getuid() == 0:
        atexit.register(cgroup.leave_own, cgroup.enter_own())
        kernel.set_priority(-10, 100)
    key = f"{KEY.access_key_id}:{KEY.secret}"
    with tempfile.TemporaryDirectory() as folder:
        limits = Path(folder) / "limits.toml"
        limits.write_text(f"[default]\nconcurrency = {CONCURRENCY}\n")
        settings = ["--port", "0", "--root-key", key, "--durability", "os", "--quiet", "--limits", str(limits), *options.node]
        with Node("-m", "cumulet.cli", "up", "--data", f"{folder}/data", *settings) as node:
            root = Account(node.url, KEY)
            keys = {}
            for account in (HOG, VICTIM):
                made = await root.call("POST", "/_cumulet/keys", {"account": account}, "cumulet")
                keys[account] = Key(made["access_key_id"], made["secret_access_key"])
            attacker, victim = Account(node.url, keys[HOG]), Account(node.url, keys[VICTIM])
            await victim.create("victim", VICTIM_CODE, MemorySize=128)
            for name in options.hogs:
                await attacker.create(name, HOGS[name], MemorySize=512, Timeout=2)
            pid = node.process.pid
            await measure(victim, pid, 1)
            alone, found = [], {}
            for name in options.hogs:
                alone.append(await measure(victim, pid, options.seconds / 2))
                found[name] = await measure_beside(victim, node, keys[HOG], name, options.seconds)
                await asyncio.sleep(2.5)  # what it left running times out
                alone.append(await measure(victim, pid, options.seconds / 2))
    told(alone, found)


def told(alone: list[Measured], found: dict[str, Measured]) -> None:
    p99s = [each.percentile(99) for each in alone]
    base_ms = median(p99s)
    heads = ("calls", "failed", "p50 ms", "p99 ms", "max ms", "ratio", "cpu", "late")
    print(f"{'beside':<10}", *(f"{head:>8}" for head in heads))
    middle = median(each.percentile(50) for each in alone)
    print(f"{'nobody':<10} {'':>8} {'':>8} {middle:>8.2f} {base_ms:>8.2f} {max(p99s):>8.2f} {1.0:>8.2f}", end=" ")
    print(f"{median(each.cpu for each in alone):>8.2f} {median(each.late_ms for each in alone):>8.1f}")
    emit(what="victim alone", p99_ms=base_ms, all_p99_ms=p99s)
    for name, each in found.items():
        p50, p99, most = (each.percentile(at) for at in (50, 99, 100))
        print(f"{name:<10} {len(each.took_s):>8} {each.failed:>8} {p50:>8.2f} {p99:>8.2f} {most:>8.2f}", end=" ")
        print(f"{p99 / base_ms:>8.2f} {each.cpu:>8.2f} {each.late_ms:>8.1f}")
    for name, each in found.items():
        about = {"calls": len(each.took_s), "failed": each.failed, "p50_ms": each.percentile(50), "p99_ms": each.percentile(99)}
        node = {"node_cpu": round(each.cpu, 3), "node_late_ms_per_s": round(each.late_ms, 1)}
        emit(what=f"victim beside {name}", **about, ratio=round(each.percentile(99) / base_ms, 2), **node)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--hogs", type=lambda text: text.split(","), default=list(HOGS))
    parser.add_argument("--hog", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("node", nargs="*", help="more options of cumulet up, after --")
    chosen = parser.parse_args()
    if chosen.hog:
        run(hog(chosen.hog[1], Key(chosen.hog[2], chosen.hog[3]), chosen.hog[0]))
    else:
        run(main(chosen))
