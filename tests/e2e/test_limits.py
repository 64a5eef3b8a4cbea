"""Limits of accounts on a real node, seen through boto3; and that what is provisioned stays so."""

import base64
import io
import json
import os
import subprocess
import sys
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

SMALL = "111122223333"


def _create(lambdas, name, code="def handler(event, context):\n    return event\n", **more):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", code)
    role = f"arn:aws:iam::{SMALL}:role/any"
    runtime = f"python3.{sys.version_info.minor}"
    return lambdas.create_function(
        FunctionName=name, Runtime=runtime, Handler="index.handler", Role=role, Code={"ZipFile": buffer.getvalue()}, **more
    )


def _code(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]["Code"]


@pytest.fixture
def limited(start_node, tmp_path):
    """A node with a small account, and that account's clients."""
    limits = tmp_path / "limits.toml"
    limits.write_text(
        f"[accounts.{SMALL}]\nconcurrency = 2\nfunctions = 2\ncode_bytes = 1000\nrequests_per_s = 20\nrequest_burst = 60\n"
    )
    node = start_node("--durability", "os", "--limits", str(limits))
    body = json.dumps({"account": SMALL}).encode()
    request = AWSRequest("POST", node.url + "/_cumulet/keys", {"Content-Type": "application/json"}, body)
    credentials = Credentials(node.environment["AWS_ACCESS_KEY_ID"], node.environment["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(credentials, "cumulet", "us-east-1").add_auth(request)
    sent = urllib.request.Request(request.url, request.body, dict(request.headers))
    with urllib.request.urlopen(sent) as answer:
        made = json.load(answer)
    return node, node.client("lambda", key=made["access_key_id"], secret=made["secret_access_key"])


def test_limits_of_an_account_are_its_own(limited):
    node, small = limited
    settings = small.get_account_settings()["AccountLimit"]
    assert (settings["ConcurrentExecutions"], settings["TotalCodeSize"]) == (2, 1000)
    assert node.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"] == 1000
    _create(small, "sleeper", "import time\ndef handler(event, context):\n    time.sleep(1)\n", Timeout=10)
    _create(small, "second")
    assert _code(_create, lambdas=small, name="third") == "CodeStorageExceededException"
    small.delete_function(FunctionName="second")
    noise = f"# {os.urandom(1500).hex()}\n"
    assert _code(_create, lambdas=small, name="large", code=noise) == "CodeStorageExceededException"
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: _outcome(small, "sleeper"), range(6)))
    assert sorted(answers) == ["ConcurrentInvocationLimitExceeded"] * 4 + ["ran"] * 2


def _outcome(lambdas, name):
    try:
        lambdas.invoke(FunctionName=name)
    except lambdas.exceptions.TooManyRequestsException as refused:
        return refused.response["Reason"]
    return "ran"


def test_who_asks_too_often_is_throttled_and_nobody_else(limited):
    node, small = limited
    codes = []
    for _ in range(150):
        try:
            small.list_functions()
        except ClientError as refused:
            codes.append((refused.response["Error"]["Code"], refused.response["ResponseMetadata"]["HTTPStatusCode"]))
    assert codes and set(codes) == {("ThrottlingException", 429)}
    node.client("lambda").list_functions()


def test_a_limits_file_that_is_none_is_refused(tmp_path):
    limits = tmp_path / "limits.toml"
    limits.write_text("[default]\nspeed = 3\n")
    command = [sys.executable, "-m", "cumulet.cli", "up", "--port", "0", "--in-memory", "--data", str(tmp_path / "data")]
    told = subprocess.run([*command, "--limits", str(limits)], capture_output=True, text=True, timeout=60)
    assert told.returncode == 1 and "default.speed: no such limit" in told.stderr


def test_what_is_provisioned_is_there_again_after_a_crash_and_after_a_restart(start_node, name):
    node = start_node("--durability", "os")
    lambdas = node.client("lambda")
    _create(lambdas, name, "import os\ndef handler(event, context):\n    if event.get('die'):\n        os._exit(1)\n    return 1\n")
    lambdas.publish_version(FunctionName=name)
    lambdas.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=2)
    _wait_ready(lambdas, name)
    for _ in range(2):
        lambdas.invoke(FunctionName=name, Qualifier="1", Payload=b'{"die": 1}')
    _wait_ready(lambdas, name)
    tail = lambdas.invoke(FunctionName=name, Qualifier="1", Payload=b"{}", LogType="Tail")
    assert b"Init Duration" not in base64.b64decode(tail["LogResult"])
    node.kill()
    node.start()
    _wait_ready(node.client("lambda"), name)


def _wait_ready(lambdas, name):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        told = lambdas.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
        if told["Status"] == "READY" and told["AvailableProvisionedConcurrentExecutions"] == 2:
            return
        time.sleep(0.05)
    raise AssertionError(told)
