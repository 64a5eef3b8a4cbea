"""A real node: `cumulet up` in a process of its own, on a free port and an empty data folder."""

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

ACCESS_KEY, SECRET = "AKIATESTTESTTESTTEST", "test-secret-test-secret-test-secret-test"
_HOST_STYLE = re.compile(r"http://([a-z0-9]+)\.(lambda-url|execute-api)\.[a-z0-9-]+\.localhost:\d+(/.*)?\Z")


class Node:
    """A running node and clients of it. `lines` is what it printed before it was ready, `log` all of its stderr.
    `prefix` is a command that runs the node's."""

    prefix: tuple[str, ...] = ()

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.options = options
        self.log: list[str] = []
        self.start()

    def start(self) -> None:
        key = ["--root-key", f"{ACCESS_KEY}:{SECRET}"]
        command = [
            *self.prefix,
            sys.executable,
            "-m",
            "cumulet.cli",
            "up",
            "--port",
            "0",
            "--data",
            str(self.data),
            *key,
            *self.options,
            *([] if os.getuid() == 0 else ["--allow-weak-wall"]),
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CUMULET_"))}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        threading.Thread(target=self._keep_log, args=(self.process.stderr,), daemon=True).start()
        assert self.process.stdout is not None
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("ready "):
                self.url = line.split()[1]
                return
        self._ended(10)
        raise AssertionError(f"the node did not start:\n{''.join(self.log)}")

    def _keep_log(self, stream: Any) -> None:
        for line in stream:
            self.log.append(line)
        stream.close()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._ended(30)

    def kill(self) -> None:
        self.process.kill()
        self._ended(10)

    def _ended(self, wait_s: float) -> int:
        try:
            code = self.process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the node did not end:\n{''.join(self.log[-50:])}") from None
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()
        return code

    @property
    def environment(self) -> dict[str, str]:
        """What a shell would export."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_PAGER": "",
        }

    def client(
        self, service: str, region: str = "us-east-1", key: str = ACCESS_KEY, secret: str = SECRET, token: str | None = None
    ):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
        )

    def reachable(self, url: str) -> str:
        """The address of a function or an API in the form that works also where names under localhost do not resolve."""
        match = _HOST_STYLE.match(url)
        return f"{self.url}/_aws/{match[2]}/{match[1]}{match[3] or '/'}" if match else url

    @property
    def netloc(self) -> str:
        return urllib.parse.urlsplit(self.url).netloc


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for all tests of a worker: tests name their resources apart."""
    running = Node(tmp_path_factory.mktemp("node") / "data", "--durability", "os")
    yield running
    assert running.stop() == 0, "".join(running.log[-50:])


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Starts nodes for tests that stop, kill or set up their own: `start_node("--durability", "sync")`."""
    started: list[Node] = []

    def start(*options: str) -> Node:
        running = Node(tmp_path / f"data-{len(started)}", *options)
        started.append(running)
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.stop()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"
