"""Claims about Invoke, and about what resolving a name costs."""

import base64
import json

import pytest

from cumulet.services.functions.model import Limits

PLACE = ("000000000000", "us-east-1")


async def test_the_result_of_the_function_comes_back(world):
    world.invoker.behaviour = lambda spec, event: {"said": event["word"], "by": spec.name}
    await world.create()
    answer = await world("Invoke", FunctionName="hello", Payload=b'{"word": "hi"}')
    assert answer["StatusCode"] == 200
    assert json.loads(answer["Payload"]) == {"said": "hi", "by": "hello"}
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    assert "LogResult" not in answer


async def test_an_error_of_the_function_is_a_result(world):
    def fail(spec, event):
        raise ValueError("no")

    world.invoker.behaviour = fail
    await world.create()
    answer = await world("Invoke", FunctionName="hello")
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.loads(answer["Payload"])["errorType"] == "ValueError"


async def test_the_log_tail_context_and_qualified_arn_travel(world):
    await world.create(Publish=True)
    context = base64.b64encode(b'{"custom": {"a": "b"}}').decode()
    answer = await world("Invoke", FunctionName="hello", Qualifier="1", LogType="Tail", ClientContext=context)
    assert base64.b64decode(answer["LogResult"]) == b"START RequestId: req-1 Version: 1\n"
    spec, invocation = world.invoker.invocations[-1]
    assert spec.version == "1"
    assert invocation.invoked_arn.endswith(":function:hello:1")
    assert json.loads(invocation.client_context) == {"custom": {"a": "b"}}
    assert invocation.payload == b"{}"
    await world("Invoke", FunctionName="hello")
    assert world.invoker.invocations[-1][1].invoked_arn.endswith(":function:hello")


@pytest.mark.parametrize("payload", [b"{", b"not json", b"\xff", b"NaN"])
@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
async def test_a_payload_that_is_no_json_is_refused(world, refused, payload, kind):
    await world.create()
    async with refused("InvalidRequestContentException"):
        await world("Invoke", FunctionName="hello", Payload=payload, InvocationType=kind)
    assert world.invoker.invocations == []
    assert world.asynchronous.backlog == 0


@pytest.mark.parametrize("context", ["%%%", base64.b64encode(b"[1]").decode(), base64.b64encode(b"\xff").decode()])
async def test_a_client_context_that_is_no_json_object_is_refused(world, refused, context):
    await world.create()
    async with refused("InvalidRequestContentException"):
        await world("Invoke", FunctionName="hello", ClientContext=context)


async def test_payload_limits(make_world, refused):
    world = make_world(limits=Limits(sync_payload_bytes=100, async_payload_bytes=50))
    await world.create()
    await world("Invoke", FunctionName="hello", Payload=b'"' + b"x" * 98 + b'"')
    async with refused("RequestTooLargeException") as fault:
        await world("Invoke", FunctionName="hello", Payload=b'"' + b"x" * 99 + b'"')
    assert fault["status"] == 413
    async with refused("RequestTooLargeException"):
        await world("Invoke", FunctionName="hello", InvocationType="Event", Payload=b'"' + b"x" * 49 + b'"')


async def test_an_event_is_accepted_and_kept_not_run(world):
    await world.create()
    answer = await world("Invoke", FunctionName="hello", InvocationType="Event", Payload=b"{}")
    assert (answer["StatusCode"], answer["Payload"]) == (202, b"")
    assert world.asynchronous.backlog == 1
    assert world.invoker.invocations == []
    assert await world("InvokeAsync", FunctionName="hello", InvokeArgs=b"{}") == {"Status": 202}
    assert world.asynchronous.backlog == 2


async def test_a_dry_run_runs_nothing(world):
    await world.create()
    assert (await world("Invoke", FunctionName="hello", InvocationType="DryRun"))["StatusCode"] == 204
    assert world.invoker.invocations == []


@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
async def test_what_is_not_there_is_not_invoked(world, refused, kind):
    await world.create()
    for name in ("absent", "hello:7", "hello:nobody"):
        async with refused("ResourceNotFoundException"):
            await world("Invoke", FunctionName=name, InvocationType=kind)


async def test_a_warm_resolve_reads_nothing_and_a_change_is_seen_at_once(world):
    await world.create()
    await world.service.resolve(*PLACE, "hello", None)
    before = world.store.reads
    for _ in range(100):
        await world.service.resolve(*PLACE, "hello", None)
    assert world.store.reads == before
    await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=11)
    assert (await world.service.resolve(*PLACE, "hello", None))[0].timeout_s == 11
    await world(
        "PutFunctionEventInvokeConfig",
        FunctionName="hello",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:dead"}},
    )
    settings = (await world.service.resolve(*PLACE, "hello", None))[1]
    assert (settings.maximum_retries, settings.maximum_age_s) == (0, 21_600)
    assert settings.on_failure == "arn:aws:sqs:us-east-1:000000000000:dead"
    await world("PutFunctionConcurrency", FunctionName="hello", ReservedConcurrentExecutions=5)
    assert (await world.service.resolve(*PLACE, "hello", None))[0].reserved_concurrency == 5


async def test_a_read_that_a_change_overtook_is_not_remembered(world):
    """The store answers with the old state, the change commits and is acknowledged, and only then does the reader go on."""
    await world.create()
    original = world.store.read

    async def overtaken(shard, body):
        found = await original(shard, body)
        world.store.read = original
        await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=77)
        return found

    world.store.read = overtaken
    assert (await world.service.resolve(*PLACE, "hello", None))[0].timeout_s == 3
    assert (await world.service.resolve(*PLACE, "hello", None))[0].timeout_s == 77
