"""REST APIs on a real node: made with boto3, called with an HTTP client."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import deployed
import real_node

node, start_node, name = real_node.node, real_node.start_node, real_node.name
function = deployed.function

ACCESS_KEY, SECRET = real_node.ACCESS_KEY, real_node.SECRET


def uri_of(function_arn: str, region: str = "us-east-1") -> str:
    return f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function_arn}/invocations"


class Api:
    """One REST API, made step by step; `call` asks what is deployed on its stage."""

    def __init__(self, node: Any, name: str, **attributes: Any) -> None:
        self.node = node
        self.gateway = node.client("apigateway")
        made = self.gateway.create_rest_api(name=name, **attributes)
        self.id, self.root = made["id"], made["rootResourceId"]
        self.resources = {"/": self.root}

    def resource(self, path: str) -> str:
        if path not in self.resources:
            parent, _, part = path.rpartition("/")
            made = self.gateway.create_resource(restApiId=self.id, parentId=self.resource(parent or "/"), pathPart=part)
            self.resources[path] = made["id"]
        return self.resources[path]

    def method(self, method: str, path: str, integration: dict[str, Any], **more: Any) -> dict[str, str]:
        """The three names of the method, for further calls about it."""
        place = {"restApiId": self.id, "resourceId": self.resource(path), "httpMethod": method}
        self.gateway.put_method(**place, authorizationType=more.pop("authorizationType", "NONE"), **more)
        self.gateway.put_integration(**place, **integration)
        return place

    def proxy(self, method: str, path: str, function_arn: str, **more: Any) -> dict[str, str]:
        integration = {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": uri_of(function_arn)}
        return self.method(method, path, integration, **more)

    def mock(self, method: str, path: str, response: str = "", *, status: int = 200, **more: Any) -> dict[str, str]:
        """A method that answers by itself with a template."""
        request = {"application/json": more.pop("request", f'{{"statusCode": {status}}}')}
        integration = {"type": "MOCK", "requestTemplates": request, **more.pop("integration", {})}
        place = self.method(method, path, integration, **more)
        self.answer(place, str(status), response)
        return place

    def answer(self, place: dict[str, str], status: str, template: str = "", **more: Any) -> None:
        """A method response and the integration response that leads to it."""
        headers = more.pop("responseParameters", {})
        declared = dict.fromkeys(headers, False)
        self.gateway.put_method_response(**place, statusCode=status, responseParameters=declared)
        templates = {"application/json": template} if template else {}
        self.gateway.put_integration_response(
            **place, statusCode=status, responseTemplates=templates, responseParameters=headers, **more
        )

    def deploy(self, stage: str = "prod", **more: Any) -> str:
        return str(self.gateway.create_deployment(restApiId=self.id, stageName=stage, **more)["id"])

    def url(self, path: str = "/", stage: str = "prod") -> str:
        return f"{self.node.url}/_aws/execute-api/{self.id}/{stage}{path}"

    def call(self, method: str = "GET", path: str = "/", *, stage: str = "prod", **more: Any) -> httpx.Response:
        return httpx.request(method, self.url(path, stage), timeout=40, **more)


@pytest.fixture
def make_api(node: Any, name: str) -> Iterator[Callable[..., Api]]:
    made: list[Api] = []

    def make(**attributes: Any) -> Api:
        made.append(Api(node, f"{name}-{len(made)}", **attributes))
        return made[-1]

    yield make
    for api in made:
        api.gateway.delete_rest_api(restApiId=api.id)


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()


def json_of(response: httpx.Response) -> Any:
    return json.loads(response.content)
