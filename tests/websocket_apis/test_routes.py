"""What becomes of messages: route selection, integrations of every kind, what goes back, and what is told of failures."""

import asyncio
import json

import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from cumulet.core.http import Response
from cumulet.gateway.websocket_api.compiled import CompiledApi
from cumulet.gateway.websocket_api.selection import compile_selection
from cumulet.gateway.websocket_api.serving import route_key_of
from cumulet.services.http_apis.live import LiveApi, LiveStage, Snapshot


def uri_of(function_arn):
    return f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function_arn}/invocations"


async def ask(client, message):
    await client.send(message if isinstance(message, str) else json.dumps(message))
    return json.loads(await asyncio.wait_for(client.recv(), 10))


def echo(event):
    return {"statusCode": 200, "body": json.dumps(event)}


# Selection


@pytest.mark.parametrize(
    ("expression", "key"),
    [
        ("$request.body.action", "join"),
        ("${request.body.action}", "join"),
        ("${request.body.service}/${request.body.action}", "chat/join"),
        ("${request.body.action}-${request.body.invalidPath}", "join-"),
        ("action", "action"),
        (r"\$default", "$default"),
        ("$default", "$default"),
        ("$request.body.data.room", "room1234"),
        ("$request.body.list", "[1, 2]"),
        ("$request.body.list[1]", "2"),
        ("$request.body.flag", "true"),
        ("$request.header.other", "$default"),
    ],
)
def test_documented_route_selection_expressions(expression, key):
    message = {"service": "chat", "action": "join", "data": {"room": "room1234"}, "list": [1, 2], "flag": True}
    assert route_key_of(stage_with(expression), json.dumps(message)) == key


@pytest.mark.parametrize("message", ["hello", "", "{", "[" * 5000, '"join"', "7", "null", '{"action": null}', '{"b": 1}', "[1]"])
def test_what_names_no_route_is_the_default_routes(message):
    assert route_key_of(stage_with("$request.body.action"), message) == "$default"


def test_a_selection_is_evaluated_once():
    assert compile_selection("$context.a$context.b").evaluate({"context.a": "$context.b", "context.b": "2"}.get) == "$context.b2"


def stage_with(expression):
    api = {"ApiId": "abc", "RouteSelectionExpression": expression}
    return CompiledApi(LiveApi(None, api, {"s": LiveStage({"StageName": "s"}, Snapshot())})).stages["s"]


# Events and answers


async def test_a_message_reaches_its_route_with_the_documented_event(hub):
    hub.proxy("sendmessage", echo, is_two_way=True)
    hub.proxy("$default", lambda event: {"statusCode": 200, "body": "default"}, is_two_way=True)
    hub.stage["StageVariables"] = {"colour": "blue"}
    hub.publish()
    async with hub.connect(user_agent_header="tester/1") as client:
        hub.clock.advance(seconds=5)
        event = await ask(client, {"action": "sendmessage", "text": "hé"})
        context = event["requestContext"]
        assert event["body"] == json.dumps({"action": "sendmessage", "text": "hé"})
        assert event["isBase64Encoded"] is False and event["stageVariables"] == {"colour": "blue"}
        assert "headers" not in event and "queryStringParameters" not in event
        assert context.pop("connectionId").endswith("=") and len(context["messageId"]) == 16
        assert context.pop("extendedRequestId") == context.pop("requestId") != context.pop("messageId")
        assert context == {
            "routeKey": "sendmessage",
            "eventType": "MESSAGE",
            "requestTime": "14/Nov/2023:22:13:25 +0000",
            "messageDirection": "IN",
            "stage": "prod",
            "connectedAt": 1_700_000_000_000,
            "requestTimeEpoch": 1_700_000_005_000,
            "identity": {"sourceIp": "127.0.0.1", "userAgent": "tester/1"},
            "domainName": f"127.0.0.1:{hub.served.port}/_aws/execute-api/abc",
            "apiId": "abc",
        }
        for other in ("hello", '{"action": "other"}', '{"action": "$connect"}', '{"action": "$disconnect"}'):
            await client.send(other)
            assert await client.recv() == "default"


async def test_without_a_route_the_message_is_forbidden(hub):
    hub.proxy("known", echo)
    async with hub.connect() as client:
        told = await ask(client, {"action": "unknown"})
        assert told.keys() == {"message", "connectionId", "requestId"} and told["message"] == "Forbidden"


