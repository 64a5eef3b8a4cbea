"""Programs that listen on a port, run unmodified: a start command, a Procfile, or a package made for AWS's Lambda Web Adapter."""

import asyncio
import json
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cumulet.runtimes.contract import EnvironmentLost, InitError

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js on this machine")
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this machine")

NODE_SERVER = """
const http = require("http"), fs = require("fs"), path = require("path");
let requests = 0;
http.createServer((req, res) => {
  requests += 1;
  const url = new URL(req.url, "http://x");
  if (url.pathname === "/slowly") {
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    let count = 0;
    const timer = setInterval(() => {
      res.write(`data: ${Date.now() / 1000}\\n\\n`);
      if (++count === 3) { clearInterval(timer); res.end(); }
    }, 400);
  } else if (url.pathname === "/echo") {
    const parts = [];
    req.on("data", (part) => parts.push(part)).on("end", () => {
      res.setHeader("Set-Cookie", ["a=1", "b=2"]);
      res.writeHead(201, { "Content-Type": req.headers["content-type"] || "application/octet-stream", "X-Method": req.method });
      res.end(Buffer.concat(parts));
    });
  } else if (url.pathname === "/request") {
    res.setHeader("Content-Type", "application/json");
    res.end(JSON.stringify({ url: req.url, headers: req.headers, requests, port: process.env.PORT, pid: process.pid }));
  } else if (url.pathname === "/pipe") {
    req.pipe(res);
  } else if (url.pathname === "/crash") {
    console.log("going down");
    process.exit(7);
  } else if (url.pathname === "/half") {
    res.writeHead(200, { "Content-Type": "text/plain" });
    res.write("half");
    setTimeout(() => res.destroy(), 50);
  } else if (url.pathname === "/events" && req.method === "POST") {
    let text = "";
    req.on("data", (part) => { text += part; }).on("end", () => {
      const event = JSON.parse(text);
      res.writeHead(event.fails ? 500 : 200, { "Content-Type": "application/json" });
      res.end(JSON.stringify({ took: event }));
    });
  } else {
    const file = path.join(__dirname, "public", url.pathname === "/" ? "index.html" : decodeURIComponent(url.pathname));
    fs.readFile(file, (error, data) => {
      res.writeHead(error ? 404 : 200, { "Content-Type": file.endsWith(".html") ? "text/html" : "image/png" });
      res.end(error ? "nothing here" : data);
    });
  }
}).listen(process.env.PORT || 8080, () => console.log("listening"));
"""
SITE = {"server.js": NODE_SERVER, "public/index.html": "<h1>Hello from Node</h1>", "public/a b.png": bytes(range(256))}
RUN_SH = "#!/bin/bash\n\nexec node server.js\n"
ADAPTER = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}


@pytest.fixture(scope="module")
def node_function(deploy):
    """As the adapter's own example for Express is packaged, without its layer."""
    return deploy.function(
        {**SITE, "run.sh": RUN_SH}, "run.sh", executable=("run.sh",), variables=ADAPTER, Runtime="nodejs20.x"
    )  # fmt: skip


