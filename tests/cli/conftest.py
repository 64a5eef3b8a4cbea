"""The command line, run as a person runs it: processes of their own, against a real node."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from real_node import Node, name, start_node  # noqa: F401  (fixtures)


class Cumulet:
    """`cumulet` with a node's address in the environment, or with none at all."""

    def __init__(self, node: Node | None, data: Path) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CUMULET_"))}
        self.environment = kept | {"CUMULET_DATA": str(data)} | (node.environment if node else {})

    def __call__(self, *arguments: str, code: int = 0, text: str = "") -> str:
        """What it printed; `code` is the exit code that is expected."""
        command = [sys.executable, "-m", "cumulet.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, input=text, timeout=120)
        assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def json(self, *arguments: str, code: int = 0):
        return json.loads(self(*arguments, "--json", code=code))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    running = Node(tmp_path_factory.mktemp("cli") / "data", "--durability", "os")
    yield running
    assert running.stop() == 0


@pytest.fixture
def cumulet(node: Node, tmp_path: Path) -> Cumulet:
    return Cumulet(node, tmp_path / "nothing")


@pytest.fixture
def lost(tmp_path: Path) -> Cumulet:
    """With no node to be found."""
    return Cumulet(None, tmp_path / "nothing")