async def test_a_one_way_route_says_nothing(hub):
    hub.proxy("quiet", echo)
    hub.proxy("loud", lambda event: {"statusCode": 200, "body": "heard"}, is_two_way=True)
    async with hub.connect() as client:
        await client.send('{"action": "quiet"}')
        await client.send('{"action": "loud"}')
        assert await client.recv() == "heard"


@pytest.mark.parametrize(
    "answer",
    [None, {}, "text", {"body": "x"}, {"statusCode": "abc"}, {"statusCode": 200, "body": {"a": 1}}, {"statusCode": True}, [1],
     {"statusCode": 200, "body": "%", "isBase64Encoded": True}, {"statusCode": 1000}, {"statusCode": 200, "headers": "no"}],
)  # fmt: skip
async def test_an_answer_that_is_none_is_an_internal_error(hub, answer):
    hub.proxy("$default", lambda event: answer, is_two_way=True)
    async with hub.connect() as client:
        told = await ask(client, "x")
        assert told["message"] == "Internal server error"


async def test_a_function_that_fails_is_an_internal_error_and_the_connection_lives(hub):
    def fail(event):
        raise ValueError("no")

    hub.proxy("bad", fail)
    hub.proxy("good", lambda event: {"statusCode": 500, "body": "fine"}, is_two_way=True)
    async with hub.connect() as client:
        assert (await ask(client, '{"action": "bad"}'))["message"] == "Internal server error"
        await client.send('{"action": "good"}')
        assert await client.recv() == "fine"


@pytest.mark.parametrize("place", ["000000000000:function:none", "111111111111:function:f", "000000000000:layer:f"])
async def test_a_function_that_is_not_there_is_an_internal_error(hub, place):
    hub.route("$default", {"IntegrationType": "AWS_PROXY", "IntegrationUri": f"arn:aws:lambda:us-east-1:{place}"})
    async with hub.connect() as client:
        assert (await ask(client, "x"))["message"] == "Internal server error"


async def test_base64_answers_are_binary_messages(hub):
    hub.proxy("$default", lambda event: {"statusCode": 200, "body": "/wAB", "isBase64Encoded": True}, is_two_way=True)
    async with hub.connect() as client:
        await client.send("x")
        assert await client.recv() == b"\xff\x00\x01"


async def test_binary_messages_end_the_connection(hub):
    hub.proxy("$default", echo, is_two_way=True)
    async with hub.connect() as client:
        await client.send(b"\0")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1003


async def test_messages_are_answered_side_by_side_within_a_bound(hub):
    running, most, go = [0], [0], asyncio.Event()

    async def slow(event):
        running[0] += 1
        most[0] = max(most[0], running[0])
        await go.wait()
        running[0] -= 1
        return {"statusCode": 200, "body": "done"}

    hub.proxy("slow", slow, is_two_way=True)
    async with hub.connect() as client:
        for _ in range(20):
            await client.send('{"action": "slow"}')
        while running[0] < 16:
            await asyncio.sleep(0.01)
        go.set()
        assert [await client.recv() for _ in range(20)] == ["done"] * 20
        assert most[0] == 16


async def test_pings_are_answered_while_a_function_runs(hub):
    go = asyncio.Event()

    async def slow(event):
        await go.wait()
        return {"statusCode": 200}

    hub.proxy("$default", slow)
    async with hub.connect() as client:
        await client.send("x")
        await asyncio.wait_for(await client.ping(), 10)
        go.set()


async def test_a_function_over_the_integrations_time_is_a_timeout(hub):
    go = asyncio.Event()

    async def slow(event):
        await go.wait()
        return {"statusCode": 200}

    uri = hub.function("slow", slow)
    hub.route("$default", {"IntegrationType": "AWS_PROXY", "IntegrationUri": uri, "TimeoutInMillis": 50})
    async with hub.connect() as client:
        assert (await ask(client, "x"))["message"] == "Endpoint request timed out"
    go.set()


async def test_messages_over_the_stages_throttle_are_refused(hub):
    hub.proxy("$default", lambda event: {"statusCode": 200, "body": '{"message": "ok"}'}, is_two_way=True)
    hub.proxy("slow", lambda event: {"statusCode": 200, "body": '{"message": "ok"}'}, is_two_way=True)
    hub.stage["DefaultRouteSettings"] = {"ThrottlingRateLimit": 100.0, "ThrottlingBurstLimit": 100}
    hub.stage["RouteSettings"] = {"slow": {"ThrottlingRateLimit": 1.0, "ThrottlingBurstLimit": 2}}
    hub.publish()
    async with hub.connect() as client:
        told = [(await ask(client, {"action": "slow"}))["message"] for _ in range(3)]
        assert told == ["ok", "ok", "Too Many Requests"]
        assert (await ask(client, "other"))["message"] == "ok"
        hub.clock.advance(seconds=1)
        assert (await ask(client, {"action": "slow"}))["message"] == "ok"


