"""The Extensions and Telemetry APIs, used by real extensions in real environments."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from cumulet.runtimes.contract import EnvironmentLost, InitError

OWN = f"#!{sys.base_prefix}/bin/python3"
CLIENT = """
import http.client, json, os, sys, threading, http.server
API = os.environ["AWS_LAMBDA_RUNTIME_API"]
def ask(method, path, headers={}, body=None):
    connection = http.client.HTTPConnection(API)
    connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
    answer = connection.getresponse()
    return answer.status, dict(answer.headers), answer.read()
def say(*words):
    print(*words, flush=True)
def register(events, name=os.path.basename(sys.argv[0])):
    status, headers, body = ask("POST", "/2020-01-01/extension/register", {"Lambda-Extension-Name": name}, {"events": events})
    assert status == 200, (status, body)
    say("registered", body.decode())
    return {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
def next_event(me):
    status, headers, body = ask("GET", "/2020-01-01/extension/event/next", me)
    assert status == 200 and headers["Lambda-Extension-Event-Identifier"], (status, body)
    return json.loads(body)
"""
LOYAL = (
    CLIENT
    + """
me = register(["INVOKE", "SHUTDOWN"])
while True:
    event = next_event(me)
    say("told", json.dumps(event))
    if event["eventType"] == "SHUTDOWN":
        break
"""
)
FUNCTION = {"index.py": "def handler(event, context):\n    print('handled', event)\n    return event\n"}


SYSTEM = "#!/usr/bin/python3"
"""A custom runtime's jail has the system's programs only."""


def script(text, interpreter=OWN):
    return f"{interpreter}\n{text}"


async def start(bench, extensions, files=FUNCTION, interpreter=OWN, **how):
    """An environment whose layer holds these extensions."""
    code = await bench.blobs.put(bench.zip_of(files, executable=("bootstrap",)))
    layer = {f"extensions/{name}": script(text, interpreter) for name, text in extensions.items()}
    blob = await bench.blobs.put(bench.zip_of(layer, executable=tuple(layer)))
    return await bench.start_blobs(code, (blob,), **how)


def told(bench):
    lines = bench.output.decode().splitlines()
    return [json.loads(line.removeprefix("told ")) for line in lines if line.startswith("told ")]


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_extension_is_told_of_calls_and_of_the_end(bench):
    environment = await start(bench, {"loyal": LOYAL})
    assert b'registered {"functionName": "f", "functionVersion": "$LATEST", "handler": "index.handler"}' in bench.output
    for number in (b"1", b"2"):
        assert (await bench.call(environment, number, trace_id="Root=1-2-3")).payload == number
    environment.kill()
    exit = await environment.exited
    assert exit.signal == 15  # the runtime's, which was asked first
    first, second, last = told(bench)
    assert first["eventType"] == second["eventType"] == "INVOKE" and first["requestId"] != second["requestId"]
    assert first["tracing"] == {"type": "X-Amzn-Trace-Id", "value": "Root=1-2-3"} and first["deadlineMs"] > 0
    assert first["invokedFunctionArn"].endswith(":function:f")
    assert (last["eventType"], last["shutdownReason"]) == ("SHUTDOWN", "spindown")


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no Python among the system's programs")
async def test_a_custom_runtime_has_extensions_too(bench):
    bootstrap = script(
        CLIENT
        + """
while True:
    _, headers, event = ask("GET", "/2018-06-01/runtime/invocation/next")
    ask("POST", f"/2018-06-01/runtime/invocation/{headers['Lambda-Runtime-Aws-Request-Id']}/response", body=json.loads(event))
""",
        SYSTEM,
    )
    environment = await start(bench, {"loyal": LOYAL}, {"bootstrap": bootstrap}, SYSTEM, runtime="provided.al2023")
    assert (await bench.call(environment, b'{"a": 1}')).payload == b'{"a": 1}'
    environment.kill()
    await environment.exited
    assert [event["eventType"] for event in told(bench)] == ["INVOKE", "SHUTDOWN"]


async def test_the_runtime_starts_after_its_extensions_have_registered(bench):
    moment = "import time; print('{}', time.monotonic(), flush=True)\n"
    slow = "import time; time.sleep(0.3)\n" + moment.format("registering") + LOYAL
    environment = await start(bench, {"slow": slow}, {"index.py": moment.format("loading") + FUNCTION["index.py"]})
    await until(lambda: b"registering " in bench.output and b"loading " in bench.output)  # by two pipes, in any order
    moments = dict(line.split() for line in bench.output.decode().splitlines() if line.startswith(("registering ", "loading ")))
    assert float(moments["registering"]) < float(moments["loading"])
    environment.kill()
    environment.kill()  # at once
    assert (await environment.exited).signal == 9


async def test_a_timeout_is_the_reason_that_is_told(bench):
    environment = await start(bench, {"loyal": LOYAL}, {"index.py": "import time\ndef handler(e, c):\n    time.sleep(60)\n"})
    asyncio.get_running_loop().call_later(0.2, environment.expire)
    with pytest.raises(TimeoutError):
        await bench.call(environment)
    environment.kill()
    await environment.exited
    assert told(bench)[-1]["shutdownReason"] == "timeout"


async def test_a_runtime_that_ends_is_a_failure(bench):
    environment = await start(bench, {"loyal": LOYAL}, {"index.py": "import os\ndef handler(e, c):\n    os._exit(3)\n"})
    with pytest.raises(EnvironmentLost) as lost:
        await bench.call(environment)
    assert lost.value.exit.code == 3 and told(bench)[-1]["shutdownReason"] == "failure"


async def test_an_extension_that_will_not_end_is_ended(bench):
    stubborn = LOYAL.replace("        break", "        import time; time.sleep(600)")
    environment = await start(bench, {"stubborn": stubborn})
    environment.kill()
    async with asyncio.timeout(10):
        await environment.exited
    assert told(bench)[-1]["eventType"] == "SHUTDOWN"


@pytest.mark.parametrize(
    ("text", "error_type"),
    [
        ("import sys; sys.exit(7)", "Extension.Crash"),
        (
            CLIENT
            + """
me = register([])
me["Lambda-Extension-Function-Error-Type"] = "Extension.NoKey"
ask("POST", "/2020-01-01/extension/init/error", me, {"errorMessage": "no key"})
""",
            "Extension.NoKey",
        ),
    ],
)
async def test_an_extension_that_cannot_start_fails_the_init(bench, text, error_type):
    with pytest.raises(InitError) as failed:
        await start(bench, {"broken": text})
    assert failed.value.error_type == error_type


async def test_an_extension_that_crashes_ends_the_call(bench):
    text = LOYAL.replace('    say("told"', '    import os; os._exit(9)\n    say("told"')
    environment = await start(bench, {"crashing": text}, {"index.py": "import time\ndef handler(e, c):\n    time.sleep(60)\n"})
    answer = await bench.call(environment)
    assert answer.error_type == "Extension.Crash" and b"exit status 9" in answer.payload
    await environment.exited


async def test_an_internal_extension_registers_for_calls_alone(bench):
    code = (
        CLIENT
        + """
status, _, body = ask("POST", "/2020-01-01/extension/register", {"Lambda-Extension-Name": "inner"}, {"events": ["SHUTDOWN"]})
refused = (status, json.loads(body)["errorType"])
me = register(["INVOKE"], "inner")
events = []
def listen():
    while True:
        events.append(next_event(me)["requestId"])
threading.Thread(target=listen, daemon=True).start()
def handler(event, context):
    while context.aws_request_id not in events:
        pass
    late = ask("POST", "/2020-01-01/extension/register", {"Lambda-Extension-Name": "late"}, {"events": []})[0]
    nobody = json.loads(ask("GET", "/2020-01-01/extension/event/next")[2])["errorType"]
    return [refused, late, nobody]
"""
    )
    environment = await start(bench, {"loyal": LOYAL}, {"index.py": code})
    answer = json.loads((await bench.call(environment)).payload)
    assert answer == [[400, "Extension.InvalidEventType"], 403, "Extension.MissingExtensionIdentifier"]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/2022-07-01/telemetry", {"platform.start", "platform.runtimeDone", "platform.report", "platform.telemetrySubscription"}),
        ("/2020-08-15/logs", {"platform.end", "platform.report", "platform.logsSubscription"}),
    ],
)
async def test_telemetry_comes_in_batches_to_the_extensions_own_port(bench, path, wanted):
    text = (
        CLIENT
        + """
class Listener(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.end_headers()
        say("batch", body.decode())
    def log_message(self, *words): pass
server = http.server.HTTPServer(("sandbox.localdomain", 0), Listener)
threading.Thread(target=server.serve_forever, daemon=True).start()
me = register(["INVOKE", "SHUTDOWN"])
def subscribe(wish):
    return ask("PUT", PATH, me, wish)[0]
good = {
    "schemaVersion": "2022-12-13", "types": ["platform", "function"], "buffering": {"timeoutMs": 25},
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:%d/x" % server.server_port},
}
elsewhere = {"protocol": "HTTP", "URI": "http://10.0.0.1/"}
say("statuses", subscribe(good | {"types": ["other"]}), subscribe(good | {"destination": elsewhere}), subscribe(good))
while next_event(me)["eventType"] != "SHUTDOWN":
    pass
"""
    )
    environment = await start(bench, {"watcher": text.replace("PATH", repr(path), 1)})
    assert b"statuses 400 400 200" in bench.output
    assert (await bench.call(environment, b'"hello"')).payload == b'"hello"'

    def events():
        lines = bench.output.decode().splitlines()
        return [event for line in lines if line.startswith("batch ") for event in json.loads(line.removeprefix("batch "))]

    await until(lambda: wanted | {"function"} <= {event["type"] for event in events()})
    assert "handled hello\n" in [event["record"] for event in events() if event["type"] == "function"]
    (report,) = [event["record"] for event in events() if event["type"] == "platform.report"]
    assert report["status"] == "success" and report["metrics"]["memorySizeMB"] == 256 and report["metrics"]["durationMs"] > 0
    environment.kill()
    await environment.exited
