"""OpenAPI documents in and out: what an import makes answers, and an export can be imported again."""

import json

import pytest
import yaml
from botocore.exceptions import ClientError

URI = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{}/invocations"

SWAGGER = """
swagger: "2.0"
info: {title: Pets, version: "1"}
basePath: /v1
x-amazon-apigateway-binary-media-types: ["image/png"]
x-amazon-apigateway-request-validators:
  all: {validateRequestBody: true, validateRequestParameters: true}
x-amazon-apigateway-request-validator: all
x-amazon-apigateway-gateway-responses:
  BAD_REQUEST_BODY: {statusCode: 422, responseTemplates: {application/json: '{"bad": true}'}}
definitions:
  Toy: {type: object, required: [name], properties: {name: {type: string}}}
  Pet: {type: object, required: [toy], properties: {toy: {$ref: '#/definitions/Toy'}}}
securityDefinitions:
  api_key: {type: apiKey, name: x-api-key, in: header}
paths:
  /pets:
    post:
      operationId: addPet
      parameters:
        - {in: body, name: pet, schema: {$ref: '#/definitions/Pet'}}
        - {in: query, name: owner, type: string, required: true}
      responses:
        "201": {description: made, headers: {Location: {type: string}}}
      x-amazon-apigateway-integration:
        type: mock
        requestTemplates: {application/json: '{"statusCode": 200}'}
        responses:
          default:
            statusCode: "201"
            responseParameters: {method.response.header.Location: "'/pets/1'"}
            responseTemplates: {application/json: '{"owner": "$input.params(''owner'')"}'}
  /pets/{id}:
    parameters: [{in: path, name: id, required: true, type: string}]
    x-amazon-apigateway-any-method:
      security: [{api_key: []}]
      responses: {}
      x-amazon-apigateway-integration:
        {type: aws_proxy, httpMethod: POST, uri: "FUNCTION", passthroughBehavior: when_no_match}
"""

PET = {"$ref": "#/components/schemas/Pet"}
PRINCIPAL = "$context.authorizer.principalId"
OPENAPI = {
    "openapi": "3.0.1",
    "info": {"title": "Three", "version": "2"},
    "components": {
        "schemas": {"Pet": {"type": "object", "required": ["name"]}},
        "securitySchemes": {
            "guard": {
                "type": "apiKey", "name": "X-Token", "in": "header", "x-amazon-apigateway-authtype": "custom",
                "x-amazon-apigateway-authorizer": {
                    "type": "token", "authorizerUri": "FUNCTION", "authorizerResultTtlInSeconds": 0,
                },
            },
            "sigv4": {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4"},
        },
    },
    "paths": {
        "/guarded": {
            "get": {
                "security": [{"guard": []}],
                "responses": {"200": {"description": "ok", "content": {"application/json": {"schema": PET}}}},
                "x-amazon-apigateway-integration": {
                    "type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'},
                    "responses": {"default": {"statusCode": "200", "responseTemplates": {"application/json": PRINCIPAL}}},
                },
            },
        },
        "/signed": {
            "post": {
                "security": [{"sigv4": []}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}},
                "x-amazon-apigateway-integration": {"type": "http_proxy", "httpMethod": "POST", "uri": "http://127.0.0.1:1/"},
            },
        },
    },
}  # fmt: skip

AUTHORIZER = """\
def handler(event, context):
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    return {"principalId": event["authorizationToken"], "policyDocument": {"Statement": [statement]}}
"""


@pytest.fixture
def imported(node, api):
    """Imports a document; the API object then stands for what came of it."""

    def make(body, **parameters):
        made = api.gateway.import_rest_api(body=body, parameters=parameters)
        other = object.__new__(type(api))
        other.__dict__ |= {"node": node, "gateway": api.gateway, "id": made["id"], "root": made["rootResourceId"], "made": made}
        return other

    return make


def test_swagger_2_makes_an_api_that_answers(imported, function):
    api = imported(SWAGGER.replace("FUNCTION", URI.format(function())).encode())
    assert (api.made["name"], api.made["version"], api.made["binaryMediaTypes"]) == ("Pets", "1", ["image/png"])
    api.deploy()
    made = api.call("POST", "/pets?owner=me", json={"toy": {"name": "ball"}})
    assert (made.status_code, made.json(), made.headers["location"]) == (201, {"owner": "me"}, "/pets/1")
    bad = api.call("POST", "/pets?owner=me", json={"toy": {}})
    assert (bad.status_code, bad.json()) == (422, {"bad": True})
    assert api.call("POST", "/pets", json={"toy": {"name": "x"}}).status_code == 400
    assert api.call("PUT", "/pets/3").status_code == 403
    assert (
        api.gateway.get_resources(restApiId=api.id, embed=["methods"])["items"][1]["resourceMethods"]["POST"]["operationName"]
        == "addPet"
    )


