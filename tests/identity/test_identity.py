"""IAM and STS through their operations."""

import json
from urllib.parse import unquote

import pytest

from cumulet.auth.keys import AccessKeys
from cumulet.core.clock import ManualClock
from cumulet.core.context import Context
from cumulet.core.http import Request
from cumulet.services.identity import errors
from cumulet.services.identity.admin import KeysAdmin
from cumulet.services.identity.api import IamService, StsService
from cumulet.store.memory import MemoryStore

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)
DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}})


class World:
    async def open(self):
        self.store, self.clock = MemoryStore(), ManualClock()
        self.keys = await AccessKeys.open(self.store, self.clock)
        self.handlers = {
            **IamService(self.store, self.clock, self.keys).handlers,
            **StsService(self.store, self.clock, self.keys).handlers,
        }
        return self

    def ctx(self, principal=None):
        principal = principal or self.keys.root.principal
        return Context(principal.account, "us-east-1", "id", principal, "http://127.0.0.1:1")

    async def call(self, name, principal=None, **req):
        return await self.handlers[name](self.ctx(principal), req)


@pytest.fixture
async def world():
    return await World().open()


async def test_a_roles_life(world):
    role = (
        await world.call("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST, Path="/p/", Tags=[{"Key": "k", "Value": "v"}])
    )["Role"]
    assert role["Arn"] == "arn:aws:iam::000000000000:role/p/r" and role["RoleId"].startswith("AROA")
    assert unquote(role["AssumeRolePolicyDocument"]) == TRUST
    with pytest.raises(errors.EntityAlreadyExists):
        await world.call("CreateRole", RoleName="R", AssumeRolePolicyDocument=TRUST)
    assert (await world.call("GetRole", RoleName="r"))["Role"]["Tags"] == [{"Key": "k", "Value": "v"}]
    await world.call("PutRolePolicy", RoleName="r", PolicyName="inline", PolicyDocument=DOCUMENT)
    assert unquote((await world.call("GetRolePolicy", RoleName="r", PolicyName="inline"))["PolicyDocument"]) == DOCUMENT
    managed = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    await world.call("AttachRolePolicy", RoleName="r", PolicyArn=managed)
    (attached,) = (await world.call("ListAttachedRolePolicies", RoleName="r"))["AttachedPolicies"]
    assert attached == {"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": managed}
    for operation, more in (("DetachRolePolicy", {"PolicyArn": managed}), ("DeleteRolePolicy", {"PolicyName": "inline"})):
        with pytest.raises(errors.DeleteConflict):
            await world.call("DeleteRole", RoleName="r")
        await world.call(operation, RoleName="r", **more)
    await world.call("DeleteRole", RoleName="r")
    with pytest.raises(errors.NoSuchEntity):
        await world.call("GetRole", RoleName="r")


@pytest.mark.parametrize(
    "document", ["", "{", "[]", "{}", '{"Statement": [{"Effect": "Maybe", "Action": "*"}]}', '{"Statement": [{"Effect": "Allow"}]}']
)
async def test_malformed_policies_are_refused(world, document):
    with pytest.raises(errors.MalformedPolicyDocument):
        await world.call("CreateRole", RoleName="r", AssumeRolePolicyDocument=document)


async def test_managed_policies_and_their_versions(world):
    policy = (await world.call("CreatePolicy", PolicyName="p", PolicyDocument=DOCUMENT))["Policy"]
    arn = policy["Arn"]
    for _ in range(4):
        await world.call("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=DOCUMENT, SetAsDefault=True)
    with pytest.raises(errors.LimitExceeded):
        await world.call("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=DOCUMENT)
    assert (await world.call("GetPolicy", PolicyArn=arn))["Policy"]["DefaultVersionId"] == "v5"
    with pytest.raises(errors.DeleteConflict):
        await world.call("DeletePolicyVersion", PolicyArn=arn, VersionId="v5")
    for version in ("v1", "v2", "v3", "v4"):
        await world.call("DeletePolicyVersion", PolicyArn=arn, VersionId=version)
    await world.call("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    await world.call("AttachRolePolicy", RoleName="r", PolicyArn=arn)
    assert (await world.call("GetPolicy", PolicyArn=arn))["Policy"]["AttachmentCount"] == 1
    with pytest.raises(errors.DeleteConflict):
        await world.call("DeletePolicy", PolicyArn=arn)
    await world.call("DetachRolePolicy", RoleName="r", PolicyArn=arn)
    await world.call("DeletePolicy", PolicyArn=arn)
    with pytest.raises(errors.NoSuchEntity):
        await world.call("AttachRolePolicy", RoleName="r", PolicyArn=arn)


async def test_users_have_keys_that_sign(world):
    await world.call("CreateUser", UserName="ann")
    key = (await world.call("CreateAccessKey", UserName="ann"))["AccessKey"]
    principal = world.keys.find(key["AccessKeyId"], None).principal
    assert principal.arn == "arn:aws:iam::000000000000:user/ann"
    assert (await world.call("GetCallerIdentity", principal))["Arn"] == principal.arn
    assert (await world.call("GetUser", principal))["User"]["UserName"] == "ann"
    await world.call("CreateAccessKey", UserName="ann")
    with pytest.raises(errors.LimitExceeded):
        await world.call("CreateAccessKey", UserName="ann")
    with pytest.raises(errors.DeleteConflict):
        await world.call("DeleteUser", UserName="ann")
    await world.call("UpdateAccessKey", UserName="ann", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert world.keys.find(key["AccessKeyId"], None) is None


async def test_assumed_roles_are_their_own_principals(world):
    with pytest.raises(errors.AccessDenied):
        await world.call("AssumeRole", RoleArn="arn:aws:iam::000000000000:role/r", RoleSessionName="me")
    await world.call("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    answer = await world.call("AssumeRole", RoleArn="arn:aws:iam::000000000000:role/r", RoleSessionName="me", DurationSeconds=900)
    given = answer["Credentials"]
    found = world.keys.find(given["AccessKeyId"], given["SessionToken"])
    assert found.secret_key == given["SecretAccessKey"] and found.principal.arn == "arn:aws:sts::000000000000:assumed-role/r/me"
    assert found.expires_at_ms == world.clock.now_ms() + 900_000
    with pytest.raises(errors.ValidationError):
        await world.call("AssumeRole", RoleArn="arn:aws:iam::000000000000:role/r", RoleSessionName="me", DurationSeconds=7200)


async def test_accounts_do_not_see_each_other(world):
    other = (await world.keys.create("111111111111")).principal
    await world.call("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    with pytest.raises(errors.NoSuchEntity):
        await world.call("GetRole", other, RoleName="r")
    with pytest.raises(errors.AccessDenied):
        await world.call("AssumeRole", other, RoleArn="arn:aws:iam::000000000000:role/r", RoleSessionName="me")
    with pytest.raises(errors.NoSuchEntity):
        await world.call("DeleteAccessKey", other, AccessKeyId=world.keys.root.access_key_id)


async def test_keys_of_other_accounts_are_the_default_roots_affair(world):
    admin = KeysAdmin(world.keys)
    ask = lambda method, path, body=b"", query="": Request(method, path, query, [], body)  # noqa: E731
    made = json.loads((await admin.handle(world.ctx(), ask("POST", "/_cumulet/keys", b'{"account": "222222222222"}'))).body)
    principal = world.keys.find(made["access_key_id"], None).principal
    assert principal.account == "222222222222"
    listed = json.loads((await admin.handle(world.ctx(), ask("GET", "/_cumulet/keys", query="account=222222222222"))).body)["keys"]
    assert [key["access_key_id"] for key in listed] == [made["access_key_id"]] and "secret_access_key" not in listed[0]
    with pytest.raises(errors.AccessDenied):
        await admin.handle(world.ctx(principal), ask("GET", "/_cumulet/keys", query="account=000000000000"))
    with pytest.raises(errors.AccessDenied):
        await admin.handle(world.ctx(principal), ask("DELETE", f"/_cumulet/keys/{world.keys.root.access_key_id}"))
    await admin.handle(world.ctx(), ask("DELETE", f"/_cumulet/keys/{made['access_key_id']}"))
    assert world.keys.find(made["access_key_id"], None) is None
