"""Which paths of which noun a patch may change.

https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html
"""

from collections.abc import Sequence
from typing import Any

import orjson

from cumulet.services.rest_apis.errors import BadRequest, NotFound
from cumulet.services.rest_apis.model import Document
from cumulet.services.rest_apis.patches import PatchTable, boolean, integer, item, member, member_value, needed, number, text

REST_API: PatchTable = {
    "/name": needed(text),
    "/description": text,
    "/version": text,
    "/policy": text,
    "/apiKeySource": needed(text),
    "/minimumCompressionSize": integer,
    "/disableExecuteApiEndpoint": boolean,
    "/securityPolicy": text,
    "/endpointAccessMode": text,
    "/binaryMediaTypes/*": member,
    "/endpointConfiguration/types/*": item,
    "/endpointConfiguration/vpcEndpointIds": member_value,
    "/endpointConfiguration/ipAddressType": text,
}

RESOURCE: PatchTable = {"/pathPart": needed(text), "/parentId": needed(text)}

METHOD: PatchTable = {
    "/authorizationType": needed(text),
    "/authorizerId": text,
    "/apiKeyRequired": needed(boolean),
    "/operationName": text,
    "/requestValidatorId": text,
    "/authorizationScopes": member_value,
    "/requestParameters/*": boolean,
    "/requestModels/*": text,
}

METHOD_RESPONSE: PatchTable = {"/responseParameters/*": boolean, "/responseModels/*": text}

INTEGRATION: PatchTable = {
    "/type": needed(text),
    "/uri": text,
    "/httpMethod": text,
    "/credentials": text,
    "/connectionType": text,
    "/connectionId": text,
    "/passthroughBehavior": text,
    "/contentHandling": text,
    "/cacheNamespace": text,
    "/timeoutInMillis": integer,
    "/responseTransferMode": text,
    "/requestParameters/*": text,
    "/requestTemplates/*": text,
    "/cacheKeyParameters/*": member,
    "/cacheKeyParameters": member_value,
    "/tlsConfig/insecureSkipVerification": boolean,
}

INTEGRATION_RESPONSE: PatchTable = {
    "/selectionPattern": text,
    "/contentHandling": text,
    "/responseParameters/*": text,
    "/responseTemplates/*": text,
}

MODEL: PatchTable = {"/description": text, "/schema": text}

VALIDATOR: PatchTable = {"/name": text, "/validateRequestBody": needed(boolean), "/validateRequestParameters": needed(boolean)}

AUTHORIZER: PatchTable = {
    "/name": needed(text),
    "/type": needed(text),
    "/authType": text,
    "/authorizerUri": text,
    "/authorizerCredentials": text,
    "/identitySource": text,
    "/identityValidationExpression": text,
    "/authorizerResultTtlInSeconds": integer,
    "/providerARNs": member_value,
}

GATEWAY_RESPONSE: PatchTable = {
    "/statusCode": text,
    "/responseParameters/*": text,
    "/responseTemplates/*": text,
}

DEPLOYMENT: PatchTable = {"/description": text}

_SETTINGS = {
    "metrics/enabled": ("metricsEnabled", boolean),
    "logging/loglevel": ("loggingLevel", text),
    "logging/dataTrace": ("dataTraceEnabled", boolean),
    "throttling/burstLimit": ("throttlingBurstLimit", integer),
    "throttling/rateLimit": ("throttlingRateLimit", number),
    "caching/enabled": ("cachingEnabled", boolean),
    "caching/ttlInSeconds": ("cacheTtlInSeconds", integer),
    "caching/dataEncrypted": ("cacheDataEncrypted", boolean),
    "caching/requireAuthorizationForCacheControl": ("requireAuthorizationForCacheControl", boolean),
    "caching/unauthorizedCacheControlHeaderStrategy": ("unauthorizedCacheControlHeaderStrategy", text),
}

_USUAL_SETTING: Document = {
    "metricsEnabled": False,
    "loggingLevel": "OFF",
    "dataTraceEnabled": False,
    "throttlingBurstLimit": 5000,
    "throttlingRateLimit": 10000.0,
    "cachingEnabled": False,
    "cacheTtlInSeconds": 300,
    "cacheDataEncrypted": False,
    "requireAuthorizationForCacheControl": True,
    "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER",
}


