"""Who gets in: functions that authorize, signatures, throttles and browsers of other origins."""

import json

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS_KEY, SECRET = "AKIATESTTESTTESTTEST", "test-secret-test-secret-test-secret-test"

AUTHORIZER = """\
import json, os
def handler(event, context):
    with open("/tmp/count", "a") as file:
        file.write("x")
    with open("/tmp/count") as file:
        count = len(file.read())
    token = (event["headers"].get("authorization") or event["headers"].get("Authorization") or "")
    if token == "raise":
        raise ValueError
    if token == "nonsense":
        return {"isAuthorized": "yes"}
    if token == "unauthorized":
        raise Exception("Unauthorized")
    granted = {"count": count, "list": ["a"], "event": json.dumps(event)}
    if os.environ["SIMPLE"] == "1":
        return {"isAuthorized": token == "allow", "context": granted}
    arn = event.get("routeArn") or event["methodArn"]
    effect = "Allow" if token == "allow" else "Deny"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": arn}
    return {"principalId": "me", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}, "context": granted}
"""


@pytest.fixture
def guard(api, function, echo_arn):
    """Puts an authorizer before routes `GET /a` and `GET /b/{id}`; gives `ask(token, path)`."""

    def make(version="2.0", simple=True, **more):
        arn = function(AUTHORIZER, Environment={"Variables": {"SIMPLE": "1" if simple else "0"}})
        more.setdefault("IdentitySource", ["$request.header.Authorization"])
        authorizer = api.gateway.create_authorizer(
            ApiId=api.id, Name="a", AuthorizerType="REQUEST", AuthorizerPayloadFormatVersion=version,
            AuthorizerUri=f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations",
            EnableSimpleResponses=simple and version == "2.0", **more,
        )["AuthorizerId"]  # fmt: skip
        for key in ("GET /a", "GET /b/{id}"):
            api.route(key, api.function(echo_arn, version), AuthorizationType="CUSTOM", AuthorizerId=authorizer)
        return lambda token, path="/a", **given: api.call(path=path, headers={"Authorization": token}, **given)

    return make


def message(answer):
    return answer.status_code, answer.json()["message"]


def test_simple_responses(guard, api):
    ask = guard()
    granted = ask("allow").json()["requestContext"]["authorizer"]["lambda"]
    assert (granted["count"], granted["list"]) == (1, ["a"])
    assert message(ask("deny")) == (403, "Forbidden")
    assert message(ask("raise")) == (500, "Internal Server Error")
    assert message(ask("nonsense")) == (500, "Internal Server Error")
    assert message(ask("unauthorized")) == (401, "Unauthorized")
    assert message(api.call(path="/a")) == (401, "Unauthorized")


def test_what_an_authorizer_is_asked_in_format_2(guard, api):
    event = json.loads(guard()("allow", "/b/7?x=1&x=2").json()["requestContext"]["authorizer"]["lambda"]["event"])
    assert set(event) == {
        "version", "type", "routeArn", "identitySource", "routeKey", "rawPath", "rawQueryString", "headers",
        "queryStringParameters", "requestContext", "pathParameters",
    }  # fmt: skip
    assert event["routeArn"] == f"arn:aws:execute-api:us-east-1:000000000000:{api.id}/$default/GET/b/7"
    assert (event["type"], event["version"], event["identitySource"]) == ("REQUEST", "2.0", ["allow"])
    assert (event["pathParameters"], event["queryStringParameters"]) == ({"id": "7"}, {"x": "1,2"})


def test_policies_and_what_is_asked_in_format_1(guard, api):
    ask = guard("1.0", simple=False, AuthorizerResultTtlInSeconds=0)
    told = ask("allow", "/b/7").json()["requestContext"]["authorizer"]
    assert told["principalId"] == "me"
    event = json.loads(told["event"])
    assert set(event) == {
        "version", "type", "methodArn", "identitySource", "authorizationToken", "resource", "path", "httpMethod", "headers",
        "queryStringParameters", "pathParameters", "stageVariables", "requestContext",
    }  # fmt: skip
    assert (event["methodArn"].rpartition("$default")[2], event["authorizationToken"]) == ("/GET/b/7", "allow")
    assert message(ask("deny")) == (403, "Forbidden")


def test_answers_are_kept_by_identity_and_forgotten_when_told(guard, api):
    ask = guard(IdentitySource=["$request.header.Authorization", "$context.identity.sourceIp"])

    def count(token="allow", path="/a"):
        return ask(token, path).json()["requestContext"]["authorizer"]["lambda"]["count"]

    assert (count(), count(), count(path="/b/1")) == (1, 1, 1)
    api.gateway.reset_authorizers_cache(ApiId=api.id, StageName="$default")
    assert count() == 2


