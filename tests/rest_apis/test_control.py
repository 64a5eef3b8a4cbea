"""The control plane through boto3: what is made can be read, changed by patches, listed in pages and deleted."""

import json

import pytest
from botocore.exceptions import ClientError


def _fault(call, *arguments, **members):
    with pytest.raises(ClientError) as caught:
        call(*arguments, **members)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def _patch(*operations):
    return [dict(zip(("op", "path", "value"), each, strict=False)) for each in operations]


def test_an_api_from_its_making_to_its_end(node, name):
    gateway = node.client("apigateway")
    made = gateway.create_rest_api(
        name=name, description="d", binaryMediaTypes=["image/png"], tags={"a": "b"}, endpointConfiguration={"types": ["REGIONAL"]}
    )
    found = gateway.get_rest_api(restApiId=made["id"])
    assert {key: found[key] for key in found if key != "ResponseMetadata"} == {
        key: made[key] for key in made if key != "ResponseMetadata"
    }
    changed = gateway.update_rest_api(
        restApiId=made["id"],
        patchOperations=_patch(
            ("replace", "/name", name + "2"), ("add", "/binaryMediaTypes/image~1gif"), ("remove", "/binaryMediaTypes/image~1png"),
            ("replace", "/minimumCompressionSize", "100"), ("replace", "/endpointConfiguration/types/REGIONAL", "EDGE"),
        ),
    )  # fmt: skip
    assert (changed["name"], changed["binaryMediaTypes"], changed["minimumCompressionSize"]) == (name + "2", ["image/gif"], 100)
    assert changed["endpointConfiguration"]["types"] == ["EDGE"]
    arn = f"arn:aws:apigateway:us-east-1::/restapis/{made['id']}"
    gateway.tag_resource(resourceArn=arn, tags={"c": "d"})
    gateway.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert gateway.get_tags(resourceArn=arn)["tags"] == {"c": "d"}
    gateway.delete_rest_api(restApiId=made["id"])
    assert _fault(gateway.get_rest_api, restApiId=made["id"]) == (
        "NotFoundException", 404, f"Invalid API identifier specified 000000000000:{made['id']}"
    )  # fmt: skip


def test_what_is_wrong_is_said(api):
    gateway, place = api.gateway, {"restApiId": api.id, "resourceId": api.root, "httpMethod": "GET"}
    bad = "BadRequestException"
    assert _fault(gateway.create_rest_api, name="x", policy="{")[:2] == (bad, 400)
    assert _fault(gateway.create_resource, restApiId=api.id, parentId=api.root, pathPart="a b")[:2] == (bad, 400)
    assert _fault(gateway.create_resource, restApiId=api.id, parentId="nothing", pathPart="a")[0] == "NotFoundException"
    assert _fault(gateway.put_method, **place | {"httpMethod": "FETCH"}, authorizationType="NONE")[:2] == (bad, 400)
    assert _fault(gateway.put_method, **place, authorizationType="SOME")[:2] == (bad, 400)
    assert _fault(gateway.put_method, **place, authorizationType="CUSTOM", authorizerId="x")[:2] == (bad, 400)
    assert _fault(gateway.get_method, **place) == ("NotFoundException", 404, "Invalid Method identifier specified")
    assert _fault(gateway.create_deployment, restApiId=api.id)[2] == "The REST API doesn't contain any methods"
    gateway.put_method(**place, authorizationType="NONE")
    assert _fault(gateway.put_method, **place, authorizationType="NONE")[:2] == ("ConflictException", 409)
    assert _fault(gateway.create_deployment, restApiId=api.id)[2] == "No integration defined for method"
    assert _fault(gateway.get_integration, **place)[0] == "NotFoundException"
    assert _fault(gateway.put_integration, **place, type="HTTP", uri="ftp://x", integrationHttpMethod="GET")[:2] == (bad, 400)
    assert (
        _fault(gateway.put_integration, **place, type="AWS_PROXY", uri="arn:aws:lambda:x", integrationHttpMethod="POST")[0] == bad
    )
    assert _fault(gateway.put_integration_response, **place, statusCode="200")[0] == "NotFoundException"
    assert _fault(gateway.create_model, restApiId=api.id, name="Bad", contentType="application/json", schema="{")[0] == bad
    unknown = _fault(gateway.update_rest_api, restApiId=api.id, patchOperations=_patch(("replace", "/nothing", "x")))
    assert unknown[2].startswith("Invalid patch path  '/nothing' specified for op 'replace'. Must be one of: [/name, ")
    assert _fault(gateway.get_sdk, restApiId=api.id, stageName="x", sdkType="javascript")[:2] == ("NotImplemented", 501)
    assert _fault(gateway.create_vpc_link, name="x", targetArns=["arn:aws:x"])[:2] == ("NotImplemented", 501)
    assert _fault(gateway.create_api_key, name="x", value="short")[:2] == (bad, 400)
    assert _fault(gateway.create_domain_name, domainName="not a name")[:2] == (bad, 400)
    assert _fault(gateway.get_rest_apis, limit=501)[:2] == (bad, 400)
    assert _fault(gateway.create_stage, restApiId=api.id, stageName="s", deploymentId="none")[:2] == (bad, 400)


