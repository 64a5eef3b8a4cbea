"""What routes lead to and who guards them: the rules of integrations and authorizers. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from cumulet.core.errors import NotImplementedFault
from cumulet.services.http_apis.errors import BadRequest
from cumulet.services.http_apis.model import HTTP, WEBSOCKET
from cumulet.store.documents import Document

SUBTYPES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "EventBridge-PutEvents": (
        frozenset(("Detail", "DetailType", "Source")),
        frozenset(("Time", "EventBusName", "Resources", "Region", "TraceHeader")),
    ),
    "SQS-SendMessage": (
        frozenset(("QueueUrl", "MessageBody")),
        frozenset(
            ("DelaySeconds", "MessageAttributes", "MessageDeduplicationId", "MessageGroupId", "MessageSystemAttributes", "Region")
        ),
    ),
    "SQS-ReceiveMessage": (
        frozenset(("QueueUrl",)),
        frozenset(
            ("AttributeNames", "MaxNumberOfMessages", "MessageAttributeNames", "ReceiveRequestAttemptId", "VisibilityTimeout",
             "WaitTimeSeconds", "Region")
        ),
    ),
    "SQS-DeleteMessage": (frozenset(("QueueUrl", "ReceiptHandle")), frozenset(("Region",))),
    "SQS-PurgeQueue": (frozenset(("QueueUrl",)), frozenset(("Region",))),
    "AppConfig-GetConfiguration": (
        frozenset(("Application", "Environment", "Configuration", "ClientId")),
        frozenset(("ClientConfigurationVersion", "Region")),
    ),
    "Kinesis-PutRecord": (
        frozenset(("StreamName", "Data", "PartitionKey")),
        frozenset(("SequenceNumberForOrdering", "ExplicitHashKey", "Region")),
    ),
    "StepFunctions-StartExecution": (frozenset(("StateMachineArn",)), frozenset(("Name", "Input", "Region"))),
    "StepFunctions-StartSyncExecution": (
        frozenset(("StateMachineArn",)),
        frozenset(("Name", "Input", "Region", "TraceHeader")),
    ),
    "StepFunctions-StopExecution": (frozenset(("ExecutionArn",)), frozenset(("Cause", "Error", "Region"))),
}  # fmt: skip
"""First-class integrations: {subtype: (required parameters, further ones)}.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-aws-services-reference.html
"""

_TYPES = {HTTP: ("AWS_PROXY", "HTTP_PROXY"), WEBSOCKET: ("AWS", "AWS_PROXY", "HTTP", "HTTP_PROXY", "MOCK")}
_MOST_MS = {HTTP: 30_000, WEBSOCKET: 29_000}
_LAMBDA_URI = re.compile(r"arn:[^:]+:(?:lambda:[^:]*:[^:]*:function:.+|apigateway:[^:]*:lambda:path/.+)\Z")
_TARGET = re.compile(r"(?:(?:overwrite|append):(?:header|querystring)\.\S+|remove:(?:header|querystring)\.\S+|overwrite:path)\Z")
_RESPONSE_TARGET = re.compile(r"(?:(?:overwrite|append|remove):header\.\S+|overwrite:statuscode)\Z")
_RESERVED = frozenset(
    (
        "authorization", "connection", "content-encoding", "content-length", "content-location", "forwarded", "keep-alive",
        "origin", "proxy-authenticate", "proxy-authorization", "te", "trailers", "transfer-encoding", "upgrade", "via",
    )
)  # fmt: skip
_RESERVED_PREFIXES = ("access-control-", "apigw-", "x-amz-", "x-amzn-", "x-forwarded-")
_STATUS = re.compile(r"[1-5]\d\d\Z")
_ISSUER = re.compile(r"https?://\S+\Z")


def checked_integration(integration: Document, protocol: str) -> Document:
    """An integration with its defaults. Raises BadRequest for what could never run, NotImplementedFault for what is not here."""
    kind = integration["IntegrationType"]
    if kind not in _TYPES[protocol]:
        raise BadRequest(
            f"Invalid integration type specified. IntegrationType for {protocol} APIs must be one of {_listed(protocol)}"
        )
    if integration.get("ConnectionType", "INTERNET") == "VPC_LINK" or integration.get("ConnectionId"):
        raise NotImplementedFault("VPC links are not supported by this node")
    integration["ConnectionType"] = "INTERNET"
    timeout = integration.setdefault("TimeoutInMillis", _MOST_MS[protocol])
    if not 50 <= timeout <= _MOST_MS[protocol]:
        raise BadRequest(f"Timeout should be between 50 ms and {_MOST_MS[protocol]} ms")
    if protocol == HTTP:
        _check_http(integration)
    else:
        _check_websocket(integration)
    return integration


def _listed(protocol: str) -> str:
    return f"[{', '.join(_TYPES[protocol])}]"


def _check_http(integration: Document) -> None:
    for member in ("ContentHandlingStrategy", "PassthroughBehavior", "RequestTemplates", "TemplateSelectionExpression"):
        if integration.get(member):
            raise BadRequest(f"{member} is not supported for HTTP APIs")
    subtype, kind = integration.get("IntegrationSubtype"), integration["IntegrationType"]
    version = integration.get("PayloadFormatVersion")
    if version is None:
        if kind == "AWS_PROXY":
            raise BadRequest("PayloadFormatVersion is a required parameter for integration")
        integration["PayloadFormatVersion"] = version = "1.0"
    if version not in (("1.0", "2.0") if kind == "AWS_PROXY" and not subtype else ("1.0",)):
        raise BadRequest(f"Payload format version {version} is not supported for this integration")
    parameters = integration.get("RequestParameters") or {}
    if subtype:
        _check_subtype(integration, subtype, parameters)
    elif kind == "AWS_PROXY":
        _check_function(integration)
        if parameters:
            raise BadRequest("RequestParameters are not supported for integrations with Lambda functions")
    else:
        if not integration.get("IntegrationMethod"):
            raise BadRequest("HttpMethod must be specified for HTTP_PROXY integrations")
        _check_url(integration)
        for target in parameters:
            if not _TARGET.match(target):
                raise BadRequest(f"Invalid mapping expression specified: {target}")
            _check_header(target)
    for status, mappings in (integration.get("ResponseParameters") or {}).items():
        if not _STATUS.match(status):
            raise BadRequest(f"Invalid status code specified in response parameters: {status}")
        for target in mappings:
            if not _RESPONSE_TARGET.match(target):
                raise BadRequest(f"Invalid mapping expression specified: {target}")
            _check_header(target)


def _check_header(target: str) -> None:
    """Raises BadRequest for a header that only the gateway sets."""
    place, _, name = target.partition(":")[2].partition(".")
    if place == "header" and (name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIXES)):
        raise BadRequest(f"Operations on header {name} are restricted")


def _check_subtype(integration: Document, subtype: str, parameters: Mapping[str, str]) -> None:
    if integration["IntegrationType"] != "AWS_PROXY":
        raise BadRequest("IntegrationSubtype is only supported for AWS_PROXY integrations")
    if subtype not in SUBTYPES:
        raise BadRequest(f"Invalid integration subtype specified: {subtype}")
    if not integration.get("CredentialsArn"):
        raise BadRequest(f"Credentials must be specified for integration subtype {subtype}")
    required, further = SUBTYPES[subtype]
    missing, unknown = sorted(required - parameters.keys()), sorted(parameters.keys() - required - further)
    if missing:
        raise BadRequest(f"Required parameters are missing for integration subtype {subtype}: {', '.join(missing)}")
    if unknown:
        raise BadRequest(f"Parameters are not supported by integration subtype {subtype}: {', '.join(unknown)}")


def _check_function(integration: Document) -> None:
    if not integration.get("IntegrationUri"):
        raise BadRequest("IntegrationUri must be specified for AWS_PROXY integrations")
    if not _LAMBDA_URI.match(integration["IntegrationUri"]):
        raise BadRequest("Invalid integration URI specified: AWS_PROXY leads to a function's ARN")
    integration.setdefault("IntegrationMethod", "POST")


def _check_url(integration: Document) -> None:
    if not integration.get("IntegrationUri"):
        raise BadRequest("IntegrationUri must be specified for HTTP integrations")
    if not integration["IntegrationUri"].startswith(("http://", "https://", "${stageVariables.", "$stageVariables.")):
        raise BadRequest("Invalid HTTP endpoint specified for URI")


def _check_websocket(integration: Document) -> None:
    kind = integration["IntegrationType"]
    if integration.get("IntegrationSubtype"):
        raise BadRequest("IntegrationSubtype is not supported for WEBSOCKET APIs")
    integration.setdefault("PassthroughBehavior", "WHEN_NO_MATCH")
    integration.setdefault("PayloadFormatVersion", "1.0")
    uri = integration.get("IntegrationUri") or ""
    if kind != "MOCK" and not uri:
        raise BadRequest(f"IntegrationUri must be specified for integration type {kind}")
    if kind == "AWS_PROXY":
        _check_function(integration)
    elif kind == "AWS":
        if not uri.startswith("arn:"):
            raise BadRequest("Invalid ARN specified in the request")
        expression = "${integration.response.body.errorMessage}" if ":lambda:" in uri else "${integration.response.statuscode}"
        integration.setdefault("IntegrationResponseSelectionExpression", expression)
    elif kind in ("HTTP", "HTTP_PROXY"):
        _check_url(integration)
        integration.setdefault("IntegrationResponseSelectionExpression", "${integration.response.statuscode}")
    if kind in ("AWS", "HTTP", "HTTP_PROXY") and not integration.get("IntegrationMethod"):
        raise BadRequest("Enumeration value for HttpMethod must be non-empty")


def checked_authorizer(authorizer: Document, protocol: str) -> Document:
    """An authorizer with its defaults. Raises BadRequest."""
    kind = authorizer["AuthorizerType"]
    if kind == "JWT":
        if protocol != HTTP:
            raise BadRequest("Only REQUEST authorizers are supported for WEBSOCKET APIs")
        _check_jwt(authorizer)
    elif kind == "REQUEST":
        _check_request(authorizer, protocol)
    else:
        raise BadRequest(f"Invalid authorizer type specified: {kind}. Must be one of [REQUEST, JWT]")
    for source in authorizer.setdefault("IdentitySource", []):
        if not source.startswith(
            ("$request.", "$context.", "$stageVariables.", "${", "route.request.", "context.", "stageVariables.")
        ):
            raise BadRequest(f"Invalid identity source specified: {source}")
    return authorizer


def _check_jwt(authorizer: Document) -> None:
    configuration: Mapping[str, Any] = authorizer.get("JwtConfiguration") or {}
    issuer = configuration.get("Issuer") or ""
    if not _ISSUER.match(issuer):
        raise BadRequest("Invalid issuer: it must be a URL that a token's iss claim can be compared with")
    if not configuration.get("Audience"):
        raise BadRequest("Audience must be specified in the JWT configuration")
    if len(authorizer.get("IdentitySource") or ()) != 1:
        raise BadRequest("Exactly one identity source must be specified for a JWT authorizer")
    if authorizer.get("AuthorizerUri"):
        raise BadRequest("AuthorizerUri is not supported for JWT authorizers")


def _check_request(authorizer: Document, protocol: str) -> None:
    if not _LAMBDA_URI.match(authorizer.get("AuthorizerUri") or ""):
        raise BadRequest("Invalid Authorizer URI: it must lead to a function")
    if protocol == WEBSOCKET:
        for member in ("AuthorizerPayloadFormatVersion", "EnableSimpleResponses", "AuthorizerResultTtlInSeconds"):
            if authorizer.get(member):
                raise BadRequest(f"{member} is not supported for WEBSOCKET APIs")
        return
    version = authorizer.get("AuthorizerPayloadFormatVersion")
    if version is None:
        raise BadRequest("AuthorizerPayloadFormatVersion is a required parameter for REQUEST authorizer")
    if version not in ("1.0", "2.0"):
        raise BadRequest(f"Invalid authorizer payload format version specified: {version}")
    if authorizer.setdefault("EnableSimpleResponses", False) and version != "2.0":
        raise BadRequest("EnableSimpleResponses is only supported for authorizer payload format version 2.0")
    ttl_s = authorizer.setdefault("AuthorizerResultTtlInSeconds", 300 if authorizer.get("IdentitySource") else 0)
    if not 0 <= ttl_s <= 3600:
        raise BadRequest("Authorizer result TTL must be between 0 and 3600 seconds")
    if ttl_s and not authorizer.get("IdentitySource"):
        raise BadRequest("Identity source must be specified when caching is enabled")
