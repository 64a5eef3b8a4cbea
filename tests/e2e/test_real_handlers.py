"""Handlers as people have them, unmodified: Powertools, numpy and pandas in a layer, the AWS SDKs, C, shell, awslambdaric."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

HANDLERS = Path(__file__).parent / "handlers"
MODULES = Path(__file__).parent / "js" / "node_modules"
PYTHON = f"python3.{sys.version_info.minor}"


def _zip(files: dict[str, bytes], executable: tuple[str, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if name in executable else 0o100644) << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def _tree(folder: Path, prefix: str, without: tuple[str, ...] = ("__pycache__",)) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not set(without) & set(path.parts))
    return {f"{prefix}/{path.relative_to(folder)}": path.read_bytes() for path in files}


def _installed(*packages: str) -> dict[str, bytes]:
    """The files of installed distributions and of all that they need, as a layer's `python/` folder holds them."""
    from importlib import metadata

    found: dict[str, bytes] = {}
    todo, seen = list(packages), set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = metadata.distribution(name)
        for file in distribution.files or []:
            path = Path(str(distribution.locate_file(file)))
            if path.suffix != ".pyc" and ".." not in str(file) and path.is_file() and "tests" not in path.parts:
                found[f"python/{file}"] = path.read_bytes()
        for requirement in distribution.requires or []:
            if "extra ==" not in requirement and "; sys_platform" not in requirement and "python_version <" not in requirement:
                todo.append(
                    requirement.split(";")[0]
                    .split("[")[0]
                    .split(">")[0]
                    .split("<")[0]
                    .split("=")[0]
                    .split("!")[0]
                    .split("~")[0]
                    .strip()
                )
    return found


def _create(node, name, runtime, handler, archive, **more):
    lambdas = node.client("lambda")
    lambdas.create_function(
        FunctionName=name,
        Runtime=runtime,
        Handler=handler,
        Role="arn:aws:iam::000000000000:role/any",
        Code={"ZipFile": archive},
        **{"Timeout": 30, "MemorySize": 512} | more,
    )
    lambdas.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return lambdas


def _call(lambdas, name, event):
    answer = lambdas.invoke(FunctionName=name, Payload=json.dumps(event).encode(), LogType="Tail")
    payload = json.loads(answer["Payload"].read())
    log = base64.b64decode(answer["LogResult"]).decode()
    assert "FunctionError" not in answer, (payload, log)
    return payload, log