async def test_models_are_held_against_messages(hub):
    schema = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "pattern": "^[a-z]+$"}}}
    hub.parts["models"] = [{"Name": "Chat", "Schema": json.dumps(schema)}, {"Name": "Bad", "Schema": '{"$ref": "nowhere"}'}]
    hub.proxy("chat", echo, is_two_way=True, RequestModels={"$default": "Chat"})
    hub.proxy("bad", echo, is_two_way=True, RequestModels={"x": "Bad"}, ModelSelectionExpression="$request.body.kind")
    async with hub.connect() as client:
        assert (await ask(client, {"action": "chat", "text": "abc"}))["requestContext"]["routeKey"] == "chat"
        assert (await ask(client, {"action": "chat", "text": "ABC"}))["message"] == "Invalid request body"
        assert (await ask(client, {"action": "chat"}))["message"] == "Invalid request body"
        assert (await ask(client, {"action": "bad", "kind": "x"}))["message"] == "Internal server error"
        assert (await ask(client, {"action": "bad", "kind": "y"}))["requestContext"]["routeKey"] == "bad"


# Integrations without proxy


async def test_a_function_behind_templates(hub):
    uri = uri_of(hub.function("sum", lambda event: sum(event["n"])))
    hub.route(
        "add",
        {
            "IntegrationType": "AWS",
            "IntegrationUri": uri,
            "IntegrationMethod": "POST",
            "TemplateSelectionExpression": r"\$default",
            "RequestTemplates": {"$default": '{"n": $input.json("$.numbers"), "from": "$context.connectionId"}'},
            "IntegrationResponseSelectionExpression": "${integration.response.body.errorMessage}",
        },
        is_two_way=True,
        responses=[
            {
                "IntegrationResponseKey": "/.*unsupported.*/",
                "ResponseTemplates": {"$default": '{"bad": $input.json("$.errorType")}'},
            },
            {"IntegrationResponseKey": "$default", "ResponseTemplates": {"$default": '{"sum": $input.body}'}},
        ],
    )
    async with hub.connect() as client:
        assert await ask(client, {"action": "add", "numbers": [1, 2, 3]}) == {"sum": 6}
        assert await ask(client, {"action": "add", "numbers": [1, "a"]}) == {"bad": "TypeError"}


async def test_templates_are_selected_and_what_has_none_is_passed_or_refused(hub):
    uri = hub.function("same", lambda event: event)
    base = {"IntegrationType": "AWS", "IntegrationUri": uri, "RequestTemplates": {"big": '{"size": "big"}'}}
    selected = base | {"TemplateSelectionExpression": "$request.body.kind"}
    hub.route("passes", selected, is_two_way=True)
    hub.route("never", selected | {"PassthroughBehavior": "NEVER"}, is_two_way=True)
    hub.route("broken", base | {"RequestTemplates": {"$default": "#if("}}, is_two_way=True)
    hub.route("nojson", base | {"RequestTemplates": {"$default": "no json"}}, is_two_way=True)
    async with hub.connect() as client:
        assert await ask(client, {"action": "passes", "kind": "big"}) == {"size": "big"}
        assert await ask(client, {"action": "passes", "kind": "small"}) == {"action": "passes", "kind": "small"}
        assert await ask(client, {"action": "never", "kind": "big"}) == {"size": "big"}
        for bad in ({"action": "never"}, {"action": "broken"}, {"action": "nojson"}):
            assert (await ask(client, bad))["message"] == "Internal server error"


async def test_a_mock_answers_by_its_templates(hub):
    hub.route(
        "$default",
        {"IntegrationType": "MOCK", "RequestTemplates": {"$default": '{"statusCode": 201}'}},
        is_two_way=True,
        responses=[{"IntegrationResponseKey": "/2\\d\\d/", "ResponseTemplates": {"$default": '{"id": "$context.connectionId"}'}}],
    )
    async with hub.connect() as client:
        assert len((await ask(client, "x"))["id"]) == 16


