"""Claims about layers."""

import json
from urllib.parse import urlsplit

from cumulet.core.http import Request
from cumulet.services.functions.model import Limits

ARN = "arn:aws:lambda:us-east-1:000000000000:layer:words"


async def _publish(world, archive, **more):
    return await world("PublishLayerVersion", LayerName="words", Content={"ZipFile": archive}, **more)


async def test_a_layer_version_reads_back_and_downloads(world, archive_of):
    archive = archive_of(words="hi = 1")
    settings = {"CompatibleRuntimes": ["python3.12"], "LicenseInfo": "MIT", "Description": "d"}
    published = await _publish(world, archive, **settings)
    assert (published["Version"], published["LayerArn"], published["LayerVersionArn"]) == (1, ARN, f"{ARN}:1")
    assert {key: published[key] for key in settings} == settings
    got = await world("GetLayerVersion", LayerName="words", VersionNumber=1)
    assert got == published
    assert await world("GetLayerVersionByArn", Arn=f"{ARN}:1") == published
    parts = urlsplit(got["Content"]["Location"])
    assert (await world.service.code_archive(Request("GET", parts.path, parts.query, []))).body == archive


async def test_layers_are_listed_newest_first_and_by_what_they_suit(world, archive_of):
    await _publish(world, archive_of(a="1"), CompatibleRuntimes=["python3.12"])
    await _publish(world, archive_of(a="2"), CompatibleRuntimes=["python3.13"])
    await _publish(world, archive_of(a="3"))
    listed = await world("ListLayerVersions", LayerName="words")
    assert [each["Version"] for each in listed["LayerVersions"]] == [3, 2, 1]
    page = await world("ListLayerVersions", LayerName="words", MaxItems=2)
    rest = await world("ListLayerVersions", LayerName="words", MaxItems=2, Marker=page["NextMarker"])
    assert [each["Version"] for each in page["LayerVersions"] + rest["LayerVersions"]] == [3, 2, 1]
    assert "NextMarker" not in rest
    newest = (await world("ListLayers", CompatibleRuntime="python3.12"))["Layers"]
    assert [(each["LayerName"], each["LatestMatchingVersion"]["Version"]) for each in newest] == [("words", 1)]


async def test_a_function_keeps_a_layer_that_is_deleted(world, archive_of, refused):
    await _publish(world, archive_of(a="1"))
    created = await world.create(Layers=[f"{ARN}:1"])
    assert [each["Arn"] for each in created["Layers"]] == [f"{ARN}:1"]
    before = (await world.service.resolve("000000000000", "us-east-1", "hello", None))[0]
    assert len(before.layers) == 1
    await world("DeleteLayerVersion", LayerName="words", VersionNumber=1)
    await world("DeleteLayerVersion", LayerName="words", VersionNumber=1)
    async with refused("ResourceNotFoundException"):
        await world("GetLayerVersion", LayerName="words", VersionNumber=1)
    await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=9)
    after = (await world.service.resolve("000000000000", "us-east-1", "hello", None))[0]
    assert after.layers == before.layers
    await world.store.blobs.get(after.layers[0])
    assert (await _publish(world, archive_of(a="2")))["Version"] == 2
    async with refused("InvalidParameterValueException"):
        await world.create("other", Layers=[f"{ARN}:1"])
    cleared = await world("UpdateFunctionConfiguration", FunctionName="hello", Layers=[])
    assert "Layers" not in cleared


async def test_how_many_layers_and_how_large(make_world, archive_of, refused):
    world = make_world(limits=Limits(unzipped_bytes=100))
    arns = []
    for number in range(6):
        name = f"l{number}"
        published = await world("PublishLayerVersion", LayerName=name, Content={"ZipFile": archive_of(a="x" * 15)})
        arns.append(published["LayerVersionArn"])
    second = (await world("PublishLayerVersion", LayerName="l0", Content={"ZipFile": archive_of(a="y")}))["LayerVersionArn"]
    tiny = {"archive": archive_of(app="x" * 40)}
    async with refused("InvalidParameterValueException") as fault:
        await world.create(**tiny, Layers=arns)
    assert "more than 5 layers" in fault["message"]
    async with refused("InvalidParameterValueException") as fault:
        await world.create(**tiny, Layers=[arns[0], second])
    assert "Two different versions" in fault["message"]
    async with refused("InvalidParameterValueException") as fault:
        await world.create(**tiny, Layers=arns[:5])
    assert "The actual size is 115 bytes" in fault["message"]
    await world.create(**tiny, Layers=arns[:4])


async def test_another_account_uses_a_layer_only_when_its_policy_says_so(world, archive_of, refused):
    await _publish(world, archive_of(a="1"))
    other = {"account": "111111111111"}
    async with refused("AccessDeniedException"):
        await world("GetLayerVersionByArn", Arn=f"{ARN}:1", **other)
    async with refused("InvalidParameterValueException"):
        await world.create(Layers=[f"{ARN}:1"], **other)
    added = await world(
        "AddLayerVersionPermission",
        LayerName="words",
        VersionNumber=1,
        StatementId="share",
        Action="lambda:GetLayerVersion",
        Principal="111111111111",
    )
    assert json.loads(added["Statement"])["Resource"] == f"{ARN}:1"
    policy = await world("GetLayerVersionPolicy", LayerName="words", VersionNumber=1)
    assert policy["RevisionId"] == added["RevisionId"]
    assert (await world("GetLayerVersionByArn", Arn=f"{ARN}:1", **other))["Version"] == 1
    await world.create(Layers=[f"{ARN}:1"], **other)
    async with refused("InvalidParameterValueException"):
        await world.create(Layers=[f"{ARN}:1"], account="222222222222")
    async with refused("AccessDeniedException"):
        await world("DeleteLayerVersion", LayerName=ARN, VersionNumber=1, **other)
    await world("RemoveLayerVersionPermission", LayerName="words", VersionNumber=1, StatementId="share")
    async with refused("ResourceNotFoundException"):
        await world("GetLayerVersionPolicy", LayerName="words", VersionNumber=1)
