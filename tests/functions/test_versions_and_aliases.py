"""Claims about publishing, aliases and their weights."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.services.functions.errors import InvalidParameterValue
from cumulet.services.functions.model import Alias, routing_weights

ARN = "arn:aws:lambda:us-east-1:000000000000:function:hello"


async def test_publishing_twice_without_a_change_gives_the_same_version(world):
    await world.create()
    first = await world("PublishVersion", FunctionName="hello", Description="one")
    assert (first["Version"], first["FunctionArn"], first["Description"]) == ("1", f"{ARN}:1", "one")
    assert await world("PublishVersion", FunctionName="hello", Description="two") == first
    await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=9)
    second = await world("PublishVersion", FunctionName="hello")
    assert (second["Version"], second["Timeout"]) == ("2", 9)
    assert (await world("GetFunctionConfiguration", FunctionName="hello", Qualifier="1"))["Timeout"] == 3


async def test_versions_never_reuse_a_number(world):
    await world.create(Publish=True)
    await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=9)
    await world("PublishVersion", FunctionName="hello")
    await world("DeleteFunction", FunctionName="hello", Qualifier="2")
    await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=10)
    assert (await world("PublishVersion", FunctionName="hello"))["Version"] == "3"
    listed = (await world("ListVersionsByFunction", FunctionName="hello"))["Versions"]
    assert [each["Version"] for each in listed] == ["$LATEST", "1", "3"]
    assert listed[0]["FunctionArn"] == f"{ARN}:$LATEST"


async def test_publishing_checks_hash_and_revision(world, refused):
    created = await world.create()
    async with refused("InvalidParameterValueException"):
        await world("PublishVersion", FunctionName="hello", CodeSha256="other")
    async with refused("PreconditionFailedException"):
        await world("PublishVersion", FunctionName="hello", RevisionId="0" * 36)
    published = await world(
        "PublishVersion", FunctionName="hello", CodeSha256=created["CodeSha256"], RevisionId=created["RevisionId"]
    )
    assert published["Version"] == "1"


async def test_create_and_update_publish_at_once_when_asked(world, archive_of):
    assert (await world.create(Publish=True))["FunctionArn"] == f"{ARN}:1"
    updated = await world("UpdateFunctionCode", FunctionName="hello", ZipFile=archive_of(app="x = 1"), Publish=True)
    assert updated["Version"] == "2"
    assert (await world("GetFunctionConfiguration", FunctionName="hello"))["Version"] == "$LATEST"


async def test_an_alias_leads_to_its_version_and_follows_it(world, refused):
    await world.create(Publish=True)
    await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=9)
    await world("PublishVersion", FunctionName="hello")
    created = await world("CreateAlias", FunctionName="hello", Name="live", FunctionVersion="1", Description="now")
    assert created == await world("GetAlias", FunctionName="hello", Name="live")
    assert (created["AliasArn"], created["FunctionVersion"]) == (f"{ARN}:live", "1")
    shown = await world("GetFunction", FunctionName="hello", Qualifier="live")
    assert (shown["Configuration"]["Version"], shown["Configuration"]["FunctionArn"]) == ("1", f"{ARN}:live")
    spec, _ = await world.service.resolve("000000000000", "us-east-1", "hello", "live")
    assert spec.version == "1"
    updated = await world("UpdateAlias", FunctionName="hello", Name="live", FunctionVersion="2", RevisionId=created["RevisionId"])
    assert (updated["Description"], updated["FunctionVersion"]) == ("now", "2")
    spec, _ = await world.service.resolve("000000000000", "us-east-1", "hello", "live")
    assert spec.version == "2"
    async with refused("PreconditionFailedException"):
        await world("UpdateAlias", FunctionName="hello", Name="live", FunctionVersion="1", RevisionId=created["RevisionId"])
    assert [a["Name"] for a in (await world("ListAliases", FunctionName="hello", FunctionVersion="2"))["Aliases"]] == ["live"]
    assert (await world("ListAliases", FunctionName="hello", FunctionVersion="1"))["Aliases"] == []
    async with refused("ResourceConflictException"):
        await world("DeleteFunction", FunctionName="hello", Qualifier="2")
    await world("DeleteAlias", FunctionName="hello", Name="live")
    async with refused("ResourceNotFoundException"):
        await world.service.resolve("000000000000", "us-east-1", "hello", "live")
    await world("DeleteFunction", FunctionName="hello", Qualifier="2")


async def test_bad_aliases_are_refused(world, refused):
    await world.create(Publish=True)
    async with refused("InvalidParameterValueException"):
        await world("CreateAlias", FunctionName="hello", Name="7", FunctionVersion="1")
    async with refused("ResourceNotFoundException"):
        await world("CreateAlias", FunctionName="hello", Name="live", FunctionVersion="2")
    await world("CreateAlias", FunctionName="hello", Name="live", FunctionVersion="1")
    async with refused("ResourceConflictException"):
        await world("CreateAlias", FunctionName="hello", Name="live", FunctionVersion="1")
    async with refused("InvalidParameterValueException"):
        await world("DeleteFunction", FunctionName="hello", Qualifier="live")
    async with refused("InvalidParameterValueException"):
        await world("DeleteFunction", FunctionName="hello", Qualifier="$LATEST")
    async with refused("ResourceNotFoundException"):
        await world("GetFunction", FunctionName="hello", Qualifier="0")
    async with refused("ResourceNotFoundException"):
        await world("GetFunction", FunctionName="hello", Qualifier="9" * 30)


async def test_a_weighted_alias_divides_the_calls(world):
    await world.create(Publish=True)
    await world("UpdateFunctionConfiguration", FunctionName="hello", Timeout=9)
    await world("PublishVersion", FunctionName="hello")
    routing = {"AdditionalVersionWeights": {"2": 0.25}}
    alias = await world("CreateAlias", FunctionName="hello", Name="live", FunctionVersion="1", RoutingConfig=routing)
    assert alias["RoutingConfig"] == routing
    served = [(await world("Invoke", FunctionName="hello:live"))["ExecutedVersion"] for _ in range(400)]
    assert 60 < served.count("2") < 140
    assert served.count("1") == 400 - served.count("2")
    cleared = await world("UpdateAlias", FunctionName="hello", Name="live", RoutingConfig={"AdditionalVersionWeights": {}})
    assert "RoutingConfig" not in cleared


@given(weight=st.floats(0, 1), seed=st.integers(0, 1 << 32))
def test_an_alias_chooses_only_its_versions_and_by_weight(weight, seed):
    alias = Alias("f", "live", "1", "", "r", {"2": weight})
    chosen = [alias.choose(random.Random(seed + number)) for number in range(50)]
    assert set(chosen) <= {"1", "2"}
    if weight == 0:
        assert set(chosen) == {"1"}
    if weight == 1:
        assert set(chosen) == {"2"}


@pytest.mark.parametrize(
    ("primary", "weights"),
    [("1", {"1": 0.1}), ("$LATEST", {"1": 0.1}), ("1", {"$LATEST": 0.1}), ("1", {"2": 0.1, "3": 0.1}), ("1", {"2": 1.5})],
)
def test_bad_weights_are_refused(primary, weights):
    with pytest.raises(InvalidParameterValue):
        routing_weights(primary, {"AdditionalVersionWeights": weights})