def test_resources_make_a_tree(api):
    gateway = api.gateway
    child = api.resource("/a/{id}/c")
    assert (
        _fault(gateway.create_resource, restApiId=api.id, parentId=api.resource("/a"), pathPart="{other}")[0]
        == "BadRequestException"
    )
    assert _fault(gateway.create_resource, restApiId=api.id, parentId=api.root, pathPart="a")[0] == "ConflictException"
    moved = gateway.update_resource(
        restApiId=api.id, resourceId=api.resource("/a"), patchOperations=_patch(("replace", "/pathPart", "z"))
    )
    assert moved["path"] == "/z"
    assert gateway.get_resource(restApiId=api.id, resourceId=child)["path"] == "/z/{id}/c"
    pages = gateway.get_paginator("get_resources").paginate(restApiId=api.id, PaginationConfig={"PageSize": 2})
    paths = [each["path"] for page in pages for each in page["items"]]
    assert paths == ["/", "/z", "/z/{id}", "/z/{id}/c"]
    gateway.delete_resource(restApiId=api.id, resourceId=api.resource("/a"))
    assert [each["path"] for each in gateway.get_resources(restApiId=api.id)["items"]] == ["/"]


def test_methods_and_integrations_are_patched(api):
    place = api.mock("POST", "/", "ok")
    gateway = api.gateway
    method = gateway.update_method(
        **place,
        patchOperations=_patch(
            ("replace", "/apiKeyRequired", "true"), ("add", "/requestParameters/method.request.querystring.q", "true"),
            ("add", "/requestModels/application~1json", "Empty"), ("replace", "/operationName", "op"),
        ),
    )  # fmt: skip
    assert (method["apiKeyRequired"], method["operationName"]) == (True, "op")
    assert method["requestParameters"] == {"method.request.querystring.q": True}
    assert method["requestModels"] == {"application/json": "Empty"}
    integration = gateway.update_integration(
        **place,
        patchOperations=_patch(
            ("replace", "/timeoutInMillis", "1000"), ("add", "/requestTemplates/text~1plain", "x"),
            ("replace", "/passthroughBehavior", "NEVER"), ("add", "/requestParameters/integration.request.header.x", "'y'"),
        ),
    )  # fmt: skip
    assert (integration["timeoutInMillis"], integration["passthroughBehavior"]) == (1000, "NEVER")
    assert integration["requestTemplates"]["text/plain"] == "x"
    assert list(integration["integrationResponses"]) == ["200"]
    whole = gateway.get_resources(restApiId=api.id, embed=["methods"])["items"][0]["resourceMethods"]["POST"]
    assert whole["methodIntegration"]["requestParameters"] == {"integration.request.header.x": "'y'"}
    gateway.delete_integration_response(**place, statusCode="200")
    gateway.delete_method_response(**place, statusCode="200")
    gateway.delete_integration(**place)
    gateway.delete_method(**place)
    assert gateway.get_resource(restApiId=api.id, resourceId=api.root).get("resourceMethods") is None


