"""The front door of a real node, used by real clients."""

import httpx
import pytest


@pytest.mark.parametrize("style", ["host", "path"])
def test_both_addresses_answer_whichever_is_told(start_node, name, make_url, style):
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


def make_rest_api(node, name: str) -> str:
    """The address of a REST API that hands everything to the function `name`."""
    gateway = node.client("apigateway")
    arn = node.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    api = gateway.create_rest_api(name=name)
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"
    for resource in (
        api["rootResourceId"],
        gateway.create_resource(restApiId=api["id"], parentId=api["rootResourceId"], pathPart="{proxy+}")["id"],
    ):
        place = {"restApiId": api["id"], "resourceId": resource, "httpMethod": "ANY"}
        gateway.put_method(**place, authorizationType="NONE")
        gateway.put_integration(**place, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    gateway.create_deployment(restApiId=api["id"], stageName="s")
    return f"{node.url}/_aws/execute-api/{api['id']}/s/"


def make_http_api(node, name: str) -> str:
    """The same as an HTTP API."""
    arn = node.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    api = node.client("apigatewayv2").create_api(Name=name, ProtocolType="HTTP", Target=arn)
    return f"{node.url}/_aws/execute-api/{api['ApiId']}/"


SLOW = """\
import time
def handler(event, context):
    time.sleep(2)
    return {"statusCode": 200, "body": "late"}
"""


def test_how_long_an_integration_may_take_is_a_choice(start_node, name, make_url):
    node = start_node("--in-memory", "--integration-timeout", "0.5")
    make_url(node, name, SLOW, Timeout=10)
    answer = httpx.get(make_rest_api(node, name), timeout=20)
    assert (answer.status_code, answer.json()) == (504, {"message": "Endpoint request timed out"})
    answer = httpx.get(make_http_api(node, name), timeout=20)
    assert (answer.status_code, answer.json()) == (503, {"message": "Service Unavailable"})
