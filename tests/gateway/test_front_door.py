"""The front door of a real node, used by real clients."""

import io
import sys
import zipfile

import httpx
import pytest

PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"
ECHO = """\
import json
def handler(event, context):
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(event)}
"""


def make_url(node, name: str, text: str = ECHO) -> str:
    """A function and its URL, as the node tells it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), text)
    functions = node.client("lambda")
    functions.create_function(
        FunctionName=name, Runtime=PYTHON, Handler="index.handler", Role=ROLE, Code={"ZipFile": buffer.getvalue()}
    )
    return str(functions.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"])


@pytest.mark.parametrize("style", ["host", "path"])
def test_both_addresses_answer_whichever_is_told(start_node, name, style):
    node = start_node("--in-memory", "--url-style", style)
    told = make_url(node, name)
    url_id = told.split("/")[-2] if style == "path" else told.split("/")[2].split(".")[0]
    host = f"{url_id}.lambda-url.us-east-1.localhost:{node.netloc.split(':')[1]}"
    by_path = f"{node.url}/_aws/lambda-url/{url_id}/"
    assert told == (f"http://{host}/" if style == "host" else by_path)
    for answer in (
        httpx.get(by_path + "a?b=c"),
        httpx.get(node.url + "/a?b=c", headers={"Host": host}),
        httpx.get(node.url + "/a?b=c", headers={"Host": host.upper()}),
    ):
        event = answer.json()
        assert (event["rawPath"], event["rawQueryString"], event["requestContext"]["domainPrefix"]) == ("/a", "b=c", url_id)