def test_a_kept_policy_is_asked_for_each_route(guard):
    ask = guard(simple=False)
    assert ask("allow", "/a").status_code == 200
    assert message(ask("allow", "/b/1")) == (403, "Forbidden")


def test_signatures(api, echo_arn, node):
    api.route("GET /x", api.function(echo_arn), AuthorizationType="AWS_IAM")
    api.route("GET /one", api.function(echo_arn, "1.0"), AuthorizationType="AWS_IAM")

    def ask(service="execute-api", region="us-east-1", secret=SECRET, path="/x"):
        request = AWSRequest("GET", api.url(path))
        SigV4Auth(Credentials(ACCESS_KEY, secret), service, region).add_auth(request)
        return httpx.get(api.url(path), headers=dict(request.headers))

    told = ask().json()["requestContext"]["authorizer"]["iam"]
    assert set(told) == {"accessKey", "accountId", "callerId", "cognitoIdentity", "principalOrgId", "userArn", "userId"}
    assert (told["accessKey"], told["userArn"]) == (ACCESS_KEY, "arn:aws:iam::000000000000:root")
    assert ask(path="/one").json()["requestContext"]["identity"]["accessKey"] == ACCESS_KEY
    for answer in (api.call(path="/x"), ask(service="lambda"), ask(region="eu-west-1"), ask(secret="wrong")):
        assert message(answer) == (403, "Forbidden")


def test_routes_are_throttled_each_for_itself(api, server):
    target = api.http(server.url)
    api.route("GET /x", target)
    api.route("GET /y", target)
    api.gateway.update_stage(
        ApiId=api.id, StageName="$default", RouteSettings={"GET /x": {"ThrottlingRateLimit": 0.001, "ThrottlingBurstLimit": 2}}
    )
    assert [api.call(path="/x").status_code for _ in range(3)] == [200, 200, 429]
    assert message(api.call(path="/x")) == (429, "Too Many Requests")
    assert [api.call(path="/y").status_code for _ in range(3)] == [200, 200, 200]
    nothing = {"ThrottlingRateLimit": 0.0, "ThrottlingBurstLimit": 0}
    api.gateway.update_stage(ApiId=api.id, StageName="$default", DefaultRouteSettings=nothing)
    assert api.call(path="/y").status_code == 429


CORS = {
    "AllowOrigins": ["https://good.example", "https://*.wild.example"], "AllowMethods": ["GET", "POST"], "AllowHeaders": ["x-a"],
    "ExposeHeaders": ["x-b"], "MaxAge": 60, "AllowCredentials": True,
}  # fmt: skip


def test_browsers_of_other_origins(make_api, server):
    api = make_api(CorsConfiguration=CORS)
    server.answers["/"] = (200, {"Access-Control-Allow-Origin": "*", "X-B": "1"}, b"")
    api.route("GET /x", api.http(server.url + "/"))
    question = {"Origin": "https://good.example", "Access-Control-Request-Method": "GET"}
    answer = api.call("OPTIONS", "/anything", headers=question)
    headers = answer.headers
    assert (answer.status_code, answer.content) == (204, b"")
    assert (headers["access-control-allow-origin"], headers["access-control-allow-methods"]) == ("https://good.example", "GET,POST")
    assert (headers["access-control-allow-headers"], headers["access-control-max-age"]) == ("x-a", "60")
    assert headers["access-control-allow-credentials"] == "true"
    refused = api.call("OPTIONS", "/x", headers=question | {"Origin": "https://evil.example"})
    assert not [name for name in refused.headers if name.startswith("access-control")]
    answer = api.call(path="/x", headers={"Origin": "https://a.wild.example"})
    assert answer.headers.get_list("access-control-allow-origin") == ["https://a.wild.example"]
    assert answer.headers["access-control-expose-headers"] == "x-b"
    evil = api.call(path="/x", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in evil.headers
    assert api.call(path="/none", headers=question).headers["access-control-allow-origin"] == "https://good.example"


def test_any_origin(make_api, server):
    api = make_api(CorsConfiguration={"AllowOrigins": ["*"], "AllowMethods": ["*"], "AllowHeaders": ["*"]})
    api.route("GET /x", api.http(server.url))
    question = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-z"}
    headers = api.call("OPTIONS", "/x", headers=question).headers
    assert (headers["access-control-allow-origin"], headers["access-control-allow-methods"]) == ("*", "*")
