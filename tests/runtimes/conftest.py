import asyncio
import io
import secrets
import sys
import zipfile
from time import time

import pytest

from cumulet.runtimes.contract import Call, FunctionSpec, Launch
from cumulet.runtimes.node_runtimes import NodeRuntimes
from cumulet.runtimes.packages import PackageCache
from cumulet.runtimes.streams import ResponseStream
from cumulet.store.memory import MemoryBlobs

OWN_PYTHON = f"python3.{sys.version_info.minor}"


def zip_of(files, executable=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if name in executable else 0o100644) << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


class Bench:
    """Starts environments of the real runtimes, and keeps what they print."""

    def __init__(self, runtimes, blobs):
        self.runtimes, self.blobs, self.output = runtimes, blobs, bytearray()

    zip_of = staticmethod(zip_of)

    async def start(self, files, *, layers=(), executable=(), **more):
        code = await self.blobs.put(zip_of(files, executable))
        return await self.start_blobs(code, tuple([await self.blobs.put(zip_of(layer)) for layer in layers]), **more)

    async def start_blobs(self, code, layers, *, runtime=OWN_PYTHON, handler="index.handler", init_timeout_s=10.0, **more):
        spec = FunctionSpec(
            region="us-east-1",
            name="f",
            function_id="id",
            runtime=runtime,
            handler=handler,
            code=code,
            layers=layers,
            role="arn:aws:iam::000000000000:role/r",
            log_group="/aws/lambda/f",
            **{
                "account": "000000000000",
                "version": "$LATEST",
                "config_id": secrets.token_hex(4),
                "memory_mb": 256,
                "timeout_s": 10,
            }
            | more,
        )
        launch = Launch(
            id=secrets.token_hex(16),
            log_stream="2026/01/01/[$LATEST]" + "0" * 32,
            endpoint="http://127.0.0.1:1",
            credentials=("AKID", "secret", "token"),
            init_timeout_s=init_timeout_s,
        )
        return await self.runtimes.start(spec, launch, self.output.extend)

    async def run(self, files, event=b"{}", **how):
        """Start, call once, and return the answer."""
        environment = await self.start(files, **how)
        try:
            return await self.call(environment, event)
        finally:
            environment.kill()
            await environment.exited

    async def call(self, environment, event=b"{}", **more):
        call = Call(
            secrets.token_hex(8), event, int(time() * 1000) + 5000, "arn:aws:lambda:us-east-1:000000000000:function:f", **more
        )
        return await environment.invoke(call)

    async def stream(self, environment, event=b"{}"):
        """The answer, and all that was streamed before it."""
        stream = ResponseStream()
        calling = asyncio.ensure_future(self.call(environment, event, stream=stream))
        calling.add_done_callback(lambda _: stream.finish())
        parts = b"".join([part async for part in stream.parts()])
        return await calling, parts


@pytest.fixture
async def bench(tmp_path):
    tmp_path.chmod(0o755)
    blobs = MemoryBlobs()
    runtimes = NodeRuntimes(tmp_path / "run", PackageCache(tmp_path / "code", blobs))
    await runtimes.open()
    yield Bench(runtimes, blobs)
    await runtimes.close()
