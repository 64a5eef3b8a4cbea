"""The requests that first-class integrations make, read by botocore's own models."""

import json

import pytest

from cumulet.gateway.http_api.services import ParameterError, request_of
from cumulet.services.http_apis.model_integrations import SUBTYPES
from cumulet.wire.models import load_model


def sent(subtype, **parameters):
    request, service, region = request_of(subtype, parameters, "us-east-1")
    return dict(request.headers)["x-amz-target"], json.loads(request.body), service, region


def test_messages_streams_events_and_executions():
    attributes = '{"a": {"DataType": "String", "StringValue": "b"}}'
    assert sent("SQS-SendMessage", QueueUrl="q", MessageBody="m", DelaySeconds="3", MessageAttributes=attributes) == (
        "AmazonSQS.SendMessage",
        {"QueueUrl": "q", "MessageBody": "m", "DelaySeconds": 3, "MessageAttributes": json.loads(attributes)},
        "sqs",
        "us-east-1",
    )
    assert sent("Kinesis-PutRecord", StreamName="s", Data="d", PartitionKey="k", Region="eu-west-1") == (
        "Kinesis_20131202.PutRecord", {"StreamName": "s", "Data": "ZA==", "PartitionKey": "k"}, "kinesis", "eu-west-1",
    )  # fmt: skip
    assert sent("EventBridge-PutEvents", Source="s", DetailType="t", Detail="{}", Resources="a, b")[:3] == (
        "AWSEvents.PutEvents",
        {"Entries": [{"Source": "s", "DetailType": "t", "Detail": "{}", "Resources": ["a", "b"]}]},
        "events",
    )
    assert sent("StepFunctions-StartExecution", StateMachineArn="m", Input="{}")[:3] == (
        "AWSStepFunctions.StartExecution", {"stateMachineArn": "m", "input": "{}"}, "states",
    )  # fmt: skip


def test_every_parameter_is_one_that_the_service_knows():
    models = {"EventBridge": "events", "SQS": "sqs", "Kinesis": "kinesis", "StepFunctions": "stepfunctions"}
    for subtype, (required, further) in SUBTYPES.items():
        kind, _, action = subtype.partition("-")
        if kind not in models:
            continue
        parameters = dict.fromkeys((required | further) - {"Region"}, "1")
        body = json.loads(request_of(subtype, parameters, "us-east-1")[0].body)
        shape = load_model(models[kind]).operation_model(action).input_shape
        if subtype == "EventBridge-PutEvents":
            body, shape = body["Entries"][0], shape.members["Entries"].member
        assert body.keys() <= shape.members.keys(), subtype


def test_what_is_no_parameter_is_refused():
    for parameters in ({"DelaySeconds": "soon"}, {"MessageAttributes": "{"}):
        with pytest.raises(ParameterError):
            request_of("SQS-SendMessage", {"QueueUrl": "q", "MessageBody": "m"} | parameters, "us-east-1")
    with pytest.raises(ParameterError):
        request_of("AppConfig-GetConfiguration", {}, "us-east-1")