def test_the_base_path_goes_where_it_is_wanted(imported):
    document = {
        "swagger": "2.0", "info": {"title": "b"}, "basePath": "/one/two",
        "paths": {"/x": {"get": {"x-amazon-apigateway-integration": {"type": "mock"}}}},
    }  # fmt: skip
    for mode, expected in (("ignore", "/x"), ("prepend", "/one/two/x"), ("split", "/two/x")):
        api = imported(json.dumps(document).encode(), basepath=mode)
        assert expected in [each["path"] for each in api.gateway.get_resources(restApiId=api.id)["items"]]


def test_openapi_3_brings_its_authorizers(imported, function):
    api = imported(json.dumps(OPENAPI).replace("FUNCTION", URI.format(function(AUTHORIZER))).encode())
    api.deploy()
    assert api.call("GET", "/guarded").status_code == 401
    assert api.call("GET", "/guarded", headers={"X-Token": "ann"}).text == "ann"
    assert api.call("POST", "/signed", json={}).status_code == 403
    (authorizer,) = api.gateway.get_authorizers(restApiId=api.id)["items"]
    assert (authorizer["type"], authorizer["identitySource"]) == ("TOKEN", "method.request.header.X-Token")


def test_put_merges_or_overwrites(imported):
    def document(path, text):
        responses = {"default": {"statusCode": "200", "responseTemplates": {"application/json": text}}}
        request = {"application/json": '{"statusCode": 200}'}
        method = {"x-amazon-apigateway-integration": {"type": "mock", "requestTemplates": request, "responses": responses}}
        return json.dumps({"openapi": "3.0.0", "info": {"title": "t"}, "paths": {path: {"get": method}}}).encode()

    api = imported(document("/a", "one"))
    api.gateway.put_rest_api(restApiId=api.id, mode="merge", body=document("/b", "two"))
    api.deploy()
    assert (api.call("GET", "/a").text, api.call("GET", "/b").text) == ("one", "two")
    api.gateway.put_rest_api(restApiId=api.id, mode="overwrite", body=document("/c", "three"))
    assert api.call("GET", "/a").text == "one"
    api.deploy()
    assert (api.call("GET", "/a").status_code, api.call("GET", "/c").text) == (403, "three")


@pytest.mark.parametrize(("kind", "accepts"), [("oas30", "application/json"), ("swagger", "application/yaml")])
def test_an_export_can_be_imported_again(imported, function, kind, accepts):
    first = imported(SWAGGER.replace("FUNCTION", URI.format(function())).encode())
    first.deploy()
    exported = first.gateway.get_export(
        restApiId=first.id, stageName="prod", exportType=kind, accepts=accepts, parameters={"extensions": "apigateway"}
    )
    assert exported["contentType"] == accepts
    body = exported["body"].read()
    document = yaml.safe_load(body)
    assert document["paths"]["/pets"]["post"]["operationId"] == "addPet"
    second = imported(body)
    second.deploy()
    made = second.call("POST", "/pets?owner=me", json={"toy": {"name": "ball"}})
    assert (made.status_code, made.json(), made.headers["location"]) == (201, {"owner": "me"}, "/pets/1")
    assert second.call("POST", "/pets?owner=me", json={"toy": {}}).status_code == 422
    assert second.call("PUT", "/pets/3").status_code == 403
    plain = first.gateway.get_export(restApiId=first.id, stageName="prod", exportType=kind)["body"].read()
    assert b"x-amazon-apigateway-integration" not in plain


@pytest.mark.parametrize(
    "body",
    [
        b"", b"nonsense: [", b"{}", b'{"swagger": "2.0", "paths": {"/a": {"get": 1}}}', b'{"openapi": "3.0.0", "paths": []}',
        b'{"swagger": "2.0", "paths": {"/a b": {}}}', b'{"swagger": "2.0", "definitions": {"A": 1}}',
        b'{"swagger": "2.0", "paths": {"/a": {"$ref": "#/paths/~1a"}}}', b"\xff\xfe\x00",
        b"swagger: '2.0'\nx: &a [1,2]\n" + b"".join(b"a%d: &b%d [*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s]\n" % (
            (n, n, *([b"a" if n == 0 else b"b%d" % (n - 1)] * 8))) for n in range(12)),
    ],
)  # fmt: skip
def test_what_is_no_openapi_is_refused(api, body):
    with pytest.raises(ClientError) as caught:
        api.gateway.import_rest_api(body=body)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
