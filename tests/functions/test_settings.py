"""Claims about permissions, concurrency, URLs, event settings, mappings, tags and the account."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.services.functions.model_policy import Policy, function_statement

ARN = "arn:aws:lambda:us-east-1:000000000000:function:hello"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:jobs"
TABLE_STREAM = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000"


async def test_a_permission_is_rendered_as_aws_does(world, refused):
    await world.create()
    added = await world(
        "AddPermission",
        FunctionName="hello",
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::bucket",
        SourceAccount="000000000000",
    )
    statement = {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": ARN,
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": "000000000000"},
            "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"},
        },
    }
    assert json.loads(added["Statement"]) == statement
    policy = await world("GetPolicy", FunctionName="hello")
    assert json.loads(policy["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
    async with refused("ResourceConflictException"):
        await world("AddPermission", FunctionName="hello", StatementId="s3", Action="lambda:InvokeFunction", Principal="*")
    async with refused("PreconditionFailedException"):
        await world("RemovePermission", FunctionName="hello", StatementId="s3", RevisionId="0" * 36)
    async with refused("ResourceNotFoundException"):
        await world("RemovePermission", FunctionName="hello", StatementId="other")
    await world("RemovePermission", FunctionName="hello", StatementId="s3", RevisionId=policy["RevisionId"])
    async with refused("ResourceNotFoundException"):
        await world("GetPolicy", FunctionName="hello")


async def test_permissions_of_an_alias_are_its_own(world, refused):
    await world.create(Publish=True)
    await world("CreateAlias", FunctionName="hello", Name="live", FunctionVersion="1")
    request = {"StatementId": "a", "Action": "lambda:InvokeFunction", "Principal": "111111111111"}
    added = await world("AddPermission", FunctionName="hello", Qualifier="live", **request)
    statement = json.loads(added["Statement"])
    assert (statement["Resource"], statement["Principal"]) == (f"{ARN}:live", {"AWS": "arn:aws:iam::111111111111:root"})
    async with refused("ResourceNotFoundException"):
        await world("GetPolicy", FunctionName="hello")
    assert json.loads((await world("GetPolicy", FunctionName="hello:live"))["Policy"])["Statement"] == [statement]
    async with refused("ResourceNotFoundException"):
        await world("AddPermission", FunctionName="hello", Qualifier="absent", **request)
    async with refused("InvalidParameterValueException"):
        await world("AddPermission", FunctionName="hello", Qualifier="$LATEST", **request)


async def test_bad_permissions_are_refused(world, refused):
    await world.create()
    async with refused("InvalidParameterValueException"):
        await world("AddPermission", FunctionName="hello", StatementId="a", Action="lambda:InvokeFunction", Principal="nobody")
    async with refused("InvalidParameterValueException"):
        await world(
            "AddPermission",
            FunctionName="hello",
            StatementId="a",
            Action="lambda:InvokeFunction",
            Principal="*",
            FunctionUrlAuthType="NONE",
        )
    async with refused("PolicyLengthExceededException"):
        for number in range(300):
            await world(
                "AddPermission", FunctionName="hello", StatementId=f"s{number}", Action="lambda:InvokeFunction", Principal="*"
            )


@given(sids=st.lists(st.text("abc", min_size=1, max_size=3), unique=True, max_size=6), data=st.data())
def test_a_policy_is_the_set_of_what_was_added_and_not_removed(sids, data):
    policy = Policy("")
    for number, sid in enumerate(sids):
        request = {"StatementId": sid, "Action": "lambda:InvokeFunction", "Principal": "*"}
        policy = policy.with_statement(function_statement(request, ARN), str(number))
    removed = data.draw(st.sets(st.sampled_from(sids)) if sids else st.just(set()))
    for sid in sorted(removed):
        policy = policy.without_statement(sid, "r")
    assert [each["Sid"] for each in policy.statements] == [sid for sid in sids if sid not in removed]
    assert json.loads(policy.document())["Statement"] == list(policy.statements)


async def test_reserved_concurrency_leaves_room_for_the_others(world, refused):
    await world.create("one")
    await world.create("two")
    assert await world("GetFunctionConcurrency", FunctionName="one") == {}
    await world("PutFunctionConcurrency", FunctionName="one", ReservedConcurrentExecutions=800)
    async with refused("InvalidParameterValueException"):
        await world("PutFunctionConcurrency", FunctionName="two", ReservedConcurrentExecutions=101)
    await world("PutFunctionConcurrency", FunctionName="two", ReservedConcurrentExecutions=100)
    assert (await world("GetFunction", FunctionName="one"))["Concurrency"] == {"ReservedConcurrentExecutions": 800}
    assert (await world("GetAccountSettings"))["AccountLimit"]["UnreservedConcurrentExecutions"] == 100
    await world("DeleteFunctionConcurrency", FunctionName="one")
    assert "Concurrency" not in await world("GetFunction", FunctionName="one")
    assert sorted(world.invoker.reserved.values(), key=str) == [100, None]


async def test_provisioned_concurrency_is_ready_when_the_invoker_says_so(world, make_world, refused):
    await world.create(Publish=True)
    await world("CreateAlias", FunctionName="hello", Name="live", FunctionVersion="1")
    async with refused("ProvisionedConcurrencyConfigNotFoundException"):
        await world("GetProvisionedConcurrencyConfig", FunctionName="hello", Qualifier="live")
    async with refused("InvalidParameterValueException"):
        await world("PutProvisionedConcurrencyConfig", FunctionName="hello", Qualifier="$LATEST", ProvisionedConcurrentExecutions=1)
    put = await world("PutProvisionedConcurrencyConfig", FunctionName="hello", Qualifier="live", ProvisionedConcurrentExecutions=2)
    assert (put["Status"], put["RequestedProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", 2)
    world.invoker.started = 2
    got = await world("GetProvisionedConcurrencyConfig", FunctionName="hello", Qualifier="live")
    assert (got["Status"], got["AvailableProvisionedConcurrentExecutions"]) == ("READY", 2)
    listed = await world("ListProvisionedConcurrencyConfigs", FunctionName="hello")
    assert [each["FunctionArn"] for each in listed["ProvisionedConcurrencyConfigs"]] == [f"{ARN}:live"]
    first = (await world.service.resolve("000000000000", "us-east-1", "hello", "live"))[0].pool_key
    assert world.invoker.provisioned == {first: 2}
    restarted = make_world(store=world.store)
    await restarted.service.open()
    assert restarted.invoker.provisioned == {first: 2}
    assert [(spec.pool_key, count) for spec, count in await restarted.service.provisioned()] == [(first, 2)]

    await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=9)
    await world("PublishVersion", FunctionName="hello")
    await world("UpdateAlias", FunctionName="hello", Name="live", FunctionVersion="2")
    second = (await world.service.resolve("000000000000", "us-east-1", "hello", "live"))[0].pool_key
    assert world.invoker.provisioned == {first: 0, second: 2}
    await world("DeleteProvisionedConcurrencyConfig", FunctionName="hello", Qualifier="live")
    assert world.invoker.provisioned == {first: 0, second: 0}


async def test_a_version_is_provisioned_by_itself_or_by_an_alias(world, refused):
    await world.create(Publish=True)
    await world("CreateAlias", FunctionName="hello", Name="live", FunctionVersion="1")
    one = {"FunctionName": "hello", "ProvisionedConcurrentExecutions": 1}
    for first, second in (("live", "1"), ("1", "live")):
        await world("PutProvisionedConcurrencyConfig", **one, Qualifier=first)
        async with refused("ResourceConflictException"):
            await world("PutProvisionedConcurrencyConfig", **one, Qualifier=second)
        await world("DeleteProvisionedConcurrencyConfig", FunctionName="hello", Qualifier=first)


async def test_a_function_url_is_found_by_its_id(world, refused):
    await world.create()
    cors = {"AllowOrigins": ["*"], "MaxAge": 5}
    created = await world("CreateFunctionUrlConfig", FunctionName="hello", AuthType="NONE", Cors=cors)
    got = await world("GetFunctionUrlConfig", FunctionName="hello")
    assert {key: got[key] for key in created} == created
    assert (got["InvokeMode"], got["Cors"], got["FunctionArn"]) == ("BUFFERED", cors, ARN)
    url_id = created["FunctionUrl"].rstrip("/").rpartition("/")[2]
    url = await world.service.find_url(url_id)
    assert (url.name, url.qualifier, url.auth_type, url.cors, url.is_public) == ("hello", None, "NONE", cors, False)
    await world(
        "AddPermission",
        FunctionName="hello",
        StatementId="public",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    assert not (await world.service.find_url(url_id)).is_public
    invoke = {"StatementId": "invoke", "Action": "lambda:InvokeFunction", "Principal": "*", "InvokedViaFunctionUrl": True}
    await world("AddPermission", FunctionName="hello", **invoke)
    assert (await world.service.find_url(url_id)).is_public
    await world("UpdateFunctionUrlConfig", FunctionName="hello", AuthType="AWS_IAM")
    url = await world.service.find_url(url_id)
    assert (url.auth_type, url.cors, url.is_public) == ("AWS_IAM", cors, False)
    assert [
        each["FunctionUrl"] for each in (await world("ListFunctionUrlConfigs", FunctionName="hello"))["FunctionUrlConfigs"]
    ] == [created["FunctionUrl"]]
    async with refused("ResourceConflictException"):
        await world("CreateFunctionUrlConfig", FunctionName="hello", AuthType="NONE")
    await world("DeleteFunctionUrlConfig", FunctionName="hello")
    assert await world.service.find_url(url_id) is None
    async with refused("ResourceNotFoundException"):
        await world("GetFunctionUrlConfig", FunctionName="hello")
    streaming = await world("CreateFunctionUrlConfig", FunctionName="hello", AuthType="NONE", InvokeMode="RESPONSE_STREAM")
    assert streaming["InvokeMode"] == "RESPONSE_STREAM"
    assert await world.service.find_url("nobody") is None


async def test_the_url_of_a_deleted_alias_leads_nowhere(world):
    await world.create(Publish=True)
    await world("CreateAlias", FunctionName="hello", Name="live", FunctionVersion="1")
    created = await world("CreateFunctionUrlConfig", FunctionName="hello", Qualifier="live", AuthType="NONE")
    url_id = created["FunctionUrl"].rstrip("/").rpartition("/")[2]
    assert (await world.service.find_url(url_id)).invoked_arn == f"{ARN}:live"
    await world("DeleteAlias", FunctionName="hello", Name="live")
    assert await world.service.find_url(url_id) is None


async def test_event_invoke_settings_are_replaced_by_put_and_merged_by_update(world, refused):
    await world.create()
    async with refused("ResourceNotFoundException"):
        await world("GetFunctionEventInvokeConfig", FunctionName="hello")
    put = await world("PutFunctionEventInvokeConfig", FunctionName="hello", MaximumRetryAttempts=1)
    assert put["FunctionArn"] == f"{ARN}:$LATEST"
    merged = await world("UpdateFunctionEventInvokeConfig", FunctionName="hello", MaximumEventAgeInSeconds=60)
    assert (merged["MaximumRetryAttempts"], merged["MaximumEventAgeInSeconds"]) == (1, 60)
    replaced = await world("PutFunctionEventInvokeConfig", FunctionName="hello", MaximumEventAgeInSeconds=90)
    assert "MaximumRetryAttempts" not in replaced
    assert (await world("ListFunctionEventInvokeConfigs", FunctionName="hello"))["FunctionEventInvokeConfigs"] == [replaced]
    async with refused("InvalidParameterValueException"):
        await world("PutFunctionEventInvokeConfig", FunctionName="hello")
    async with refused("InvalidParameterValueException"):
        bad = {"OnFailure": {"Destination": "arn:aws:ec2:us-east-1:000000000000:x"}}
        await world("PutFunctionEventInvokeConfig", FunctionName="hello", DestinationConfig=bad)
    await world("DeleteFunctionEventInvokeConfig", FunctionName="hello")
    async with refused("ResourceNotFoundException"):
        await world("DeleteFunctionEventInvokeConfig", FunctionName="hello")


async def test_the_life_of_an_event_source_mapping(world, refused):
    await world.create()
    created = await world("CreateEventSourceMapping", FunctionName="hello", EventSourceArn=QUEUE)
    assert (created["State"], created["BatchSize"], created["FunctionArn"]) == ("Creating", 10, ARN)
    got = await world("GetEventSourceMapping", UUID=created["UUID"])
    assert got["State"] == "Enabled"
    assert "no poller for sqs" in got["StateTransitionReason"]
    async with refused("ResourceConflictException"):
        await world("CreateEventSourceMapping", FunctionName="hello", EventSourceArn=QUEUE)
    await world("UpdateEventSourceMapping", UUID=created["UUID"], Enabled=False, BatchSize=5)
    got = await world("GetEventSourceMapping", UUID=created["UUID"])
    assert (got["State"], got["BatchSize"]) == ("Disabled", 5)
    assert len((await world("ListEventSourceMappings", FunctionName="hello"))["EventSourceMappings"]) == 1
    assert (await world("ListEventSourceMappings", EventSourceArn=QUEUE + "2"))["EventSourceMappings"] == []
    assert [mapping.uuid for _, mapping in await world.service.event_source_mappings()] == [created["UUID"]]
    await world("TagResource", Resource=created["EventSourceMappingArn"], Tags={"a": "1"})
    assert await world("ListTags", Resource=created["EventSourceMappingArn"]) == {"Tags": {"a": "1"}}
    assert (await world("DeleteEventSourceMapping", UUID=created["UUID"]))["State"] == "Deleting"
    async with refused("ResourceNotFoundException"):
        await world("GetEventSourceMapping", UUID=created["UUID"])


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        (QUEUE, {"BatchSize": 11}),
        (QUEUE, {"StartingPosition": "LATEST"}),
        (QUEUE, {"ParallelizationFactor": 2}),
        (QUEUE + ".fifo", {"BatchSize": 11, "MaximumBatchingWindowInSeconds": 5}),
        (QUEUE, {"FilterCriteria": {"Filters": [{"Pattern": "{"}]}}),
        (QUEUE, {"FilterCriteria": {"Filters": [{"Pattern": '{"body":[{"numeric":["!",1]}]}'}]}}),
        ("arn:aws:kinesis:us-east-1:000000000000:stream/s", {}),
        (TABLE_STREAM, {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1}),
        ("arn:aws:kinesis:us-east-1:000000000000:stream/s", {"StartingPosition": "AT_TIMESTAMP"}),
        (None, {}),
    ],
)
async def test_bad_mappings_are_refused(world, refused, source, settings):
    await world.create()
    async with refused("InvalidParameterValueException"):
        await world("CreateEventSourceMapping", FunctionName="hello", EventSourceArn=source, **settings)
    assert (await world("ListEventSourceMappings"))["EventSourceMappings"] == []


async def test_tags_are_added_and_taken_away(world, refused):
    await world.create(Tags={"a": "1"})
    await world("TagResource", Resource=ARN, Tags={"a": "2", "b": "3"})
    await world("UntagResource", Resource=ARN, TagKeys=["b", "absent"])
    assert await world("ListTags", Resource=ARN) == {"Tags": {"a": "2"}}
    assert (await world("GetFunction", FunctionName="hello"))["Tags"] == {"a": "2"}
    async with refused("ResourceNotFoundException"):
        await world("ListTags", Resource=ARN + "x")
    async with refused("InvalidParameterValueException"):
        await world("ListTags", Resource=ARN + ":1")


async def test_smaller_settings_read_back(world, refused):
    await world.create()
    assert await world("GetFunctionCodeSigningConfig", FunctionName="hello") == {"FunctionName": "hello"}
    assert await world("GetFunctionRecursionConfig", FunctionName="hello") == {"RecursiveLoop": "Terminate"}
    await world("PutFunctionRecursionConfig", FunctionName="hello", RecursiveLoop="Allow")
    assert await world("GetFunctionRecursionConfig", FunctionName="hello") == {"RecursiveLoop": "Allow"}
    assert (await world("GetRuntimeManagementConfig", FunctionName="hello"))["UpdateRuntimeOn"] == "Auto"
    await world("PutRuntimeManagementConfig", FunctionName="hello", UpdateRuntimeOn="FunctionUpdate")
    assert (await world("GetRuntimeManagementConfig", FunctionName="hello"))["UpdateRuntimeOn"] == "FunctionUpdate"
    async with refused("InvalidParameterValueException"):
        await world("PutRuntimeManagementConfig", FunctionName="hello", UpdateRuntimeOn="Manual", RuntimeVersionArn="arn:x")
    async with refused("ResourceNotFoundException"):
        await world("GetFunctionCodeSigningConfig", FunctionName="absent")


async def test_what_is_remembered_of_a_url_and_its_function_is_forgotten_with_every_change(world):
    await world.create("hello")
    created = await world("CreateFunctionUrlConfig", FunctionName="hello", AuthType="NONE")
    url_id = created["FunctionUrl"].rstrip("/").rpartition("/")[2]

    async def remembered():
        assert world.service.find_known_url(url_id) is None
        url = await world.service.find_url(url_id)
        spec, _settings = await world.service.resolve(url.account, url.region, url.name, url.qualifier)
        assert world.service.find_known_url(url_id) == (url, spec)
        return url, spec

    url, spec = await remembered()
    await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=17)
    _, changed = await remembered()
    assert (spec.timeout_s, changed.timeout_s) == (3, 17)
    await world("UpdateFunctionUrlConfig", FunctionName="hello", AuthType="AWS_IAM")
    changed_url, _ = await remembered()
    assert (url.auth_type, changed_url.auth_type) == ("NONE", "AWS_IAM")
    await world("DeleteFunctionUrlConfig", FunctionName="hello")
    assert world.service.find_known_url(url_id) is None