@needs_node
def test_a_node_server_packaged_for_the_adapter(door, node_function):
    site = door(node_function)
    home = site.get()
    assert home.status_code == 200 and home.text == "<h1>Hello from Node</h1>", site.log()
    assert site.get("/a%20b.png", headers={"accept": "image/png"}).content == bytes(range(256))
    assert site.get("/nowhere").status_code == 404
    echo = site.post("/echo", content=bytes(range(256)), headers={"content-type": "image/png", "accept": "image/png"})
    assert (echo.status_code, echo.content, echo.headers["x-method"]) == (201, bytes(range(256)), "POST")
    assert echo.headers.get_list("set-cookie") == ["a=1", "b=2"]
    spoofed = {"x-amzn-request-context": "spoofed", "X-Amzn-Lambda-Context": "spoofed", "cookie": "c=1; d=2"}
    got = site.get("/request", params={"q": ["1", "ü"]}, headers=spoofed).json()
    assert got["url"] == "/request?q=1&q=%C3%BC" and got["headers"]["cookie"] == "c=1; d=2"
    assert json.loads(got["headers"]["x-amzn-request-context"])["requestId"]
    assert json.loads(got["headers"]["x-amzn-lambda-context"])["env_config"]["function_name"] == site.function
    assert got["headers"]["host"] == site.http.headers["host"] and got["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert got["headers"].get("x-forwarded-prefix", "") == site.root
    assert "listening" in site.log()


@needs_node
def test_responses_stream(deploy):
    site = deploy.url_of(
        deploy.function({**SITE, "Procfile": "web: node server.js\n"}, "Procfile", Runtime="nodejs20.x"), streams=True
    )
    assert site.get().text == "<h1>Hello from Node</h1>"
    with site.http.stream("GET", "/slowly") as response:
        assert response.headers["content-type"] == "text/event-stream"
        lags = [time.time() - float(line.split()[1]) for line in response.iter_lines() if line]
    assert len(lags) == 3 and max(lags) < 0.35  # each was here before the next was made
    with pytest.raises(httpx.RemoteProtocolError), site.http.stream("GET", "/half") as response:
        for _ in response.iter_bytes():
            pass
    big = bytes(range(256)) * 16_000
    assert site.post("/pipe", content=big).content == big
    assert site.http.head("/").status_code == 200 and site.get().text == "<h1>Hello from Node</h1>"


C_SERVER = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    const char *port = getenv("PORT");
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 8080)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 16)) return 1;
    for (;;) {
        char request[8192], path[256] = "", answer[512];
        int client = accept(listener, 0, 0);
        ssize_t size = read(client, request, sizeof request - 1);
        if (size > 0) {
            request[size] = 0;
            sscanf(request, "%*s %255s", path);
            int n = snprintf(answer, sizeof answer, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nHello from C at %s", path);
            write(client, answer, n);
        }
        close(client);
    }
}
"""


@needs_cc
@pytest.mark.parametrize("by", ["Procfile", "handler", "variable"])
def test_a_binary_on_a_custom_runtime(deploy, tmp_path, by):
    (tmp_path / "server.c").write_text(C_SERVER)
    subprocess.run(["cc", "-O1", "-o", tmp_path / "server", tmp_path / "server.c"], check=True)
    files = {"server": (tmp_path / "server").read_bytes()}
    variables = {}
    if by == "Procfile":
        files["Procfile"] = "release: true\nweb: ./server\n"
    elif by == "variable":
        variables["CUMULET_WEB_COMMAND"] = "exec ./server"
    function = deploy.function(
        files, "server" if by == "handler" else "any", executable=("server",), variables=variables, Runtime="provided.al2023"
    )
    site = deploy.url_of(function)
    assert site.get("/a/b?c=d").text == "Hello from C at /a/b?c=d", site.log()
    assert site.get("/a").text == "Hello from C at /a"


FLASK = """
import os, threading
from flask import Flask, request
app, everyone = Flask(__name__), threading.Barrier(4)
@app.route("/")
def index():
    return f"Hello from {request.environ['SERVER_SOFTWARE']}"
@app.route("/meet")
def meet():
    everyone.wait(20)
    return str(os.getpid())
