"""Access logs, and custom domain names that lead to stages."""

import json
import time

import httpx
import pytest
from botocore.exceptions import ClientError
from websockets.sync.client import connect

FORMAT = {
    "id": "$context.requestId", "route": "$context.routeKey", "status": "$context.status", "agent": "$context.identity.userAgent",
    "path": "$context.path", "sub": "$context.authorizer.claims.sub", "error": "$context.error.message",
    "why": "$context.integrationErrorMessage", "length": "$context.responseLength", "method": "$context.httpMethod",
}  # fmt: skip


def lines_of(logs, group, count):
    for _ in range(200):
        events = logs.filter_log_events(logGroupName=group)["events"]
        if len(events) >= count:
            return [each["message"] for each in events]
        time.sleep(0.05)
    raise AssertionError("the lines do not come")


def test_access_logs(api, server, node, name):
    logs, group = node.client("logs"), f"/api/{name}"
    logs.create_log_group(logGroupName=group)
    destination = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}:*"
    api.route("GET /x/{id}", api.http(server.url))
    settings = {"DestinationArn": destination, "Format": json.dumps(FORMAT)}
    api.gateway.update_stage(ApiId=api.id, StageName="$default", AccessLogSettings=settings)
    good = api.call(path="/x/1", headers={"User-Agent": 'me "and\\ you'})
    api.call(path="/none")
    first, second = map(json.loads, lines_of(logs, group, 2))
    assert first == {
        "id": good.headers["apigw-requestid"], "route": "GET /x/{id}", "status": "200", "agent": 'me "and\\ you', "path": "/x/1",
        "sub": "-", "error": "-", "why": "-", "length": str(len(good.content)), "method": "GET",
    }  # fmt: skip
    assert (second["status"], second["error"], second["route"]) == ("404", "Not Found", "-")
    plain = {"DestinationArn": destination, "Format": "$context.requestId $context.identity.userAgent!"}
    api.gateway.update_stage(ApiId=api.id, StageName="$default", AccessLogSettings=plain)
    api.call(path="/x/2", headers={"User-Agent": "plain"})
    assert lines_of(logs, group, 3)[2].endswith(" plain!")


def test_domain_names(make_api, server, node, name):
    gateway, domain = node.client("apigatewayv2"), f"{name}.example.com"
    shop, blog = make_api(DisableExecuteApiEndpoint=True), make_api(auto=False)
    server.answers["/blog"] = (200, {}, b"blog")
    shop.route("GET /cart", shop.http(server.url + "/cart"))
    blog.route("GET /", blog.http(server.url + "/blog"))
    blog.gateway.create_stage(ApiId=blog.id, StageName="v1", AutoDeploy=True)
    made = gateway.create_domain_name(DomainName=domain.upper(), DomainNameConfigurations=[{"CertificateArn": "arn:aws:acm:a:b:c"}])
    assert made["DomainNameConfigurations"][0]["DomainNameStatus"] == "AVAILABLE"
    mapping = gateway.create_api_mapping(DomainName=domain, ApiId=shop.id, Stage="$default")
    gateway.create_api_mapping(DomainName=domain, ApiId=blog.id, Stage="v1", ApiMappingKey="our/blog")

    def ask(path):
        return httpx.get(node.url + path, headers={"Host": domain})

    assert ask("/cart").json()["target"] == "/cart"
    assert shop.call(path="/cart").status_code == 404  # its own address is closed
    assert (ask("/our/blog").text, ask("/our/blog/").text) == ("blog", "blog")
    assert (ask("/our/blogs").status_code, ask("/our").status_code) == (404, 404)
    for call, arguments, code in (
        (gateway.create_domain_name, {"DomainName": domain}, "ConflictException"),
        (
            node.client("apigateway").create_domain_name,
            {"domainName": domain, "regionalCertificateArn": "arn:aws:acm:a:b:c", "endpointConfiguration": {"types": ["REGIONAL"]}},
            "BadRequestException",
        ),
        (gateway.create_domain_name, {"DomainName": "no name"}, "BadRequestException"),
        *(
            (gateway.create_domain_name, {"DomainName": own}, "BadRequestException")
            for own in (
                "127.0.0.1",
                "a.localhost",
                f"{shop.id}.execute-api.us-east-1.localhost",
                "*.lambda-url.us-east-1.x.com",
                "lambda.us-east-1.amazonaws.com",
                "*.localhost",
            )
        ),
        (node.client("apigateway").create_domain_name, {"domainName": "127.0.0.1"}, "BadRequestException"),
        (node.client("apigatewayv2", "eu-west-1").create_domain_name, {"DomainName": domain}, "ConflictException"),
        (gateway.create_api_mapping, {"DomainName": domain, "ApiId": shop.id, "Stage": "$default"}, "ConflictException"),
        (
            gateway.create_api_mapping,
            {"DomainName": domain, "ApiId": shop.id, "Stage": "x", "ApiMappingKey": "k"},
            "NotFoundException",
        ),
        (gateway.delete_api, {"ApiId": shop.id}, "BadRequestException"),
        (gateway.delete_stage, {"ApiId": blog.id, "StageName": "v1"}, "ConflictException"),
    ):
        with pytest.raises(ClientError) as caught:
            call(**arguments)
        assert caught.value.response["Error"]["Code"] == code
    assert gateway.create_domain_name(DomainName=f"*.{domain}")["DomainName"] == f"*.{domain}"
    gateway.create_api_mapping(DomainName=f"*.{domain}", ApiId=blog.id, Stage="v1")
    assert httpx.get(f"{node.url}/", headers={"Host": f"any.{domain}"}).text == "blog"
    gateway.delete_domain_name(DomainName=f"*.{domain}")
    moved = gateway.update_api_mapping(
        DomainName=domain, ApiMappingId=mapping["ApiMappingId"], ApiId=shop.id, Stage="$default", ApiMappingKey="shop"
    )
    assert moved["ApiMappingKey"] == "shop"
    assert (ask("/shop/cart").json()["target"], ask("/cart").status_code) == ("/cart", 404)
    assert len(gateway.get_api_mappings(DomainName=domain)["Items"]) == 2
    gateway.delete_domain_name(DomainName=domain)
    assert ask("/shop/cart").status_code != 200


def test_a_domain_name_leads_to_a_websocket_api(node, function, name):
    gateway, domain = node.client("apigatewayv2"), f"{name}.example.com"
    arn = function('def handler(event, context):\n    return {"statusCode": 200, "body": event.get("body", "")}\n')
    made = gateway.create_api(Name=name, ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
    place = {"ApiId": made["ApiId"]}
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"
    target = f"integrations/{gateway.create_integration(**place, IntegrationType='AWS_PROXY', IntegrationUri=uri)['IntegrationId']}"
    route = gateway.create_route(**place, RouteKey="$default", Target=target, RouteResponseSelectionExpression="$default")
    gateway.create_route_response(**place, RouteId=route["RouteId"], RouteResponseKey="$default")
    gateway.create_stage(**place, StageName="live", AutoDeploy=True)
    gateway.create_domain_name(DomainName=domain, DomainNameConfigurations=[{"CertificateArn": "arn:aws:acm:a:b:c"}])
    gateway.create_api_mapping(DomainName=domain, ApiMappingKey="chat", Stage="live", **place)
    port = int(node.netloc.partition(":")[2])
    with connect(f"ws://{domain}:{port}/chat", address=("127.0.0.1", port), proxy=None) as client:
        client.send("hello")
        assert client.recv(10) == "hello"
    gateway.delete_domain_name(DomainName=domain)
    gateway.delete_api(**place)