def test_parts_in_use_are_not_deleted(api):
    gateway, place = api.gateway, {"restApiId": api.id}
    model = gateway.create_model(**place, name="M", contentType="application/json", schema='{"type": "object"}')
    assert (
        gateway.update_model(**place, modelName="M", patchOperations=_patch(("replace", "/schema", '{"type": "array"}')))["id"]
        == model["id"]
    )
    validator = gateway.create_request_validator(**place, name="v", validateRequestBody=True)["id"]
    changed = gateway.update_request_validator(
        **place, requestValidatorId=validator, patchOperations=_patch(("replace", "/validateRequestParameters", "true"))
    )
    assert (changed["validateRequestBody"], changed["validateRequestParameters"]) == (True, True)
    method = api.mock("GET", "/", "x", requestModels={"application/json": "M"}, requestValidatorId=validator)
    assert _fault(gateway.delete_model, **place, modelName="M")[0] == "ConflictException"
    assert _fault(gateway.delete_request_validator, **place, requestValidatorId=validator)[0] == "ConflictException"
    gateway.delete_method(**method)
    gateway.delete_model(**place, modelName="M")
    gateway.delete_request_validator(**place, requestValidatorId=validator)
    assert [each["name"] for each in gateway.get_models(**place)["items"]] == ["Empty", "Error"]
    responses = gateway.get_gateway_responses(**place)["items"]
    assert len(responses) == 21
    assert all(each["defaultResponse"] for each in responses)
    own = gateway.update_gateway_response(
        **place, responseType="THROTTLED", patchOperations=_patch(("replace", "/statusCode", "420"))
    )
    assert (own["statusCode"], own["defaultResponse"]) == ("420", False)


def test_deployments_and_stages(api):
    api.mock("GET", "/a", "x")
    first = api.deploy(description="one", stageDescription="stage", variables={"v": "1"})
    gateway, place = api.gateway, {"restApiId": api.id}
    summary = gateway.get_deployment(**place, deploymentId=first, embed=["apisummary"])["apiSummary"]
    assert summary == {"/a": {"GET": {"authorizationType": "NONE", "apiKeyRequired": False}}}
    assert _fault(gateway.delete_deployment, **place, deploymentId=first)[2] == (
        "Active stages pointing to this deployment must be moved or deleted"
    )
    stage = gateway.update_stage(
        **place, stageName="prod",
        patchOperations=_patch(
            ("replace", "/variables/w", "2"), ("remove", "/variables/v"), ("replace", "/*/*/logging/loglevel", "INFO"),
            ("replace", "/a/GET/caching/ttlInSeconds", "10"), ("replace", "/tracingEnabled", "true"),
        ),
    )  # fmt: skip
    assert (stage["variables"], stage["tracingEnabled"]) == ({"w": "2"}, True)
    assert stage["methodSettings"]["*/*"]["loggingLevel"] == "INFO"
    assert stage["methodSettings"]["a/GET"]["cacheTtlInSeconds"] == 10
    stage = gateway.update_stage(**place, stageName="prod", patchOperations=_patch(("remove", "/a/GET")))
    assert list(stage["methodSettings"]) == ["*/*"]
    second = gateway.create_deployment(**place)["id"]
    gateway.create_stage(**place, stageName="dev", deploymentId=second, tags={"t": "1"})
    assert _fault(gateway.create_stage, **place, stageName="dev", deploymentId=second)[0] == "ConflictException"
    assert {each["stageName"] for each in gateway.get_stages(**place)["item"]} == {"prod", "dev"}
    assert [each["stageName"] for each in gateway.get_stages(**place, deploymentId=second)["item"]] == ["dev"]
    assert len(gateway.get_deployments(**place)["items"]) == 2
    gateway.delete_stage(**place, stageName="dev")
    gateway.delete_deployment(**place, deploymentId=second)
    assert _fault(gateway.get_stage, **place, stageName="dev") == ("NotFoundException", 404, "Invalid stage identifier specified")


