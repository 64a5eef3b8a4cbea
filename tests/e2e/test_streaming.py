"""Answers that are sent while the function still runs: through boto3 and through function URLs.

A function waits at a gate, another function's URL, until the test has seen its first bytes: no clock is involved.
"""

import http.client
import io
import json
import shutil
import socket
import sys
import urllib.parse
import zipfile

import pytest

PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"
WAIT = """
import os, time, urllib.request, urllib.error
def wait():
    while True:
        try:
            return urllib.request.urlopen(os.environ["GATE"]).read()
        except urllib.error.HTTPError:
            time.sleep(0.02)
"""
WAIT_JS = """
const wait = async () => { while ((await fetch(process.env.GATE)).status !== 200) await new Promise((r) => setTimeout(r, 20)); };
"""
PYTHON_FORMS = {
    "generator": """
def handler(event, context):
    yield {"statusCode": 201, "headers": {"X-Kind": "stream", "Content-Type": "text/plain"}, "cookies": ["a=1"]}
    yield "first "
    wait()
    yield b"second"
""",
    "async generator": """
import asyncio
async def handler(event, context):
    yield {"statusCode": 201, "headers": {"X-Kind": "stream", "Content-Type": "text/plain"}, "cookies": ["a=1"]}
    yield "first "
    await asyncio.to_thread(wait)
    yield b"second"
""",
}
NODE_FORM = """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const head = { statusCode: 201, headers: { "X-Kind": "stream", "Content-Type": "text/plain" }, cookies: ["a=1"] };
  stream = awslambda.HttpResponseStream.from(stream, head);
  stream.write("first ");
  await wait();
  stream.write(Buffer.from("second"));
  stream.end();
});
"""
SHELL_FORM = r"""#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
  headers=$(mktemp)
  curl -s -D "$headers" "$api/invocation/next" > /dev/null
  id=$(grep -i '^lambda-runtime-aws-request-id' "$headers" | tr -d '\r' | cut -d' ' -f2)
  {
    printf '{"statusCode":201,"headers":{"X-Kind":"stream","Content-Type":"text/plain"},"cookies":["a=1"]}'
    head -c 8 /dev/zero
    printf 'first '
    until curl -sf "$GATE" > /dev/null; do sleep 0.02; done
    printf 'second'
  } | curl -s -X POST -T - -H "Expect:" -H "Transfer-Encoding: chunked" -H "Lambda-Runtime-Function-Response-Mode: streaming" \
    -H "Content-Type: application/vnd.awslambda.http-integration-response" "$api/invocation/$id/response" > /dev/null
done
"""
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="no Node.js on this machine")
needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
FORMS = [
    *[pytest.param(PYTHON, "index.py", WAIT + text, id=form) for form, text in PYTHON_FORMS.items()],
    pytest.param("nodejs20.x", "index.js", WAIT_JS + NODE_FORM, id="node", marks=needs_node),
    pytest.param("provided.al2023", "bootstrap", SHELL_FORM, id="custom", marks=needs_curl),
]


def create(lambdas, name, runtime, file, text, **variables):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(file)
        entry.external_attr = 0o100755 << 16
        archive.writestr(entry, text)
    lambdas.create_function(
        FunctionName=name,
        Runtime=runtime,
        Handler="index.handler",
        Role=ROLE,
        Timeout=30,
        Code={"ZipFile": buffer.getvalue()},
        Environment={"Variables": variables},
    )


