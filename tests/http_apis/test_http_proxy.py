"""Other servers and the node's own services behind routes, with what mappings make of requests and answers."""

import json

import pytest

from cumulet.gateway import http_client

ROLE = "arn:aws:iam::000000000000:role/api"


def told(response):
    """What the server was asked; headers by lower-case name."""
    document = response.json()
    document["headers"] = {name.lower(): value for name, value in document["headers"]}
    return document


def test_the_request_goes_on_as_it_is(api, server):
    api.route("ANY /{proxy+}", api.http(f"{server.url}/base/{{proxy}}"))
    request = told(api.call("PUT", "/a%20b/c?x=1&x=2&y=%2F", headers={"X-A": "1", "Authorization": "me"}, content=b"body"))
    assert (request["method"], request["target"], request["body"]) == ("PUT", "/base/a%20b/c?x=1&x=2&y=%2F", "body")
    headers = request["headers"]
    assert (headers["x-a"], headers["authorization"], headers["host"]) == ("1", "me", server.url.removeprefix("http://"))
    assert headers["via"] == "HTTP/1.1 AmazonAPIGateway" and "for=127.0.0.1" in headers["forwarded"]


def test_the_answer_comes_back_as_it_is(api, server):
    server.answers["/x"] = (418, {"X-B": "2", "Content-Type": "text/plain"}, b"tea")
    api.route("GET /x", api.http(f"{server.url}/x", "GET"))
    answer = api.call(path="/x")
    assert (answer.status_code, answer.text, answer.headers["x-b"]) == (418, "tea", "2")


def test_request_parameters(api, server):
    parameters = {
        "overwrite:header.x-set": "static",
        "append:header.x-a": "$request.header.x-a",
        "remove:header.x-gone": "''",
        "overwrite:header.x-made": "${request.path.id}-${stageVariables.v}-$context.stage",
        "overwrite:header.x-body": "$request.body.pet.name",
        "overwrite:header.x-line": "$request.querystring.line",
        "overwrite:header.x-nothing": "$request.header.none",
        "append:querystring.added": "$request.path",
        "remove:querystring.gone": "''",
        "overwrite:path": "/new/${request.path.id}",
    }
    api.gateway.update_stage(ApiId=api.id, StageName="$default", StageVariables={"v": "var"})
    api.route("POST /pets/{id}", api.http(f"{server.url}/old?own=1", "POST", RequestParameters=parameters))
    body = {"pet": {"name": "Rex"}}
    request = told(
        api.call("POST", "/pets/7%2F8?gone=1&kept=2&line=a%0D%0AX-Evil:%201", headers={"X-A": "1", "X-Gone": "1"}, json=body)
    )
    assert request["target"].partition("?")[0] == "/new/7/8"
    assert set(request["target"].partition("?")[2].split("&")) == {
        "own=1", "kept=2", "line=a%0D%0AX-Evil%3A%201", "added=%2Fpets%2F7%2F8",
    }  # fmt: skip
    headers = request["headers"]
    assert (headers["x-set"], headers["x-made"], headers["x-body"]) == ("static", "7/8-var-$default", "Rex")
    assert "x-gone" not in headers and "x-evil" not in headers and "x-nothing" not in headers
    assert json.loads(request["body"]) == body


def test_response_parameters_are_by_status(api, server):
    server.answers["/x"] = (500, {"X-Old": "old", "X-Gone": "1", "Content-Type": "application/json"}, b'{"error": {"code": "E1"}}')
    mapping = {
        "overwrite:statuscode": "403",
        "overwrite:header.x-code": "$response.body.error.code",
        "append:header.x-old": "$response.header.x-old+",
        "remove:header.x-gone": "''",
        "overwrite:header.x-id": "$context.requestId",
    }
    api.route(
        "GET /x", api.http(f"{server.url}/x", "GET", ResponseParameters={"500": mapping, "200": {"overwrite:statuscode": "201"}})
    )
    answer = api.call(path="/x")
    assert (answer.status_code, answer.headers["x-code"], "x-gone" in answer.headers) == (403, "E1", False)
    assert answer.headers["x-id"] == answer.headers["apigw-requestid"]
    server.answers["/x"] = (200, {}, b"")
    assert api.call(path="/x").status_code == 201


def test_servers_that_are_slow_or_not_there(api, server, unused_tcp_port, slow_server):
    api.route("GET /none", api.http(f"http://127.0.0.1:{unused_tcp_port}/"))
    api.route("GET /slow", api.http(slow_server, TimeoutInMillis=60))
    assert (api.call(path="/none").status_code, api.call(path="/none").json()) == (503, {"message": "Service Unavailable"})
    assert (api.call(path="/slow").status_code, api.call(path="/slow").json()) == (504, {"message": "Gateway Timeout"})


def test_the_metadata_of_the_machine_is_not_reached(api):
    for number, address in enumerate(("127.0.0.1", "169.254.169.254", "[::ffff:169.254.169.254]")):
        api.route(f"GET /{number}", api.http(f"http://{address}:1/", TimeoutInMillis=3000))
        assert api.call(path=f"/{number}").status_code in (503, 504)
    assert [
        http_client._is_metadata((address, 80))
        for address in ("169.254.169.254", "::ffff:169.254.1.1", "fe80::1%eth0", "fd00:ec2::254")
    ] == [True] * 4
    assert not http_client._is_metadata(("127.0.0.1", 80)) and not http_client._is_metadata(None)


@pytest.fixture
def slow_server():
    """Accepts connections and says nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.mark.parametrize(
    ("subtype", "parameters"),
    [
        ("SQS-SendMessage", {"QueueUrl": "$request.body.url", "MessageBody": "$request.body.text"}),
        ("EventBridge-PutEvents", {"Source": "a", "DetailType": "b", "Detail": "$request.body"}),
    ],
)
def test_a_service_that_is_not_there_fails_as_an_integration(api, subtype, parameters):
    target = api.integration(
        IntegrationType="AWS_PROXY", IntegrationSubtype=subtype, PayloadFormatVersion="1.0", CredentialsArn=ROLE,
        RequestParameters=parameters,
    )  # fmt: skip
    api.route("POST /x", target)
    answer = api.call("POST", "/x", json={"url": "http://q", "text": "hello"})
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})


def test_an_api_that_leads_to_itself_comes_to_an_end(api):
    api.route("$default", api.http(api.url("/again")))
    answer = api.call()
    assert (answer.status_code, answer.json()) == (508, {"message": "Loop Detected"})
