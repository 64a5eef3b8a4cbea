"""OpenAPI 2 and 3 documents, with API Gateway's extensions, as the documents of an API. Pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from cumulet.core import ids
from cumulet.services.rest_apis.api_parts import checked_authorizer, checked_gateway_response, checked_model
from cumulet.services.rest_apis.documentation import parts_of
from cumulet.services.rest_apis.errors import BadRequest
from cumulet.services.rest_apis.model import (
    GATEWAY_RESPONSES,
    Document,
    check_request_parameters,
    check_response_parameters,
    checked_integration,
    without_nothing,
)
from cumulet.wire.models import load_model
from cumulet.wire.openapi import OpenApiError, load_openapi, resolved
from cumulet.wire.trees import TreeCodec
from cumulet.wire.values import SerializationFault

ANY_METHOD = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", ANY_METHOD)
_PLACES = {"query": "querystring", "header": "header", "path": "path"}
_NO_NAME = re.compile(r"[^A-Za-z0-9]")
_PATH = re.compile(r"(?:/[A-Za-z0-9._\-:{}+]+)*/?\Z")


@dataclass(slots=True)
class Imported:
    """What a document says. `methods` are {path: {method: document}}; methods name authorizers and validators by name."""

    attributes: Document
    methods: dict[str, dict[str, Document]] = field(default_factory=dict)
    models: dict[str, Document] = field(default_factory=dict)
    validators: dict[str, Document] = field(default_factory=dict)
    authorizers: dict[str, Document] = field(default_factory=dict)
    responses: dict[str, Document] = field(default_factory=dict)
    documentation: list[Document] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_openapi(body: bytes, parameters: Mapping[str, str]) -> Imported:
    """Raises BadRequest."""
    try:
        document = load_openapi(body)
    except OpenApiError as error:
        raise BadRequest(str(error)) from None
    try:
        return _Reader(document, parameters).read()
    except SerializationFault as fault:
        raise BadRequest(f"Invalid OpenAPI input: {fault.message}") from None
    except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise BadRequest(f"Invalid OpenAPI input: {error}") from None


def read_documentation(body: bytes) -> list[Document]:
    """The documentation parts of a document, and nothing else of it. Raises BadRequest."""
    try:
        document = load_openapi(body)
        return _documentation(document, "")
    except OpenApiError as error:
        raise BadRequest(str(error)) from None
    except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise BadRequest(f"Invalid OpenAPI input: {error}") from None


def _documentation(document: Document, prefix: str) -> list[Document]:
    paths = ((path, resolved(document, item)) for path, item in (document.get("paths") or {}).items() if path.startswith("/"))
    return parts_of(document, (((prefix + path).rstrip("/") or "/", _followed(document, item)) for path, item in paths))


def _followed(document: Document, item: Document) -> Document:
    """A path item whose parameters and responses are there, not only named."""

    def listed(holder: Document) -> Document:
        return holder | {"parameters": [resolved(document, each) for each in holder.get("parameters") or ()]}

    made = listed(item)
    for word in _METHODS:
        if isinstance(item.get(word), dict):
            responses = {status: resolved(document, each) for status, each in (item[word].get("responses") or {}).items()}
            made[word] = listed(item[word]) | {"responses": responses}
    return made


_codec = TreeCodec(is_binary=False)


def _check_types(imported: Imported) -> None:
    """What came from the document has the types that the wire gives it. Raises SerializationFault."""

    def check(shape: str, document: Document) -> None:
        _codec.decoder(load_model("apigateway").shape_for(shape))(document, shape)

    check("RestApi", imported.attributes)
    for shape, documents in (
        ("Model", imported.models),
        ("RequestValidator", imported.validators),
        ("Authorizer", imported.authorizers),
        ("GatewayResponse", imported.responses),
        *(("Method", methods) for methods in imported.methods.values()),
    ):
        for document in documents.values():
            check(shape, document)


class _Reader:
    def __init__(self, document: Document, parameters: Mapping[str, str]) -> None:
        self._document = document
        self._parameters = parameters
        self._is_3 = "openapi" in document
        components = document.get("components") or {}
        self._schemas = components.get("schemas") if self._is_3 else document.get("definitions")
        schemes = components.get("securitySchemes") if self._is_3 else document.get("securityDefinitions")
        self._schemes: Document = schemes or {}
        self._imported = Imported(self._attributes())

    def read(self) -> Imported:
        imported = self._imported
        for name, schema in (self._schemas or {}).items():
            self._add_model(str(name), schema)
        for name, validator in (self._document.get("x-amazon-apigateway-request-validators") or {}).items():
            imported.validators[name] = {
                "name": name,
                "validateRequestBody": bool(validator.get("validateRequestBody")),
                "validateRequestParameters": bool(validator.get("validateRequestParameters")),
            }
        for name, scheme in self._schemes.items():
            if isinstance(scheme.get("x-amazon-apigateway-authorizer"), dict):
                imported.authorizers[name] = _authorizer(name, scheme)
        for kind, response in (self._document.get("x-amazon-apigateway-gateway-responses") or {}).items():
            if kind not in GATEWAY_RESPONSES:
                raise BadRequest(f"Invalid gateway response type: {kind}")
            imported.responses[kind] = _gateway_response(kind, response)
        prefix = self._prefix()
        paths = self._document.get("paths", {})
        if not isinstance(paths, dict):
            raise BadRequest("Invalid OpenAPI input: 'paths' must be an object")
        for path, item in paths.items():
            if path.startswith("x-"):
                continue
            whole = (prefix + path).rstrip("/") or "/"
            if not _PATH.match(whole):
                raise BadRequest(f"Unable to create resource at path '{whole}': invalid path")
            imported.methods[whole] = dict(self._methods(self._resolved(item)))
        if "documentation" not in self._parameters.get("ignore", "").split(","):
            imported.documentation = _documentation(self._document, prefix)
        _check_types(imported)
        return imported

    def _attributes(self) -> Document:
        document, info = self._document, self._document.get("info") or {}
        endpoint = document.get("x-amazon-apigateway-endpoint-configuration") or {}
        kind = self._parameters.get("endpointConfigurationTypes")
        policy = document.get("x-amazon-apigateway-policy")
        attributes = {
            "name": str(info.get("title") or "Untitled"),
            "description": info.get("description"),
            "version": str(info["version"]) if info.get("version") is not None else None,
            "binaryMediaTypes": document.get("x-amazon-apigateway-binary-media-types"),
            "minimumCompressionSize": document.get("x-amazon-apigateway-minimum-compression-size"),
            "apiKeySource": document.get("x-amazon-apigateway-api-key-source"),
            "policy": orjson.dumps(policy).decode() if policy else None,
            "disableExecuteApiEndpoint": endpoint.get("disableExecuteApiEndpoint"),
            "endpointConfiguration": {"types": [kind]} if kind else None,
        }
        return without_nothing(attributes)

    def _prefix(self) -> str:
        """The base path, as far as the import wants it in the resources."""
        mode = self._parameters.get("basepath", "ignore")
        if self._is_3:
            server: Document = next(iter(self._document.get("servers") or ()), {})
            base = ((server.get("variables") or {}).get("basePath") or {}).get("default")
            base = base or re.sub(r"\A[a-z]+://[^/]*", "", server.get("url") or "")
        else:
            base = self._document.get("basePath") or ""
        base = "/" + base.strip("/") if base.strip("/") else ""
        if mode == "prepend":
            return base
        if mode == "split":
            return "/" + base.strip("/").partition("/")[2] if "/" in base.strip("/") else ""
        return ""

    def _resolved(self, value: Any) -> Any:
        """What a local `$ref` leads to."""
        return resolved(self._document, value)

    def _methods(self, item: Document) -> Iterator[tuple[str, Document]]:
        shared = item.get("parameters") or []
        for word in _METHODS:
            operation = item.get(word)
            if operation is not None:
                name = "ANY" if word == ANY_METHOD else word.upper()
                yield name, self._method(name, operation, [*shared, *(operation.get("parameters") or ())])

    def _method(self, name: str, operation: Document, parameters: list[Any]) -> Document:
        method: Document = {"httpMethod": name, "authorizationType": "NONE", "apiKeyRequired": False}
        if operation.get("operationId"):
            method["operationName"] = str(operation["operationId"])
        self._secure(method, operation)
        self._read_parameters(method, operation, parameters)
        validator = operation.get("x-amazon-apigateway-request-validator") or self._document.get(
            "x-amazon-apigateway-request-validator"
        )
        if validator:
            method["validator"] = validator
        for status, response in (operation.get("responses") or {}).items():
            if re.fullmatch(r"[1-5]\d\d", str(status)):
                made = self._method_response(str(status), operation, self._resolved(response))
                method.setdefault("methodResponses", {})[str(status)] = made
        if operation.get(INTEGRATION):
            method["methodIntegration"] = _integration(self._resolved(operation[INTEGRATION]), method)
        return method

    def _secure(self, method: Document, operation: Document) -> None:
        """Who may call: the first authorizer wins, an API key comes on top."""
        requirements = operation.get("security", self._document.get("security")) or []
        for name in (name for requirement in requirements for name in requirement):
            scheme = self._schemes.get(name) or {}
            kind = str(scheme.get("x-amazon-apigateway-authtype") or "").lower()
            if name in self._imported.authorizers:
                is_pool = self._imported.authorizers[name]["type"] == "COGNITO_USER_POOLS"
                method["authorizationType"] = "COGNITO_USER_POOLS" if is_pool else "CUSTOM"
                method["authorizer"] = name
            elif kind == "awssigv4":
                method["authorizationType"] = "AWS_IAM"
            elif scheme.get("type") == "apiKey" and str(scheme.get("name") or "").lower() == "x-api-key":
                method["apiKeyRequired"] = True
        kind = str((operation.get("x-amazon-apigateway-auth") or {}).get("type") or "").upper()
        if kind in ("NONE", "AWS_IAM"):
            method["authorizationType"] = kind

    def _read_parameters(self, method: Document, operation: Document, parameters: list[Any]) -> None:
        found: dict[str, bool] = {}
        models: dict[str, str] = {}
        for parameter in map(self._resolved, parameters):
            place = _PLACES.get(parameter.get("in"))
            if place is not None:
                found[f"method.request.{place}.{parameter['name']}"] = bool(parameter.get("required"))
            elif parameter.get("in") == "body" and parameter.get("schema"):
                for kind in operation.get("consumes") or self._document.get("consumes") or ["application/json"]:
                    models[kind] = self._model_of(parameter["schema"])
        for kind, content in (self._resolved(operation.get("requestBody")) or {}).get("content", {}).items():
            if content.get("schema"):
                models[kind] = self._model_of(content["schema"])
        check_request_parameters(found)
        if found:
            method["requestParameters"] = found
        if models:
            method["requestModels"] = models

    def _method_response(self, status: str, operation: Document, response: Document) -> Document:
        made: Document = {"statusCode": status}
        headers = {f"method.response.header.{name}": False for name in response.get("headers") or ()}
        if headers:
            made["responseParameters"] = headers
        models: dict[str, str] = {}
        if response.get("schema"):
            for kind in operation.get("produces") or self._document.get("produces") or ["application/json"]:
                models[kind] = self._model_of(response["schema"])
        for kind, content in (response.get("content") or {}).items():
            if content.get("schema"):
                models[kind] = self._model_of(content["schema"])
        if models:
            made["responseModels"] = models
        return made

    def _model_of(self, schema: Document) -> str:
        """The name of the model that a schema refers to, or of one made for it."""
        if isinstance(schema.get("$ref"), str):
            return _NO_NAME.sub("", schema["$ref"].rpartition("/")[2])
        name = "MODEL" + ids.lower_id(6)
        self._add_model(name, schema)
        return name

    def _add_model(self, name: str, schema: Any) -> None:
        clean = _NO_NAME.sub("", name)
        if clean != name:
            self._imported.warnings.append(f"Model name {name} was changed to {clean}: names are alphanumeric")
        text = orjson.dumps(_with_model_links(schema)).decode()
        description = schema.get("description") if isinstance(schema, dict) else None
        model = without_nothing({"name": clean, "contentType": "application/json", "schema": text, "description": description})
        self._imported.models[clean] = checked_model(model)


def _with_model_links(value: Any) -> Any:
    """A schema whose references name models; the API's id is filled in when it is known."""
    if isinstance(value, list):
        return [_with_model_links(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _with_model_links(item) for key, item in value.items()}
    link = made.get("$ref")
    if isinstance(link, str) and link.startswith(("#/definitions/", "#/components/schemas/")):
        made["$ref"] = model_link("{api}", _NO_NAME.sub("", link.rpartition("/")[2]))
    return made


def model_link(api_id: str, name: str) -> str:
    return f"https://apigateway.amazonaws.com/restapis/{api_id}/models/{name}"


def _authorizer(name: str, scheme: Document) -> Document:
    given = scheme["x-amazon-apigateway-authorizer"]
    kind = str(given.get("type") or "").upper()
    if kind not in ("TOKEN", "REQUEST", "COGNITO_USER_POOLS"):
        raise BadRequest(f"Invalid authorizer type: {kind}")
    source = given.get("identitySource")
    if source is None and kind != "REQUEST" and scheme.get("in") == "header":
        source = f"method.request.header.{scheme['name']}"
    members = ("authorizerUri", "authorizerCredentials", "identityValidationExpression", "providerARNs")
    authorizer = {"name": name, "type": kind, "identitySource": source, "authType": scheme.get("x-amazon-apigateway-authtype")}
    ttl = given.get("authorizerResultTtlInSeconds")
    authorizer |= {member: given.get(member) for member in members} | {
        "authorizerResultTtlInSeconds": int(ttl) if ttl is not None else None
    }
    return checked_authorizer(without_nothing(authorizer))


def _gateway_response(kind: str, given: Document) -> Document:
    status = given.get("statusCode") or GATEWAY_RESPONSES[kind]
    response = {
        "responseType": kind,
        "statusCode": str(status) if status else None,
        "responseParameters": given.get("responseParameters") or {},
        "responseTemplates": given.get("responseTemplates") or {},
    }
    return checked_gateway_response(without_nothing(response))


def _integration(given: Document, method: Document) -> Document:
    members = (
        "uri", "connectionType", "connectionId", "credentials", "requestParameters", "requestTemplates", "cacheNamespace",
        "cacheKeyParameters", "timeoutInMillis", "tlsConfig",
    )  # fmt: skip
    made = {member: given.get(member) for member in members} | {
        "type": str(given["type"]).upper(),
        "httpMethod": str(given["httpMethod"]).upper() if given.get("httpMethod") else None,
        "passthroughBehavior": str(given["passthroughBehavior"]).upper() if given.get("passthroughBehavior") else None,
        "contentHandling": given.get("contentHandling"),
        "responseTransferMode": given.get("responseTransferMode"),
    }
    made = without_nothing(made)
    if made["type"] not in ("AWS", "AWS_PROXY", "HTTP", "HTTP_PROXY", "MOCK"):
        raise BadRequest(f"Invalid integration type: {made['type']}")
    if isinstance(made.get("uri"), dict):
        raise BadRequest("Invalid integration: the uri is no text")
    responses: Document = {}
    for pattern, response in (given.get("responses") or {}).items():
        status = str(response.get("statusCode") or "200")
        one = {
            "statusCode": status,
            "selectionPattern": None if pattern == "default" else str(pattern),
            "responseParameters": response.get("responseParameters"),
            "responseTemplates": response.get("responseTemplates"),
            "contentHandling": response.get("contentHandling"),
        }
        check_response_parameters(response.get("responseParameters"))
        responses[status] = without_nothing(one)
        declared = method.setdefault("methodResponses", {}).setdefault(status, {"statusCode": status})
        for name in response.get("responseParameters") or ():
            declared.setdefault("responseParameters", {}).setdefault(name, False)
    if responses:
        made["integrationResponses"] = responses
    return checked_integration(made)
