"""Runs a folder's `index.handler` once in a real environment and prints what it answers: a process of its own for the probes."""

import asyncio
import io
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from cumulet.runtimes.contract import Call, FunctionSpec, Launch
from cumulet.runtimes.node_runtimes import NodeRuntimes
from cumulet.runtimes.packages import PackageCache
from cumulet.store.memory import MemoryBlobs


async def main(folder: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        blobs = MemoryBlobs()
        runtimes = NodeRuntimes(Path(scratch) / "run", PackageCache(Path(scratch) / "code", blobs))
        await runtimes.open()
        try:
            spec = FunctionSpec(
                "000000000000",
                "us-east-1",
                "probe",
                "id",
                "$LATEST",
                "c",
                f"python3.{sys.version_info.minor}",
                "index.handler",
                await blobs.put(buffer.getvalue()),
                "arn:aws:iam::000000000000:role/r",
                memory_mb=256,
            )
            launch = Launch("0" * 32, "stream", "http://127.0.0.1:1", ("AKID", "secret", "token"))
            environment = await runtimes.start(spec, launch, sys.stderr.buffer.write)
            answer = await environment.invoke(Call("id", b"{}", int(time.time() * 1000) + 60_000, "arn"))
            print(answer.payload.decode())
        finally:
            await runtimes.close()


asyncio.run(main(Path(sys.argv[1])))
