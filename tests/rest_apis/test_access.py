"""Who may call, and how much: authorizers, signatures, policies, API keys, quotas and throttles."""

import datetime
import json
import urllib.parse

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS_KEY, SECRET = "AKIATESTTESTTESTTEST", "test-secret-test-secret-test-secret-test"
URI = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{}/invocations"

AUTHORIZER = """\
import itertools
COUNT = itertools.count(1)
def handler(event, context):
    token = event.get("authorizationToken") or event["headers"].get("X-Token")
    if token == "refuse":
        raise Exception("Unauthorized")
    if token == "crash":
        raise Exception("no idea")
    if token == "malformed":
        return {"allow": True}
    arn = event["methodArn"]
    resource = {"allow": arn, "deny": arn, "all": arn.split("/")[0] + "/*", "other": arn + "/else"}[token]
    effect = "Deny" if token == "deny" else "Allow"
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource}
    context = {"count": next(COUNT), "flag": True, "type": event["type"], "path": event.get("path", "")}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    return {"principalId": "user-" + token, "policyDocument": policy, "context": context, "usageIdentifierKey": "k" * 20}
"""


def _authorizer(api, arn, kind="TOKEN", **more):
    more.setdefault("identitySource", "method.request.header.X-Token")
    return api.gateway.create_authorizer(restApiId=api.id, name=kind, type=kind, authorizerUri=URI.format(arn), **more)["id"]


def _call(api, token, path="/", **more):
    return api.call("GET", path, headers={"X-Token": token} if token else {}, **more)


@pytest.fixture
def guarded(api, function):
    authorizer = _authorizer(api, function(AUTHORIZER), identityValidationExpression="[a-z]+")
    template = '{"who": "$context.authorizer.principalId", "flag": "$context.authorizer.flag", "n": "$context.authorizer.count"}'
    for path in ("/", "/other"):
        api.mock("GET", path, template, authorizationType="CUSTOM", authorizerId=authorizer)
    api.deploy()
    return api


