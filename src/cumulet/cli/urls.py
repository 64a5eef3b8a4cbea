"""`cumulet urls`: where everything that speaks HTTP is reached; what tools print from templates of their own is an AWS address."""

from collections.abc import Iterator
from typing import Any

import click

from cumulet.cli.client import client, find_address, told_plainly
from cumulet.cli.output import json_option, show, table


@click.command("urls")
@json_option
def command(as_json: bool) -> None:
    """List the addresses of function URLs and of the deployed stages of all APIs in the region."""
    with told_plainly():
        found = [*_function_urls(), *_rest_apis(), *_http_and_websocket_apis()]
    rows = [(each["kind"], each["name"], each["stage"], each["url"]) for each in found]
    show(found, as_json, lambda: table(("KIND", "NAME", "STAGE", "URL"), rows))


def _function_urls() -> Iterator[dict[str, str]]:
    functions = client("lambda")
    for page in functions.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            name = function["FunctionName"]
            for url in functions.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]:
                yield _row("function", name, url["FunctionArn"].partition(f":{name}")[2].lstrip(":"), url["FunctionUrl"])


def _rest_apis() -> Iterator[dict[str, str]]:
    """These have no address of their own in what the service answers."""
    gateway, endpoint = client("apigateway"), find_address().endpoint
    for page in gateway.get_paginator("get_rest_apis").paginate():
        for api in page["items"]:
            for stage in gateway.get_stages(restApiId=api["id"])["item"]:
                name = stage["stageName"]
                yield _row("REST API", api["name"], name, f"{endpoint}/_aws/execute-api/{api['id']}/{name}/")


def _http_and_websocket_apis() -> Iterator[dict[str, str]]:
    gateway = client("apigatewayv2")
    for api in _pages(gateway.get_apis):
        kind = "HTTP API" if api["ProtocolType"] == "HTTP" else "WebSocket API"
        for stage in _pages(gateway.get_stages, ApiId=api["ApiId"]):
            name = stage["StageName"]
            below = "/" if name == "$default" else f"/{name}" + ("/" if kind == "HTTP API" else "")
            yield _row(kind, api["Name"], name, api["ApiEndpoint"] + below)


def _pages(operation: Any, **request: Any) -> Iterator[dict[str, Any]]:
    while True:
        page = operation(**request)
        yield from page["Items"]
        if not page.get("NextToken"):
            return
        request["NextToken"] = page["NextToken"]


def _row(kind: str, name: str, stage: str, url: str) -> dict[str, str]:
    return {"kind": kind, "name": name, "stage": stage, "url": url}
