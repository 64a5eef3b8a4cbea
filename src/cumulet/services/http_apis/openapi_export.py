"""An HTTP API as an OpenAPI 3 document that can be imported again. Pure."""

from typing import Any

import orjson
import yaml

from cumulet.services.http_apis.live import Snapshot
from cumulet.services.http_apis.model import DEFAULT_STAGE
from cumulet.services.http_apis.openapi_import import ANY_METHOD, AUTHORIZER, CORS, INTEGRATION
from cumulet.store.documents import Document
from cumulet.wire.models import load_model


def export_openapi(api: Document, snapshot: Snapshot, endpoint: str, stage: str, *, has_extensions: bool) -> Document:
    """`stage` "" where the export is of what is not deployed."""
    integrations = {each["IntegrationId"]: each for each in snapshot.integrations}
    authorizers = {each["AuthorizerId"]: each for each in snapshot.authorizers}
    document: Document = {"openapi": "3.0.1", "info": {"title": api["Name"], "version": api.get("Version") or ""}}
    if api.get("Description"):
        document["info"]["description"] = api["Description"]
    path = "" if stage in ("", DEFAULT_STAGE) else f"/{stage}"
    document["servers"] = [{"url": f"{endpoint}/{{basePath}}", "variables": {"basePath": {"default": path.lstrip("/")}}}]
    paths: Document = {}
    document["paths"] = paths
    for route in sorted(snapshot.routes, key=lambda route: str(route["RouteKey"])):
        method, _, where = route["RouteKey"].partition(" ")
        word = ANY_METHOD if method in ("ANY", DEFAULT_STAGE) else method.lower()
        integration = integrations.get((route.get("Target") or "").removeprefix("integrations/"))
        operation = _operation(route, where, authorizers)
        if has_extensions and integration is not None:
            operation[INTEGRATION] = _spelled("Integration", integration, "IntegrationId", "ApiGatewayManaged")
        if word != ANY_METHOD or has_extensions:
            paths.setdefault(where or f"/{DEFAULT_STAGE}", {})[word] = operation
    if has_extensions:
        if authorizers:
            document["components"] = {"securitySchemes": {each["Name"]: _scheme(each) for each in authorizers.values()}}
        if api.get("CorsConfiguration"):
            document[CORS] = _spelled("Cors", api["CorsConfiguration"])
        if api.get("DisableExecuteApiEndpoint"):
            document["x-amazon-apigateway-endpoint-configuration"] = {"disableExecuteApiEndpoint": True}
        if api.get("Tags"):
            document["tags"] = [{"name": key, "x-amazon-apigateway-tag-value": value} for key, value in api["Tags"].items()]
        document["x-amazon-apigateway-importexport-version"] = "1.0"
    return document


def written(document: Document, output: str) -> bytes:
    """As `JSON` or `YAML`."""
    if output == "YAML":
        return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True)).encode()
    return bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _operation(route: Document, path: str, authorizers: dict[str, Document]) -> Document:
    operation: Document = {"responses": {"default": {"description": f"Default response for {route['RouteKey']}"}}}
    if route.get("OperationName"):
        operation["operationId"] = route["OperationName"]
    names = [part[1:-1].removesuffix("+") for part in path.split("/") if part.startswith("{")]
    if names:
        schema = {"schema": {"type": "string"}}
        operation["parameters"] = [{"name": name, "in": "path", "required": True} | schema for name in names]
    authorizer = authorizers.get(route.get("AuthorizerId") or "")
    if authorizer is not None:
        operation["security"] = [{authorizer["Name"]: route.get("AuthorizationScopes") or []}]
    elif route.get("AuthorizationType") == "AWS_IAM":
        operation["x-amazon-apigateway-auth"] = {"type": "AWS_IAM"}
    return operation


_RENAMED = {
    "credentialsArn": "credentials",
    "integrationMethod": "httpMethod",
    "integrationUri": "uri",
    "integrationType": "type",
    "authorizerCredentialsArn": "authorizerCredentials",
}


def _spelled(shape: str, document: Document, *without: str) -> Document:
    """A document in the words of the extension of its kind."""
    members = load_model("apigatewayv2").shape_for(shape).members
    made: Document = {}
    for name, value in document.items():
        if name in members and name not in without:
            spelled = members[name].serialization.get("name", name)
            made[_RENAMED.get(spelled, spelled)] = value
    if "type" in made:
        made["type"] = str(made["type"]).lower()
    if made.get("tlsConfig"):
        made["tlsConfig"] = {"serverNameToVerify": made["tlsConfig"].get("ServerNameToVerify")}
    return made


def _scheme(authorizer: Document) -> Document:
    extension: dict[str, Any] = _spelled("Authorizer", authorizer, "AuthorizerId", "Name", "AuthorizerType", "JwtConfiguration")
    extension["identitySource"] = ",".join(authorizer.get("IdentitySource") or ())
    if authorizer["AuthorizerType"] == "JWT":
        configuration = authorizer["JwtConfiguration"]
        extension |= {"type": "jwt", "jwtConfiguration": {key.lower(): value for key, value in configuration.items()}}
        return {"type": "oauth2", "flows": {}, AUTHORIZER: extension}
    name = extension["identitySource"].partition("$request.header.")[2].partition(",")[0] or "Authorization"
    return {"type": "apiKey", "name": name, "in": "header", AUTHORIZER: extension | {"type": "request"}}
