"""The control plane, as boto3 sees it: what is made can be read, changed, paged and deleted, what is wrong is refused in words."""

import httpx
import pytest
from botocore.exceptions import ClientError

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:f"


@pytest.fixture
def gateway(node):
    return node.client("apigatewayv2")


def refused(call, **arguments):
    """(code, message) of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_an_api_is_made_read_changed_and_deleted(gateway, name):
    cors = {"AllowOrigins": ["https://example.com"], "AllowMethods": ["GET"], "MaxAge": 60}
    made = gateway.create_api(Name=name, ProtocolType="HTTP", CorsConfiguration=cors, Tags={"a": "b"}, Version="1")
    place = {"ApiId": made["ApiId"]}
    assert len(made["ApiId"]) == 10 and made["ApiId"] in made["ApiEndpoint"]
    assert made["RouteSelectionExpression"] == "$request.method $request.path"
    assert (made["ApiKeySelectionExpression"], made["DisableExecuteApiEndpoint"]) == ("$request.header.x-api-key", False)
    read = gateway.get_api(**place)
    assert (read["CorsConfiguration"], read["Tags"], read["Version"]) == (cors, {"a": "b"}, "1")
    changed = gateway.update_api(**place, Description="d", CorsConfiguration={"AllowOrigins": ["*"]})
    assert (changed["Description"], changed["CorsConfiguration"]) == ("d", {"AllowOrigins": ["*"]})
    gateway.delete_cors_configuration(**place)
    assert "CorsConfiguration" not in gateway.get_api(**place)
    gateway.delete_api(**place)
    assert refused(gateway.get_api, **place) == (
        "NotFoundException",
        f"Invalid API identifier specified 000000000000:{made['ApiId']}",
    )


def test_a_target_alone_makes_a_whole_api(gateway, name):
    made = gateway.create_api(Name=name, ProtocolType="HTTP", Target=FUNCTION, RouteKey="GET /x")
    place = {"ApiId": made["ApiId"]}
    integration, route = gateway.get_integrations(**place)["Items"][0], gateway.get_routes(**place)["Items"][0]
    assert (integration["IntegrationType"], integration["PayloadFormatVersion"]) == ("AWS_PROXY", "2.0")
    assert (route["RouteKey"], route["Target"]) == ("GET /x", f"integrations/{integration['IntegrationId']}")
    stage = gateway.get_stage(**place, StageName="$default")
    assert (stage["AutoDeploy"], stage["ApiGatewayManaged"]) == (True, True)
    assert gateway.get_deployment(**place, DeploymentId=stage["DeploymentId"])["AutoDeployed"] is True
    gateway.update_api(**place, Target="https://example.com/")
    assert gateway.get_integrations(**place)["Items"][0]["IntegrationType"] == "HTTP_PROXY"
    gateway.delete_api(**place)


def test_every_change_is_a_deployment_of_a_stage_that_follows(api):
    gateway, place = api.gateway, {"ApiId": api.id}
    assert "DeploymentId" not in gateway.get_stage(**place, StageName="$default")
    target = api.function(FUNCTION)
    api.route("GET /a", target)
    first = gateway.get_stage(**place, StageName="$default")["DeploymentId"]
    api.route("GET /b", target)
    second = gateway.get_stage(**place, StageName="$default")["DeploymentId"]
    assert first != second
    assert [each["DeploymentId"] for each in gateway.get_deployments(**place)["Items"]] == [second]


def test_a_deployment_holds_what_was_there(make_api, server):
    api = make_api(auto=False)
    gateway, place = api.gateway, {"ApiId": api.id}
    assert refused(gateway.create_deployment, **place) == (
        "BadRequestException",
        "At least one route is required before deploying the Api.",
    )
    route = api.route("GET /old", api.http(server.url))
    deployment = gateway.create_deployment(**place)["DeploymentId"]
    gateway.create_stage(**place, StageName="v1", DeploymentId=deployment)
    gateway.update_route(**place, RouteId=route, RouteKey="GET /new")
    assert (api.call(path="/v1/old").status_code, api.call(path="/v1/new").status_code) == (200, 404)
    gateway.create_deployment(**place, StageName="v1")
    assert (api.call(path="/v1/old").status_code, api.call(path="/v1/new").status_code) == (404, 200)
    gateway.update_stage(**place, StageName="v1", AutoDeploy=True)
    gateway.update_route(**place, RouteId=route, RouteKey="GET /newer")
    gateway.update_stage(**place, StageName="v1", AutoDeploy=False)
    gateway.update_route(**place, RouteId=route, RouteKey="GET /newest")
    assert (api.call(path="/v1/newer").status_code, api.call(path="/v1/newest").status_code) == (200, 404)
    used = gateway.get_stage(**place, StageName="v1")["DeploymentId"]
    assert refused(gateway.delete_deployment, **place, DeploymentId=used)[0] == "BadRequestException"
    gateway.delete_deployment(**place, DeploymentId=deployment)
    gateway.delete_stage(**place, StageName="v1")


def test_lists_come_in_pages(api):
    target = api.function(FUNCTION)
    for number in range(5):
        api.route(f"GET /{number}", target)
    first = api.gateway.get_routes(ApiId=api.id, MaxResults="3")
    second = api.gateway.get_routes(ApiId=api.id, MaxResults="3", NextToken=first["NextToken"])
    assert (len(first["Items"]), len(second["Items"]), "NextToken" in second) == (3, 2, False)
    paginator = api.gateway.get_paginator("get_routes")
    pages = paginator.paginate(ApiId=api.id, PaginationConfig={"PageSize": 2})
    assert sorted(each["RouteKey"] for page in pages for each in page["Items"]) == [f"GET /{number}" for number in range(5)]
    assert refused(api.gateway.get_routes, ApiId=api.id, MaxResults="0")[0] == "BadRequestException"
    assert refused(api.gateway.get_routes, ApiId=api.id, NextToken="%%%")[0] == "BadRequestException"


def test_routes_are_checked(api):
    gateway, target = api.gateway, api.function(FUNCTION)
    api.route("GET /pets/{id}", target)
    assert refused(gateway.create_route, ApiId=api.id, RouteKey="GET /pets/{id}") == (
        "ConflictException",
        "Route with key GET /pets/{id} already exists for this API",
    )
    for key in ("GET", "FETCH /x", "GET x", "GET /{proxy+}/x", "GET /{a}/{a}", "GET /a{b}", "GET /" + "x" * 600, "GET /a//b"):
        assert refused(gateway.create_route, ApiId=api.id, RouteKey=key)[0] == "BadRequestException", key
    for more in (
        {"AuthorizationType": "JWT"},
        {"AuthorizationType": "MAGIC"},
        {"ApiKeyRequired": True},
        {"AuthorizationScopes": ["a"]},
        {"Target": "nowhere"},
        {"RequestModels": {"$default": "m"}},
    ):
        assert refused(gateway.create_route, ApiId=api.id, RouteKey="GET /x", **more)[0] == "BadRequestException", more
    assert refused(gateway.create_route, ApiId=api.id, RouteKey="GET /x", Target="integrations/none")[0] == "NotFoundException"
    integration = target.removeprefix("integrations/")
    assert refused(gateway.delete_integration, ApiId=api.id, IntegrationId=integration)[0] == "ConflictException"


def test_integrations_are_checked(api):
    gateway = api.gateway
    proxy = {"ApiId": api.id, "IntegrationType": "AWS_PROXY"}
    web = {"ApiId": api.id, "IntegrationType": "HTTP_PROXY", "IntegrationMethod": "GET", "IntegrationUri": "https://example.com"}
    for wrong in (
        {"ApiId": api.id, "IntegrationType": "MOCK"},
        proxy | {"IntegrationUri": FUNCTION},
        proxy | {"IntegrationUri": FUNCTION, "PayloadFormatVersion": "3.0"},
        proxy | {"IntegrationUri": "https://example.com", "PayloadFormatVersion": "2.0"},
        proxy | {"IntegrationUri": FUNCTION, "PayloadFormatVersion": "2.0", "RequestParameters": {"overwrite:path": "/"}},
        proxy | {"IntegrationSubtype": "SQS-Dance", "PayloadFormatVersion": "1.0", "CredentialsArn": "arn:aws:iam::0:role/a"},
        proxy | {"IntegrationSubtype": "SQS-SendMessage", "PayloadFormatVersion": "1.0", "CredentialsArn": "arn:aws:iam::0:role/a"},
        web | {"IntegrationUri": "ftp://example.com"},
        web | {"TimeoutInMillis": 30_001},
        web | {"RequestParameters": {"header.x": "y"}},
        web | {"RequestParameters": {"overwrite:header.Authorization": "y"}},
        web | {"ResponseParameters": {"200": {"overwrite:body": "y"}}},
        web | {"ResponseParameters": {"abc": {"overwrite:header.a": "y"}}},
    ):
        assert refused(gateway.create_integration, **wrong)[0] == "BadRequestException", wrong
    with pytest.raises(ClientError) as caught:
        gateway.create_integration(**web, ConnectionType="VPC_LINK", ConnectionId="abc")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    with pytest.raises(ClientError) as caught:
        gateway.create_vpc_link(Name="x", SubnetIds=["s"])
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    made = gateway.create_integration(**web, RequestParameters={"overwrite:header.a": "1", "append:header.b": "2"})
    assert made["TimeoutInMillis"] == 30_000
    changed = gateway.update_integration(
        ApiId=api.id, IntegrationId=made["IntegrationId"], RequestParameters={"append:header.b": "", "overwrite:path": "/x"}
    )
    assert changed["RequestParameters"] == {"overwrite:header.a": "1", "overwrite:path": "/x"}
    gateway.delete_integration(ApiId=api.id, IntegrationId=made["IntegrationId"])


def test_authorizers_are_checked_and_kept_while_a_route_needs_them(api):
    gateway = api.gateway
    jwt = {
        "ApiId": api.id, "Name": "jwt", "AuthorizerType": "JWT", "IdentitySource": ["$request.header.Authorization"],
        "JwtConfiguration": {"Issuer": "https://example.com", "Audience": ["a"]},
    }  # fmt: skip
    for wrong in (
        {"IdentitySource": []},
        {"JwtConfiguration": {"Issuer": "https://e.com"}},
        {"JwtConfiguration": {"Issuer": "x", "Audience": ["a"]}},
    ):
        assert refused(gateway.create_authorizer, **jwt | wrong)[0] == "BadRequestException"
    request = {
        "ApiId": api.id,
        "Name": "r",
        "AuthorizerType": "REQUEST",
        "AuthorizerUri": FUNCTION,
        "IdentitySource": ["$request.header.a"],
    }
    assert refused(gateway.create_authorizer, **request)[0] == "BadRequestException"
    made = gateway.create_authorizer(**request, AuthorizerPayloadFormatVersion="2.0")
    assert (made["AuthorizerResultTtlInSeconds"], made["EnableSimpleResponses"]) == (300, False)
    authorizer = gateway.create_authorizer(**jwt)["AuthorizerId"]
    assert refused(gateway.create_authorizer, **jwt)[0] == "ConflictException"
    route = api.route("GET /x", api.function(FUNCTION), AuthorizationType="JWT", AuthorizerId=authorizer, AuthorizationScopes=["s"])
    assert refused(gateway.delete_authorizer, ApiId=api.id, AuthorizerId=authorizer)[0] == "ConflictException"
    assert (
        refused(gateway.update_route, ApiId=api.id, RouteId=route, AuthorizationType="CUSTOM", AuthorizationScopes=[])[0]
        == "BadRequestException"
    )
    gateway.update_route(ApiId=api.id, RouteId=route, AuthorizationType="NONE", AuthorizationScopes=[])
    assert "AuthorizerId" not in gateway.get_route(ApiId=api.id, RouteId=route)
    gateway.delete_authorizer(ApiId=api.id, AuthorizerId=authorizer)


def test_stages_are_checked(api):
    gateway, place = api.gateway, {"ApiId": api.id}
    api.route("GET /x", api.function(FUNCTION))
    assert refused(gateway.create_stage, **place, StageName="$default") == ("ConflictException", "Stage already exists")
    assert refused(gateway.create_stage, **place, StageName="a b")[0] == "BadRequestException"
    assert refused(gateway.create_stage, **place, StageName="a", DeploymentId="none")[0] == "NotFoundException"
    assert refused(gateway.create_stage, **place, StageName="a", StageVariables={"x": "<"})[0] == "BadRequestException"
    settings = {"GET /nothing": {"ThrottlingRateLimit": 1.0}}
    assert refused(gateway.create_stage, **place, StageName="a", RouteSettings=settings)[0] == "NotFoundException"
    log = {"DestinationArn": "arn:aws:logs:us-east-1:000000000000:log-group:g", "Format": "$context.status"}
    assert refused(gateway.create_stage, **place, StageName="a", AccessLogSettings=log)[0] == "BadRequestException"
    made = gateway.create_stage(
        **place, StageName="a", StageVariables={"x": "1", "y": "2"}, RouteSettings={"GET /x": {"ThrottlingBurstLimit": 3}},
        AccessLogSettings=log | {"Format": "$context.requestId"}, Tags={"t": "1"},
    )  # fmt: skip
    assert made["DefaultRouteSettings"] == {"DetailedMetricsEnabled": False}
    changed = gateway.update_stage(**place, StageName="a", StageVariables={"x": "", "z": "3"})
    assert changed["StageVariables"] == {"y": "2", "z": "3"}
    gateway.delete_route_settings(**place, StageName="a", RouteKey="GET /x")
    gateway.delete_access_log_settings(**place, StageName="a")
    read = gateway.get_stage(**place, StageName="a")
    assert (read["RouteSettings"], "AccessLogSettings" in read) == ({}, False)
    assert refused(gateway.delete_route_settings, **place, StageName="a", RouteKey="GET /x")[0] == "NotFoundException"
    gateway.reset_authorizers_cache(**place, StageName="a")
    assert refused(gateway.get_stage, **place, StageName="b") == ("NotFoundException", "Invalid stage identifier specified")


def test_tags_are_for_apis_stages_and_domain_names(api, name):
    gateway = api.gateway
    gateway.create_domain_name(DomainName=f"{name}.example.com", DomainNameConfigurations=[{"CertificateArn": "arn:aws:acm:a:b:c"}])
    for what in (f"/apis/{api.id}", f"/apis/{api.id}/stages/$default", f"/domainnames/{name}.example.com"):
        arn = f"arn:aws:apigateway:us-east-1::{what}"
        gateway.tag_resource(ResourceArn=arn, Tags={"a": "1", "b": "2"})
        gateway.untag_resource(ResourceArn=arn, TagKeys=["a"])
        assert gateway.get_tags(ResourceArn=arn)["Tags"] == {"b": "2"}
    assert refused(gateway.get_tags, ResourceArn="arn:aws:apigateway:us-east-1::/apis/none")[0] == "NotFoundException"
    assert refused(gateway.get_tags, ResourceArn="nonsense")[0] == "BadRequestException"
    gateway.delete_domain_name(DomainName=f"{name}.example.com")


def test_a_websocket_api_has_its_own_parts(gateway, name):
    made = gateway.create_api(Name=name, ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
    place = {"ApiId": made["ApiId"]}
    assert made["ApiEndpoint"].startswith("ws://")
    assert refused(gateway.create_api, Name=name, ProtocolType="WEBSOCKET")[0] == "BadRequestException"
    integration = gateway.create_integration(**place, IntegrationType="MOCK", RequestTemplates={"200": "{}"})["IntegrationId"]
    response = gateway.create_integration_response(**place, IntegrationId=integration, IntegrationResponseKey="$default")
    again = {"IntegrationId": integration, "IntegrationResponseKey": "$default"}
    assert refused(gateway.create_integration_response, **place, **again)[0] == "ConflictException"
    changed = gateway.update_integration_response(
        **place,
        IntegrationId=integration,
        IntegrationResponseId=response["IntegrationResponseId"],
        IntegrationResponseKey="/2\\d\\d/",
    )
    assert changed["IntegrationResponseKey"] == "/2\\d\\d/"
    route = gateway.create_route(**place, RouteKey="join", Target=f"integrations/{integration}")["RouteId"]
    assert refused(gateway.create_route, **place, RouteKey="x", AuthorizationType="AWS_IAM")[0] == "BadRequestException"
    answer = gateway.create_route_response(**place, RouteId=route, RouteResponseKey="$default")
    assert gateway.get_route_responses(**place, RouteId=route)["Items"][0]["RouteResponseId"] == answer["RouteResponseId"]
    parameters = {"route.request.querystring.a": {"Required": True}, "route.request.header.b": {"Required": False}}
    gateway.update_route(**place, RouteId=route, RequestParameters=parameters)
    gateway.delete_route_request_parameter(**place, RouteId=route, RequestParameterKey="route.request.header.b")
    assert gateway.get_route(**place, RouteId=route)["RequestParameters"] == {"route.request.querystring.a": {"Required": True}}
    model = gateway.create_model(**place, Name="M", ContentType="application/json", Schema="{}")["ModelId"]
    assert gateway.update_model(**place, ModelId=model, Schema='{"type":"object"}')["Schema"] == '{"type":"object"}'
    assert refused(gateway.update_model, **place, ModelId=model, Schema="{")[0] == "BadRequestException"
    deployment = gateway.create_deployment(**place)["DeploymentId"]
    stage = gateway.create_stage(**place, StageName="v1", DeploymentId=deployment)
    assert stage["DefaultRouteSettings"]["LoggingLevel"] == "OFF"
    assert refused(gateway.create_stage, **place, StageName="$default")[0] == "BadRequestException"
    gateway.delete_route_response(**place, RouteId=route, RouteResponseId=answer["RouteResponseId"])
    gateway.delete_integration_response(**place, IntegrationId=integration, IntegrationResponseId=response["IntegrationResponseId"])
    gateway.delete_model(**place, ModelId=model)
    gateway.delete_api(**place)


def test_apis_are_there_again_after_a_kill(start_node, name):
    node = start_node("--durability", "sync")
    gateway = node.client("apigatewayv2")
    made = gateway.create_api(Name=name, ProtocolType="HTTP", Target="http://127.0.0.1:1/")
    node.kill()
    node.start()
    read = node.client("apigatewayv2").get_api(ApiId=made["ApiId"])
    assert read["Name"] == name
    assert httpx.get(f"{node.url}/_aws/execute-api/{made['ApiId']}/x").status_code == 503
