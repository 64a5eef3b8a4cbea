"""Every example: built by its own script, deployed through boto3, called, and its log read."""

import base64
import io
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from cumulet.runtimes import discovery

EXAMPLES = Path(__file__).parents[2] / "examples"


def needs(tool, is_there):
    return pytest.mark.skipif(not is_there, reason=f"no {tool} on this machine")


def has_kotlin():
    return bool(discovery.java_interpreters()) and shutil.which(os.environ.get("KOTLINC", "kotlinc")) is not None


CASES = [
    pytest.param("python", "python3.13", "app.handler", "Python", id="python"),
    pytest.param("node", "nodejs22.x", "index.handler", "Node.js", id="node", marks=needs("Node.js", shutil.which("node"))),
    pytest.param("ruby", "ruby3.4", "app.handler", "Ruby", id="ruby", marks=needs("Ruby", discovery.ruby_interpreters())),
    pytest.param("java", "java21", "example.Hello::handle", "Java", id="java", marks=needs("JDK", discovery.java_interpreters())),
    pytest.param("kotlin", "java21", "example.Hello::handle", "Kotlin", id="kotlin", marks=needs("Kotlin compiler", has_kotlin())),
    pytest.param("c", "provided.al2023", "any", "C", id="c", marks=needs("C compiler", shutil.which("cc"))),
    pytest.param("rust", "provided.al2023", "any", "Rust", id="rust", marks=needs("rustc", shutil.which("rustc"))),
    pytest.param("shell", "provided.al2023", "any", "shell", id="shell", marks=needs("curl", shutil.which("curl"))),
]


def test_every_example_is_tested():
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith("web-")}
    languages = {folder for folder in folders if (EXAMPLES / folder / "build").exists()}  # applications have tests of their own
    assert languages == {case.values[0] for case in CASES}
    assert all((EXAMPLES / folder / "README.md").exists() for folder in folders)


@pytest.mark.parametrize(("folder", "runtime", "handler", "language"), CASES)
def test_an_example_runs(node, name, tmp_path, folder, runtime, handler, language):
    if folder in ("java", "kotlin"):
        kits = discovery.java_interpreters()
        # Debian's Kotlin compiler does not run on the newest kits; what it makes does.
        version = kits[min(kits)] if folder == "kotlin" else discovery.choose(kits, 21, is_strict=False)
        assert version is not None
        java_home = str(Path(version.executable).parents[1])
        environment = os.environ | {"JAVA_HOME": java_home, "PATH": f"{java_home}/bin:{os.environ['PATH']}"}
    else:
        environment = dict(os.environ)
    subprocess.run([EXAMPLES / folder / "build", tmp_path / "package"], check=True, env=environment)
    lambdas = node.client("lambda")
    code = {"ZipFile": _zip(tmp_path / "package")}
    role = "arn:aws:iam::000000000000:role/any"
    lambdas.create_function(FunctionName=name, Runtime=runtime, Handler=handler, Role=role, Code=code, Timeout=30, MemorySize=256)
    for event in ({"name": "Ann", "list": [1, 2.5, None, "é"]}, {"name": "Ben"}):
        answer = lambdas.invoke(FunctionName=name, Payload=json.dumps(event).encode(), LogType="Tail")
        assert "FunctionError" not in answer, answer["Payload"].read()
        assert json.loads(answer["Payload"].read()) == {"language": language, "event": event}
        assert f"hello from {language}, " in base64.b64decode(answer["LogResult"]).decode()


def _zip(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()
