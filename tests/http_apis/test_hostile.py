"""Requests to the control plane that no client library would make: refused as the client's fault, whatever they hold."""

import gzip
import json
import random
from pathlib import Path

import botocore
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEYS = Credentials("AKIATESTTESTTESTTEST", "test-secret-test-secret-test-secret-test")
MODEL = json.loads(gzip.decompress(next(Path(botocore.__file__).parent.glob("data/apigatewayv2/*/service-2.json.gz")).read_bytes()))
VALUES = [
    None, True, 0, -1, 1e300, 2**70, "", "$default", "GET /x", "\u0000", "é" * 300, "${x", "arn:aws:lambda:", "HTTP", "WEBSOCKET",
    "JWT", "REQUEST", "AWS_PROXY", "HTTP_PROXY", "MOCK", "https://[", "$request.header.a", [], [None], ["a"], [{}], {}, {"a": "b"},
    {"a": None}, {"a": {}}, {"200": {"overwrite:header.a": 1}}, {"GET /x": {"throttlingRateLimit": "x"}},
    {"issuer": "https://a", "audience": ["a"]}, {"destinationArn": "a", "format": "b"},
    {"allowOrigins": ["*"], "allowCredentials": True}, [{"certificateArn": 1}],
]  # fmt: skip


def body_of(dice, operation):
    """A JSON body with members of the operation, some of them right, most of them not."""
    shape = MODEL["shapes"][operation["input"]["shape"]]
    members = [each.get("locationName", name) for name, each in shape["members"].items() if not each.get("location")]
    body = {name: dice.choice(VALUES) for name in members if dice.random() < 0.5}
    for name, usual in (
        ("name", "a"),
        ("protocolType", dice.choice(["HTTP", "WEBSOCKET"])),
        ("stageName", "s"),
        ("routeKey", "GET /y"),
    ):
        if name in members and dice.random() < 0.7:
            body[name] = usual
    return body


def test_no_body_is_a_bug_of_the_node(node, name):
    gateway = node.client("apigatewayv2")
    domain = f"{name}.example.com"
    api = gateway.create_api(Name=name, ProtocolType="HTTP", Target="https://example.com/")["ApiId"]
    place = {"ApiId": api}
    authorizer = gateway.create_authorizer(
        **place, Name="j", AuthorizerType="JWT", IdentitySource=["$request.header.a"],
        JwtConfiguration={"Issuer": "https://a", "Audience": ["a"]},
    )["AuthorizerId"]  # fmt: skip
    gateway.create_domain_name(DomainName=domain)
    mapping = gateway.create_api_mapping(**place, DomainName=domain, Stage="$default")["ApiMappingId"]
    chat = gateway.create_api(Name=name, ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.a")["ApiId"]
    names = {
        "domainName": domain, "apiMappingId": mapping, "stageName": "$default", "authorizerId": authorizer,
        "routeId": gateway.get_routes(**place)["Items"][0]["RouteId"],
        "integrationId": gateway.get_integrations(**place)["Items"][0]["IntegrationId"],
        "deploymentId": gateway.get_deployments(**place)["Items"][0]["DeploymentId"],
        "resource-arn": f"arn:aws:apigateway:us-east-1::/apis/{api}",
    }  # fmt: skip
    dice, bugs, seen = random.Random(7), [], set()
    operations = [each for each in MODEL["operations"].values() if each["http"]["method"] in ("POST", "PATCH", "PUT")]
    with httpx.Client() as client:
        for operation in operations * 12:
            path = operation["http"]["requestUri"]
            for key, value in {**names, "apiId": dice.choice([api, api, chat, "none"])}.items():
                path = path.replace("{" + key + "}", value)
            if "{" in path:
                path = path.replace("{", "x").replace("}", "")
            content = json.dumps(body_of(dice, operation)) if dice.random() < 0.95 else dice.choice(["[", "[]", "1", '"a"', "null"])
            method, headers = operation["http"]["method"], {"Content-Type": "application/json"}
            request = AWSRequest(method, node.url + path, data=content, headers=headers)
            SigV4Auth(KEYS, "apigateway", "us-east-1").add_auth(request)
            answer = client.request(request.method, node.url + path, content=content, headers=dict(request.headers))
            seen.add(answer.status_code)
            if answer.status_code >= 500 and answer.status_code != 501:
                bugs.append((operation["name"], content, answer.text))
    assert bugs == []
    assert {200, 400, 404} <= seen
    log = "".join(node.log)
    assert "bug while" not in log
    for each in gateway.get_apis(MaxResults="500")["Items"]:
        if each["ApiId"] in (api, chat) or each["Name"] == "a":
            httpx.get(f"{node.url}/_aws/execute-api/{each['ApiId']}/x")
    assert "bug while" not in "".join(node.log)