async def test_events_for_functions_that_run_later(hub):
    mapped = {"integration.request.header.X-Amz-Invocation-Type": "'Event'"}
    uri = hub.function("later", lambda event: None)
    hub.route("a", {"IntegrationType": "AWS", "IntegrationUri": uri, "IntegrationMethod": "POST", "RequestParameters": mapped})
    hub.proxy("sync", lambda event: {"statusCode": 200, "body": "{}"}, is_two_way=True)
    async with hub.connect() as client:
        await client.send('{"action": "a", "n": 1}')
        assert await ask(client, {"action": "sync"}) == {}
        while not hub.accepted:
            await asyncio.sleep(0.01)
    assert hub.accepted == [{"action": "a", "n": 1}]


async def test_services_are_called_as_the_integrations_role(hub):
    hub.service_answer = Response(200, [("Content-Type", "application/json")], b'{"MessageId": "7"}')
    hub.route(
        "$default",
        {
            "IntegrationType": "AWS",
            "IntegrationMethod": "POST",
            "IntegrationUri": "arn:aws:apigateway:us-east-1:dynamodb:action/PutItem",
            "CredentialsArn": "arn:aws:iam::000000000000:role/writer",
            "RequestTemplates": {"$default": '{"TableName": "t", "Item": {"id": {"S": "$context.connectionId"}}}'},
        },
        is_two_way=True,
    )
    async with hub.connect() as client:
        assert await ask(client, "x") == {"MessageId": "7"}
    ((request, service, region, place, role),) = hub.sent
    assert (service, region, place.account) == ("dynamodb", "us-east-1", "000000000000")
    assert role == "arn:aws:iam::000000000000:role/writer"
    assert request.header("x-amz-target") == "DynamoDB_20120810.PutItem"
    assert orjson.loads(request.body)["TableName"] == "t"


async def test_http_integrations(hub, serving):
    backend = await serving()

    async def answer(request):
        seen = {"path": request.path, "query": request.query, "id": request.header("connection-id"), "body": request.body.decode()}
        return Response(203 if request.path == "/proxy" else 404, [("X-Kind", "k")], orjson.dumps(seen))

    backend.answer = answer
    at = f"http://127.0.0.1:{backend.port}"
    base = {"IntegrationMethod": "POST", "IntegrationUri": at + "/${stageVariables.path}"}
    mapped = {
        "integration.request.header.Connection-Id": "context.connectionId",
        "integration.request.querystring.q": "route.request.body.q",
    }
    hub.stage["StageVariables"] = {"path": "proxy"}
    hub.route("proxy", base | {"IntegrationType": "HTTP_PROXY", "RequestParameters": mapped}, is_two_way=True)
    selected = "${integration.response.statuscode}-${integration.response.header.X-Kind}"
    hub.route(
        "http",
        {
            "IntegrationType": "HTTP",
            "IntegrationMethod": "POST",
            "IntegrationUri": at + "/x",
            "RequestTemplates": {"$default": "T"},
            "IntegrationResponseSelectionExpression": selected,
        },
        is_two_way=True,
        responses=[{"IntegrationResponseKey": "404-k", "ResponseTemplates": {"$default": '{"was": $input.json("$.body")}'}}],
    )
    hub.route("dead", base | {"IntegrationType": "HTTP", "IntegrationUri": "http://127.0.0.1:1/"}, is_two_way=True)
    async with hub.connect() as client:
        seen = await ask(client, {"action": "proxy", "q": "é"})
        assert (seen["path"], seen["query"], len(seen["id"])) == ("/proxy", "q=%C3%A9", 16)
        assert json.loads(seen["body"]) == {"action": "proxy", "q": "é"}
        assert await ask(client, {"action": "http"}) == {"was": "T"}
        assert (await ask(client, {"action": "dead"}))["message"] == "Internal server error"


async def test_content_handling(hub):
    uri = hub.function("size", lambda event: event)
    base = {"IntegrationType": "AWS", "IntegrationUri": uri, "IntegrationMethod": "POST"}
    binary = [{"IntegrationResponseKey": "$default", "ContentHandlingStrategy": "CONVERT_TO_TEXT"}]
    hub.route("$default", base | {"ContentHandlingStrategy": "CONVERT_TO_BINARY"}, is_two_way=True, responses=binary)
    async with hub.connect() as client:
        await client.send("eyJhIjoxfQ==")  # {"a":1}
        assert json.loads(__import__("base64").b64decode(await client.recv())) == {"a": 1}
        assert (await ask(client, "%%%"))["message"] == "Internal server error"
