"""Claims about creating, reading, changing, listing and deleting functions."""

import asyncio
import base64
import hashlib
from urllib.parse import urlsplit

import pytest

from cumulet.core.http import Request
from cumulet.services.functions.model import Limits

ARN = "arn:aws:lambda:us-east-1:000000000000:function:hello"


async def test_a_created_function_reads_back_with_the_defaults_of_aws(world, archive_of):
    archive = archive_of(app="def handler(event, context): return event")
    created = await world.create(archive=archive)
    assert created == await world("GetFunctionConfiguration", FunctionName="hello")
    revision = created.pop("RevisionId")
    assert len(revision) == 36
    assert created.pop("RuntimeVersionConfig")["RuntimeVersionArn"].startswith("arn:aws:lambda:us-east-1::runtime:")
    assert created == {
        "FunctionName": "hello",
        "FunctionArn": ARN,
        "Runtime": "python3.12",
        "Role": "arn:aws:iam::000000000000:role/lambda",
        "Handler": "app.handler",
        "CodeSize": len(archive),
        "CodeSha256": base64.b64encode(hashlib.sha256(archive).digest()).decode(),
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "LastModified": "2026-01-01T00:00:00.000+0000",
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/hello"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
    }


async def test_what_was_set_is_echoed_and_becomes_the_spec(world):
    settings = {
        "Description": "says hello",
        "Timeout": 30,
        "MemorySize": 512,
        "EphemeralStorage": {"Size": 1024},
        "Environment": {"Variables": {"GREETING": "hi"}},
        "Architectures": ["arm64"],
        "TracingConfig": {"Mode": "Active"},
        "DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"},
        "KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/1",
        "LoggingConfig": {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN", "LogGroup": "mine"},
        "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
    }
    created = await world.create(**settings)
    for member in settings.keys() - {"VpcConfig"}:
        assert created[member] == settings[member]
    assert created["VpcConfig"]["SubnetIds"] == ["subnet-1"]
    spec, asynchronous = await world.service.resolve("000000000000", "us-east-1", "hello", None)
    assert (spec.timeout_s, spec.memory_mb, spec.ephemeral_mb, spec.architecture) == (30, 512, 1024, "arm64")
    assert (spec.environment, spec.log_group, spec.log_format) == ({"GREETING": "hi"}, "mine", "JSON")
    assert (spec.application_log_level, spec.system_log_level, spec.tracing) == ("DEBUG", "WARN", "Active")
    assert asynchronous.dead_letter == settings["DeadLetterConfig"]["TargetArn"]


@pytest.mark.parametrize("name", ["hello", "hello:$LATEST", "000000000000:function:hello", ARN, f"{ARN}:$LATEST", "function:hello"])
async def test_every_form_of_a_name_finds_the_function(world, name):
    await world.create()
    assert (await world("GetFunction", FunctionName=name))["Configuration"]["FunctionName"] == "hello"


async def test_names_of_other_regions_and_accounts_are_refused(world, refused):
    await world.create()
    async with refused("ResourceNotFoundException"):
        await world("GetFunction", FunctionName=ARN.replace("us-east-1", "eu-west-1"))
    async with refused("AccessDeniedException"):
        await world("GetFunction", FunctionName=ARN, account="111111111111")
    async with refused("ResourceNotFoundException") as fault:
        await world("GetFunction", FunctionName="hello", region="eu-west-1")
    assert fault["message"] == "Function not found: arn:aws:lambda:eu-west-1:000000000000:function:hello"
    assert fault["fields"] == {"Type": "User"}
    async with refused("InvalidParameterValueException"):
        await world("GetFunction", FunctionName="hello:1", Qualifier="2")


