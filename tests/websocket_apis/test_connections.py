"""Who gets a connection, what it is told of, and how it ends."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cumulet.gateway.websocket.session import WebSocketLimits
from cumulet.services.http_apis.live import LiveApi

OK = {"statusCode": 200}


async def refused(hub, **options):
    with pytest.raises(InvalidStatus) as error:
        await hub.connect(**options)
    return error.value.response


def keep(events, answer=OK):
    def handler(event):
        events.append(event)
        return answer

    return handler


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def running(make_hub):
    """A hub with its loop running, as on a node."""
    tasks = []

    async def start(limits):
        hub = await make_hub(limits)
        tasks.append((halt := asyncio.Event(), asyncio.create_task(hub.apis.connections.run(halt))))
        return hub

    yield start
    for halt, _task in tasks:
        halt.set()


async def test_connect_is_told_with_the_documented_event(hub):
    events = []
    hub.proxy("$connect", keep(events))
    async with hub.connect(query="?a=1&a=2&b=%20", user_agent_header="tester/1", additional_headers={"X-Two": "2"}):
        pass
    (event,) = events
    context, headers = event["requestContext"], event["headers"]
    assert event["queryStringParameters"] == {"a": "2", "b": " "}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [" "]}
    assert event["multiValueHeaders"]["X-Two"] == ["2"] and event["isBase64Encoded"] is False and "body" not in event
    assert {"Host", "Sec-WebSocket-Key", "X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto"} < set(
        headers
    )
    assert headers["Sec-WebSocket-Version"] == "13" and not {"Connection", "Upgrade"} & set(headers)
    assert len(context["connectionId"]) == 16 and context["requestId"] == context["extendedRequestId"]
    del context["connectionId"], context["requestId"], context["extendedRequestId"]
    assert context == {
        "routeKey": "$connect",
        "eventType": "CONNECT",
        "requestTime": "14/Nov/2023:22:13:20 +0000",
        "messageDirection": "IN",
        "stage": "prod",
        "connectedAt": 1_700_000_000_000,
        "requestTimeEpoch": 1_700_000_000_000,
        "identity": {"sourceIp": "127.0.0.1", "userAgent": "tester/1"},
        "domainName": f"127.0.0.1:{hub.served.port}/_aws/execute-api/abc",
        "apiId": "abc",
    }


@pytest.mark.parametrize(
    ("answer", "status"),
    [({"statusCode": 401}, 401), ({"statusCode": 418, "body": "no"}, 418), ({"statusCode": 503}, 503), ({"statusCode": 302}, 500),
     ({}, 502), (None, 502), ({"statusCode": 204}, 101)],
)  # fmt: skip
async def test_the_integrations_status_decides(hub, answer, status):
    gone = []
    hub.proxy("$connect", lambda event: answer)
    hub.proxy("$disconnect", keep(gone))
    if status == 101:
        async with hub.connect():
            assert len(hub.apis.connections) == 1
        return
    response = await refused(hub)
    assert response.status_code == status
    assert json.loads(response.body).keys() == {"message", "connectionId", "requestId"}
    assert len(hub.apis.connections) == 0 and gone == []


async def test_a_connect_function_that_fails_or_is_slow_refuses(hub):
    def fail(event):
        raise RuntimeError

    hub.proxy("$connect", fail)
    assert (await refused(hub)).status_code == 502


@pytest.mark.parametrize(("path", "status"), [("", 403), ("/other", 403), ("/prod/deeper", 403), ("/prod/", 101), ("/prod?x", 101)])
async def test_a_stage_is_the_whole_path(hub, path, status):
    hub.publish()
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    head = f"GET /_aws/execute-api/abc{path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n"
    assert (await hub.served.talk(head.encode())).startswith(b"HTTP/1.1 %d " % status)


async def test_host_style_and_what_is_no_websocket(hub):
    hub.publish()
    host = b"Host: abc.execute-api.us-east-1.localhost:4566\r\n"
    answer = await hub.served.talk(b"GET /prod HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 426 ") and b'"message":"Upgrade Required"' in answer
    hub.proxy("$connect", keep(events := []))
    name = f"abc.execute-api.us-east-1.localhost:{hub.served.port}"
    async with connect(f"ws://{name}/prod", host="127.0.0.1"):
        pass
    assert events[0]["requestContext"]["domainName"] == name


async def test_the_integration_chooses_the_subprotocol(hub):
    hub.proxy("$connect", lambda event: {"statusCode": 200, "headers": {"sec-websocket-protocol": "v2"}})
    async with hub.connect(subprotocols=["v1", "v2"]) as client:
        assert client.subprotocol == "v2"
    async with hub.connect(subprotocols=["v1"]) as client:
        assert client.subprotocol is None


async def test_a_mock_chooses_it_with_a_mapped_header(hub):
    responses = [
        {
            "IntegrationResponseKey": "$default",
            "ResponseParameters": {"route.response.header.Sec-WebSocket-Protocol": "route.request.header.Sec-WebSocket-Protocol"},
        }
    ]
    hub.route("$connect", {"IntegrationType": "MOCK"}, responses=responses)
    async with hub.connect(subprotocols=["v1"]) as client:
        assert client.subprotocol == "v1"


async def test_required_parameters_and_throttles_of_connect(hub):
    required = {"route.request.querystring.token": {"Required": True}, "route.request.header.X-A": {"Required": False}}
    hub.route("$connect", RequestParameters=required)
    assert (await refused(hub)).status_code == 400
    async with hub.connect(query="?token=1"):
        pass
    hub.stage["DefaultRouteSettings"] = {"ThrottlingRateLimit": 1.0, "ThrottlingBurstLimit": 1}
    hub.publish()
    async with hub.connect(query="?token=1"):
        assert (await refused(hub, query="?token=1")).status_code == 429


# Authorizers


def policy(effect="Allow", resource="*", **more):
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource}
    return {"principalId": "me", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}, **more}


async def test_an_authorizer_lets_in_and_is_told_to_every_route(hub):
    asked = []
    arn = "arn:aws:execute-api:us-east-1:000000000000:abc/prod/$connect"
    hub.authorizer(keep(asked, policy(resource=arn, context={"n": 1, "s": "x"})), "route.request.querystring.token")
    hub.proxy("$connect", keep(told := []), AuthorizationType="CUSTOM", AuthorizerId="a")
    hub.proxy("$default", keep(told))
    hub.proxy("$disconnect", keep(told))
    async with hub.connect(query="?token=t") as client:
        await client.send("x")
        await until(lambda: len(told) == 2)
    await until(lambda: len(told) == 3)
    (event,) = asked
    assert (event["type"], event["methodArn"], event["queryStringParameters"]) == ("REQUEST", arn, {"token": "t"})
    assert event["requestContext"]["routeKey"] == "$connect" and "authorizer" not in event["requestContext"]
    for each in told:
        assert each["requestContext"]["authorizer"] == {"principalId": "me", "n": "1", "s": "x", "integrationLatency": 0}
    assert len({each["requestContext"]["connectionId"] for each in [event, *told]}) == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [(policy("Deny"), 403), (policy(resource="arn:other"), 403), ({"principalId": "me"}, 500), ("no", 500), ({}, 500)],
)
async def test_an_authorizer_refuses(hub, answer, status):
    hub.authorizer(lambda event: answer)
    hub.proxy("$connect", keep(told := []), AuthorizationType="CUSTOM", AuthorizerId="a")
    assert (await refused(hub)).status_code == status
    assert told == []


async def test_without_its_identity_source_an_authorizer_is_not_asked(hub):
    hub.authorizer(keep(asked := []), "route.request.header.Auth", "route.request.querystring.token", "$request.header.Other")
    hub.route("$connect", AuthorizationType="CUSTOM", AuthorizerId="a")
    response = await refused(hub, query="?token=t", additional_headers={"Auth": "x"})
    assert (response.status_code, json.loads(response.body)["message"]) == (401, "Unauthorized")
    assert asked == []


async def test_an_authorizer_that_throws_unauthorized_is_401_and_others_are_500(hub):
    def throw(event):
        raise Exception(event["queryStringParameters"]["why"])

    hub.authorizer(throw)
    hub.route("$connect", AuthorizationType="CUSTOM", AuthorizerId="a")
    assert (await refused(hub, query="?why=Unauthorized")).status_code == 401
    assert (await refused(hub, query="?why=other")).status_code == 500


async def test_unsigned_requests_and_missing_keys_are_refused(hub):
    hub.route("$connect", AuthorizationType="AWS_IAM")
    response = await refused(hub)
    assert (response.status_code, json.loads(response.body)["message"]) == (403, "Missing Authentication Token")
    hub.parts["routes"] = []
    hub.route("$connect", ApiKeyRequired=True)
    assert (await refused(hub)).status_code == 403


# The end


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [(1000, "", "Connection Closed Normally"), (1001, "", "Going away"), (4000, "mine", "mine"), (4001, "", "")],
)
async def test_disconnect_is_told_with_code_and_reason(hub, code, reason, told):
    hub.proxy("$disconnect", keep(events := []))
    client = await hub.connect()
    await client.close(code, reason)
    await until(lambda: events)
    (event,) = events
    context = event["requestContext"]
    assert (context["eventType"], context["routeKey"]) == ("DISCONNECT", "$disconnect")
    assert (context["disconnectStatusCode"], context["disconnectReason"]) == (code, told)
    assert event["headers"].keys() == {"Host", "x-api-key", "X-Forwarded-For", "x-restapi"} and "body" not in event
    assert len(hub.apis.connections) == 0


async def test_a_client_that_vanishes_is_told_of_too(hub):
    hub.proxy("$disconnect", keep(events := []))
    client = await hub.connect()
    client.transport.abort()
    await until(lambda: events)
    context = events[0]["requestContext"]
    assert (context["disconnectStatusCode"], context["disconnectReason"]) == (1006, "Connection Closed Abnormally")


async def test_silent_connections_end(running):
    hub = await running(WebSocketLimits(idle_s=600, closing_s=0.2))
    hub.proxy("$disconnect", keep(events := []))
    async with hub.connect() as quiet, hub.connect() as busy:
        hub.clock.advance(seconds=500)
        await (await busy.ping())
        hub.clock.advance(seconds=101)
        with pytest.raises(ConnectionClosed):
            await quiet.recv()
        assert (quiet.close_code, quiet.close_reason) == (1001, "Going away")
        await until(lambda: events)
        assert len(hub.apis.connections) == 1
        assert [e["requestContext"]["disconnectStatusCode"] for e in events] == [1001]
        await (await busy.ping())


async def test_old_connections_end(running):
    hub = await running(WebSocketLimits(life_s=7200, idle_s=100_000, closing_s=0.2))
    hub.publish()
    async with hub.connect() as client:
        hub.clock.advance(seconds=7201)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1001


async def test_a_stage_that_goes_takes_its_connections_along(hub):
    hub.publish()
    async with hub.connect() as client:
        hub.apis.publish_api("abc", LiveApi(hub.apis.find_stage("abc", "prod").place, hub.api, {}))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1001
    assert (await refused(hub)).status_code == 404


async def test_a_new_deployment_serves_open_connections(hub):
    hub.proxy("$default", lambda event: {"statusCode": 200, "body": "old"}, is_two_way=True)
    async with hub.connect() as client:
        await client.send("x")
        assert await client.recv() == "old"
        hub.parts.clear()
        hub.proxy("$default", lambda event: {"statusCode": 200, "body": "new"}, is_two_way=True)
        await client.send("x")
        assert await client.recv() == "new"


async def test_stopping_ends_connections_and_tells_of_it(hub):
    hub.proxy("$disconnect", keep(events := []))
    async with hub.connect() as client:
        stopping = asyncio.create_task(hub.served.server.stop(5))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (1001, "Going away")
        await stopping
    assert [event["requestContext"]["disconnectStatusCode"] for event in events] == [1001]


async def test_draining_ends_all_and_waits_for_what_is_told_of_it(hub):
    go = asyncio.Event()

    async def slow(event):
        await go.wait()
        return OK

    hub.proxy("$disconnect", slow)
    async with hub.connect() as client:
        draining = asyncio.create_task(hub.apis.connections.drain(10))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1001
        assert (await refused(hub)).status_code == 503
        assert not draining.done()
        go.set()
        await asyncio.wait_for(draining, 10)
    await hub.apis.connections.drain(10)


async def test_what_is_managed_is_the_open_connection(hub):
    hub.publish()
    async with hub.connect() as client:
        (connection,) = hub.apis.connections
        assert hub.apis.connections.find(connection.caller.id) is connection
        await connection.send("grüß".encode())
        assert await client.recv() == "grüß"
        await connection.send(b"\xff")
        assert await client.recv() == b"\xff"
        await connection.close()
        assert hub.apis.connections.find(connection.caller.id) is None
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1000


async def test_the_stages_access_log_has_a_line_for_each_route_that_ran(hub):
    form = '{"id":"$context.connectionId","event":"$context.eventType","route":"$context.routeKey","status":$context.status,' + (
        '"code":"$context.disconnectStatusCode","error":"$context.error.message"}'
    )
    hub.stage["AccessLogSettings"] = {"DestinationArn": "arn:aws:logs:us-east-1:000000000000:log-group:mine", "Format": form}
    hub.stage["RouteSettings"] = {"$default": {"ThrottlingRateLimit": 1.0, "ThrottlingBurstLimit": 1}}
    hub.proxy("$connect", lambda event: {"statusCode": 200 if "a" in event.get("queryStringParameters", {}) else 403})
    hub.proxy("$default", lambda event: {"statusCode": 202})
    hub.proxy("$disconnect", lambda event: {"statusCode": 200})
    await refused(hub)
    async with hub.connect(query="?a=1") as client:
        await client.send("x")
        await client.send("y")
        await until(lambda: len(hub.logged) == 4)
    await until(lambda: len(hub.logged) == 5)
    assert {where[:3] for where in hub.logged} == {("000000000000", "us-east-1", "mine")}
    told = [json.loads(lines[0][1]) for *_, lines in hub.logged]
    assert len({each.pop("id") for each in told}) == 2
    rest = {"code": "-", "error": "-"}
    assert told[:2] == [
        {"event": "CONNECT", "route": "$connect", "status": 403, **rest},
        {"event": "CONNECT", "route": "$connect", "status": 200, **rest},
    ]
    assert sorted(told[2:4], key=lambda each: each["status"]) == [
        {"event": "MESSAGE", "route": "$default", "status": 202, **rest},
        {"event": "MESSAGE", "route": "$default", "status": 429, "code": "-", "error": "Too Many Requests"},
    ]
    assert told[4] == {"event": "DISCONNECT", "route": "$disconnect", "status": 200, "code": "1000", "error": "-"}
