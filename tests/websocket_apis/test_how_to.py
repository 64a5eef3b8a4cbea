"""The how-to page, followed to the letter: its files, its commands in a shell with the AWS CLI, its client."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "websocket-chat.md"


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.slow
def test_the_page_leads_to_a_chat(node, tmp_path):
    (tmp_path / "chat.py").write_text(blocks("python")[0])
    script = "\n".join(blocks("sh")).replace("python3.11", f"python3.{sys.version_info.minor}")
    here = Path(sys.executable).parent
    environment = node.environment | {"PATH": f"{here}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    run = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    path = done.stdout.split()[-1].removeprefix("ws://127.0.0.1:4566")
    with connect("ws://" + node.netloc + path) as one, connect("ws://" + node.netloc + path) as other:
        one.send("help")
        assert "say" in one.recv(timeout=30)
        other.send('{"action": "say", "text": "hello"}')
        assert one.recv(timeout=30) == other.recv(timeout=30) == "hello"
