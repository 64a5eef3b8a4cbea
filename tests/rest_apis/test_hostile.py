"""Bad input gets an answer of its own kind, never a 500: patches of any kind, documents of any kind, requests of any kind."""

import contextlib
import json
from copy import deepcopy

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cumulet.core.errors import Fault
from cumulet.services.rest_apis import patch_tables
from cumulet.services.rest_apis.api_apis import new_api
from cumulet.services.rest_apis.api_deployments import checked_stage
from cumulet.services.rest_apis.api_parts import checked_authorizer, checked_gateway_response, checked_model
from cumulet.services.rest_apis.model import checked_integration
from cumulet.services.rest_apis.openapi_import import read_openapi
from cumulet.services.rest_apis.patches import patched
from cumulet.wire.models import load_model
from cumulet.wire.trees import TreeCodec

FUNCTION = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:0:function:f/invocations"
NOUNS = {
    "RestApi": (patch_tables.REST_API, new_api({"name": "n"}, 0), lambda each: each),
    "Method": (patch_tables.METHOD, {"httpMethod": "GET", "authorizationType": "NONE"}, lambda each: each),
    "Integration": (patch_tables.INTEGRATION, {"type": "MOCK"}, checked_integration),
    "IntegrationResponse": (patch_tables.INTEGRATION_RESPONSE, {"statusCode": "200"}, lambda each: each),
    "Model": (patch_tables.MODEL, {"name": "M", "contentType": "application/json"}, checked_model),
    "Authorizer": (
        patch_tables.AUTHORIZER,
        {"name": "a", "type": "TOKEN", "authorizerUri": FUNCTION, "identitySource": "method.request.header.A"},
        checked_authorizer,
    ),
    "GatewayResponse": (patch_tables.GATEWAY_RESPONSE, {"responseType": "THROTTLED"}, checked_gateway_response),
    "Stage": (patch_tables.STAGE, {"stageName": "s", "deploymentId": "d"}, checked_stage),
    "ApiKey": (patch_tables.API_KEY, {"id": "k", "enabled": True}, lambda each: each),
    "UsagePlan": (patch_tables.USAGE_PLAN, {"id": "p", "apiStages": [{"apiId": "a", "stage": "s"}]}, lambda each: each),
    "DomainName": (patch_tables.DOMAIN_NAME, {"domainName": "d"}, lambda each: each),
    "Account": (patch_tables.ACCOUNT, {}, lambda each: each),
}
SEGMENTS = st.sampled_from(
    ["x", "*", "~1a", "0", "", "a:s", "throttle", "throttling", "rateLimit", "burstLimit", "GET", "application~1json"]
)
VALUES = st.sampled_from(
    ["", "x", "true", "false", "1", "-1", "1.5", "{}", "[]", "null", '{"/a/GET": {"rateLimit": 1}}', "a:s", None]
)


@pytest.mark.parametrize("noun", NOUNS)
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_patch_leaves_a_document_or_is_refused(noun, data):
    table, document, check = NOUNS[noun]
    paths = st.sampled_from(list(table)).map(lambda path: path.replace("**", "*"))
    filled = st.builds(lambda path, part: path.replace("*", part), paths, SEGMENTS)
    free = st.lists(SEGMENTS, max_size=4).map(lambda parts: "/" + "/".join(parts))
    operation = st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "replace", "remove", "copy", "test"]), "path": filled | free | st.none(), "value": VALUES},
        optional={"from": filled | free},
    )
    operations = data.draw(st.lists(operation, max_size=4))
    before = deepcopy(document)
    try:
        changed = check(patched(document, operations, table))
    except Fault as fault:
        assert fault.status == 400 or fault.status == 501
        changed = {}
    assert document == before
    # What is answered has the types that the wire wants.
    if noun != "UsagePlan":  # its check looks into the store
        TreeCodec(is_binary=False).decoder(load_model("apigateway").shape_for(noun))(
            {key: value for key, value in changed.items() if key != "createdDate"}, noun
        )


WORDS = ["x", "200", "/a", "GET", "#/definitions/A", "header", "mock", "aws_proxy"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "get", "post", "x-amazon-apigateway-any-method", "x-amazon-apigateway-integration", "responses", "200", "default",
                "parameters", "in", "name", "schema", "$ref", "type", "uri", "httpMethod", "requestTemplates", "security",
                "statusCode",
                "requestBody", "content", "headers", "consumes", "operationId", "responseParameters", "timeoutInMillis", "required",
            ]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=25,
)  # fmt: skip
TOP = [
    "info", "definitions", "securityDefinitions", "components", "security", "servers", "basePath", "consumes",
    "x-amazon-apigateway-request-validators", "x-amazon-apigateway-gateway-responses", "x-amazon-apigateway-binary-media-types",
    "x-amazon-apigateway-minimum-compression-size", "x-amazon-apigateway-policy", "x-amazon-apigateway-endpoint-configuration",
]  # fmt: skip


@given(st.sampled_from(["swagger", "openapi"]), st.dictionaries(st.sampled_from(TOP), JSON, max_size=2), JSON, JSON)
@settings(max_examples=400, deadline=None)
def test_any_document_is_read_or_refused(version, top, item, other):
    document = {version: "2.0", "paths": {"/a": item, "/b/{c}": {"get": other}}, **top}
    with contextlib.suppress(Fault):
        read_openapi(json.dumps(document).encode(), {"basepath": "prepend"})


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(body):
    with contextlib.suppress(Fault):
        read_openapi(b"swagger: '2.0'\n" + body, {})
    with contextlib.suppress(Fault):
        read_openapi(body, {})


def test_strange_requests_are_answered(api, function):
    api.proxy("ANY", "/{proxy+}", function())
    api.mock("GET", "/t/{id}", "$input.params('id') $input.params('q') $input.json('$') $util.urlDecode($input.params('id'))")
    api.deploy()
    for path in (
        "/%",
        "/%zz",
        "/%00",
        "/%ff%fe",
        "//a",
        "/a//b",
        "/t/%E9",
        "/t/a;b=c",
        "/..%2f..",
        "/a?=&&=x&%ff=%fe",
        "/a?" + "x=1&" * 500,
    ):
        answer = httpx.get(api.url() + path[1:])
        assert answer.status_code == 200, (path, answer.text)
    for headers in ({"Content-Type": "\xff"}, {"Accept": ",;,"}, {"Content-Type": ";;;"}, {"X-Amzn-Trace-Id": "no"}):
        raw = {name: value.encode("latin-1") for name, value in headers.items()}
        assert httpx.get(api.url("/a"), headers=raw).status_code == 200
    assert httpx.post(api.url("/a"), content=b"\xff\xfe\x00").status_code == 200
    assert httpx.post(api.url("/a"), content=b"x" * (10 * 1024 * 1024 + 1)).status_code == 413
