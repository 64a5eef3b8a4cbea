"""How much an idle node holds: environments that wait for their next call, and functions that nobody calls.

    python bench/density.py [--environments 2000] [--functions 10000]

Prints JSON lines: private memory of an idle Python environment (what it alone adds, from /proc/PID/smaps_rollup), the memory
and the processes of a node with many deployed functions, and how long that node takes from its start to the first answer of
one of them.
"""

import argparse
import asyncio
import base64
import io
import tempfile
import time
import zipfile
from pathlib import Path

from functions import KEY, RUNTIME, Lambda
from http_client import Node, call_once, emit, percentile, run

SLEEPER = "import time\ndef handler(event, context):\n    time.sleep(event['seconds'])\n    return 'slept'\n"
HELLO = "def handler(event, context):\n    return 'hello'\n"


def archive_of(code: str) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(zipfile.ZipInfo("index.py"), code)
    return base64.b64encode(buffer.getvalue()).decode()


def start_node(folder: str, *more: str) -> Node:
    key = f"{KEY.access_key_id}:{KEY.secret}"
    return Node(
        "-m", "cumulet.cli", "up", "--data", folder, "--port", "0", "--root-key", key, "--durability", "os", "--quiet", *more
    )


async def create(api: Lambda, name: str, code: str) -> None:
    role = "arn:aws:iam::000000000000:role/bench"
    document = {"FunctionName": name, "Runtime": RUNTIME, "Handler": "index.handler", "Role": role, "Code": {"ZipFile": code}}
    await api.call("POST", "/2015-03-31/functions", document | {"Timeout": 60})


def tree_of(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, at = [pid], 0
    while at < len(found):
        found += children.get(found[at], [])
        at += 1
    return found


def memory_kb(pids: list[int], *names: str) -> int:
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.split(":")[0] in names)
    return total


async def measure_environments(count: int) -> None:
    # Until one call has ended, each environment counts for 64 MB.
    room = ("--account-concurrency", str(count + 100), "--memory-budget-mb", str(count * 72))
    with tempfile.TemporaryDirectory() as folder, start_node(folder, *room) as node:
        api = Lambda(node.url)
        await create(api, "sleeper", archive_of(SLEEPER))
        seconds = max(2.0, count / 100)
        request = api.request("POST", "/2015-03-31/functions/sleeper/invocations", b'{"seconds": %f}' % seconds)
        before = set(tree_of(node.process.pid))
        began = time.perf_counter()
        answers = await asyncio.gather(*(call_once(api.url, request) for _ in range(count)), return_exceptions=True)
        answered = sum(1 for each in answers if not isinstance(each, BaseException) and each[0] == 200)
        wall_s = time.perf_counter() - began
        added = [pid for pid in tree_of(node.process.pid) if pid not in before]
        private_kb = memory_kb(added, "Private_Clean", "Private_Dirty")
        shared_kb = memory_kb(added, "Pss")
        emit(
            what="idle environments",
            asked=count,
            answered=answered,
            seconds=round(wall_s, 1),
            processes=len(added),
            private_mb_each=round(private_kb / 1024 / max(1, answered), 2),
            pss_mb_each=round(shared_kb / 1024 / max(1, answered), 2),
        )


async def measure_functions(count: int) -> None:
    code = archive_of(HELLO)
    with tempfile.TemporaryDirectory() as folder:
        with start_node(folder) as node:
            api = Lambda(node.url)
            await create(api, "first", code)
            began = time.perf_counter()
            for at in range(0, count, 16):
                await asyncio.gather(*(create(api, f"f-{number}", code) for number in range(at, min(at + 16, count))))
            emit(what="functions created", count=count, per_s=round(count / (time.perf_counter() - began)))
        took_s = []
        for number in range(3):
            with start_node(folder) as node:
                api = Lambda(node.url)
                began = time.perf_counter()
                status, _answer, _s = await call_once(api.url, api.invoke(f"f-{number}"))
                took_s.append(node.ready_s + time.perf_counter() - began)
                await asyncio.sleep(1)
                pids = tree_of(node.process.pid)
                emit(
                    what="idle functions",
                    count=count,
                    status=status,
                    ready_ms=round(node.ready_s * 1000),
                    processes=len(pids),
                    node_pss_mb=round(memory_kb([node.process.pid], "Pss") / 1024),
                    tree_pss_mb=round(memory_kb(pids, "Pss") / 1024),
                )
        emit(what="start to first answer", functions=count, p50_ms=percentile(took_s, 50))


async def main(options) -> None:
    if options.environments:
        await measure_environments(options.environments)
    if options.functions:
        await measure_functions(options.functions)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=int, default=2000)
    parser.add_argument("--functions", type=int, default=10_000)
    run(main(parser.parse_args()))