def test_keys_and_plans(api, name):
    api.mock("GET", "/", "x")
    api.deploy()
    gateway = api.gateway
    csv = f"name,key,enabled,usageplanIds\n{name}-a,{'a' * 30}{name},true,\n{name}-b,{'b' * 30}{name},false,none\n"
    imported = gateway.import_api_keys(body=csv.encode(), format="csv")
    assert (len(imported["ids"]), imported["warnings"]) == (2, ["Usage plan none does not exist"])
    listed = gateway.get_api_keys(nameQuery=name, includeValues=True)["items"]
    assert {each["name"]: (each["value"][0], each["enabled"]) for each in listed} == {
        f"{name}-a": ("a", True), f"{name}-b": ("b", False)
    }  # fmt: skip
    assert "value" not in gateway.get_api_key(apiKey=imported["ids"][0])
    assert _fault(gateway.create_api_key, name="c", value=listed[0]["value"])[0] == "ConflictException"
    plan = gateway.create_usage_plan(name=name, quota={"limit": 5, "period": "WEEK"})["id"]
    changed = gateway.update_usage_plan(
        usagePlanId=plan,
        patchOperations=_patch(
            ("add", "/apiStages", f"{api.id}:prod"), ("replace", "/throttle/rateLimit", "1.5"),
            ("replace", "/throttle/burstLimit", "3"),
            ("add", f"/apiStages/{api.id}:prod/throttle/~1/GET/rateLimit", "2"), ("replace", "/quota/limit", "7"),
        ),
    )  # fmt: skip
    assert (changed["quota"]["limit"], changed["throttle"]) == (7, {"rateLimit": 1.5, "burstLimit": 3})
    assert changed["apiStages"] == [{"apiId": api.id, "stage": "prod", "throttle": {"//GET": {"rateLimit": 2.0, "burstLimit": 0}}}]
    gateway.create_usage_plan_key(usagePlanId=plan, keyId=imported["ids"][0], keyType="API_KEY")
    assert [each["id"] for each in gateway.get_usage_plans(keyId=imported["ids"][0])["items"]] == [plan]
    assert [each["name"] for each in gateway.get_usage_plan_keys(usagePlanId=plan)["items"]] == [f"{name}-a"]
    assert _fault(gateway.delete_usage_plan, usagePlanId=plan)[0] == "BadRequestException"
    assert _fault(gateway.delete_stage, restApiId=api.id, stageName="prod")[0] == "BadRequestException"
    gateway.update_usage_plan(usagePlanId=plan, patchOperations=_patch(("remove", "/apiStages", f"{api.id}:prod")))
    gateway.delete_usage_plan_key(usagePlanId=plan, keyId=imported["ids"][0])
    gateway.delete_usage_plan(usagePlanId=plan)
    for key in imported["ids"]:
        gateway.delete_api_key(apiKey=key)


def test_the_accounts_settings(node):
    gateway = node.client("apigateway", region="eu-west-3")
    assert gateway.get_account()["throttleSettings"] == {"burstLimit": 5000, "rateLimit": 10000.0}
    role = "arn:aws:iam::000000000000:role/logs"
    assert gateway.update_account(patchOperations=_patch(("replace", "/cloudwatchRoleArn", role)))["cloudwatchRoleArn"] == role


def test_a_clone_has_its_own_things(api):
    api.mock("GET", "/a/b", "x")
    made = api.gateway.create_rest_api(name="clone", cloneFrom=api.id)
    assert [each["path"] for each in api.gateway.get_resources(restApiId=made["id"])["items"]] == ["/", "/a", "/a/b"]
    api.gateway.delete_rest_api(restApiId=made["id"])
    assert len(api.gateway.get_resources(restApiId=api.id)["items"]) == 3


def test_another_regions_apis_are_not_seen(api, node):
    elsewhere = node.client("apigateway", region="eu-west-1")
    assert _fault(elsewhere.get_rest_api, restApiId=api.id)[0] == "NotFoundException"
    assert json.dumps(elsewhere.get_rest_apis()["items"]).count(api.id) == 0
