"""OpenAPI documents become APIs, and APIs documents."""

import json

import httpx
import pytest
import yaml
from botocore.exceptions import ClientError

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:echo"
URI = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{FUNCTION}/invocations"


def document(url):
    return {
        "openapi": "3.0.1",
        "info": {"title": "Pets", "version": "7", "description": "all of them"},
        "servers": [{"url": "https://example.com/{basePath}", "variables": {"basePath": {"default": "/v9"}}}],
        "tags": [{"name": "owner", "x-amazon-apigateway-tag-value": "me"}],
        "x-amazon-apigateway-cors": {"allowOrigins": ["https://a.example"], "allowMethods": ["GET"], "maxAge": 9},
        "paths": {
            "/pets/{id}": {
                "get": {
                    "operationId": "getPet",
                    "security": [{"jwt": ["read"]}],
                    "x-amazon-apigateway-integration": {"$ref": "#/components/x-amazon-apigateway-integrations/one"},
                },
                "x-amazon-apigateway-any-method": {
                    "x-amazon-apigateway-integration": {"type": "AWS_PROXY", "httpMethod": "POST", "uri": URI},
                },
            },
            "/site/{proxy+}": {
                "x-amazon-apigateway-any-method": {
                    "security": [{"ask": []}],
                    "x-amazon-apigateway-integration": {
                        "type": "http_proxy", "httpMethod": "ANY", "uri": url + "/{proxy}", "payloadFormatVersion": "1.0",
                        "timeoutInMillis": 900, "requestParameters": {"overwrite:header.x-a": "b"},
                        "responseParameters": {"200": {"overwrite:header.x-c": "d"}},
                    },
                },
            },
            "/$default": {"x-amazon-apigateway-any-method": {
                "x-amazon-apigateway-auth": {"type": "AWS_IAM"},
                "x-amazon-apigateway-integration": {"$ref": "#/components/x-amazon-apigateway-integrations/one"},
            }},
        },
        "components": {
            "x-amazon-apigateway-integrations": {
                "one": {"type": "aws_proxy", "httpMethod": "POST", "uri": FUNCTION, "payloadFormatVersion": "2.0"},
            },
            "securitySchemes": {
                "jwt": {"type": "oauth2", "x-amazon-apigateway-authorizer": {
                    "type": "jwt", "identitySource": "$request.header.Authorization",
                    "jwtConfiguration": {"issuer": "https://issuer.example", "audience": ["a"]},
                }},
                "ask": {"type": "apiKey", "name": "x", "in": "header", "x-amazon-apigateway-authorizer": {
                    "type": "request", "authorizerUri": URI, "authorizerPayloadFormatVersion": "2.0", "enableSimpleResponses": True,
                    "identitySource": "$request.header.x, $request.querystring.y", "authorizerResultTtlInSeconds": 7,
                }},
            },
        },
        "x-amazon-apigateway-importexport-version": "1.0",
    }  # fmt: skip


@pytest.fixture
def gateway(node):
    return node.client("apigatewayv2")


def parts(gateway, api_id):
    """All parts, with names where ids stand."""
    authorizers = {each.pop("AuthorizerId"): each for each in gateway.get_authorizers(ApiId=api_id)["Items"]}
    integrations = {each.pop("IntegrationId"): each for each in gateway.get_integrations(ApiId=api_id)["Items"]}
    routes = {}
    for route in gateway.get_routes(ApiId=api_id)["Items"]:
        route.pop("RouteId")
        route["Target"] = integrations[route["Target"].removeprefix("integrations/")]
        if "AuthorizerId" in route:
            route["AuthorizerId"] = authorizers[route["AuthorizerId"]]
        routes[route.pop("RouteKey")] = route
    return routes


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
def test_a_document_becomes_an_api_and_comes_back(gateway, server, write):
    made = gateway.import_api(Body=write(document(server.url)))
    api_id = made["ApiId"]
    assert (made["Name"], made["Version"], made["Description"], made["Tags"]) == ("Pets", "7", "all of them", {"owner": "me"})
    assert made["CorsConfiguration"] == {"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"], "MaxAge": 9}
    routes = parts(gateway, api_id)
    assert set(routes) == {"GET /pets/{id}", "ANY /pets/{id}", "ANY /site/{proxy+}", "$default"}
    pet = routes["GET /pets/{id}"]
    assert (pet["OperationName"], pet["AuthorizationType"], pet["AuthorizationScopes"]) == ("getPet", "JWT", ["read"])
    assert pet["AuthorizerId"]["JwtConfiguration"] == {"Issuer": "https://issuer.example", "Audience": ["a"]}
    assert (pet["Target"]["PayloadFormatVersion"], routes["ANY /pets/{id}"]["Target"]["PayloadFormatVersion"]) == ("2.0", "1.0")
    site = routes["ANY /site/{proxy+}"]
    assert site["AuthorizerId"]["IdentitySource"] == ["$request.header.x", "$request.querystring.y"]
    assert (site["Target"]["TimeoutInMillis"], site["Target"]["RequestParameters"]) == (900, {"overwrite:header.x-a": "b"})
    assert routes["$default"]["AuthorizationType"] == "AWS_IAM"
    assert len(gateway.get_integrations(ApiId=api_id)["Items"]) == 3
    for output in ("JSON", "YAML"):
        text = gateway.export_api(ApiId=api_id, Specification="OAS30", OutputType=output)["body"].read().decode()
        again = gateway.import_api(Body=text)["ApiId"]
        assert parts(gateway, again) == routes
        assert gateway.get_api(ApiId=again)["CorsConfiguration"] == made["CorsConfiguration"]
        gateway.delete_api(ApiId=again)
    bare = gateway.export_api(ApiId=api_id, Specification="OAS30", OutputType="JSON", IncludeExtensions=False)["body"].read()
    assert b"x-amazon" not in bare and b"/pets/{id}" in bare
    gateway.delete_api(ApiId=api_id)