class Gate:
    """Shut until opened."""

    def __init__(self, node, name):
        self._lambdas, self._name = node.client("lambda"), name
        create(
            self._lambdas,
            name,
            PYTHON,
            "index.py",
            "import os\ndef handler(e, c):\n    return {'statusCode': int(os.environ['STATUS'])}\n",
            STATUS="503",
        )
        self.url = node.reachable(self._lambdas.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"])

    def open(self):
        self._lambdas.update_function_configuration(FunctionName=self._name, Environment={"Variables": {"STATUS": "200"}})


@pytest.fixture
def gate(node, name):
    return Gate(node, f"{name}-gate")


def url_of(node, name, mode="RESPONSE_STREAM"):
    made = node.client("lambda").create_function_url_config(FunctionName=name, AuthType="NONE", InvokeMode=mode)
    assert made["InvokeMode"] == mode
    return node.reachable(made["FunctionUrl"])


@pytest.fixture
def get():
    """Asks, and closes what it opened when the test ends."""
    connections, answers = [], []

    def ask(url):
        place = urllib.parse.urlsplit(url)
        connections.append(http.client.HTTPConnection(place.netloc, timeout=60))
        connections[-1].request("GET", place.path)
        answers.append(connections[-1].getresponse())
        return answers[-1]

    yield ask
    for each in (*answers, *connections):
        each.close()


@pytest.mark.parametrize(("runtime", "file", "text"), FORMS)
def test_the_first_bytes_come_before_the_handler_ends(node, name, gate, get, runtime, file, text):
    lambdas = node.client("lambda")
    create(lambdas, name, runtime, file, text, GATE=gate.url)
    answer = get(url_of(node, name))
    assert answer.status == 201
    assert (answer.headers["X-Kind"], answer.headers["Content-Type"], answer.headers["Set-Cookie"]) == (
        "stream",
        "text/plain",
        "a=1",
    )
    assert answer.read1(100) == b"first "
    gate.open()
    assert answer.read() == b"second"

    events = list(lambdas.invoke_with_response_stream(FunctionName=name, Payload=b"{}", LogType="Tail")["EventStream"])
    body = b"".join(event["PayloadChunk"]["Payload"] for event in events if "PayloadChunk" in event)
    head, zeros, rest = body.partition(bytes(8))
    assert json.loads(head)["statusCode"] == 201 and zeros and rest == b"first second"
    assert set(events[-1]) == {"InvokeComplete"} and set(events[-1]["InvokeComplete"]) == {"LogResult"}
    assert lambdas.invoke(FunctionName=name)["Payload"].read() == body


def test_a_function_that_does_not_stream_answers_in_one_chunk(node, name):
    lambdas = node.client("lambda")
    create(lambdas, name, PYTHON, "index.py", "def handler(e, c):\n    return {'n': e['n']}\n")
    events = list(lambdas.invoke_with_response_stream(FunctionName=name, Payload=b'{"n": 3}')["EventStream"])
    assert events == [{"PayloadChunk": {"Payload": b'{"n": 3}'}}, {"InvokeComplete": {}}]


@pytest.mark.parametrize(
    ("runtime", "file", "text"),
    [
        pytest.param(PYTHON, "index.py", "def handler(e, c):\n    yield 'begun'\n    raise KeyError('lost')\n", id="python"),
        pytest.param(
            "nodejs20.x",
            "index.js",
            "exports.handler = awslambda.streamifyResponse(async (e, s) => { s.write('begun'); await new Promise(setImmediate);"
            " const error = new Error('lost'); error.name = 'KeyError'; throw error; });",
            id="node",
            marks=needs_node,
        ),
    ],
)
def test_an_error_on_the_way_is_seen(node, name, get, runtime, file, text):
    lambdas = node.client("lambda")
    create(lambdas, name, runtime, file, text)
    *chunks, last = lambdas.invoke_with_response_stream(FunctionName=name)["EventStream"]
    assert b"".join(event["PayloadChunk"]["Payload"] for event in chunks) == b"begun"
    assert last["InvokeComplete"]["ErrorCode"] == "KeyError"
    assert "lost" in json.loads(last["InvokeComplete"]["ErrorDetails"])["errorMessage"]
    answer = get(url_of(node, name))
    assert answer.status == 200
    with pytest.raises(http.client.IncompleteRead) as broken:
        answer.read()
    assert broken.value.partial == b"begun"


def test_an_error_before_the_first_byte_is_an_error(node, name, get):
    lambdas = node.client("lambda")
    create(lambdas, name, PYTHON, "index.py", "def handler(e, c):\n    raise KeyError('lost')\n    yield 1\n")
    (only,) = lambdas.invoke_with_response_stream(FunctionName=name)["EventStream"]
    assert only["InvokeComplete"]["ErrorCode"] == "KeyError"
    assert get(url_of(node, name)).status == 502


def test_a_function_goes_on_when_its_client_has_gone(node, name, gate):
    lambdas = node.client("lambda")
    text = WAIT + "def handler(e, c):\n    yield 'first'\n    wait()\n    yield 'x' * 5_000_000\n    print('went', 'on')\n"
    create(lambdas, name, PYTHON, "index.py", text, GATE=gate.url)
    place = urllib.parse.urlsplit(url_of(node, name))
    with socket.create_connection((place.hostname, place.port)) as client:
        client.sendall(f"GET {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        seen = b""
        while b"first" not in seen:
            seen += client.recv(4096)
    gate.open()
    logs = node.client("logs")
    seen = []
    while not any("went on" in line for line in seen):
        try:
            seen = [event["message"] for event in logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]]
        except logs.exceptions.ResourceNotFoundException:
            continue


def test_a_large_answer_streams_through_a_small_buffer(node, name, get):
    lambdas = node.client("lambda")
    create(lambdas, name, PYTHON, "index.py", "def handler(e, c):\n    for n in range(32):\n        yield bytes([n]) * (1 << 20)\n")
    body = get(url_of(node, name)).read()
    assert len(body) == 32 << 20 and body[:: 1 << 20] == bytes(range(32))
    whole = lambdas.invoke(FunctionName=name)
    assert json.loads(whole["Payload"].read())["errorType"] == "Function.ResponseSizeTooLarge"


def test_coroutines_are_awaited(node, name):
    lambdas = node.client("lambda")
    text = "import asyncio\nasync def handler(e, c):\n    await asyncio.sleep(0)\n    return [e, id(asyncio.get_running_loop())]\n"
    create(lambdas, name, PYTHON, "index.py", text)
    first, second = (json.loads(lambdas.invoke(FunctionName=name, Payload=b"1")["Payload"].read()) for _ in range(2))
    assert first == second and first[0] == 1