async def test_of_concurrent_creates_exactly_one_wins(world):
    async def create():
        try:
            return (await world.create())["RevisionId"]
        except Exception as error:
            return getattr(error, "code", repr(error))

    outcomes = await asyncio.gather(*(create() for _ in range(8)))
    assert outcomes.count("ResourceConflictException") == 7
    winner = next(each for each in outcomes if each != "ResourceConflictException")
    assert (await world("GetFunctionConfiguration", FunctionName="hello"))["RevisionId"] == winner
    assert (await world("GetAccountSettings"))["AccountUsage"]["FunctionCount"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Handler": None}, "Runtime and Handler are mandatory"),
        ({"Runtime": None}, "Runtime and Handler are mandatory"),
        ({"Runtime": "python2.7"}, "no longer supported"),
        ({"Environment": {"Variables": {"AWS_REGION": "x", "OK": "1"}}}, "Reserved keys used in this request: AWS_REGION"),
        ({"Environment": {"Variables": {"BIG": "x" * 4096}}}, "exceeded the 4KB limit"),
        ({"Environment": {"Variables": {"NUL": "a\x00b"}}}, "NUL"),
        ({"Code": {}}, "Please provide a source for function code"),
        ({"Code": {"ZipFile": b"no zip"}}, "Could not unzip uploaded file. Please check your file, then try to upload again."),
        ({"Code": {"ZipFile": b""}}, "non-empty zip"),
        ({"Code": {"S3Bucket": "b", "S3Key": "absent"}}, "NoSuchKey"),
        ({"VpcConfig": {"SubnetIds": ["subnet-1"]}}, "SecurityGroupIds"),
        ({"LoggingConfig": {"LogFormat": "Text", "SystemLogLevel": "WARN"}}, "LogFormat to JSON"),
        ({"Tags": {f"k{i}": "v" for i in range(51)}}, "Number of tags"),
        ({"Tags": {"aws:x": "v"}}, "reserved"),
        ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:absent:1"]}, "does not exist"),
    ],
)
async def test_bad_settings_are_refused_and_leave_nothing(world, refused, change, words):
    async with refused("InvalidParameterValueException") as fault:
        await world.create(**change)
    assert words in fault["message"]
    assert (await world("ListFunctions"))["Functions"] == []


@pytest.mark.parametrize("change", [{"MemorySize": 10_241}, {"Timeout": 901}, {"EphemeralStorage": {"Size": 10_241}}])
async def test_values_beyond_the_documented_range_are_validation_errors(world, refused, change):
    async with refused("ValidationException"):
        await world.create(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"PackageType": "Image"},
        {"FileSystemConfigs": [{"Arn": "a", "LocalMountPath": "/mnt/a"}]},
        {"CodeSigningConfigArn": "arn:x"},
        {"Code": {"ImageUri": "x"}},
    ],
)
async def test_what_the_node_cannot_do_is_said(world, refused, change):
    async with refused("NotImplemented"):
        await world.create(**change)


async def test_size_limits(make_world, archive_of, refused):
    world = make_world(limits=Limits(zipped_bytes=2000, unzipped_bytes=10_000, total_code_bytes=3000))
    async with refused("InvalidParameterValueException") as fault:
        await world.create(archive=archive_of(app="x" * 10_001))
    assert fault["message"] == "Unzipped size must be smaller than 10000 bytes"
    noise = hashlib.shake_256(b"seed").hexdigest(3000)
    async with refused("RequestEntityTooLargeException") as fault:
        await world.create(archive=archive_of(app=noise))
    assert fault["status"] == 413
    half = archive_of(app=noise[:2600])
    assert 1000 < len(half) <= 2000
    await world.create("one", archive=half)
    async with refused("CodeStorageExceededException"):
        await world.create("two", archive=half, Publish=True)
    assert [each["FunctionName"] for each in (await world("ListFunctions"))["Functions"]] == ["one"]


async def test_code_comes_from_an_object_store(world, archive_of):
    world.objects["bucket", "key.zip"] = archive_of(app="def handler(event, context): pass")
    created = await world.create(Code={"S3Bucket": "bucket", "S3Key": "key.zip"})
    assert created["CodeSize"] == len(world.objects["bucket", "key.zip"])


async def test_the_code_location_downloads_the_archive_for_ten_minutes(world, archive_of):
    archive = archive_of(app="def handler(event, context): return 1")
    await world.create(archive=archive)
    location = (await world("GetFunction", FunctionName="hello"))["Code"]["Location"]
    parts = urlsplit(location)
    assert f"{parts.scheme}://{parts.netloc}" == "http://127.0.0.1:4566"

    async def fetch(path=parts.path, query=parts.query, method="GET"):
        return await world.service.code_archive(Request(method, path, query, []))

    answer = await fetch()
    assert (answer.status, answer.body) == (200, archive)
    assert (await fetch(query=parts.query[:-1] + ("0" if parts.query[-1] != "0" else "1"))).status == 403
    assert (await fetch(path=parts.path[:-64] + "0" * 64)).status == 403
    assert (await fetch(query="")).status == 403
    assert (await fetch(query=parts.query.replace("expires=1", "expires=2"))).status == 403
    assert (await fetch(method="POST")).status == 405
    world.clock.advance(seconds=601)
    assert (await fetch()).status == 403