def test_powertools_logger_metrics_and_parser_from_a_layer(node):
    layer = node.client("lambda").publish_layer_version(
        LayerName="powertools", Content={"ZipFile": _zip(_installed("aws-lambda-powertools", "pydantic"))}
    )
    lambdas = _create(
        node,
        "orders",
        PYTHON,
        "powertools.handler",
        _zip({"powertools.py": (HANDLERS / "powertools.py").read_bytes()}),
        Layers=[layer["LayerVersionArn"]],
    )
    payload, log = _call(lambdas, "orders", {"id": 7, "items": ["a", "b"]})
    assert (payload["id"], payload["count"]) == (7, 2)
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    received = next(line for line in lines if line.get("message") == "order received")
    assert received["order_id"] == 7
    assert received["function_name"] == "orders"
    assert received["cold_start"] is True
    assert any(line.get("Items") == [2.0] and line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Shop" for line in lines)


def test_numpy_and_pandas_from_a_layer(node):
    lambdas = node.client("lambda")
    layer = lambdas.publish_layer_version(LayerName="frames", Content={"ZipFile": _zip(_installed("pandas"))})["LayerVersionArn"]
    code = _zip({"frames.py": (HANDLERS / "frames.py").read_bytes()})
    _create(node, "frames", PYTHON, "frames.handler", code, Layers=[layer])
    payload, _log = _call(lambdas, "frames", {"ads": ["x", "y", "x"]})
    assert payload == {"x": 2, "y": 1}


@pytest.mark.skipif(not shutil.which("node"), reason="no Node.js on this machine")
def test_es_module_with_the_aws_sdk_calls_the_node(node):
    archive = _zip({"caller.mjs": (HANDLERS / "caller.mjs").read_bytes(), **_tree(MODULES, "node_modules", ("dist-types", ".bin"))})
    lambdas = _create(node, "caller", "nodejs20.x", "caller.handler", archive)
    payload, _log = _call(lambdas, "caller", {"name": "you"})
    assert payload["account"] == "000000000000"
    assert payload["arn"] == "arn:aws:sts::000000000000:assumed-role/any/caller"
    assert payload["name"] == "you"


def test_boto3_in_a_function_calls_the_node(node):
    code = b"import boto3\ndef handler(event, context):\n    return boto3.client('sts').get_caller_identity()['Arn']\n"
    lambdas = _create(node, "identity", PYTHON, "index.handler", _zip({"index.py": code}))
    assert _call(lambdas, "identity", {})[0] == "arn:aws:sts::000000000000:assumed-role/any/identity"


def test_c_program_as_bootstrap(node, tmp_path):
    subprocess.run(["gcc", "-O1", "-o", tmp_path / "bootstrap", HANDLERS / "bootstrap.c"], check=True)
    archive = _zip({"bootstrap": (tmp_path / "bootstrap").read_bytes()}, executable=("bootstrap",))
    lambdas = _create(node, "in-c", "provided.al2023", "any", archive)
    for _ in range(3):
        payload, log = _call(lambdas, "in-c", {"text": "abc"})
        assert payload == {"bytes": len(json.dumps({"text": "abc"}))}
        assert "event of 15 bytes" in log


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
def test_shell_script_as_bootstrap(node):
    archive = _zip({"bootstrap": (HANDLERS / "bootstrap.sh").read_bytes()}, executable=("bootstrap",))
    lambdas = _create(node, "in-shell", "provided.al2", "any", archive)
    payload, log = _call(lambdas, "in-shell", {"n": 1})
    assert payload == {"echo": {"n": 1}}
    assert 'shell saw {"n": 1}' in log


SYSTEM_PYTHON = Path(f"/usr/bin/python3.{sys.version_info.minor}")


@pytest.mark.skipif(
    not SYSTEM_PYTHON.exists(), reason=f"awslambdaric is compiled for this interpreter, and {SYSTEM_PYTHON} is not there"
)
def test_awslambdaric_as_runtime_client_of_a_custom_runtime(node):
    bootstrap = (
        f"#!/bin/sh\nexport PYTHONPATH=/var/task:/var/task/python\nexec {SYSTEM_PYTHON} -m awslambdaric $_HANDLER\n".encode()
    )
    code = b"def handler(event, context):\n    return [event, context.function_name, context.memory_limit_in_mb]\n"
    files = {"bootstrap": bootstrap, "index.py": code, **_installed("awslambdaric")}
    lambdas = _create(node, "ric", "provided.al2023", "index.handler", _zip(files, executable=("bootstrap",)))
    assert _call(lambdas, "ric", {"a": 1})[0] == [{"a": 1}, "ric", "512"]


RIC = Path(os.environ.get("CUMULET_TEST_NODE_RIC", MODULES / "aws-lambda-ric"))


@pytest.mark.skipif(
    not list(RIC.glob("dist/*.node")) or not shutil.which("node"),
    reason="no built aws-lambda-ric: npm install it (cmake, autoconf, libtool, g++), and set CUMULET_TEST_NODE_RIC to its folder",
)
def test_aws_lambda_ric_as_runtime_client_of_a_custom_runtime(node):
    bootstrap = b"#!/bin/sh\nexport HOME=/tmp\nexec node /var/task/node_modules/aws-lambda-ric/bin/index.mjs $_HANDLER\n"
    code = b"""
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  stream = awslambda.HttpResponseStream.from(stream, { statusCode: 202 });
  stream.write("a");
  stream.write(JSON.stringify([event, context.functionName, context.memoryLimitInMB]));
  stream.end();
});
exports.plain = async (event, context) => [event, context.functionName, context.memoryLimitInMB];
exports.fails = async () => { throw new RangeError("far"); };
"""
    packed = [*RIC.glob("dist/*"), *RIC.glob("bin/*"), RIC / "package.json"]
    others = [path for name in ("@aws/lambda-invoke-store",) for path in (RIC.parent / name).rglob("*")]
    files = {f"node_modules/{path.relative_to(RIC.parent)}": path.read_bytes() for path in packed + others if path.is_file()}
    archive = _zip({"bootstrap": bootstrap, "index.js": code, **files}, executable=("bootstrap",))
    lambdas = _create(node, "node-ric", "provided.al2023", "index.plain", archive)
    assert _call(lambdas, "node-ric", {"a": 1})[0] == [{"a": 1}, "node-ric", "512"]
    _create(node, "node-ric-fails", "provided.al2023", "index.fails", archive)
    failed = lambdas.invoke(FunctionName="node-ric-fails")
    assert failed["FunctionError"] == "Unhandled" and json.loads(failed["Payload"].read())["errorType"] == "RangeError"
    _create(node, "node-ric-streams", "provided.al2023", "index.handler", archive)
    *chunks, last = lambdas.invoke_with_response_stream(FunctionName="node-ric-streams", Payload=b"3")["EventStream"]
    body = b"".join(event["PayloadChunk"]["Payload"] for event in chunks)
    assert body == b'{"statusCode":202}' + bytes(8) + b'a[3,"node-ric-streams","512"]' and last == {"InvokeComplete": {}}