def test_a_token_authorizer_decides(guarded):
    assert _call(guarded, "all").json() == {"who": "user-all", "flag": "true", "n": "1"}
    for token in (None, "refuse", "NOT MATCHING"):
        answer = _call(guarded, token)
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    denied = _call(guarded, "deny")
    assert (denied.status_code, denied.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
    assert "explicit deny" in denied.json()["message"]
    other = _call(guarded, "other")
    assert (other.status_code, other.json()) == (403, {"message": "User is not authorized to access this resource"})
    for token, kind in (("crash", "AuthorizerFailureException"), ("malformed", "AuthorizerConfigurationException")):
        failed = _call(guarded, token)
        assert (failed.status_code, failed.json(), failed.headers["x-amzn-errortype"]) == (500, {"message": None}, kind)


def test_its_answer_is_kept_by_token_and_checked_for_every_method(guarded):
    first = _call(guarded, "all").json()
    assert _call(guarded, "all").json() == first
    assert _call(guarded, "all", "/other").json() == first
    assert _call(guarded, "allow").status_code == 200
    assert _call(guarded, "allow", "/other").status_code == 403
    guarded.gateway.flush_stage_authorizers_cache(restApiId=guarded.id, stageName="prod")
    assert _call(guarded, "all").json()["n"] != first["n"]


def test_a_request_authorizer_sees_the_request(api, function):
    source = "method.request.header.X-Token, method.request.querystring.who, context.stage"
    authorizer = _authorizer(api, function(AUTHORIZER), "REQUEST", identitySource=source, authorizerResultTtlInSeconds=0)
    text = "import json\ndef handler(e, c):\n    return {'body': json.dumps(e['requestContext']['authorizer'])}\n"
    api.proxy("GET", "/p/{id}", function(text), authorizationType="CUSTOM", authorizerId=authorizer)
    api.deploy()
    assert _call(api, "all", "/p/1").status_code == 401
    told = _call(api, "all", "/p/1?who=me").json()
    assert told.pop("integrationLatency") >= 0
    assert told == {"principalId": "user-all", "count": "1", "flag": "true", "type": "REQUEST", "path": "/p/1"}
    assert _call(api, "all", "/p/1?who=me").json()["count"] == "2"


def test_an_authorizer_can_be_tried(guarded):
    authorizer = guarded.gateway.get_authorizers(restApiId=guarded.id)["items"][0]["id"]
    tried = guarded.gateway.test_invoke_authorizer(restApiId=guarded.id, authorizerId=authorizer, headers={"X-Token": "all"})
    assert (tried["clientStatus"], tried["principalId"]) == (0, "user-all")
    assert json.loads(tried["policy"])["Statement"][0]["Effect"] == "Allow"
    tried = guarded.gateway.test_invoke_authorizer(restApiId=guarded.id, authorizerId=authorizer, headers={"X-Token": "refuse"})
    assert tried["clientStatus"] == 401


def test_user_pools_are_not_there_and_say_so(api):
    arn = "arn:aws:cognito-idp:us-east-1:000000000000:userpool/p"
    made = api.gateway.create_authorizer(restApiId=api.id, name="pool", type="COGNITO_USER_POOLS", providerARNs=[arn])
    api.mock("GET", "/", "ok", authorizationType="COGNITO_USER_POOLS", authorizerId=made["id"])
    api.deploy()
    assert api.call().status_code == 501


def _signed(url, *, region="us-east-1", service="execute-api", key=ACCESS_KEY, secret=SECRET):
    request = AWSRequest(method="GET", url=url)
    SigV4Auth(Credentials(key, secret), service, region).add_auth(request)
    return httpx.get(url, headers=dict(request.headers))


def test_signatures_are_checked_where_the_method_wants_them(api):
    api.mock("GET", "/", "$context.identity.userArn $context.identity.accountId", authorizationType="AWS_IAM")
    api.deploy()
    assert _signed(api.url()).text == "arn:aws:iam::000000000000:root 000000000000"
    plain = httpx.get(api.url())
    assert (plain.status_code, plain.json()) == (403, {"message": "Missing Authentication Token"})
    for wrong in ({"region": "eu-west-1"}, {"service": "lambda"}, {"secret": "wrong"}):
        refused = _signed(api.url(), **wrong)
        assert (refused.status_code, refused.headers["x-amzn-errortype"]) == (403, "InvalidSignatureException")
    unknown, bearer = _signed(api.url(), key="AKIANOBODY"), httpx.get(api.url(), headers={"Authorization": "Bearer abc"})
    assert (unknown.status_code, unknown.headers["x-amzn-errortype"]) == (403, "UnrecognizedClientException")
    assert (bearer.status_code, bearer.headers["x-amzn-errortype"]) == (403, "IncompleteSignatureException")


def test_an_apis_own_policy_decides_for_everybody(make_api):
    statements = [
        {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/prod/GET/*"},
        {"Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*/GET/secret"},
        {
            "Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*/GET/far",
            "Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}},
        },
    ]  # fmt: skip
    api = make_api(policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    for path in ("/open", "/secret", "/far"):
        api.mock("GET", path, "ok")
    api.mock("POST", "/open", "ok")
    api.deploy()
    assert api.call("GET", "/open").status_code == 200
    for method, path in (("GET", "/secret"), ("GET", "/far"), ("POST", "/open")):
        refused = api.call(method, path)
        assert refused.status_code == 403
        assert refused.json()["message"].startswith(
            "User: anonymous is not authorized to perform: execute-api:Invoke on resource: "
        )
        assert "********0000" in refused.json()["message"]


@pytest.fixture
def keyed(api):
    api.mock("GET", "/", "$context.identity.apiKeyId", apiKeyRequired=True)
    api.mock("GET", "/slow", "ok", apiKeyRequired=True)
    api.deploy()
    return api


def _plan(api, name, **limits):
    stages = [{"apiId": api.id, "stage": "prod"} | limits.pop("stage", {})]
    plan = api.gateway.create_usage_plan(name=name, apiStages=stages, **limits)["id"]
    key = api.gateway.create_api_key(name=name, enabled=True)
    api.gateway.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
    return plan, key


def _drop(api, plan):
    operations = [{"op": "remove", "path": "/apiStages", "value": f"{api.id}:prod"}]
    api.gateway.update_usage_plan(usagePlanId=plan, patchOperations=operations)
    api.gateway.delete_usage_plan(usagePlanId=plan)


def test_a_key_opens_what_its_plan_has(keyed, name):
    plan, key = _plan(keyed, name)
    stranger = keyed.gateway.create_api_key(name=name, enabled=True)
    for value in (None, "nonsense", stranger["value"]):
        refused = keyed.call(headers={"x-api-key": value} if value else {})
        assert (refused.status_code, refused.json()) == (403, {"message": "Forbidden"})
    assert keyed.call(headers={"X-API-Key": key["value"]}).text == key["id"]
    disabled = [{"op": "replace", "path": "/enabled", "value": "false"}]
    keyed.gateway.update_api_key(apiKey=key["id"], patchOperations=disabled)
    assert keyed.call(headers={"X-API-Key": key["value"]}).status_code == 403
    _drop(keyed, plan)


def test_a_quota_is_used_up(keyed, name):
    plan, key = _plan(keyed, name, quota={"limit": 3, "period": "DAY"})
    headers = {"x-api-key": key["value"]}
    assert [keyed.call(headers=headers).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = keyed.call(headers=headers)
    assert (refused.json(), refused.headers["x-amzn-errortype"]) == ({"message": "Limit Exceeded"}, "LimitExceededException")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    usage = keyed.gateway.get_usage(usagePlanId=plan, startDate=today, endDate=today)
    assert usage["items"] == {key["id"]: [[3, 0]]}
    more = [{"op": "replace", "path": "/remaining", "value": "1"}]
    keyed.gateway.update_usage(usagePlanId=plan, keyId=key["id"], patchOperations=more)
    assert [keyed.call(headers=headers).status_code for _ in range(2)] == [200, 429]
    _drop(keyed, plan)


def test_a_plan_throttles(keyed, name):
    # One request in a thousand seconds: no machine is slow enough to get another token.
    slow = {"throttle": {"/slow/GET": {"rateLimit": 0.001, "burstLimit": 1}}}
    plan, key = _plan(keyed, name, throttle={"rateLimit": 0.001, "burstLimit": 4}, stage=slow)
    headers = {"x-api-key": key["value"]}
    assert [keyed.call("GET", "/slow", headers=headers).status_code for _ in range(2)] == [200, 429]
    assert [keyed.call(headers=headers).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert keyed.call(headers=headers).json() == {"message": "Too Many Requests"}
    _drop(keyed, plan)


def test_a_stage_throttles_its_methods(api):
    api.mock("GET", "/a/b", "ok")
    api.mock("GET", "/c", "ok")
    api.deploy()
    limits = [
        {"op": "replace", "path": "/~1a~1b/GET/throttling/rateLimit", "value": "0.001"},
        {"op": "replace", "path": "/~1a~1b/GET/throttling/burstLimit", "value": "2"},
    ]
    stage = api.gateway.update_stage(restApiId=api.id, stageName="prod", patchOperations=limits)
    assert stage["methodSettings"]["a/b/GET"]["throttlingBurstLimit"] == 2
    assert [api.call("GET", "/a/b").status_code for _ in range(3)] == [200, 200, 429]
    assert [api.call("GET", "/c").status_code for _ in range(3)] == [200] * 3


def test_keys_can_come_from_the_authorizer(make_api, function, name):
    api = make_api(apiKeySource="AUTHORIZER")
    authorizer = _authorizer(api, function(AUTHORIZER))
    api.mock("GET", "/", "ok", authorizationType="CUSTOM", authorizerId=authorizer, apiKeyRequired=True)
    api.deploy()
    assert _call(api, "all").status_code == 403
    plan = api.gateway.create_usage_plan(name=name, apiStages=[{"apiId": api.id, "stage": "prod"}])["id"]
    key = api.gateway.create_api_key(name=name, value="k" * 20, enabled=True)["id"]
    api.gateway.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
    assert _call(api, "all").status_code == 200
    api.gateway.delete_api_key(apiKey=key)
    _drop(api, plan)


def test_counts_survive_a_restart(start_node, api, name):
    node = start_node()
    own = type(api)(node, name)
    own.mock("GET", "/", "ok", apiKeyRequired=True)
    own.deploy()
    _, key = _plan(own, name, quota={"limit": 2, "period": "MONTH"})
    headers = {"x-api-key": key["value"]}
    assert own.call(headers=headers).status_code == 200
    assert node.stop() == 0
    node.start()
    assert [own.call(headers=headers).status_code for _ in range(2)] == [200, 429]


def test_a_disabled_address_answers_nobody_but_a_domain_does(make_api, node, name):
    api = make_api(disableExecuteApiEndpoint=True)
    api.mock("GET", "/x", "$context.domainName $context.path")
    api.deploy()
    assert api.call("GET", "/x").status_code == 403
    domain = f"{name}.example.com"
    gateway = api.gateway
    made = gateway.create_domain_name(domainName=domain, regionalCertificateArn="arn:aws:acm:us-east-1:000000000000:certificate/c")
    assert made["domainNameStatus"] == "AVAILABLE"
    gateway.create_base_path_mapping(domainName=domain, basePath="v1", restApiId=api.id, stage="prod")

    def get(path):
        return httpx.get(urllib.parse.urljoin(node.url, path), headers={"Host": f"{domain}:{node.url.rpartition(':')[2]}"})

    assert get("/v1/x").text == f"{domain} /v1/x"
    assert get("/v2/x").status_code == 403
    operations = [{"op": "replace", "path": "/basePath", "value": "v2"}]
    gateway.update_base_path_mapping(domainName=domain, basePath="v1", patchOperations=operations)
    assert get("/v2/x").status_code == 200
    assert [each["basePath"] for each in gateway.get_base_path_mappings(domainName=domain)["items"]] == ["v2"]
    gateway.delete_base_path_mapping(domainName=domain, basePath="v2")
    gateway.create_base_path_mapping(domainName=domain, restApiId=api.id)
    assert get("/prod/x").status_code == 200
    gateway.delete_domain_name(domainName=domain)
    assert get("/prod/x").status_code != 200