"""


def test_gunicorn_by_a_procfile_takes_many_requests_at_once(deploy):
    files = {"app.py": FLASK, "Procfile": "web: gunicorn app:app --threads 4 --bind 127.0.0.1:$PORT\n"}
    site = deploy.url_of(deploy.function(files, "Procfile", packages=("flask", "gunicorn"), variables={"CUMULET_CONCURRENCY": "4"}))
    assert site.get().text.startswith("Hello from gunicorn"), site.log()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(site.get, ["/meet"] * 4))
    assert {answer.status_code for answer in answers} == {200} and len({answer.text for answer in answers}) == 1


def test_uvicorn_packaged_for_the_adapter(door, deploy):
    app = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/x/{name}')\ndef x(name: str): return {'x': name}\n"
    run = "#!/bin/bash\nexec python3 -m uvicorn --port=$AWS_LWA_PORT main:app\n"
    variables = ADAPTER | {"AWS_LWA_PORT": "18123", "AWS_LWA_READINESS_CHECK_PATH": "/docs", "AWS_LWA_REMOVE_BASE_PATH": "/base"}
    files = {"main.py": app, "run.sh": run}
    packages = ("fastapi", "uvicorn")
    site = door(deploy.function(files, "run.sh", packages=packages, executable=("run.sh",), variables=variables))
    assert site.get("/x/%C3%A9").json() == {"x": "é"}, site.log()
    assert site.get("/base/x/1").json() == {"x": "1"} and site.get("/basement").status_code == 404
    deploy.lambdas.delete_function(FunctionName=site.function)


ADAPTER_LAYER = "arn:aws:lambda:us-east-1:753240598075:layer:LambdaAdapterLayerX86:26"


@needs_node
def test_the_adapters_layer_may_be_named(deploy):
    """As in the templates of its documentation: the layer is another account's, and nothing has to be fetched for it."""
    files = {**SITE, "run.sh": RUN_SH}
    function = deploy.function(
        files, "run.sh", executable=("run.sh",), variables=ADAPTER, Runtime="nodejs20.x", Layers=[ADAPTER_LAYER]
    )
    found = deploy.lambdas.get_function_configuration(FunctionName=function)
    assert found["Layers"] == [{"Arn": ADAPTER_LAYER, "CodeSize": 0}]
    assert deploy.url_of(function).get().text == "<h1>Hello from Node</h1>"
    bootstrap = {**SITE, "bootstrap": "#!/bin/sh\nexec node server.js\n"}
    custom = deploy.function(bootstrap, "bootstrap", executable=("bootstrap",), Runtime="provided.al2023", Layers=[ADAPTER_LAYER])
    assert deploy.url_of(custom).get().text == "<h1>Hello from Node</h1>"
    with pytest.raises(deploy.lambdas.exceptions.InvalidParameterValueException):
        deploy.function(files, "run.sh", Layers=[ADAPTER_LAYER.replace("X86", "Z80")])


def test_pythons_own_server_by_a_command(deploy):
    command = {"CUMULET_WEB_COMMAND": "cd public && python3 -m http.server --bind 127.0.0.1 $PORT"}
    site = deploy.url_of(deploy.function({"public/a.txt": "a file"}, "any", variables=command, MemorySize=128))
    assert site.get("/a.txt").text == "a file" and "a.txt" in site.get("/").text
    assert site.http.head("/a.txt").headers["content-type"] == "text/plain"
    assert '"GET /a.txt HTTP/1.1" 200' in site.log()


@needs_node
async def test_one_connection_is_kept_and_events_are_posted(bench):
    environment = await bench.start({**SITE, "Procfile": "web: node server.js"}, runtime="nodejs20.x", handler="Procfile")
    for number in range(1, 4):
        answer = json.loads((await bench.call(environment, event_of("/request"))).payload)
        assert json.loads(answer["body"])["requests"] == number  # nothing asks the program but its callers
    assert json.loads((await bench.call(environment, b'{"Records": [1]}')).payload) == {"took": {"Records": [1]}}
    assert (await bench.call(environment, b'{"fails": 1}')).error_type == "Web.ErrorStatus"
    assert (await bench.call(environment, event_of("/half"))).error_type == "Web.BrokenResponse"
    with pytest.raises(EnvironmentLost) as lost:
        await bench.call(environment, event_of("/crash"))
    assert lost.value.exit.code == 7 and b"going down" in bench.output


@needs_node
async def test_two_environments_have_each_their_own_program(bench):
    files = {**SITE, "Procfile": "web: node server.js"}
    first, second = [await bench.start(files, runtime="nodejs20.x", handler="Procfile") for _ in range(2)]
    for environment, other in ((first, second), (second, first)):
        for _ in range(2):
            await bench.call(environment, event_of("/request"))
        answer = json.loads((await bench.call(other, event_of("/"))).payload)
        assert answer["statusCode"] == 200
    answers = [json.loads((await bench.call(each, event_of("/request"))).payload) for each in (first, second)]
    assert [json.loads(answer["body"])["requests"] for answer in answers] == [4, 4]