def _method_setting(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
    """`/{resource path}/{method}/throttling/rateLimit`, the resource path escaped or not; `/{path}/{method}` is removed whole."""
    settings = document.setdefault("methodSettings", {})
    if op == "remove" and "/".join(path[-2:]) not in _SETTINGS:
        if settings.pop(_method_key(path), None) is None:
            raise BadRequest(f"Cannot remove method setting {_method_key(path)} because there is no method setting for this method")
        return
    known = _SETTINGS.get("/".join(path[-2:]))
    if known is None or len(path) < 4:
        shown = ", ".join(f"/*/*/{name}" for name in _SETTINGS)
        raise BadRequest(f"Invalid method setting path: /{'/'.join(path)}. Must be one of: [/deploymentId, /description, {shown}]")
    name, change = known
    setting = settings.setdefault(_method_key(path[:-2]), dict(_USUAL_SETTING))
    change(setting, [name], op, value)
    if op == "remove":
        setting[name] = _USUAL_SETTING[name]


def _method_key(path: Sequence[str]) -> str:
    resource = "/".join(path[:-1])
    return f"{resource.lstrip('/')}/{path[-1]}"


def _removed_whole(name: str) -> Any:
    def change(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
        if op != "remove":
            raise BadRequest(f"Invalid patch operation '{op}' for '/{name}'")
        document.pop(name, None)

    return change


STAGE: PatchTable = {
    "/deploymentId": needed(text),
    "/description": text,
    "/cacheClusterEnabled": needed(boolean),
    "/cacheClusterSize": text,
    "/clientCertificateId": text,
    "/documentationVersion": text,
    "/tracingEnabled": needed(boolean),
    "/accessLogSettings": _removed_whole("accessLogSettings"),
    "/accessLogSettings/destinationArn": text,
    "/accessLogSettings/format": text,
    "/variables/*": text,
    "/canarySettings": _removed_whole("canarySettings"),
    "/canarySettings/percentTraffic": number,
    "/canarySettings/deploymentId": text,
    "/canarySettings/useStageCache": boolean,
    "/canarySettings/stageVariableOverrides/*": text,
    "/**": _method_setting,
}

API_KEY: PatchTable = {
    "/name": text,
    "/description": text,
    "/enabled": needed(boolean),
    "/customerId": text,
    "/stages": member_value,
}


def _api_stage(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
    """`/apiStages` with the value `API:STAGE`."""
    stages = document.setdefault("apiStages", [])
    api_id, colon, stage = str(value).partition(":")
    if not colon:
        raise BadRequest(f"Invalid API Stage specified: {value}. Expected format is <apiId>:<stage>")
    same = [each for each in stages if (each["apiId"], each["stage"]) == (api_id, stage)]
    if op == "remove":
        if not same:
            raise NotFound("Usage Plan API Stage not found")
        stages.remove(same[0])
    elif not same:
        stages.append({"apiId": api_id, "stage": stage})


def _stage_throttle(document: Document, path: Sequence[str], op: str, value: str | None) -> None:
    """`/apiStages/API:STAGE/throttle[/PATH/METHOD[/rateLimit]]`, with JSON or a number as its value."""
    api_id, _, name = path[1].partition(":")
    stage = next((each for each in document.get("apiStages", ()) if (each["apiId"], each["stage"]) == (api_id, name)), None)
    if stage is None or len(path) < 3 or path[2] != "throttle":
        raise BadRequest(f"Invalid patch path '/{'/'.join(path)}': the plan has no such API stage")
    rest = list(path[3:])
    try:
        if not rest:
            stage["throttle"] = {} if op == "remove" else orjson.loads(value or "{}")
        elif rest[-1] in ("rateLimit", "burstLimit"):
            limit = stage.setdefault("throttle", {}).setdefault("/".join(rest[:-1]), {"rateLimit": 0.0, "burstLimit": 0})
            limit[rest[-1]] = 0 if op == "remove" else float(value or 0) if rest[-1] == "rateLimit" else int(value or 0)
        elif op == "remove":
            stage.setdefault("throttle", {}).pop("/".join(rest), None)
        else:
            stage.setdefault("throttle", {})["/".join(rest)] = orjson.loads(value or "{}")
    except ValueError:
        raise BadRequest(f"Invalid value for '/{'/'.join(path)}': {value}") from None


USAGE_PLAN: PatchTable = {
    "/name": needed(text),
    "/description": text,
    "/productCode": text,
    "/throttle": _removed_whole("throttle"),
    "/throttle/rateLimit": number,
    "/throttle/burstLimit": integer,
    "/quota": _removed_whole("quota"),
    "/quota/limit": integer,
    "/quota/offset": integer,
    "/quota/period": text,
    "/apiStages": _api_stage,
    "/apiStages/**": _stage_throttle,
}

DOMAIN_NAME: PatchTable = {
    "/certificateName": text,
    "/certificateArn": text,
    "/regionalCertificateName": text,
    "/regionalCertificateArn": text,
    "/securityPolicy": text,
    "/endpointAccessMode": text,
    "/policy": text,
    "/routingMode": text,
    "/endpointConfiguration/types/*": item,
    "/endpointConfiguration/ipAddressType": text,
}

MAPPING: PatchTable = {"/basePath": text, "/restapiId": needed(text), "/restApiId": needed(text), "/stage": text}

ACCOUNT: PatchTable = {"/cloudwatchRoleArn": text, "/features": member_value}

DOCUMENTATION_PART: PatchTable = {"/properties": text}

DOCUMENTATION_VERSION: PatchTable = {"/description": text}

CERTIFICATE: PatchTable = {"/description": text}
