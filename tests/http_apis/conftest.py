"""HTTP APIs on a real node: made with boto3, called with an HTTP client; and servers of the test's own for them to reach."""

import http.server
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import deployed
import real_node
from deployed import ECHO, PYTHON, ROLE, zip_of
from loopback import Loopback

node, start_node, name = real_node.node, real_node.start_node, real_node.name
function = deployed.function

ACCESS_KEY, SECRET = real_node.ACCESS_KEY, real_node.SECRET


class Api:
    """One HTTP API with a `$default` stage that deploys by itself."""

    def __init__(self, node: Any, name: str, *, auto: bool = True, **attributes: Any) -> None:
        self.node = node
        self.gateway = node.client("apigatewayv2")
        made = self.gateway.create_api(Name=name, ProtocolType="HTTP", **attributes)
        self.id, self.endpoint = made["ApiId"], made["ApiEndpoint"]
        if auto:
            self.gateway.create_stage(ApiId=self.id, StageName="$default", AutoDeploy=True)

    def integration(self, **more: Any) -> str:
        """Its target."""
        return f"integrations/{self.gateway.create_integration(ApiId=self.id, **more)['IntegrationId']}"

    def function(self, arn: str, version: str = "2.0", **more: Any) -> str:
        return self.integration(IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion=version, **more)

    def http(self, url: str, method: str = "ANY", **more: Any) -> str:
        return self.integration(
            IntegrationType="HTTP_PROXY", IntegrationUri=url, IntegrationMethod=method, PayloadFormatVersion="1.0", **more
        )

    def route(self, key: str, target: str, **more: Any) -> str:
        return str(self.gateway.create_route(ApiId=self.id, RouteKey=key, Target=target, **more)["RouteId"])

    def url(self, path: str = "/") -> str:
        return f"{self.node.url}/_aws/execute-api/{self.id}{path}"

    def call(self, method: str = "GET", path: str = "/", **more: Any) -> httpx.Response:
        return httpx.request(method, self.url(path), timeout=40, **more)


@pytest.fixture
def make_api(node: Any, name: str) -> Iterator[Callable[..., Api]]:
    made: list[Api] = []

    def make(**attributes: Any) -> Api:
        made.append(Api(node, f"{name}-{len(made)}", **attributes))
        return made[-1]

    yield make
    for api in made:
        api.gateway.delete_api(ApiId=api.id)


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()


@pytest.fixture(scope="session")
def echo_arn(node: Any) -> str:
    """A function that answers with its event."""
    made = node.client("lambda").create_function(
        FunctionName="echo", Runtime=PYTHON, Handler="index.handler", Role=ROLE, Code={"ZipFile": zip_of(ECHO)}
    )
    return str(made["FunctionArn"])


class Server(Loopback):
    """An HTTP server on loopback: answers by `answers[path]` (status, headers, body), else tells the request; `seen` are paths."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.seen: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                path = self.path.partition("?")[0]
                outer.seen.append(path)
                told = {"method": self.command, "target": self.path, "body": body.decode(), "headers": self.headers.items()}
                usual = (200, {"Content-Type": "application/json"}, json.dumps(told).encode())
                status, headers, text = outer.answers.get(path, usual)
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _answer

            def log_message(self, *arguments: Any) -> None:
                pass

        super().__init__(Handler)
        self.url = f"http://127.0.0.1:{self.port}"


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()