def test_reimport_replaces_what_was_there_and_keeps_stages(api, server, echo_arn):
    api.route("GET /old", api.function(echo_arn))
    text = json.dumps(document(server.url) | {"paths": {"/new": {"get": {"x-amazon-apigateway-integration": {
        "type": "http_proxy", "httpMethod": "GET", "uri": server.url, "payloadFormatVersion": "1.0"}}}}})  # fmt: skip
    api.gateway.reimport_api(ApiId=api.id, Body=text, Basepath="prepend")
    assert [route["RouteKey"] for route in api.gateway.get_routes(ApiId=api.id)["Items"]] == ["GET /v9/new"]
    assert (api.call(path="/old").status_code, api.call(path="/v9/new").status_code) == (404, 200)


def test_one_document_is_a_rest_api_too(gateway, node, echo_arn):
    operation = {"responses": {}, "x-amazon-apigateway-integration": {"type": "aws_proxy", "httpMethod": "POST", "uri": URI}}
    text = json.dumps({"openapi": "3.0.1", "info": {"title": "both", "version": "1"}, "paths": {"/x/{id}": {"get": operation}}})
    http = gateway.import_api(Body=text)["ApiId"]
    gateway.create_stage(ApiId=http, StageName="v1", AutoDeploy=True)
    rest = node.client("apigateway").import_rest_api(body=text.encode())["id"]
    node.client("apigateway").create_deployment(restApiId=rest, stageName="v1")
    events = [httpx.get(f"{node.url}/_aws/execute-api/{each}/v1/x/7").json() for each in (http, rest)]
    assert [each["pathParameters"] for each in events] == [{"id": "7"}, {"id": "7"}]
    assert events[0]["version"] == "1.0"


@pytest.mark.parametrize(
    "body",
    [
        "{", "[]", "a: b", "openapi: 3.0.1\npaths: [1]", '{"openapi": "3.0.1", "paths": {"x": {"get": {}}}}',
        '{"openapi": "3.0.1", "paths": {"/x": {"get": 1}}}', '{"openapi": "3.0.1", "components": {"securitySchemes": [1]}}',
        '{"openapi": "3.0.1", "paths": {"/x": {"get": {"x-amazon-apigateway-integration": {"type": "mock"}}}}}',
        '{"openapi": "3.0.1", "paths": {"/x": {"get": {"x-amazon-apigateway-integration": {"type": 1, "uri": {}}}}}}',
        '{"openapi": "3.0.1", "paths": {"/x": {"$ref": "#/paths/~1x"}}}',
        '{"openapi": "3.0.1", "x-amazon-apigateway-cors": {"allowOrigins": "x"}}',
        "openapi: 3.0.1\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\n"
        "g: [*f,*f,*f,*f,*f,*f,*f,*f]",
    ],
)  # fmt: skip
def test_what_is_no_document_is_refused(gateway, body):
    with pytest.raises(ClientError) as caught:
        gateway.import_api(Body=body)
    assert caught.value.response["Error"]["Code"] == "BadRequestException"


def test_warnings(gateway):
    operation = {"security": [{"none": []}], "x-amazon-apigateway-integration": {"type": "aws_proxy", "uri": FUNCTION}}
    text = json.dumps({"openapi": "3.0.1", "paths": {"/x": {"get": operation}}})
    made = gateway.import_api(Body=text)
    assert "no authorizer" in made["Warnings"][0]
    with pytest.raises(ClientError):
        gateway.import_api(Body=text, FailOnWarnings=True)
    gateway.delete_api(ApiId=made["ApiId"])


def test_an_api_does_not_grow_without_end(gateway, node):
    integration = {"x-amazon-apigateway-integration": {"type": "aws_proxy", "uri": FUNCTION}}

    def text(count):
        return json.dumps({"openapi": "3.0.1", "paths": {f"/{number}": {"get": integration} for number in range(count)}})

    made = gateway.import_api(Body=text(5000))
    with pytest.raises(ClientError) as caught:
        gateway.create_route(ApiId=made["ApiId"], RouteKey="GET /more")
    assert caught.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert caught.value.response["Error"]["Message"] == "Maximum number of Routes for this API has been reached."
    gateway.delete_api(ApiId=made["ApiId"])
    with pytest.raises(ClientError):
        gateway.import_api(Body=text(5001))
