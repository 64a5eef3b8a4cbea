"""Cold starts of a function that imports numpy and pandas: its plain init beside SnapStart's restore, in one run.

    pip install numpy pandas && python bench/snapstart.py [--starts 20]

Both are the same code in the same node; the environment is ended between calls. Prints JSON lines; milliseconds at a raw client.
"""

import argparse
import asyncio
import base64
import importlib.util
import io
import tempfile
import zipfile
from pathlib import Path

from functions import KEY, RUNTIME, Lambda, _node
from http_client import build, call_once, emit, percentile, run

CODE = """
import os
import numpy, pandas
def handler(event, context):
    if event.get("end"):
        os._exit(0)
    return float(pandas.DataFrame({"a": numpy.arange(3)})["a"].sum())
"""
PACKAGES = ("numpy", "pandas", "dateutil", "pytz", "six", "tzdata")


def archive(files: dict[str, bytes]) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return base64.b64encode(buffer.getvalue()).decode()


def installed(name: str) -> dict[str, bytes]:
    """The files of an installed package, and of the shared libraries beside it."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        return {}
    origin = Path(found.origin)
    site = origin.parent.parent if origin.name == "__init__.py" else origin.parent
    roots = [origin.parent, site / f"{name}.libs"] if origin.name == "__init__.py" else [origin]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*")) if path.is_file()]
    wanted = (path for path in files if "__pycache__" not in path.parts and "tests" not in path.parts)
    return {f"python/{path.relative_to(site)}": path.read_bytes() for path in wanted}


async def first_call_ms(api: Lambda, qualifier: str) -> float:
    """End the environment that there may be, and call again."""
    path = f"/2015-03-31/functions/frames/invocations?Qualifier={qualifier}"
    await call_once(api.url, build(api.url + path, "POST", b'{"end":true}', {"content-type": "application/json"}, (KEY, "lambda")))
    await asyncio.sleep(0.3)
    request = build(api.url + path, "POST", b"{}", {"content-type": "application/json"}, (KEY, "lambda"))
    status, answer, seconds = await call_once(api.url, request)
    if status != 200 or b"3.0" not in answer:
        raise SystemExit(f"{status} {answer.decode()}")
    return seconds


async def main(options) -> None:
    with tempfile.TemporaryDirectory() as folder, _node(folder, options) as node:
        api = Lambda(node.url)
        layers = []
        for name in PACKAGES:
            if files := installed(name):
                made = await api.call("POST", f"/2018-10-31/layers/{name}/versions", {"Content": {"ZipFile": archive(files)}})
                layers.append(made["LayerVersionArn"])
        document = {
            "FunctionName": "frames",
            "Runtime": RUNTIME,
            "Handler": "index.handler",
            "Role": "arn:aws:iam::000000000000:role/bench",
            "Code": {"ZipFile": archive({"index.py": CODE.encode()})},
            "Layers": layers[:5],
            "MemorySize": 512,
            "Timeout": 30,
            "SnapStart": {"ApplyOn": "PublishedVersions"},
        }
        await api.call("POST", "/2015-03-31/functions", document)
        version = (await api.call("POST", "/2015-03-31/functions/frames/versions", {}))["Version"]
        for what, qualifier in (("plain init", "%24LATEST"), ("SnapStart", version)):
            took_s = [await first_call_ms(api, qualifier) for _ in range(options.starts + 1)][1:]
            emit(what=what, starts=len(took_s), p50_ms=percentile(took_s, 50), p99_ms=percentile(took_s, 99))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--durability", choices=["sync", "os"], default="os")
    parser.add_argument("--access-log", action="store_true")
    run(main(parser.parse_args()))