@pytest.mark.parametrize(
    ("command", "error_type", "words"),
    [
        ("exit 3", "Runtime.ExitError", "exit status 3"),
        ("./not-there", "Runtime.ExitError", "exit status 127"),
        ("kill -SEGV $$", "Runtime.ExitError", "signal: segmentation fault"),
        ("sleep 60", "Sandbox.Timedout", ""),
    ],
)
async def test_a_program_that_never_listens(bench, command, error_type, words):
    limit_s = 1.0 if error_type == "Sandbox.Timedout" else 10.0
    with pytest.raises(InitError) as raised:
        await bench.start({"a": ""}, environment={"CUMULET_WEB_COMMAND": command}, init_timeout_s=limit_s)
    assert raised.value.error_type == error_type and words in raised.value.payload.decode()


async def test_a_procfile_without_a_web_line(bench):
    for files in ({"Procfile": "worker: x\n"}, {"a": ""}):
        with pytest.raises(InitError) as raised:
            await bench.start(files, handler="Procfile")
        assert raised.value.error_type == "Runtime.InvalidEntrypoint"


def event_of(path, method="GET"):
    context = {"http": {"method": method, "path": path, "sourceIp": "1.2.3.4"}}
    return json.dumps({"version": "2.0", "rawPath": path, "headers": {"host": "x"}, "requestContext": context}).encode()


HOSTILE = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    client, _ = listener.accept()
    if client.recv(65536):
        client.sendall(bytes.fromhex(sys.argv[1]) if len(sys.argv) > 1 else b"")
    client.close()
"""


@pytest.mark.parametrize(
    ("response", "body", "error_type"),
    [
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end", "to the end", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: t\r\n\r\n", "abcd", None),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", None, "Web.BrokenResponse"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", None, "Web.BrokenResponse"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", None, "Web.NoResponse"),
        (b"SSH-2.0\r\n\r\n", None, "Web.NoResponse"),
        (b"", None, "Web.NoResponse"),
    ],
)
async def test_responses_of_all_kinds(bench, response, body, error_type):
    variables = {"CUMULET_WEB_COMMAND": f"python3 index.py {response.hex()}"}
    environment = await bench.start({"index.py": HOSTILE}, environment=variables)
    answer = await bench.call(environment, event_of("/"))
    assert answer.error_type == error_type
    if error_type is None:
        assert json.loads(answer.payload)["body"] == body


ONCE = """
import os, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    client, _ = listener.accept()
    if client.recv(65536):
        client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        client.recv(65536)  # and closes, as servers do whose patience has ended
    client.close()
"""


async def test_a_connection_is_not_kept_for_long(bench):
    environment = await bench.start({"index.py": ONCE}, environment={"CUMULET_WEB_COMMAND": "python3 index.py"})
    assert (await bench.call(environment, event_of("/", "POST"))).error_type is None
    await asyncio.sleep(1.1)
    assert (await bench.call(environment, event_of("/", "POST"))).error_type is None
    assert (await bench.call(environment, event_of("/", "POST"))).error_type == "Web.NoResponse"  # it may have been done
    assert (await bench.call(environment, event_of("/"))).error_type is None
    assert (await bench.call(environment, event_of("/"))).error_type is None  # and this is asked again


@needs_node
async def test_calls_go_side_by_side(bench):
    files = {**SITE, "Procfile": "web: node server.js"}
    environment = await bench.start(files, runtime="nodejs20.x", handler="Procfile", environment={"CUMULET_CONCURRENCY": "8"})
    assert environment.calls_at_once == 8
    started = time.monotonic()
    answers = await asyncio.gather(*(bench.stream(environment, event_of("/slowly")) for _ in range(8)))
    assert time.monotonic() - started < 5 and all(parts.count(b"data: ") == 3 for _, parts in answers)
