"""A prison: the real runtimes in a thread of their own, in which hostile code runs as functions of two accounts."""

import asyncio
import io
import json
import secrets
import sys
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from cumulet.runtimes.contract import Call, EnvironmentLost, FunctionSpec, Launch
from cumulet.runtimes.networks import Networks
from cumulet.runtimes.node_runtimes import NodeRuntimes
from cumulet.runtimes.packages import PackageCache
from cumulet.store.memory import MemoryBlobs

PRELUDE = Path(__file__).with_name("prelude.py").read_text()
CANARY = "CANARY-" + secrets.token_hex(16)
"""A secret of the node's: in its memory, its environment and its files."""


@dataclass
class Outcome:
    """What came of a call: what it answered, or how the environment ended."""

    answer: object = None
    error: str | None = None
    exit: object = None


class Inmate:
    """One environment."""

    def __init__(self, prison, environment):
        self.prison, self.environment = prison, environment

    @property
    def group(self):
        return dict(self.environment._tree._group)

    def call(self, event=None, wait_s=60):
        return self.prison.wait(self._call(event, wait_s))

    async def _call(self, event, wait_s):
        call = Call(secrets.token_hex(8), json.dumps(event).encode(), int((time.time() + wait_s) * 1000), "arn")
        try:
            answer = await asyncio.wait_for(self.environment.invoke(call), wait_s)
        except EnvironmentLost as lost:
            return Outcome(exit=lost.exit)
        except TimeoutError:
            self.environment.kill()
            return Outcome(error="timeout")
        return Outcome(json.loads(answer.payload), answer.error_type)

    def kill(self):
        """How long it took until all was gone, in seconds."""

        async def ended():
            started = time.monotonic()
            self.environment.kill()
            await asyncio.wait_for(asyncio.shield(self.environment.exited), 20)
            return time.monotonic() - started

        return self.prison.wait(ended())


class Prison:
    def __init__(self, folder):
        self.folder = folder
        self.output = bytearray()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.blobs = MemoryBlobs()
        (folder / "store").mkdir()
        (folder / "store" / "keys").write_text(CANARY)
        self.runtimes = self.wait(self._open())

    async def _open(self):
        runtimes = NodeRuntimes(self.folder / "run", PackageCache(self.folder / "code", self.blobs), networks=Networks("platform"))
        await runtimes.open()
        return runtimes

    def wait(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def start(
        self, code, *, account="000000000000", memory_mb=256, ephemeral_mb=512, files=(), variables=None, function_id="probe"
    ):
        return self.wait(self._start(code, account, memory_mb, ephemeral_mb, dict(files), variables or {}, function_id))

    async def _start(self, code, account, memory_mb, ephemeral_mb, files, variables, function_id):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as made:
            for name, data in {"index.py": PRELUDE + code, **files}.items():
                made.writestr(name, data)
        spec = FunctionSpec(
            account=account,
            region="us-east-1",
            name="probe",
            function_id=function_id,
            version="$LATEST",
            config_id=secrets.token_hex(4),
            runtime=f"python3.{sys.version_info.minor}",
            handler="index.handler",
            code=await self.blobs.put(archive.getvalue()),
            role=f"arn:aws:iam::{account}:role/r",
            memory_mb=memory_mb,
            ephemeral_mb=ephemeral_mb,
            timeout_s=60,
            environment=variables,
        )
        launch = Launch(secrets.token_hex(16), "stream", "http://127.0.0.1:1", ("AKID", "secret", "token"))
        return Inmate(self, await self.runtimes.start(spec, launch, self.output.extend))

    def run(self, code, event=None, **how):
        """One call in an environment of its own; `code` defines `handler(event, context)`."""
        inmate = self.start(code, **how)
        try:
            return inmate.call(event)
        finally:
            inmate.kill()

    def ask(self, expression, **how):
        """What an expression is worth inside."""
        outcome = self.run(f"def handler(event, context):\n    return {expression}\n", **how)
        assert outcome.error is None and outcome.exit is None, outcome
        return outcome.answer

    def close(self):
        group = self.runtimes._group
        self.wait(self.runtimes.close())
        assert not [folder for _, folder in group if Path(folder).exists()], "a control group was left behind"
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="session")
def prison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prison")
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY", CANARY)
        made = Prison(folder)
        yield made
        made.close()


@pytest.fixture
def start(prison):
    """Like the prison's, and everyone is ended with the test."""
    started = []

    def begin(code, **how):
        started.append(prison.start(code, **how))
        return started[-1]

    yield begin
    for inmate in started:
        inmate.kill()
