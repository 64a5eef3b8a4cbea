"""The unmodified AWS CLI, as a newcomer's first hour goes."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest

AWS = Path(sys.executable).parent / "aws"
PYTHON = f"python3.{sys.version_info.minor}"

pytestmark = pytest.mark.skipif(not AWS.exists() and not shutil.which("aws"), reason="no AWS CLI")


@pytest.fixture
def aws(node, tmp_path):
    command = str(AWS if AWS.exists() else shutil.which("aws"))
    environment = os.environ | node.environment | {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}

    def run(*arguments: str) -> dict:
        done = subprocess.run(
            [command, *arguments, "--output", "json"], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else {}

    run.command, run.environment = command, environment
    return run


def _archive(path: Path, text: str) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), text)
    return f"fileb://{path}"


def _has_logs_tail(aws) -> bool:
    """`logs tail` came with version 2, which is not on PyPI."""
    return subprocess.run([aws.command, "--version"], capture_output=True, text=True).stdout.startswith("aws-cli/2")


def _follow(aws, name: str, invoke) -> None:
    # `aws logs tail` is in version 2 of the AWS CLI alone, which PyPI does not have; it asks for the same operation.
    events = aws("logs", "filter-log-events", "--log-group-name", f"/aws/lambda/{name}", "--filter-pattern", '"hello from"')[
        "events"
    ]
    assert [event["message"] for event in events] == ["hello from cli", "hello from None"]
    following = subprocess.Popen(
        [sys.executable, "-m", "cumulet.cli", "logs", name, "--follow"],
        env=aws.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert following.stdout is not None
        time.sleep(2)
        invoke()
        assert any("hello from follower" in line for line in following.stdout), following.stderr.read()
    finally:
        following.terminate()
        following.communicate()


@pytest.mark.slow
def test_from_a_role_to_a_tailed_log(node, aws, name, tmp_path):
    assert aws("sts", "get-caller-identity")["Account"] == "000000000000"
    (tmp_path / "trust.json").write_text('{"Version": "2012-10-17", "Statement": []}')
    role = aws("iam", "create-role", "--role-name", name, "--assume-role-policy-document", "file://trust.json")["Role"]["Arn"]

    text = "def handler(event, context):\n    print('hello from', event.get('who'))\n    return {'statusCode': 200, 'body': %r}\n"
    chosen = ["--runtime", PYTHON, "--handler", "index.handler", "--role", role]
    function = ["--function-name", name]
    aws("lambda", "create-function", *function, *chosen, "--zip-file", _archive(tmp_path / "1.zip", text % "one"))
    aws("lambda", "wait", "function-active-v2", *function)
    payload = ["--payload"]
    told = aws("lambda", "invoke", *function, *payload, '{"who": "cli"}', "out.json")
    assert (told["StatusCode"], json.loads((tmp_path / "out.json").read_text())["body"]) == (200, "one")

    assert aws("lambda", "publish-version", *function)["Version"] == "1"
    aws("lambda", "update-function-code", *function, "--zip-file", _archive(tmp_path / "2.zip", text % "two"))
    aws("lambda", "wait", "function-updated-v2", *function)
    assert aws("lambda", "publish-version", *function)["Version"] == "2"
    routing = "AdditionalVersionWeights={2=0.5}"
    aws("lambda", "create-alias", *function, "--name", "live", "--function-version", "1", "--routing-config", routing)
    assert aws("lambda", "get-alias", *function, "--name", "live")["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.5}}

    url = aws("lambda", "create-function-url-config", *function, "--auth-type", "NONE")["FunctionUrl"]
    with urllib.request.urlopen(node.reachable(url), timeout=20) as answer:
        assert answer.read() == b"two"

    if _has_logs_tail(aws):
        _follow(aws, name, lambda: aws("lambda", "invoke", *function, *payload, '{"who": "follower"}', "out.json"))
    found = aws("logs", "filter-log-events", "--log-group-name", f"/aws/lambda/{name}", "--filter-pattern", "hello")
    assert "hello from cli" in [event["message"].rstrip() for event in found["events"]]
    aws("lambda", "delete-function", *function)
    aws("iam", "delete-role", "--role-name", name)
