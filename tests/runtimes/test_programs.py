"""Node.js, and programs that speak the Runtime API."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cumulet.runtimes.contract import EnvironmentLost, InitError
from cumulet.runtimes.node_runtimes import RuntimeUnavailable

HANDLERS = Path(__file__).parent.parent / "e2e" / "handlers"
node = pytest.mark.skipif(not shutil.which("node"), reason="no Node.js on this machine")


@node
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("index.js", "exports.handler = async (event) => [event, 1];"),
        ("index.js", "exports.handler = (event, context, callback) => { setTimeout(() => callback(null, [event, 1]), 5); };"),
        ("index.js", "exports.handler = (event, context) => { context.succeed([event, 1]); };"),
        ("index.mjs", "export const handler = async (event) => [event, 1];"),
        ("index.cjs", "exports.handler = (event) => Promise.resolve([event, 1]);"),
    ],
)
async def test_node_handlers_of_every_style(bench, name, text):
    assert json.loads((await bench.run({name: text}, b'{"a": 2}', runtime="nodejs20.x")).payload) == [{"a": 2}, 1]


@node
async def test_a_package_of_type_module(bench):
    files = {
        "package.json": '{"type": "module"}',
        "index.js": "import os from 'node:os'; export const handler = async () => typeof os.cpus;",
    }
    assert (await bench.run(files, runtime="nodejs20.x")).payload == b'"function"'


@node
async def test_console_lines_have_lambdas_form(bench):
    await bench.run(
        {"index.js": "exports.handler = async () => { console.log('a', {b: 1}); console.error('c'); };"}, runtime="nodejs20.x"
    )
    first, second = bench.output.decode().splitlines()
    assert first.split("\t")[2:] == ["INFO", "a { b: 1 }"] and second.split("\t")[2:] == ["ERROR", "c"]


@node
async def test_json_lines_have_lambdas_form(bench):
    code = """
exports.handler = async () => {
  const circle = {}; circle.of = circle;
  console.log('a', 1); console.log({b: 2}); console.log(circle); console.debug('no'); console.warn(10n);
  console.error(new TypeError('t')); console.error('with', new RangeError('r'));
  throw new SyntaxError('thrown');
};
"""
    await bench.run({"index.js": code}, runtime="nodejs20.x", log_format="JSON")
    lines = [json.loads(line) for line in bench.output.decode().splitlines()]
    assert all(line["timestamp"].endswith("Z") and line["requestId"] for line in lines)
    assert [line["level"] for line in lines] == ["INFO", "INFO", "INFO", "WARN", "ERROR", "ERROR", "ERROR"]
    assert [line["message"] for line in lines[:2]] == ["a 1", {"b": 2}]
    assert lines[2]["message"].startswith("<ref *1> { of:") and lines[3]["message"] == "10n"
    for line, kind, told in ((lines[4], "TypeError", "t"), (lines[6], "SyntaxError", "thrown")):
        assert (line["message"]["errorType"], line["message"]["errorMessage"]) == (kind, told) and line["message"]["stackTrace"]
    assert lines[5]["message"].startswith("with RangeError: r\n    at ")
    assert (lines[5]["errorType"], lines[5]["errorMessage"]) == ("RangeError", "r")


@node
async def test_a_console_message_of_two_lines_is_one_record(bench):
    await bench.run({"index.js": "exports.handler = async () => console.log('a\\nb');"}, runtime="nodejs20.x")
    assert bench.output.endswith(b"\tINFO\ta\0\nb\n") and bench.output.count(b"\n") == 2


@node
@pytest.mark.parametrize(
    ("text", "error_type", "message"),
    [
        ("exports.handler = async () => { throw new TypeError('no'); };", "TypeError", "no"),
        ("exports.handler = (e, c, cb) => cb(new RangeError('far'));", "RangeError", "far"),
        ("exports.handler = async () => { throw 'text'; };", "string", "text"),
    ],
)
async def test_node_errors_are_documents(bench, text, error_type, message):
    answer = await bench.run({"index.js": text}, runtime="nodejs20.x")
    document = json.loads(answer.payload)
    assert (answer.error_type, document["errorType"], document["errorMessage"]) == (error_type, error_type, message)


@node
@pytest.mark.parametrize(
    ("text", "handler", "error_type"),
    [
        ("exports.other = 1;", "index.handler", "Runtime.HandlerNotFound"),
        ("exports.handler = 1;", "index.handler", "Runtime.HandlerNotFound"),
        ("exports.handler = (;", "index.handler", "Runtime.UserCodeSyntaxError"),
        ("require('not-there');", "index.handler", "Runtime.ImportModuleError"),
        ("", "missing.handler", "Runtime.ImportModuleError"),
        ("throw new Error('at load');", "index.handler", "Error"),
    ],
)
async def test_a_failing_node_init_says_why(bench, text, handler, error_type):
    with pytest.raises(InitError) as failed:
        await bench.start({"index.js": text}, handler=handler, runtime="nodejs20.x")
    assert failed.value.error_type == error_type


@node
async def test_a_node_program_that_exits_is_lost(bench):
    environment = await bench.start({"index.js": "exports.handler = async () => process.exit(9);"}, runtime="nodejs20.x")
    with pytest.raises(EnvironmentLost) as lost:
        await bench.call(environment)
    assert lost.value.exit.code == 9


@pytest.fixture(scope="module")
def c_program(tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "bootstrap"
    subprocess.run(["gcc", "-o", path, HANDLERS / "bootstrap.c"], check=True)
    return path.read_bytes()


async def test_a_c_program_answers_call_after_call(bench, c_program):
    environment = await bench.start({"bootstrap": c_program}, runtime="provided.al2023", executable=("bootstrap",))
    assert 0.0 <= environment.init_ms == environment.phases["init"]
    for event in (b"{}", b'{"n": 1}'):
        assert json.loads((await bench.call(environment, event)).payload) == {"bytes": len(event)}


async def test_a_bootstrap_may_come_from_a_layer(bench, c_program):
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o100755 << 16
        archive.writestr(entry, c_program)
    blob = await bench.blobs.put(buffer.getvalue())
    code = await bench.blobs.put(bench.zip_of({"data.txt": "x"}))
    environment = await bench.start_blobs(code, (blob,), runtime="provided.al2023")
    assert json.loads((await bench.call(environment)).payload) == {"bytes": 2}


@pytest.mark.parametrize(
    ("files", "error_type"),
    [
        ({"other": "x"}, "Runtime.InvalidEntrypoint"),
        ({"bootstrap": "#!/bin/sh\nexit 5\n"}, "Runtime.ExitError"),
        ({"bootstrap": "#!/no/such/shell\n"}, "Runtime.InvalidEntrypoint"),
    ],
)
async def test_a_program_that_never_asks_fails_its_init(bench, files, error_type):
    with pytest.raises(InitError) as failed:
        await bench.start(files, runtime="provided.al2023", executable=("bootstrap",))
    assert failed.value.error_type == error_type


async def test_a_runtime_that_nothing_runs_is_refused_by_name(bench):
    with pytest.raises(RuntimeUnavailable, match="dotnet8"):
        await bench.start({"x": ""}, runtime="dotnet8")
