"""The AWS SDK for JavaScript v3, unmodified, drives a node."""

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

JS = Path(__file__).parent / "js"


@pytest.mark.skipif(
    not shutil.which("node") or not (JS / "node_modules" / "@aws-sdk").is_dir(),
    reason="no Node.js, or the SDK is not installed in tests/e2e/js",
)
def test_the_javascript_sdk_creates_calls_publishes_and_deletes(node, tmp_path):
    archives = []
    for word in ("first", "second"):
        path = tmp_path / f"{word}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(
                zipfile.ZipInfo("index.mjs"), f"export const handler = async (event) => ({{ word: {word!r}, n: event.n + 1 }});"
            )
        archives.append(str(path))
    done = subprocess.run(
        ["node", "acceptance.mjs", *archives],
        cwd=JS,
        env=os.environ | node.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said == {
        "account": "000000000000",
        "first": {"body": {"word": "first", "n": 2}, "version": "$LATEST"},
        "published": "1",
        "second": {"body": {"word": "second", "n": 2}, "version": "$LATEST"},
        "live": {"body": {"word": "first", "n": 2}, "version": "1"},
        "gone": 404,
    }
