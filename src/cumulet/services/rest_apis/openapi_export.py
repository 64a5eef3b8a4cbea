"""A deployed API as an OpenAPI 2 or 3 document, with API Gateway's extensions where asked. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import orjson

from cumulet.services.rest_apis.documentation import EXTENSION, Documentation, documented, extension_of
from cumulet.services.rest_apis.model import Document, without_nothing
from cumulet.services.rest_apis.openapi_import import ANY_METHOD, INTEGRATION

_DOCUMENTED = {"query": "QUERY_PARAMETER", "header": "REQUEST_HEADER", "path": "PATH_PARAMETER"}
_PLACES = {"querystring": "query", "header": "header", "path": "path"}
_MODEL_LINK = re.compile(r"https://apigateway\.amazonaws\.com/restapis/[^/]+/models/")


def export(
    snapshot: Document, stage: str, server: str, kind: str, extensions: frozenset[str], documentation: Document | None = None
) -> Document:
    """`kind` is `swagger` or `oas30`; `server` the address without the stage; `extensions` are `integrations`, `authorizers`,
    `documentation`, `apigateway` (all there are); `documentation` is the version that the stage shows."""
    writer = _Writer(snapshot, kind == "oas30", extensions, Documentation(documentation["parts"] if documentation else ()))
    document = writer.document(stage, server)
    if documentation is not None and extensions & {"documentation", "apigateway"}:
        document[EXTENSION] = extension_of(documentation)
    return document


class _Writer:
    def __init__(self, snapshot: Document, is_3: bool, extensions: frozenset[str], documentation: Documentation) -> None:
        self._snapshot = snapshot
        self._documentation = documentation
        self._is_3 = is_3
        self._is_whole = "apigateway" in extensions
        self._has_integrations = self._is_whole or "integrations" in extensions
        self._has_authorizers = self._is_whole or "authorizers" in extensions
        self._authorizers = {each["id"]: each for each in snapshot["authorizers"]}
        self._validators = {each["id"]: each for each in snapshot["validators"]}
        self._schemes: Document = {}

    def document(self, stage: str, server: str) -> Document:
        api = self._snapshot["api"]
        created = datetime.fromtimestamp(api["createdDate"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        info = {"title": api["name"], "description": api.get("description"), "version": api.get("version") or created}
        paths = {each["path"]: self._path(each) for each in self._sorted() if each.get("resourceMethods")}
        schemas = self._schemas()
        scheme, _, host = server.partition("://")
        made: Document = {"openapi": "3.0.1"} if self._is_3 else {"swagger": "2.0"}
        told = self._documentation.find("API")
        made["info"] = documented(without_nothing(info), told.pop("info", None) or {})
        if self._is_3:
            made["servers"] = [{"url": f"{server}/{{basePath}}", "variables": {"basePath": {"default": f"/{stage}"}}}]
            made["paths"] = paths
            components = {"schemas": schemas or None, "securitySchemes": self._schemes or None}
            made["components"] = without_nothing(components)
        else:
            made |= {"host": host, "basePath": f"/{stage}", "schemes": [scheme], "paths": paths}
            made |= without_nothing({"securityDefinitions": self._schemes or None, "definitions": schemas or None})
        return documented(made | (self._own() if self._is_whole else {}), told)

    def _sorted(self) -> list[Document]:
        return sorted(self._snapshot["resources"], key=lambda each: str(each["path"]))

    def _own(self) -> Document:
        """The extensions of the API as a whole."""
        api = self._snapshot["api"]
        validators = {
            each.get("name") or each["id"]: {name: each[name] for name in ("validateRequestBody", "validateRequestParameters")}
            for each in self._validators.values()
        }
        responses = {
            each["responseType"]: {name: value for name, value in each.items() if name != "responseType"}
            for each in self._snapshot["responses"]
        }
        own = {
            "x-amazon-apigateway-request-validators": validators or None,
            "x-amazon-apigateway-gateway-responses": responses or None,
            "x-amazon-apigateway-binary-media-types": api.get("binaryMediaTypes") or None,
            "x-amazon-apigateway-minimum-compression-size": api.get("minimumCompressionSize"),
            "x-amazon-apigateway-policy": orjson.loads(api["policy"]) if api.get("policy") else None,
        }
        if api.get("apiKeySource") == "AUTHORIZER":
            own["x-amazon-apigateway-api-key-source"] = "AUTHORIZER"
        return without_nothing(own)

    def _schemas(self) -> Document:
        prefix = "#/components/schemas/" if self._is_3 else "#/definitions/"
        return {
            model["name"]: documented(
                orjson.loads(_MODEL_LINK.sub(prefix, model.get("schema") or "{}")),
                self._documentation.find("MODEL", name=model["name"]),
            )
            for model in self._snapshot["models"]
            if model["name"] not in ("Error",) or self._is_used("Error")
        }

    def _is_used(self, model: str) -> bool:
        return any(
            model in (each.get("responseModels") or {}).values()
            for resource in self._snapshot["resources"]
            for method in (resource.get("resourceMethods") or {}).values()
            for each in (method.get("methodResponses") or {}).values()
        )

    def _path(self, resource: Document) -> Document:
        made = {
            (ANY_METHOD if name == "ANY" else name.lower()): self._operation(resource["path"], name, method)
            for name, method in sorted(resource["resourceMethods"].items())
        }
        return documented(made, self._documentation.find("RESOURCE", resource["path"])) if self._is_3 else made

    def _operation(self, path: str, name: str, method: Document) -> Document:
        def told(kind: str, status: str = "*", name: str = "") -> Document:
            return self._documentation.find(kind, path, verb, status, name)

        verb = "*" if name == "ANY" else name
        responses = method.get("methodResponses") or {}
        made: Document = without_nothing({"operationId": method.get("operationName")})
        if not self._is_3:
            made |= {"consumes": list(method["requestModels"])} if method.get("requestModels") else {}
            kinds = sorted({kind for each in responses.values() for kind in each.get("responseModels") or ()})
            made["produces"] = kinds or ["application/json"]
        parameters = [
            documented(each, told(_DOCUMENTED[each["in"]], name=each["name"]))
            for each in (
                _parameter(name, is_needed, self._is_3) for name, is_needed in (method.get("requestParameters") or {}).items()
            )
        ]
        models = method.get("requestModels") or {}
        if models and self._is_3:
            made["requestBody"] = documented({"content": self._contents(models), "required": True}, told("REQUEST_BODY"))
        elif models:
            model = next(iter(models.values()))
            body = {"in": "body", "name": model, "required": True, "schema": self._link(model)}
            parameters.append(documented(body, told("REQUEST_BODY")))
        if parameters:
            made["parameters"] = parameters
        made["responses"] = {status: self._response(status, each, told) for status, each in sorted(responses.items())}
        security = self._security(method)
        if security:
            made["security"] = security
        validator = self._validators.get(method.get("requestValidatorId") or "")
        if validator is not None and self._is_whole:
            made["x-amazon-apigateway-request-validator"] = validator.get("name") or validator["id"]
        if self._has_integrations and method.get("methodIntegration"):
            made[INTEGRATION] = _integration(method["methodIntegration"])
        return documented(made, told("METHOD"))

    def _link(self, model: str) -> Document:
        return {"$ref": f"#/components/schemas/{model}" if self._is_3 else f"#/definitions/{model}"}

    def _contents(self, models: Mapping[str, str]) -> Document:
        return {kind: {"schema": self._link(name)} for kind, name in models.items()}

    def _response(self, status: str, response: Document, told: Callable[..., Document]) -> Document:
        names = [name.removeprefix("method.response.header.") for name in response.get("responseParameters") or ()]
        kind: Document = {"schema": {"type": "string"}} if self._is_3 else {"type": "string"}
        made: Document = {"description": f"{status} response"}
        if names:
            made["headers"] = {name: documented(kind, told("RESPONSE_HEADER", status, name)) for name in names}
        models = response.get("responseModels") or {}
        if self._is_3:
            made["content"] = self._contents(models)
        elif models:
            made["schema"] = self._link(next(iter(models.values())))
        return documented(made, told("RESPONSE", status))

    def _security(self, method: Document) -> list[Document]:
        found: list[Document] = []
        authorizer = self._authorizers.get(method.get("authorizerId") or "")
        if authorizer is not None:
            found.append({authorizer["name"]: []})
            described = self._documentation.find("AUTHORIZER", name=authorizer["name"])
            self._schemes[authorizer["name"]] = documented(self._scheme(authorizer), described)
        elif method["authorizationType"] == "AWS_IAM":
            found.append({"sigv4": []})
            scheme = {"type": "apiKey", "name": "Authorization", "in": "header"}
            self._schemes["sigv4"] = scheme | {"x-amazon-apigateway-authtype": "awsSigv4"}
        if method.get("apiKeyRequired"):
            found.append({"api_key": []})
            self._schemes["api_key"] = {"type": "apiKey", "name": "x-api-key", "in": "header"}
        return found

    def _scheme(self, authorizer: Document) -> Document:
        header = (authorizer.get("identitySource") or "").removeprefix("method.request.header.")
        name = header if "," not in header and authorizer["type"] != "REQUEST" else "Unused"
        scheme: Document = {"type": "apiKey", "name": name or "Unused", "in": "header"}
        if self._has_authorizers:
            scheme["x-amazon-apigateway-authtype"] = authorizer.get("authType") or "custom"
            given = {key: value for key, value in authorizer.items() if key not in ("id", "name", "authType")}
            scheme["x-amazon-apigateway-authorizer"] = given | {"type": authorizer["type"].lower()}
        return scheme


def _parameter(expression: str, is_needed: bool, is_3: bool) -> Document:
    _, _, place, name = expression.split(".", 3)
    kind: Document = {"schema": {"type": "string"}} if is_3 else {"type": "string"}
    place = _PLACES.get(place.removeprefix("multivalue"), "query")
    return {"name": name, "in": place, "required": is_needed or place == "path"} | kind


def _integration(integration: Document) -> Document:
    made = {
        key: value for key, value in integration.items() if key not in ("integrationResponses", "cacheNamespace") and value != []
    }
    made |= {"type": integration["type"].lower(), "passthroughBehavior": integration["passthroughBehavior"].lower()}
    responses = (integration.get("integrationResponses") or {}).values()
    if responses:
        made["responses"] = {
            each.get("selectionPattern") or "default": {key: value for key, value in each.items() if key != "selectionPattern"}
            for each in _by_status(responses)
        }
    return made


def _by_status(responses: Iterable[Document]) -> list[Document]:
    return sorted(responses, key=lambda each: str(each["statusCode"]))
