"""First-class integrations with services (`SQS-SendMessage`, …): the request that their parameters make. Pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-aws-services-reference.html
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from cumulet.core.http import Request
from cumulet.wire.models import load_model


class ParameterError(ValueError):
    """A parameter's text is not what the service takes there."""


@dataclass(frozen=True, slots=True)
class _Service:
    """`signing_name` as signatures have it, `model` as botocore calls it."""

    signing_name: str
    model: str


_SERVICES = {
    "EventBridge": _Service("events", "events"),
    "SQS": _Service("sqs", "sqs"),
    "Kinesis": _Service("kinesis", "kinesis"),
    "StepFunctions": _Service("states", "stepfunctions"),
}


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ParameterError(f"not JSON: {text[:100]!r}") from None


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ParameterError(f"not a number: {text[:100]!r}") from None


def _list(text: str) -> list[Any]:
    found = _json(text) if text.startswith("[") else [part.strip() for part in text.split(",")]
    return list(found)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


_READERS: Mapping[str, Callable[[str], Any]] = {
    "Data": _base64,
    "DelaySeconds": _number,
    "MaxNumberOfMessages": _number,
    "VisibilityTimeout": _number,
    "WaitTimeSeconds": _number,
    "MessageAttributes": _json,
    "MessageSystemAttributes": _json,
    "AttributeNames": _list,
    "MessageAttributeNames": _list,
    "Resources": _list,
}
_RENAMED = {
    "StepFunctions": {
        "StateMachineArn": "stateMachineArn", "Name": "name", "Input": "input", "TraceHeader": "traceHeader",
        "ExecutionArn": "executionArn", "Cause": "cause", "Error": "error",
    },
}  # fmt: skip


def request_of(subtype: str, parameters: Mapping[str, str], region: str) -> tuple[Request, str, str]:
    """(unsigned request, signing name, region). Raises ParameterError, also for a service that no node has."""
    kind, _, action = subtype.partition("-")
    service = _SERVICES.get(kind)
    if service is None:
        raise ParameterError(f"{subtype} is not served by this node")
    names = _RENAMED.get(kind, {})
    given = {names.get(name, name): _READERS.get(name, str)(text) for name, text in parameters.items() if name != "Region"}
    body: Any = {"Entries": [given]} if subtype == "EventBridge-PutEvents" else given
    metadata = load_model(service.model).metadata
    headers = [
        ("content-type", f"application/x-amz-json-{metadata.get('jsonVersion', '1.0')}"),
        ("x-amz-target", f"{metadata['targetPrefix']}.{action}"),
    ]
    return Request("POST", "/", "", headers, orjson.dumps(body)), service.signing_name, parameters.get("Region") or region
