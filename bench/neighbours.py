"""What one account's bad behaviour does to another account's calls, on a real node.

    python bench/neighbours.py [--seconds 5] [--hogs cpu,fork,...] [-- options of cumulet up]

The victim calls a small warm function, one call after the other, ten milliseconds apart: alone, then beside each hog. A hog is a
second account whose functions (eight calls at once) do one thing as hard as they can; `overload` instead sends ten times as many
calls as its limit of concurrency lets run. Prints a table and JSON lines; `ratio` is the victim's p99 beside the hog as a share of
its p99 alone, the median of those measured before and after each hog. All share the machine: the hog's client runs at low priority.
"""

import argparse
import asyncio
import base64
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from statistics import median

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


async def measure(victim: Account, seconds: float) -> tuple[list[float], int]:
    """How long each of the victim's calls took, and how many failed."""
    request, took_s, failed = victim.invoke("victim"), [], 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        status, _, seconds_taken = await call_once(victim.url, request)
        took_s.append(seconds_taken)
        failed += status != 200
        await asyncio.sleep(0.01)
    return took_s, failed


async def hog(url: str, key: Key, name: str) -> None:
    """In a process of its own: calls until it is killed."""
    os.nice(10)
    account = Account(url, key)
    while True:
        await load(url, [account.invoke(name)], 10 * CONCURRENCY if name == "overload" else 8, 60)


async def measure_beside(victim: Account, url: str, key: Key, name: str, seconds: float) -> tuple[list[float], int]:
    command = [sys.executable, __file__, "--hog", name, url, key.access_key_id, key.secret]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        await asyncio.sleep(1.5)
        return await measure(victim, seconds)
    finally:
        process.kill()
        process.wait()


async def main(options) -> None:
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
            await measure(victim, 1)
            alone, found = [], {}
            for name in options.hogs:
                alone.append(percentile((await measure(victim, options.seconds / 2))[0], 99))
                found[name] = await measure_beside(victim, node.url, keys[HOG], name, options.seconds)
                await asyncio.sleep(2.5)  # what it left running times out
                alone.append(percentile((await measure(victim, options.seconds / 2))[0], 99))
    told(alone, found)


def told(alone: list[float], found: dict) -> None:
    base_ms = median(alone)
    print(f"{'beside':<10} {'calls':>6} {'failed':>6} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'ratio':>6}")
    print(f"{'nobody':<10} {'':>6} {'':>6} {'':>8} {base_ms:>8.2f} {max(alone):>8.2f} {1.0:>6.2f}")
    for name, (took_s, failed) in found.items():
        p50, p99, most = (percentile(took_s, each) or 0.0 for each in (50, 99, 100))
        print(f"{name:<10} {len(took_s):>6} {failed:>6} {p50:>8.2f} {p99:>8.2f} {most:>8.2f} {p99 / base_ms:>6.2f}")
    emit(what="victim alone", p99_ms=base_ms, all_p99_ms=alone)
    for name, (took_s, failed) in found.items():
        p99 = percentile(took_s, 99)
        about = {"calls": len(took_s), "failed": failed, "p50_ms": percentile(took_s, 50), "p99_ms": p99}
        emit(what=f"victim beside {name}", **about, ratio=round((p99 or 0) / base_ms, 2))


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
