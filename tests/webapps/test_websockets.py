"""WebSockets of a program's own, through its function URL: the gateway hands the connection over, byte for byte."""

import contextlib
import importlib.util
import re
import socket
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

_SPEC = importlib.util.spec_from_file_location("webapps_conftest", Path(__file__).parent / "conftest.py")
_CONFTEST = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_CONFTEST)
Deployer = _CONFTEST.Deployer

ECHO = """
import asyncio, os, signal
from http import HTTPStatus
from websockets.asyncio.server import serve

async def echo(socket):
    await socket.send(f"hello at {socket.request.path} {socket.request.headers.get('x-amzn-request-context', '')[:1]}")
    async for message in socket:
        if message == "close":
            return await socket.close(4000, "as you say")
        if message == "count":
            for number in range(500):
                await socket.send(str(number) * 100)
            continue
        await socket.send(message)

def page(connection, request):
    if request.path == "/page":
        return connection.respond(HTTPStatus.OK, "a page\\n")

async def main():
    async with serve(echo, "127.0.0.1", int(os.environ["PORT"]), process_request=page, max_size=None,
                     subprotocols=["chat"], select_subprotocol=lambda socket, offered: "chat" if "chat" in offered else None):
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


@pytest.fixture
def open_socket(deploy):
    """Connects by address, with the site's name in the Host header."""
    with contextlib.ExitStack() as opened:

        def open_at(site, path="/", **more):
            name = re.sub(r"^http://|/$", "", site.url)
            stream = opened.enter_context(socket.create_connection(("127.0.0.1", int(deploy.port))))
            return opened.enter_context(connect(f"ws://{name}{path}", sock=stream, proxy=None, max_size=None, **more))

        yield open_at


def make(deploy, *, streams=False, variables=None, **more):
    files = {"app.py": ECHO, "Procfile": "web: python3 app.py"}
    return deploy.url_of(
        deploy.function(files, "Procfile", packages=("websockets",), variables=variables or {}, **more), streams=streams
    )


@pytest.mark.parametrize("streams", [False, True])
def test_messages_go_both_ways(deploy, open_socket, streams):
    site = make(deploy, streams=streams)
    assert site.get("/page").text == "a page\n", site.log()
    client = open_socket(site, "/room?x=1", subprotocols=["other", "chat"])
    assert client.subprotocol == "chat" and client.recv(10) == "hello at /room?x=1 {"
    for message in ("héllo", b"\0\xff" * 10, "x" * 300_000, b"y" * 3_000_000):
        client.send(message)
        assert client.recv(10) == message
    client.send("count")
    assert [client.recv(10) for _ in range(500)] == [str(number) * 100 for number in range(500)]
    client.send("close")
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(10)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as you say")
    assert site.get("/page").text == "a page\n"


def test_an_open_socket_is_a_call_under_way(deploy, open_socket):
    site = make(deploy)
    deploy.lambdas.put_function_concurrency(FunctionName=site.function, ReservedConcurrentExecutions=1)
    client = open_socket(site)
    assert client.recv(10).startswith("hello")
    assert site.get("/page").status_code == 429
    with pytest.raises(InvalidStatus):
        open_socket(site)
    client.socket.shutdown(socket.SHUT_RDWR)  # as a client goes that says no goodbye
    deadline_s = time.monotonic() + 10
    while (answer := site.get("/page")).status_code == 429 and time.monotonic() < deadline_s:
        pass
    assert answer.text == "a page\n"


def test_many_sockets_share_an_environment_that_allows_it(deploy, open_socket):
    site = make(deploy, variables={"CUMULET_CONCURRENCY": "8"})
    site.get("/page")
    sockets = [open_socket(site) for _ in range(6)]
    for number, client in enumerate(sockets):
        assert client.recv(10).startswith("hello")
        client.send(str(number))
    assert [client.recv(10) for client in sockets] == ["0", "1", "2", "3", "4", "5"]
    assert site.get("/page").text == "a page\n"
    for client in sockets:
        client.close()
    assert site.logged("REPORT") and site.log().count("Init Duration") == 1


def test_the_functions_timeout_ends_the_socket(deploy, open_socket):
    site = make(deploy, Timeout=2)
    site.get("/page")
    client = open_socket(site)
    client.recv(10)
    with pytest.raises(ConnectionClosed):
        client.recv(20)
    assert site.logged("Task timed out after 2.00 seconds")
    assert site.get("/page").text == "a page\n"


def test_a_node_that_stops_ends_its_sockets(start_node):
    stopping = start_node("--durability", "os")
    deployer = Deployer(stopping, "stopping")
    site = make(deployer)
    name = re.sub(r"^http://|/$", "", site.url)
    with (
        socket.create_connection(("127.0.0.1", int(deployer.port))) as stream,
        connect(f"ws://{name}/", sock=stream, proxy=None) as client,
    ):
        client.recv(10)
        assert stopping.stop() == 0
        with pytest.raises(ConnectionClosed):
            client.recv(10)
    deployer.close()


@pytest.mark.parametrize("streams", [False, True])
def test_a_function_that_does_not_speak_it_answers_as_ever(deploy, open_socket, streams):
    plain = "def handler(event, context):\n    return {'statusCode': 418, 'body': event['headers']['upgrade']}\n"
    generator = 'def handler(event, context):\n    yield b\'{"statusCode": 418,\'\n    yield b\' "body": "parts"}\'\n'
    flask = "def app(environ, start_response):\n    start_response('418 Teapot', [])\n    return [b'whole']\n"
    for code, handler in ((plain, "index.handler"), (generator, "index.handler"), (flask, "index.app")):
        site = deploy.url_of(deploy.function({"index.py": code}, handler), streams=streams)
        with pytest.raises(InvalidStatus) as refused:
            open_socket(site)
        is_raw = streams and handler == "index.handler"  # then what is returned is the body
        assert refused.value.response.status_code == (200 if is_raw else 418)
