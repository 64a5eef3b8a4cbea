"""Puts WebSocket APIs and their functions on a node with boto3; for tests of any folder."""

import io
import sys
import uuid
import zipfile
from pathlib import Path
from typing import Any

PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"
CHAT = Path(__file__).with_name("chat.py").read_text()


def put_function(node: Any, name: str, code: str, handler: str, **more: Any) -> str:
    """The function's ARN."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("index.py", code)
    made_function = node.client("lambda").create_function(
        FunctionName=name,
        Runtime=PYTHON,
        Role=ROLE,
        Handler=f"index.{handler}",
        Code={"ZipFile": archive.getvalue()},
        **{"Timeout": 25, "MemorySize": 256} | more,
    )
    return str(made_function["FunctionArn"])


class WebSocketApi:
    """An API on a node, with one stage `prod` that deploys by itself."""

    def __init__(self, node: Any, **more: Any) -> None:
        self.node = node
        self.v2 = node.client("apigatewayv2")
        given = {"Name": "t", "ProtocolType": "WEBSOCKET", "RouteSelectionExpression": "$request.body.action"} | more
        made = self.v2.create_api(**given)
        self.id, self.endpoint = made["ApiId"], made["ApiEndpoint"]
        self.v2.create_stage(ApiId=self.id, StageName="prod", AutoDeploy=True)

    @property
    def path(self) -> str:
        return f"/_aws/execute-api/{self.id}/prod"

    @property
    def url(self) -> str:
        """In the form that works also where names under localhost do not resolve."""
        return "ws" + self.node.url.removeprefix("http") + self.path

    def connections(self, **client: Any) -> Any:
        """The management API's client at this stage's address."""
        at = type(self.node).client
        changed = _At(self.node, self.node.url + self.path)
        return at(changed, "apigatewaymanagementapi", **client)

    def proxy(self, key: str, function_arn: str, *, is_two_way: bool = False, **more: Any) -> None:
        self.route(key, {"IntegrationType": "AWS_PROXY", "IntegrationUri": invoke_uri(function_arn)}, is_two_way=is_two_way, **more)

    def route(self, key: str, integration: dict[str, Any], *, is_two_way: bool = False, **more: Any) -> str:
        """The integration's id."""
        integration_id = str(self.v2.create_integration(ApiId=self.id, **integration)["IntegrationId"])
        if is_two_way:
            more["RouteResponseSelectionExpression"] = "$default"
        made = self.v2.create_route(ApiId=self.id, RouteKey=key, Target=f"integrations/{integration_id}", **more)
        if is_two_way:
            self.v2.create_route_response(ApiId=self.id, RouteId=made["RouteId"], RouteResponseKey="$default")
        return integration_id


class _At:
    """A node as its `client` method sees it, at another address."""

    def __init__(self, node: Any, url: str) -> None:
        self.url = url


def invoke_uri(function_arn: str) -> str:
    region = function_arn.split(":")[3]
    return f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function_arn}/invocations"


def deploy_chat(node: Any) -> WebSocketApi:
    """The chat of `chat.py`: a function for each route."""
    prefix = f"chat-{uuid.uuid4().hex[:8]}"
    put_function(node, f"{prefix}-room", CHAT, "room")
    node.client("lambda").put_function_concurrency(FunctionName=f"{prefix}-room", ReservedConcurrentExecutions=1)
    api = WebSocketApi(node)
    for key, handler in (("$connect", "connect"), ("$disconnect", "disconnect"), ("sendmessage", "sendmessage")):
        api.proxy(key, put_function(node, f"{prefix}-{handler}", CHAT, handler, Environment=_room_of(prefix)))
    api.proxy("$default", put_function(node, f"{prefix}-default", CHAT, "default", Environment=_room_of(prefix)), is_two_way=True)
    return api


def _room_of(prefix: str) -> dict[str, Any]:
    return {"Variables": {"ROOM": f"{prefix}-room"}}