async def test_an_update_changes_what_it_names_and_the_revision(world, refused):
    before = await world.create(Environment={"Variables": {"A": "1"}}, Description="first")
    world.clock.advance(seconds=1.5)
    after = await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=7)
    assert after["Timeout"] == 7
    assert after["RevisionId"] != before["RevisionId"]
    assert after["LastModified"] == "2026-01-01T00:00:01.500+0000"
    assert (after["Description"], after["Environment"]) == ("first", {"Variables": {"A": "1"}})
    assert "Environment" not in await world("UpdateFunctionConfiguration", FunctionName="hello", Environment={"Variables": {}})
    async with refused("PreconditionFailedException") as fault:
        await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=8, RevisionId=before["RevisionId"])
    assert fault["status"] == 412
    assert (await world("GetFunctionConfiguration", FunctionName="hello"))["Timeout"] == 7


async def test_a_dry_run_of_new_code_changes_nothing(world, archive_of):
    before = await world.create()
    archive = archive_of(app="def handler(event, context): return 2")
    shown = await world("UpdateFunctionCode", FunctionName="hello", ZipFile=archive, DryRun=True)
    assert shown["CodeSize"] == len(archive)
    assert await world("GetFunctionConfiguration", FunctionName="hello") == before


async def test_new_code_is_what_runs_next_and_old_environments_retire(world, archive_of):
    await world.create()
    first, _ = await world.service.resolve("000000000000", "us-east-1", "hello", None)
    await world("UpdateFunctionCode", FunctionName="hello", ZipFile=archive_of(app="def handler(event, context): return 2"))
    second, _ = await world.service.resolve("000000000000", "us-east-1", "hello", None)
    assert first.code != second.code
    assert first.pool_key != second.pool_key
    assert world.invoker.retired == [(first.function_id, second.pool_key)]


async def test_an_update_that_changes_nothing_keeps_environments(world):
    await world.create(Timeout=5)
    first, _ = await world.service.resolve("000000000000", "us-east-1", "hello", None)
    await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=5)
    second, _ = await world.service.resolve("000000000000", "us-east-1", "hello", None)
    assert first.pool_key == second.pool_key


async def test_a_deleted_function_leaves_nothing_behind(world, refused):
    await world.create(Publish=True)
    await world("CreateAlias", FunctionName="hello", Name="live", FunctionVersion="1")
    await world("AddPermission", FunctionName="hello", StatementId="s", Action="lambda:InvokeFunction", Principal="*")
    url = await world("CreateFunctionUrlConfig", FunctionName="hello", AuthType="NONE")
    url_id = url["FunctionUrl"].rstrip("/").rpartition("/")[2]
    assert await world.service.find_url(url_id) is not None
    old, _ = await world.service.resolve("000000000000", "us-east-1", "hello", "live")
    assert await world("DeleteFunction", FunctionName="hello") == {"StatusCode": 204}
    assert await world.service.find_url(url_id) is None
    async with refused("ResourceNotFoundException"):
        await world.service.resolve("000000000000", "us-east-1", "hello", "live")
    async with refused("ResourceNotFoundException"):
        await world("DeleteFunction", FunctionName="hello")
    assert (await world("GetAccountSettings"))["AccountUsage"] == {"TotalCodeSize": 0, "FunctionCount": 0}
    await world.create()
    again, _ = await world.service.resolve("000000000000", "us-east-1", "hello", None)
    assert again.function_id != old.function_id  # its environments are never those of the function before
    async with refused("ResourceNotFoundException"):
        await world("GetPolicy", FunctionName="hello")
    async with refused("ResourceNotFoundException"):
        await world("GetAlias", FunctionName="hello", Name="live")


async def test_listings_page_without_loss_or_repeat(world, refused):
    names = [f"f{number:02}" for number in range(7)]
    for name in names:
        await world.create(name, Publish=name == "f03")
    found, marker = [], None
    while True:
        page = await world("ListFunctions", MaxItems=3, **({"Marker": marker} if marker else {}))
        assert len(page["Functions"]) <= 3
        found += [each["FunctionName"] for each in page["Functions"]]
        marker = page.get("NextMarker")
        if marker is None:
            break
    assert found == names
    everything = (await world("ListFunctions", FunctionVersion="ALL"))["Functions"]
    assert [(e["FunctionName"], e["Version"]) for e in everything if e["FunctionName"] == "f03"] == [
        ("f03", "$LATEST"),
        ("f03", "1"),
    ]
    assert len(everything) == 8
    assert "State" not in everything[0]
    async with refused("InvalidParameterValueException"):
        await world("ListFunctions", Marker="not ours!")


async def test_accounts_and_regions_do_not_see_each_other(world):
    await world.create()
    assert (await world("ListFunctions", account="111111111111"))["Functions"] == []
    assert (await world("ListFunctions", region="eu-west-1"))["Functions"] == []
