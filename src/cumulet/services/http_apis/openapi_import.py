"""OpenAPI 3 (and 2) documents, with API Gateway's extensions, as the documents of an HTTP API. Pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-open-api.html
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cumulet.services.http_apis.errors import BadRequest
from cumulet.services.http_apis.model import DEFAULT_STAGE, HTTP, check_route_key, checked_api
from cumulet.services.http_apis.model_integrations import checked_authorizer, checked_integration
from cumulet.store.documents import Document
from cumulet.wire.models import load_model
from cumulet.wire.openapi import OpenApiError, load_openapi, resolved
from cumulet.wire.trees import TreeCodec
from cumulet.wire.values import SerializationFault

ANY_METHOD = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"
AUTHORIZER = "x-amazon-apigateway-authorizer"
CORS = "x-amazon-apigateway-cors"
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", ANY_METHOD)
_INTEGRATION = {
    "connectionId": "ConnectionId",
    "connectionType": "ConnectionType",
    "credentials": "CredentialsArn",
    "description": "Description",
    "httpMethod": "IntegrationMethod",
    "integrationSubtype": "IntegrationSubtype",
    "uri": "IntegrationUri",
    "payloadFormatVersion": "PayloadFormatVersion",
    "requestParameters": "RequestParameters",
    "timeoutInMillis": "TimeoutInMillis",
}
_AUTHORIZER = {
    "authorizerCredentials": "AuthorizerCredentialsArn", "authorizerPayloadFormatVersion": "AuthorizerPayloadFormatVersion",
    "authorizerResultTtlInSeconds": "AuthorizerResultTtlInSeconds", "authorizerUri": "AuthorizerUri",
    "enableSimpleResponses": "EnableSimpleResponses",
}  # fmt: skip
_CORS = ("allowCredentials", "allowHeaders", "allowMethods", "allowOrigins", "exposeHeaders", "maxAge")


@dataclass(slots=True)
class Imported:
    """What a document says. Routes have the name of their authorizer in `authorizer`, and in `integration` theirs, or None."""

    attributes: Document
    routes: list[Document] = field(default_factory=list)
    authorizers: dict[str, Document] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_openapi(text: str, basepath: str) -> Imported:
    """`basepath`: ignore, prepend or split. Raises BadRequest."""
    if basepath not in ("ignore", "prepend", "split"):
        raise BadRequest("Invalid value for basepath: must be ignore, prepend or split")
    try:
        return _Reader(load_openapi(text.encode("utf-8", "replace")), basepath).read()
    except OpenApiError as error:
        raise BadRequest(str(error)) from None
    except SerializationFault as fault:
        raise BadRequest(f"Invalid OpenAPI input: {fault.message}") from None
    except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise BadRequest(f"Invalid OpenAPI input: {error}") from None


_codec = TreeCodec(is_binary=False)


def _typed(shape: str, document: Document) -> Document:
    """The document in the wire's members, when they have its types: what is inside of a member is spelled as the wire spells it.

    Raises SerializationFault.
    """
    members = load_model("apigatewayv2").shape_for(shape).members
    spelled = {members[name].serialization.get("name", name): value for name, value in document.items()}
    typed: Document = _codec.decoder(load_model("apigatewayv2").shape_for(shape))(spelled, shape)
    return typed


def _taken(value: Any, names: dict[str, str]) -> Document:
    if not isinstance(value, dict):
        raise ValueError("an extension is no object")
    return {name: value[key] for key, name in names.items() if value.get(key) is not None}


class _Reader:
    def __init__(self, document: Document, basepath: str) -> None:
        self._document = document
        self._basepath = basepath
        components = document.get("components") or {}
        self._schemes: Document = components.get("securitySchemes") or document.get("securityDefinitions") or {}
        self._imported = Imported(self._attributes())

    def read(self) -> Imported:
        imported = self._imported
        for name, scheme in self._schemes.items():
            scheme = self._resolved(scheme)
            if isinstance(scheme.get(AUTHORIZER), dict):
                imported.authorizers[name] = checked_authorizer(_authorizer(name, scheme), HTTP)
        for tag in self._document.get("tags") or ():
            if "x-amazon-apigateway-tag-value" in tag:
                imported.tags[str(tag["name"])] = str(tag["x-amazon-apigateway-tag-value"])
        prefix = self._prefix()
        paths = self._document.get("paths", {})
        if not isinstance(paths, dict):
            raise BadRequest("Invalid OpenAPI input: 'paths' must be an object")
        for path, item in paths.items():
            if not path.startswith("x-"):
                imported.routes += self._routes(path, prefix, self._resolved(item))
        return imported

    def _attributes(self) -> Document:
        info = self._document.get("info") or {}
        endpoint = self._document.get("x-amazon-apigateway-endpoint-configuration") or {}
        attributes: Document = {"Name": str(info.get("title") or "Untitled"), "ProtocolType": HTTP}
        for member, value in (("Description", info.get("description")), ("Version", info.get("version"))):
            if value is not None:
                attributes[member] = str(value)
        if endpoint.get("disableExecuteApiEndpoint") is not None:
            attributes["DisableExecuteApiEndpoint"] = endpoint["disableExecuteApiEndpoint"]
        if self._document.get(CORS) is not None:
            attributes["CorsConfiguration"] = _taken(self._document[CORS], {name: name for name in _CORS})
        return checked_api(_typed("CreateApiRequest", attributes))

    def _prefix(self) -> str:
        """The base path, as far as the import wants it in the routes."""
        if "openapi" in self._document:
            server: Document = next(iter(self._document.get("servers") or ()), {})
            base = ((server.get("variables") or {}).get("basePath") or {}).get("default")
            base = base or re.sub(r"\A[a-z]+://[^/]*", "", server.get("url") or "")
        else:
            base = self._document.get("basePath") or ""
        base = "/" + base.strip("/") if base.strip("/") else ""
        if self._basepath == "prepend":
            return base
        if self._basepath == "split":
            return "/" + base.strip("/").partition("/")[2] if "/" in base.strip("/") else ""
        return ""

    def _resolved(self, value: Any) -> Any:
        return resolved(self._document, value)

    def _routes(self, path: str, prefix: str, item: Document) -> Iterator[Document]:
        for word in _METHODS:
            operation = item.get(word)
            if operation is None:
                continue
            method = "ANY" if word == ANY_METHOD else word.upper()
            key = DEFAULT_STAGE if path == f"/{DEFAULT_STAGE}" and method == "ANY" else f"{method} {(prefix + path) or '/'}"
            check_route_key(key, HTTP)
            yield self._route(key, operation)

    def _route(self, key: str, operation: Document) -> Document:
        route: Document = {"RouteKey": key, "AuthorizationType": "NONE", "integration": None}
        if operation.get("operationId"):
            route["OperationName"] = str(operation["operationId"])[:64]
        requirements = operation.get("security", self._document.get("security")) or []
        for name, scopes in (pair for requirement in requirements for pair in requirement.items()):
            scheme = self._schemes.get(name) or {}
            if name in self._imported.authorizers:
                is_jwt = self._imported.authorizers[name]["AuthorizerType"] == "JWT"
                route |= {"AuthorizationType": "JWT" if is_jwt else "CUSTOM", "authorizer": name}
                if is_jwt and scopes:
                    route["AuthorizationScopes"] = [str(scope) for scope in scopes]
                break
            if str(scheme.get("x-amazon-apigateway-authtype") or "").lower() == "awssigv4":
                route["AuthorizationType"] = "AWS_IAM"
                break
            self._imported.warnings.append(f"Security scheme {name} of route {key} has no authorizer: it is not applied")
        if str((operation.get("x-amazon-apigateway-auth") or {}).get("type") or "").upper() == "AWS_IAM":
            route["AuthorizationType"] = "AWS_IAM"
        if operation.get(INTEGRATION):
            route["integration"] = checked_integration(_integration(self._resolved(operation[INTEGRATION])), HTTP)
        return route


def _integration(given: Document) -> Document:
    made = _taken(given, _INTEGRATION) | {"IntegrationType": str(given.get("type") or "").upper()}
    made.setdefault("PayloadFormatVersion", "1.0")
    if isinstance(given.get("responseParameters"), dict):
        made["ResponseParameters"] = given["responseParameters"]
    if isinstance(given.get("tlsConfig"), dict):
        made["TlsConfig"] = _taken(given["tlsConfig"], {"serverNameToVerify": "serverNameToVerify"})
    if made["IntegrationType"] == "AWS_PROXY" and made.get("RequestParameters") and "IntegrationSubtype" not in made:
        raise ValueError("requestParameters are not supported for integrations with Lambda functions")
    return _typed("CreateIntegrationRequest", made)


def _authorizer(name: str, scheme: Document) -> Document:
    given = scheme[AUTHORIZER]
    made = _taken(given, _AUTHORIZER) | {"Name": name, "AuthorizerType": str(given.get("type") or "").upper()}
    source = given.get("identitySource")
    if isinstance(source, str):
        source = [part.strip() for part in source.split(",") if part.strip()]
    made["IdentitySource"] = source or []
    if isinstance(given.get("jwtConfiguration"), dict):
        made["JwtConfiguration"] = _taken(given["jwtConfiguration"], {"issuer": "issuer", "audience": "audience"})
    if made["AuthorizerType"] == "REQUEST":
        made.setdefault("AuthorizerPayloadFormatVersion", "1.0")
    return _typed("CreateAuthorizerRequest", made)
